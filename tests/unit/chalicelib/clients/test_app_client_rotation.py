from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.clients.app_client_rotation import Step
from chalicelib.errors import (
    AppClientRefusedError,
    AppClientsThrottledError,
    OperationError,
    OutcomeUnknownError,
    TokenEndpointUnavailableError,
)
from chalicelib.model import ClientId, Origin, Pending, Status
from tests.problems import as_problem
from tests.unit.chalicelib.clients.lifecycle_world import LifecycleWorld
from tests.worlds import EAST, FRESH, STALE, WEST

NOW_DUE = 2**40
WAIT = FRESH + STALE + 61


@pytest.fixture
def world() -> LifecycleWorld:
    return LifecycleWorld()


def advance(world: LifecycleWorld, client_id: ClientId) -> tuple[Step, Step]:
    steps = world.app_client_rotation.advance(client_id, due_before=NOW_DUE)
    return steps[EAST], steps[WEST]


def known(world: LifecycleWorld, client_id: ClientId, region: str) -> list[str]:
    """Return the values of the valid Cognito secrets in *region*."""
    pool = world.east if region == EAST else world.west
    app_client = pool.made[world.regional(client_id, region).app_client_id]
    return [value for value, _ in app_client.secrets.values()]


def test_regions_rotate_in_turn_and_always_keep_a_working_secret(
    world: LifecycleWorld,
) -> None:
    client_id = world.enrolled().issued.client_id
    old = {region: world.regional(client_id, region).client_secret for region in (EAST, WEST)}
    world.clock.advance(1)

    def check() -> None:
        for region in (EAST, WEST):
            assert world.regional(client_id, region).client_secret in known(
                world, client_id, region
            )

    expected = [
        (Step.STARTED, Step.IDLE),
        (Step.WAITING, Step.IDLE),
        (Step.WAITING, Step.IDLE),
    ]
    for pair in expected:
        assert advance(world, client_id) == pair
        check()
    assert old[EAST] in known(world, client_id, EAST)  # a process may still be using it
    world.clock.advance(WAIT)
    due_before = int(world.clock()) - WAIT  # the first Region's is new by now
    steps = world.app_client_rotation.advance(client_id, due_before=due_before)
    assert (steps[EAST], steps[WEST]) == (Step.FINISHED, Step.STARTED)
    assert old[EAST] not in known(world, client_id, EAST)
    check()
    assert world.app_client_rotation.advance(client_id, due_before=due_before) == {
        EAST: Step.IDLE,
        WEST: Step.WAITING,
    }
    world.clock.advance(WAIT)
    steps = world.app_client_rotation.advance(client_id, due_before=due_before)
    assert (steps[EAST], steps[WEST]) == (Step.IDLE, Step.FINISHED)
    assert old[WEST] not in known(world, client_id, WEST)
    check()


def test_a_real_token_is_fetched_with_the_new_secret_before_it_is_used(
    world: LifecycleWorld,
) -> None:
    client_id = world.enrolled().issued.client_id
    regional = world.regional(client_id, EAST)
    seen: list[str] = []
    world.endpoints[EAST].meanwhile["request_token"] = lambda: seen.append(
        world.regional(client_id, EAST).client_secret
    )
    advance(world, client_id)
    assert world.endpoints[EAST].requests[0][0] == regional.app_client_id
    assert seen == [regional.client_secret]  # the record still had the old one


@pytest.mark.parametrize("failure", [AppClientRefusedError(), TokenEndpointUnavailableError()])
def test_a_new_secret_that_gets_no_token_is_deleted(
    world: LifecycleWorld, failure: Exception
) -> None:
    client_id = world.enrolled().issued.client_id
    before = world.record(client_id)
    world.endpoints[EAST].failures["request_token"] = [failure] * 9
    with pytest.raises(OperationError) as refused:
        advance(world, client_id)
    assert as_problem(refused.value).slug == "new-secret-refused"
    assert world.record(client_id) == before
    assert known(world, client_id, EAST) == [world.regional(client_id, EAST).client_secret]


