"""`TokenEndpoint`: common contract of the fake and the adapter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.errors import AppClientRefusedError
from chalicelib.model import AppClientId
from tests.contract.conftest import CLOUD
from tests.contract.deadlines import AMPLE
from tests.contract.implementations import (
    WRONG_SECRET,
    CloudCognito,
    FakeEndpoint,
    LoopbackCognito,
    Serve,
    TokenWorld,
)
from tests.contract.samples import MAC, assert_tells_nothing
from tests.fakes import FakeClock

SCOPE = "demo/read"
METADATA = {"surrogate_client_id": "sgc_aaaaaaaaaaaaaaaaaaaaaaaaaa", "surrogate_mac": MAC}

_ISSUES_ALL = "the fake refuses the secrets that it is told to, and looks at nothing else"
CANNOT = {
    ("fake", "test_a_scope_that_was_not_granted_is_refused"): _ISSUES_ALL,
    ("fake", "test_an_app_client_that_does_not_exist_is_refused"): _ISSUES_ALL,
}


# Not moto: it answers 500 to /oauth2/token.
@pytest.fixture(params=["fake", "loopback", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def world(
    implementation: str, clock: FakeClock, serve: Serve, request: pytest.FixtureRequest
) -> TokenWorld:
    if implementation == "fake":
        return FakeEndpoint(clock)
    if implementation == "loopback":
        return LoopbackCognito(clock, serve)
    return CloudCognito(clock, request.getfixturevalue("local_cloud"))


def test_a_token_lifetime_counts_from_the_request(world: TokenWorld, clock: FakeClock) -> None:
    token = world.endpoint.request_token(world.app_client, SCOPE, METADATA, AMPLE)
    assert token.value
    assert token.expires_at == int(clock()) + 3600
    assert token.value not in repr(token)


def test_a_wrong_secret_is_refused(world: TokenWorld) -> None:
    wrong = replace(world.app_client, client_secret=WRONG_SECRET)
    with pytest.raises(AppClientRefusedError) as caught:
        world.endpoint.request_token(wrong, SCOPE, METADATA, AMPLE)
    assert_tells_nothing(caught.value, WRONG_SECRET, world.app_client.app_client_id)


def test_an_app_client_that_does_not_exist_is_refused(world: TokenWorld) -> None:
    nobody = replace(world.app_client, app_client_id=AppClientId("0123456789abcdefghijklmnop"))
    with pytest.raises(AppClientRefusedError) as caught:
        world.endpoint.request_token(nobody, SCOPE, METADATA, AMPLE)
    assert_tells_nothing(caught.value, nobody.app_client_id)


def test_a_scope_that_was_not_granted_is_refused(world: TokenWorld) -> None:
    with pytest.raises(AppClientRefusedError) as caught:
        world.endpoint.request_token(world.app_client, "demo/write", METADATA, AMPLE)
    assert_tells_nothing(caught.value)


def test_a_refusal_does_not_keep_the_next_request_from_a_token(world: TokenWorld) -> None:
    wrong = replace(world.app_client, client_secret=WRONG_SECRET)
    with pytest.raises(AppClientRefusedError):
        world.endpoint.request_token(wrong, SCOPE, METADATA, AMPLE)
    assert world.endpoint.request_token(world.app_client, SCOPE, METADATA, AMPLE).value


def test_an_endpoint_that_answers_is_reachable(world: TokenWorld) -> None:
    assert world.endpoint.reachable(AMPLE)
