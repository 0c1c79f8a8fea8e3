"""A sample of `docs/failures.md` with the deployed stage; all of it is in tests/contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import requests

from local.cloud import Cloud
from tests.e2e.conftest import Credential
from tests.e2e.tokens import post_token, verified

Enroll = Callable[..., Credential]
# The answer comes within 5 s; the rest allows for a slow machine.
SECONDS = 8.0
MOST_ASKED = 6


@pytest.fixture
def ill_cloud(breakable_cloud: Cloud, enroll: Enroll) -> Iterator[Cloud]:
    """Lend the cloud to a test that injects faults into the primary; wait for its recovery."""
    yield breakable_cloud
    breakable_cloud.reset()
    credential = enroll()
    for _ in range(60):  # the circuit breaker is open for two seconds after a failure
        if post_token(breakable_cloud.endpoints["primary"], credential.pair).status_code == 200:
            return
        time.sleep(0.25)
    raise AssertionError("The primary does not get well again.")


def asked(cloud: Cloud) -> int:
    """Return the number of calls by the primary stage, and of token requests by any caller."""
    tokens = [call for call in cloud.calls() if call["service"] == "token"]
    return len(cloud.calls_of_stage("primary")) + len(tokens)


def exchanged(cloud: Cloud, credential: Credential, scope: str) -> requests.Response:
    began = time.monotonic()
    answer = post_token(cloud.endpoints["primary"], credential.pair, scope=scope)
    assert time.monotonic() - began < SECONDS
    return answer


def assert_try_again(answer: requests.Response) -> None:
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(("mode", "more"), [("throttle", {}), ("slow", {"delay": 20})])
def test_with_secrets_manager_failing_known_clients_get_tokens_and_others_a_503(
    ill_cloud: Cloud, enroll: Enroll, mode: str, more: dict[str, float]
) -> None:
    known, unknown = enroll(), enroll()
    assert exchanged(ill_cloud, known, "demo/read").status_code == 200
    time.sleep(int(ill_cloud.environment["FRESH_SECONDS"]) + 0.5)
    ill_cloud.add_fault("secretsmanager", mode, "primary", **more)
    ill_cloud.clear_calls()
    answer = exchanged(ill_cloud, known, "demo/write")
    verified(ill_cloud, "primary", answer.json()["access_token"])
    assert_try_again(exchanged(ill_cloud, unknown, "demo/read"))
    assert asked(ill_cloud) <= 2 * MOST_ASKED


@pytest.mark.parametrize(("mode", "more"), [("error500", {}), ("slow", {"delay": 20})])
def test_with_cognito_failing_cached_tokens_serve(
    ill_cloud: Cloud, enroll: Enroll, mode: str, more: dict[str, float]
) -> None:
    credential = enroll()
    token = exchanged(ill_cloud, credential, "demo/read").json()["access_token"]
    ill_cloud.add_fault("token", mode, "primary", **more)
    ill_cloud.clear_calls()
    assert_try_again(exchanged(ill_cloud, credential, "demo/write"))
    assert exchanged(ill_cloud, credential, "demo/read").json()["access_token"] == token
    assert asked(ill_cloud) <= MOST_ASKED


def test_intermittent_faults_never_refuse_a_valid_credential(
    ill_cloud: Cloud, enroll: Enroll
) -> None:
    credentials = [enroll() for _ in range(4)]
    for service in ("secretsmanager", "token"):
        for mode in ("error500", "reset"):
            ill_cloud.add_fault(service, mode, "primary", probability=0.3)
    statuses = set()
    for credential in credentials * 2:
        answer = exchanged(ill_cloud, credential, "demo/read")
        statuses.add(answer.status_code)
        if answer.status_code != 200:
            assert_try_again(answer)
    assert 200 in statuses
