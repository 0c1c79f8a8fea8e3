"""`StateStore`: common contract of the fake and the adapter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from chalicelib.errors import (
    MalformedSecretError,
    OutcomeUnknownError,
    StoreUnavailableError,
    VersionConflictError,
)
from chalicelib.model import RegionState, Versioned, VersionId
from tests.contract.clients import lose_answer, lose_request
from tests.contract.conftest import CLOUD
from tests.contract.implementations import AwsState, FakeState, StateWorld
from tests.contract.samples import assert_tells_nothing

WRITERS = 6
STATE = RegionState(writer=True, took_over=False, unknown={"of": "a newer version"})

_NO_REQUESTS = "the fake makes no requests that could get lost"
_ELSEWHERE = "the accidents of `fake_aws` are arranged otherwise, see the crash tests"
_NO_TEXT = "the fake keeps the state itself, not its text"
CANNOT = {
    ("moto", "test_a_missing_state_is_not_replaced"): (
        "moto takes PutSecretValue for a secret that is marked for deletion"
    ),
    ("fake", "test_a_foreign_state_is_malformed"): _NO_TEXT,
    ("fake", "test_a_replacement_whose_last_answer_is_lost_has_succeeded"): _NO_REQUESTS,
    ("memory", "test_a_replacement_whose_last_answer_is_lost_has_succeeded"): _ELSEWHERE,
    ("fake", "test_a_replacement_that_never_arrived_changes_nothing"): _NO_REQUESTS,
    ("memory", "test_a_replacement_that_never_arrived_changes_nothing"): _ELSEWHERE,
    ("fake", "test_a_replacement_that_cannot_be_verified_has_an_unknown_outcome"): _NO_REQUESTS,
    ("memory", "test_a_replacement_that_cannot_be_verified_has_an_unknown_outcome"): _ELSEWHERE,
}


@pytest.fixture(params=["fake", "memory", "moto", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(implementation: str, request: pytest.FixtureRequest) -> StateWorld:
    if implementation == "fake":
        return FakeState(STATE)
    return AwsState(request.getfixturevalue("regions"), STATE)


@pytest.fixture
def aws_world(world: StateWorld) -> AwsState:
    assert isinstance(world, AwsState)
    return world


def test_the_state_is_read_as_it_was_written(world: StateWorld) -> None:
    assert world.store.read().value == STATE


def test_a_replaced_state_is_read_with_its_new_version(world: StateWorld) -> None:
    read = world.store.read()
    changed = RegionState(writer=False, took_over=True)
    version = world.store.replace(changed, read.version)
    assert version != read.version
    assert world.store.read() == Versioned(changed, version)


def test_a_replacement_with_an_outdated_version_is_a_conflict(world: StateWorld) -> None:
    read = world.store.read()
    winner = replace(STATE, took_over=True)
    version = world.store.replace(winner, read.version)
    with pytest.raises(VersionConflictError):
        world.store.replace(replace(STATE, writer=False), read.version)
    assert world.store.read() == Versioned(winner, version)


def test_one_of_several_writers_of_the_same_version_wins(world: StateWorld) -> None:
    read = world.store.read()
    start = Barrier(WRITERS)

    def write(number: int) -> Versioned[RegionState] | None:
        mine = replace(STATE, epoch=number)
        start.wait()
        try:
            return Versioned(mine, world.store.replace(mine, read.version))
        except VersionConflictError:
            return None

    with ThreadPoolExecutor(WRITERS) as pool:
        winners = [outcome for outcome in pool.map(write, range(WRITERS)) if outcome]
    assert [world.store.read()] == winners


def test_a_missing_state_is_malformed(world: StateWorld) -> None:
    world.lose()
    with pytest.raises(MalformedSecretError):
        world.store.read()


def test_a_missing_state_is_not_replaced(world: StateWorld) -> None:
    read = world.store.read()
    world.lose()
    with pytest.raises(VersionConflictError):
        world.store.replace(STATE, read.version)
    with pytest.raises(MalformedSecretError):
        world.store.read()


def test_a_replacement_of_an_unknown_version_is_a_conflict(world: StateWorld) -> None:
    with pytest.raises(VersionConflictError):
        world.store.replace(
            replace(STATE, writer=False), VersionId("00000000-0000-4000-8000-000000000000")
        )
    assert world.store.read().value == STATE


@pytest.mark.parametrize(
    "text", ["{}", "[]", "null", '{"schema":1,"writer":true}', "us-east-1-secret, but"]
)
def test_a_foreign_state_is_malformed(aws_world: AwsState, text: str) -> None:
    aws_world.behind.put_secret_value(SecretId=aws_world.name, SecretString=text)
    with pytest.raises(MalformedSecretError) as caught:
        aws_world.store.read()
    assert_tells_nothing(caught.value, "us-east-1-secret")


def test_a_replacement_whose_last_answer_is_lost_has_succeeded(aws_world: AwsState) -> None:
    read = aws_world.store.read()
    changed = replace(STATE, took_over=True)
    lose_answer(aws_world.here, "UpdateSecretVersionStage")
    version = aws_world.store.replace(changed, read.version)
    assert aws_world.store.read() == Versioned(changed, version)


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecretVersionStage"])
def test_a_replacement_that_never_arrived_changes_nothing(
    aws_world: AwsState, operation: str
) -> None:
    read = aws_world.store.read()
    lose_request(aws_world.here, operation)
    with pytest.raises(StoreUnavailableError):
        aws_world.store.replace(replace(STATE, took_over=True), read.version)
    assert aws_world.store.read() == read


def test_a_replacement_that_cannot_be_verified_has_an_unknown_outcome(aws_world: AwsState) -> None:
    read = aws_world.store.read()
    lose_answer(aws_world.here, "UpdateSecretVersionStage")
    lose_request(aws_world.here, "DescribeSecret")
    with pytest.raises(OutcomeUnknownError):
        aws_world.store.replace(replace(STATE, took_over=True), read.version)
    assert aws_world.store.read().value.took_over
