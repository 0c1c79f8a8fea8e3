"""`chalice local` of either stage, from the working tree, against the local cloud."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local import lifeline
from local.cloud import ROOT, Cloud
from local.httpio import get
from local.ports import claimed
from tests.e2e.conftest import Credential
from tests.e2e.tokens import post_token, verified

_START_SECONDS = 120


@contextmanager
def served(cloud: Cloud, stage: str) -> Iterator[str]:
    """Serve *stage* from the working tree; yield its URL."""
    state = Path(cloud.endpoints["identities"]["file"]).parent
    command = [sys.executable, "-m", "local", "--state", str(state), "chalice-local"]
    with claimed(1) as claim:
        (port,) = claim.ports
        server = lifeline.popen(
            [*command, "--stage", stage, "--port", str(port)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url, give_up_at = f"http://127.0.0.1:{port}", time.monotonic() + _START_SECONDS
            while get(f"{url}/health")[0] == 0:
                assert server.poll() is None, "chalice local ended"
                assert time.monotonic() < give_up_at, "chalice local does not start"
                time.sleep(0.1)
            yield url
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_the_working_tree_serves_a_client_enrolled_with_the_deployment(
    cloud: Cloud, enroll_everywhere: Callable[[], Credential], role: str
) -> None:
    credential = enroll_everywhere()
    with served(cloud, role) as url:
        answer = post_token(url, credential.pair, scope="demo/read")
        assert answer.status_code == 200, answer.text
        assert verified(cloud, role, answer.json()["access_token"])["scope"] == "demo/read"
        refused = post_token(url, (credential.client_id, credential.client_secret + "x"))
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
