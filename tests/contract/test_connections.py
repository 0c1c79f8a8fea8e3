"""`aws.Connections`: retries of failed requests by each client."""

from __future__ import annotations

import pytest
from botocore.session import Session

from chalicelib.aws.cognito_app_clients import PoolAppClients
from chalicelib.aws.connections import Connections
from chalicelib.aws.region_state import DeploymentKeySecret
from chalicelib.aws.use_log import CloudWatchUseLog
from chalicelib.errors import (
    AppClientsThrottledError,
    AppClientsUnreachableError,
    CallTimedOutError,
    StoreUnavailableError,
)
from chalicelib.model import AppClientId, SecretId
from chalicelib.timing import CircuitBreaker
from tests.contract.clients import Aws
from tests.contract.implementations import Serve
from tests.contract.loopback import Answer, Loopback, always, answer, html, in_turn, raw, reset
from tests.contract.samples import new_client_id, region_at
from tests.fakes import FakeClock
from tests.worlds import EAST_POOL


def signing() -> Session:
    """Return a session with credentials independent of the environment."""
    return Aws().botocore_session


def connections(server: Loopback) -> Connections:
    return Connections(region_at(server.url), session=signing)


def clients(of: Connections) -> PoolAppClients:
    return PoolAppClients(of.admin_cognito, of.admin_cognito_once, EAST_POOL, "surrogate", 3600)


FAILING: dict[str, Answer] = {
    "500": answer(500, {"__type": "InternalErrorException"}),
    "503": html(503),
    "throttled": answer(400, {"__type": "TooManyRequestsException"}),
    "reset": reset(),
    "hang-up": raw(b""),
}
every_failure = pytest.mark.parametrize("failing", FAILING.values(), ids=FAILING)


@every_failure
def test_an_app_client_is_made_once_or_not_at_all(serve: Serve, failing: Answer) -> None:
    server = serve(always(failing))
    with pytest.raises((AppClientsUnreachableError, AppClientsThrottledError)):
        clients(connections(server)).create(new_client_id(), ("demo/read",))
    assert [seen.action for seen in server.seen] == ["CreateUserPoolClient"]


@every_failure
def test_a_secret_is_added_once_or_not_at_all(serve: Serve, failing: Answer) -> None:
    server = serve(always(failing))
    with pytest.raises((AppClientsUnreachableError, AppClientsThrottledError)):
        clients(connections(server)).add_secret(AppClientId("a" * 26), "value_of_a_secret_0123456")
    assert [seen.action for seen in server.seen] == ["AddUserPoolClientSecret"]


def test_repeatable_calls_are_tried_twice(serve: Serve) -> None:
    server = serve(always(FAILING["500"]))
    connected = connections(server)
    with pytest.raises(AppClientsUnreachableError):
        clients(connected).delete(AppClientId("a" * 26))
    with pytest.raises(StoreUnavailableError):
        DeploymentKeySecret(connected.exchange_secrets, "surrogate").read()
    with pytest.raises(StoreUnavailableError):
        DeploymentKeySecret(connected.admin_secrets, "surrogate").read()
    assert [seen.action for seen in server.seen] == [
        *["DeleteUserPoolClient"] * 2,
        *["GetSecretValue"] * 4,
    ]


def test_sdk_clients_are_made_once_and_call_nothing_before_use(serve: Serve) -> None:
    server = serve(always(answer(500)))
    connected = connections(server)
    for connect in (
        connected.exchange_secrets,
        connected.admin_secrets,
        connected.admin_cognito,
        connected.admin_cognito_once,
    ):
        assert connect() is connect()
    assert server.connections == 0


# A Region out of reach


def test_a_region_that_refuses_connections_is_lost() -> None:
    """A refused connection raises an exception of another family than a reset one."""
    lost = CircuitBreaker(FakeClock(), 5.0)
    connected = Connections(region_at("http://127.0.0.1:9"), lost, session=signing)
    with pytest.raises(StoreUnavailableError):
        DeploymentKeySecret(connected.admin_secrets, "surrogate").read()
    assert not lost.closed


