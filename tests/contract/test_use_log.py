"""`UseLog`: common contract of the fake and the adapter."""

from __future__ import annotations

import time
from io import StringIO

import pytest

from chalicelib.credentials import loggable
from chalicelib.errors import LogUnavailableError
from chalicelib.model import ClientId, SecretId
from chalicelib.telemetry import json_lines
from tests.contract.conftest import CLOUD
from tests.contract.implementations import AwsLog, FakeLog, LogWorld
from tests.contract.samples import new_client_id

ONE, TWO, THREE = SecretId("aaaaaaaa"), SecretId("bbbbbbbb"), SecretId("cccccccc")
ADOPTED = ClientId("1example23456789")

_NO_LINES = "the fake keeps the uses themselves, not a log's lines"
_ONE_PHRASE = "moto takes a filter pattern of two phrases for one phrase"
CANNOT = {
    ("fake", "test_other_clients_refusals_and_admin_lines_do_not_count_as_use"): _NO_LINES,
    ("fake", "test_the_line_of_an_adopted_client_is_found_by_its_handle"): _NO_LINES,
    ("moto", "test_each_secret_has_its_last_use_and_an_unused_one_has_none"): _ONE_PHRASE,
    ("moto", "test_other_clients_refusals_and_admin_lines_do_not_count_as_use"): _ONE_PHRASE,
    ("moto", "test_the_line_of_an_adopted_client_is_found_by_its_handle"): _ONE_PHRASE,
}


@pytest.fixture(params=["fake", "moto", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(implementation: str, request: pytest.FixtureRequest) -> LogWorld:
    if implementation == "fake":
        return FakeLog()
    return AwsLog(request.getfixturevalue("regions"))


@pytest.fixture
def client_id() -> ClientId:
    return new_client_id()


def line(at: float, **members: object) -> str:
    """Return a log line in the function's format."""
    text = StringIO()
    json_lines("us-east-1", lambda: at, text)(
        {"event": "exchange", "outcome": "issued", "cognito_requests": 0} | members
    )
    return text.getvalue().rstrip("\n")


def test_each_secret_has_its_last_use_and_an_unused_one_has_none(
    world: LogWorld, client_id: ClientId
) -> None:
    now = int(time.time())
    for secret_id, ago in ((ONE, 50), (ONE, 30), (TWO, 2 * 86_400), (ONE, 40)):
        world.used(client_id, secret_id, now - ago)
    assert world.log.last_uses(client_id, [ONE, TWO, THREE]) == {
        ONE: now - 30,
        TWO: now - 2 * 86_400,
        THREE: None,
    }


def test_a_missing_log_means_unknown_and_not_unused(world: LogWorld, client_id: ClientId) -> None:
    world.lose()
    with pytest.raises(LogUnavailableError):
        world.log.last_uses(client_id, [ONE])


def test_other_clients_refusals_and_admin_lines_do_not_count_as_use(
    world: LogWorld, client_id: ClientId
) -> None:
    assert isinstance(world, AwsLog)
    now = int(time.time())
    named = {"client_id": client_id, "secret_id": ONE}
    for changes in (
        {"client_id": new_client_id(), "note": client_id},
        {"outcome": "invalid_client", "note": "issued"},
        {"event": "admin", "note": "issued"},
    ):
        world.write(now - 5, line(now - 5, **named | changes))
    assert world.log.last_uses(client_id, [ONE]) == {ONE: None}
    world.write(now - 4, line(now - 4, **named))
    assert world.log.last_uses(client_id, [ONE]) == {ONE: now - 4}


def test_the_line_of_an_adopted_client_is_found_by_its_handle(world: LogWorld) -> None:
    assert isinstance(world, AwsLog)
    now = int(time.time())
    world.write(now - 5, line(now - 5, client_id=loggable(ADOPTED), secret_id=ONE))
    assert world.log.last_uses(ADOPTED, [ONE]) == {ONE: now - 5}