def test_a_new_secret_is_tried_again_until_it_works(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.endpoints[EAST].failures["request_token"] = [AppClientRefusedError()]
    assert advance(world, client_id)[0] is Step.STARTED


def test_the_old_secret_stays_until_the_replica_has_the_new_one(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.store.lag = True
    advance(world, client_id)
    world.clock.advance(10 * WAIT)
    assert advance(world, client_id)[0] is Step.REPLICATING
    assert len(known(world, client_id, EAST)) == 2
    world.store.lag = False
    found = world.store.read(client_id)
    world.store.replace(replace(found.value, client_name="renamed"), found.version)
    assert advance(world, client_id)[0] is Step.WAITING
    world.clock.advance(WAIT - 1)
    assert advance(world, client_id)[0] is Step.WAITING
    assert len(known(world, client_id, EAST)) == 2
    world.clock.advance(1)
    assert advance(world, client_id)[0] is Step.FINISHED


def test_an_unrecorded_second_secret_is_replaced(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.clock.advance(1)
    world.east.add_secret(world.regional(client_id, EAST).app_client_id, "of a crash")
    world.clock.advance(60)
    assert advance(world, client_id)[0] is Step.STARTED
    assert "of a crash" not in known(world, client_id, EAST)


def test_a_recent_unrecorded_second_secret_is_kept(
    world: LifecycleWorld,
) -> None:
    client_id = world.enrolled().issued.client_id
    world.clock.advance(1)
    world.east.add_secret(world.regional(client_id, EAST).app_client_id, "of another rotation")
    world.clock.advance(59)
    with pytest.raises(OperationError) as refused:
        advance(world, client_id)
    assert as_problem(refused.value).slug == "conflict"
    assert "of another rotation" in known(world, client_id, EAST)


def test_an_unknown_second_secret_of_an_adopted_app_client_is_kept(
    world: LifecycleWorld,
) -> None:
    client_id = world.enrolled().issued.client_id
    found = world.store.read(client_id)
    world.store.replace(replace(found.value, origin=Origin.ADOPTED), found.version)
    world.east.add_secret(world.regional(client_id, EAST).app_client_id, "the owner's")
    with pytest.raises(OperationError) as refused:
        advance(world, client_id)
    assert as_problem(refused.value).slug == "two-cognito-secrets"
    assert "the owner's" in known(world, client_id, EAST)


def test_a_secret_that_is_not_due_is_not_rotated(world: LifecycleWorld) -> None:
    enrolled = world.enrolled()
    since = world.regional(enrolled.issued.client_id, EAST).secret_since
    steps = world.app_client_rotation.advance(enrolled.issued.client_id, due_before=since)
    assert steps == {EAST: Step.IDLE, WEST: Step.IDLE}


def test_a_pending_app_client_is_skipped(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    found = world.store.read(client_id)
    app_clients = {**found.value.app_clients, EAST: Pending(0, "lost")}
    world.store.replace(replace(found.value, app_clients=app_clients), found.version)
    assert advance(world, client_id) == (Step.PENDING, Step.STARTED)


def test_a_conflicting_write_deletes_the_new_secret(
    world: LifecycleWorld,
) -> None:
    client_id = world.enrolled().issued.client_id

    def somebody_renames_it() -> None:
        del world.store.meanwhile["replace"]
        found = world.store.read(client_id)
        world.store.replace(replace(found.value, client_name="renamed"), found.version)

    world.store.meanwhile["replace"] = somebody_renames_it
    with pytest.raises(OperationError) as refused:
        advance(world, client_id)
    assert as_problem(refused.value).slug == "conflict"
    assert known(world, client_id, EAST) == [world.regional(client_id, EAST).client_secret]
    assert world.record(client_id).client_name == "renamed"


def test_an_unknown_write_outcome_keeps_both_secrets(
    world: LifecycleWorld,
) -> None:
    client_id = world.enrolled().issued.client_id
    world.store.lost["replace"] = [OutcomeUnknownError()]
    with pytest.raises(OperationError) as refused:
        advance(world, client_id)
    assert as_problem(refused.value).slug == "outcome-unknown"
    assert len(known(world, client_id, EAST)) == 2
    assert advance(world, client_id)[0] is Step.WAITING


def test_a_pool_that_throttles_changes_nothing(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    before = world.record(client_id)
    world.east.failures["add_secret"] = [AppClientsThrottledError()]
    with pytest.raises(OperationError) as refused:
        advance(world, client_id)
    assert as_problem(refused.value).status == 429
    assert world.record(client_id) == before


def test_a_missing_app_client_is_reported(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.east.made.clear()
    with pytest.raises(OperationError) as refused:
        advance(world, client_id)
    assert as_problem(refused.value).slug == "app-client-gone"


def test_only_a_live_client_is_rotated(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    found = world.store.read(client_id)
    world.store.replace(replace(found.value, status=Status.DELETED), found.version)
    with pytest.raises(OperationError):
        advance(world, client_id)


def test_an_app_client_without_a_secret_is_named_and_nothing_changes(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    before = world.record(client_id)
    world.east.made[world.regional(client_id, EAST).app_client_id].secrets.clear()
    with pytest.raises(OperationError) as refused:
        advance(world, client_id)
    problem = as_problem(refused.value)
    assert (problem.slug, EAST in str(problem)) == ("no-cognito-secret", True)
    assert world.record(client_id) == before