def test_a_lost_region_is_not_called_again_for_a_while(serve: Serve) -> None:
    server, clock = serve(always(reset())), FakeClock()
    connected = Connections(region_at(server.url), CircuitBreaker(clock, 5.0), session=signing)
    with pytest.raises(StoreUnavailableError):
        DeploymentKeySecret(connected.admin_secrets, "surrogate").read()
    asked = len(server.seen)
    with pytest.raises(AppClientsUnreachableError):
        clients(connected).create(new_client_id(), ())
    with pytest.raises(StoreUnavailableError):
        DeploymentKeySecret(connected.admin_secrets, "surrogate").read()
    assert len(server.seen) == asked
    clock.advance(5.1)
    with pytest.raises(AppClientsUnreachableError):
        clients(connected).create(new_client_id(), ())
    assert len(server.seen) == asked + 1


def test_a_region_that_answers_at_the_second_try_is_not_lost(serve: Serve) -> None:
    server, lost = serve(in_turn(reset(), FAILING["500"])), CircuitBreaker(FakeClock(), 5.0)
    connected = Connections(region_at(server.url), lost, session=signing)
    with pytest.raises(StoreUnavailableError):
        DeploymentKeySecret(connected.admin_secrets, "surrogate").read()
    assert len(server.seen) == 2
    assert lost.closed


@pytest.mark.parametrize("name", ["500", "503", "throttled"])
def test_a_region_that_answers_with_errors_is_not_lost(serve: Serve, name: str) -> None:
    server = serve(always(FAILING[name]))
    connected = Connections(
        region_at(server.url), CircuitBreaker(FakeClock(), 5.0), session=signing
    )
    for attempt in (1, 2):
        with pytest.raises((AppClientsUnreachableError, AppClientsThrottledError)):
            clients(connected).create(new_client_id(), ())
        assert len(server.seen) == attempt


def test_the_exchange_client_has_no_circuit_breaker(serve: Serve) -> None:
    server = serve(always(reset()))
    connected = Connections(
        region_at(server.url), CircuitBreaker(FakeClock(), 5.0), session=signing
    )
    with pytest.raises(StoreUnavailableError):
        DeploymentKeySecret(connected.admin_secrets, "surrogate").read()
    asked = len(server.seen)
    with pytest.raises(StoreUnavailableError):
        DeploymentKeySecret(connected.exchange_secrets, "surrogate").read()
    assert len(server.seen) > asked


# An admin call out of time


class Time:
    """Deadline with time for a number of requests."""

    def __init__(self, requests: int) -> None:
        self.left = requests

    def require(self) -> None:
        if not self.left:
            raise CallTimedOutError
        self.left -= 1


def test_no_request_starts_without_time_left(serve: Serve) -> None:
    server = serve(always(answer(200, {})))
    connected = Connections(region_at(server.url), require_time=Time(0).require, session=signing)
    pool = clients(connected)
    log = CloudWatchUseLog(connected.admin_logs, "a log group", FakeClock())
    for ask in (
        lambda: DeploymentKeySecret(connected.admin_secrets, "surrogate").read(),
        lambda: pool.delete(AppClientId("a" * 26)),
        lambda: pool.create(new_client_id(), ("demo/read",)),
        lambda: log.last_uses(new_client_id(), [SecretId("abcdefgh")]),
    ):
        with pytest.raises(CallTimedOutError):
            ask()
    assert server.seen == []


def test_a_request_is_not_repeated_without_time_left(serve: Serve) -> None:
    server = serve(always(FAILING["500"]))
    connected = Connections(region_at(server.url), require_time=Time(1).require, session=signing)
    with pytest.raises(CallTimedOutError):
        DeploymentKeySecret(connected.admin_secrets, "surrogate").read()
    assert len(server.seen) == 1


def test_a_region_is_not_lost_because_a_deadline_passed(serve: Serve) -> None:
    server, lost = serve(always(answer(200, {}))), CircuitBreaker(FakeClock(), 5.0)
    connected = Connections(region_at(server.url), lost, Time(0).require, signing)
    with pytest.raises(CallTimedOutError):
        DeploymentKeySecret(connected.admin_secrets, "surrogate").read()
    assert lost.closed


def test_the_exchange_has_a_deadline_of_its_own(serve: Serve) -> None:
    server = serve(always(FAILING["500"]))
    connected = Connections(region_at(server.url), require_time=Time(0).require, session=signing)
    with pytest.raises(StoreUnavailableError):
        DeploymentKeySecret(connected.exchange_secrets, "surrogate").read()
    assert server.seen
