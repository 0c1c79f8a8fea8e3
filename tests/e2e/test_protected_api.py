"""The worked example: one backend, never restarted, through loss and return of a Region."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from examples.protected_api import serve, verifier_for
from local import lifeline
from local.cloud import ROOT, Cloud
from surrogate_verifier import ClientNames
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import SECONDS, post_token

Enroll = Callable[..., Credential]
ROLES = ("primary", "secondary")


def call(url: str, token: str | None, method: str = "GET") -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request(method, f"{url}/orders", headers=headers, timeout=SECONDS)


def token_from(base_url: str, credential: Credential, **form: str) -> str:
    answer = post_token(base_url, credential.pair, **form)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


@pytest.fixture
def example(
    cloud: Cloud,
    surrogatectl: CommandLine,
    enroll_everywhere: Callable[[], Credential],
    tmp_path: Path,
) -> Iterator[tuple[str, Credential]]:
    """Start the example as a process of its own; return its URL and a known client."""
    credential = enroll_everywhere()
    names, endpoints = tmp_path / "names.json", tmp_path / "endpoints.json"
    published = surrogatectl.run("app-clients", f"--file={names}")
    assert published.returncode == 0, published.stderr
    endpoints.write_text(json.dumps(cloud.endpoints))
    process = lifeline.popen(
        [
            *(sys.executable, "-m", "examples.protected_api", "--port=0"),
            *(f"--endpoints={endpoints}", f"--client-names={names}"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline().split()
        assert first[0] == "serving"
        yield first[1].removesuffix("/orders"), credential
        assert process.poll() is None  # the process was never restarted, and still runs
    finally:
        process.terminate()
        code = process.wait(30)
        assert process.stdout is not None
        process.stdout.close()
    assert code == 0


@pytest.mark.parametrize("role", ROLES)
def test_the_api_accepts_both_regions_tokens_and_nothing_else(
    cloud: Cloud, enroll: Enroll, role: str
) -> None:
    credential = enroll()
    token = token_from(cloud.endpoints[role], credential)
    with serve(verifier_for(cloud.endpoints)) as api:
        answer = call(api.url, token)
        assert answer.status_code == 200
        assert answer.json()["issuer"].endswith(cloud.endpoints["user_pools"][role])
        assert call(api.url, token, "POST").status_code == 201
        assert call(api.url, None).status_code == 401
        assert call(api.url, token[:-8]).status_code == 401
        assert requests.get(f"{api.url}/health", timeout=SECONDS).status_code == 200
        assert requests.get(f"{api.url}/nothing", timeout=SECONDS).status_code == 401


def test_a_token_with_too_little_scope_reads_and_does_not_write(
    cloud: Cloud, enroll: Enroll
) -> None:
    token = token_from(cloud.endpoints["primary"], enroll(), scope="demo/read")
    with serve(verifier_for(cloud.endpoints)) as api:
        assert call(api.url, token).status_code == 200
        refused = call(api.url, token, "POST")
        assert refused.status_code == 403
        assert 'scope="demo/write"' in refused.headers["WWW-Authenticate"]


def test_a_running_api_keeps_one_client_name_through_a_failover(
    breakable_cloud: Cloud,
    surrogatectl: CommandLine,
    example: tuple[str, Credential],
) -> None:
    cloud = breakable_cloud
    url, credential = example
    name = cloud.endpoints["front_door"]
    before = token_from(name, credential)
    answers = [call(url, before)]
    cloud.set_region("primary", "refused")
    try:
        surrogatectl("failover", "--to=secondary", "--timeout=60", "--force")
        answers.append(call(url, token_from(name, credential)))
        answers.append(call(url, before))  # of the lost Region, and valid until it expires
    finally:
        cloud.set_region("primary", "up")
        surrogatectl("failback", "--timeout=60", "--settle=1", "--ttl=1")
    answers.append(call(url, token_from(name, credential)))
    assert [answer.status_code for answer in answers] == [200] * 4
    said = [answer.json() for answer in answers]
    assert {each["client_id"] for each in said} == {credential.client_id}
    pools = [cloud.endpoints["user_pools"][role] for role in ROLES]
    assert [each["issuer"].rpartition("/")[2] for each in said] == [
        pools[0],
        pools[1],
        pools[0],
        pools[0],
    ]
    assert said[0]["app_client_id"] != said[1]["app_client_id"]


def test_an_api_started_during_an_outage_has_the_lost_regions_keys(
    breakable_cloud: Cloud, surrogatectl: CommandLine, enroll_everywhere: Callable[[], Credential]
) -> None:
    cloud = breakable_cloud
    credential = enroll_everywhere()
    name = cloud.endpoints["front_door"]
    before = token_from(name, credential)
    cloud.set_region("primary", "refused")
    try:
        surrogatectl("failover", "--to=secondary", "--timeout=60", "--force")
        with serve(verifier_for(cloud.endpoints)) as api:
            assert call(api.url, before).status_code == 200
            assert call(api.url, token_from(name, credential)).status_code == 200
    finally:
        cloud.set_region("primary", "up")
        surrogatectl("failback", "--timeout=60", "--settle=1", "--ttl=1")


def test_the_api_can_be_started_and_stopped_from_a_program(cloud: Cloud) -> None:
    api = serve(verifier_for(cloud.endpoints, client_names=ClientNames({})))
    assert requests.get(f"{api.url}/health", timeout=SECONDS).json() == {"status": "ok"}
    api.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{api.url}/health", timeout=SECONDS)
