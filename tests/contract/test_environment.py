"""
The process environment has no effect on the target, credentials or trust of requests.

The tests need a process of its own, which runs `in_environment`.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from chalicelib.record_json import deployment_key_to_json
from tests.contract.certificates import Authority
from tests.contract.loopback import LOOPBACK, Answer, Loopback, Seen, answer

ROOT = Path(__file__).parents[2]
VERSION = "11111111-1111-4111-8111-111111111111"
LOGIN = base64.b64encode(b"somebody:something").decode()


def anything(seen: Seen) -> Answer:
    """Answer any request, as AWS and Cognito would."""
    return answer(
        200,
        {
            "access_token": "t",
            "expires_in": 3600,
            "token_type": "Bearer",
            "ARN": "arn",
            "Name": "name",
            "VersionId": VERSION,
            "SecretString": deployment_key_to_json(b"k" * 32),
            "ResourceServers": [],
        },
    )


@dataclass(frozen=True, slots=True)
class Run:
    """Result of the process, as seen by it and by the servers."""

    outcomes: Mapping[str, str]
    plain: Loopback
    tls: Loopback
    proxy: Loopback

    def outcome(self, name: str, of: Loopback) -> str:
        return self.outcomes[f"{name}={of.url}"]

    def requests(self, of: Loopback, agent: str = "") -> list[Seen]:
        return [seen for seen in of.seen if agent in seen.headers.get("user-agent", "")]


@pytest.fixture(scope="module")
def run(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    home = tmp_path_factory.mktemp("home")
    netrc = home / ".netrc"
    netrc.write_text(f"machine {LOOPBACK}\nlogin somebody\npassword something\n")
    netrc.chmod(0o600)
    with ExitStack() as stack:
        plain = stack.enter_context(Loopback(anything))
        tls = stack.enter_context(Loopback(anything, tls=authority.server(LOOPBACK)))
        proxy = stack.enter_context(Loopback(anything))
        variables = ["http_proxy", "https_proxy", "all_proxy"]
        bundles = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
        environment = {
            "PATH": os.defpath,
            "HOME": str(home),
            "NETRC": str(netrc),
            **dict.fromkeys([*variables, *map(str.upper, variables)], proxy.url),
            **dict.fromkeys(["no_proxy", "NO_PROXY"], ""),
            **dict.fromkeys(bundles, str(authority.bundle)),
            "AWS_ACCESS_KEY_ID": "AKIATESTS",
            "AWS_SECRET_ACCESS_KEY": "tests",
        }
        asked = [
            f"token={plain.url}",
            f"token={tls.url}",
            f"exchange secrets={plain.url}",
            f"admin secrets={plain.url}",
            f"cognito={plain.url}",
        ]
        outcomes = ask(asked, environment)
        # Positive control: a client that obeys the environment, first with the
        # proxy, then without one for the login and the bundle.
        proxied = len(proxy.seen)
        ask([f"obedient={plain.url}"], environment)
        assert len(proxy.seen) == proxied + 1
        del proxy.seen[proxied:]
        straight = {**environment, "no_proxy": LOOPBACK, "NO_PROXY": LOOPBACK}
        assert set(ask([f"obedient={tls.url}"], straight).values()) == {"answered"}
        assert tls.seen.pop().headers["authorization"] == f"Basic {LOGIN}"
        yield Run(outcomes, plain, tls, proxy)


def ask(asked: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.in_environment", *asked],
        env=dict(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


def test_proxies_of_the_environment_are_not_used(run: Run) -> None:
    assert run.proxy.seen == []
    for name in ("token", "exchange secrets", "admin secrets", "cognito"):
        assert run.outcome(name, run.plain) == "answered"
    assert len(run.requests(run.plain, "Botocore")) == 3
    assert len(run.requests(run.plain, "python-requests")) == 1


def test_credentials_of_a_netrc_file_are_not_used(run: Run) -> None:
    (seen,) = run.requests(run.plain, "python-requests")
    assert "authorization" not in seen.headers


def test_ca_bundles_of_the_environment_are_not_trusted(run: Run) -> None:
    assert run.outcome("token", run.tls) == "TokenEndpointUnavailableError"
    assert run.tls.seen == []
