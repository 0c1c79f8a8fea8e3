"""Findings and repairs of `reconcile`, and drift that it leaves alone."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import credentials
from chalicelib.clients.enrollment import is_abandoned
from chalicelib.errors import (
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    InvalidCursorError,
    MalformedSecretError,
    OperationError,
    OutcomeUnknownError,
    ServiceError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
)
from chalicelib.model import (
    AppClientId,
    ClientId,
    Pending,
    Replication,
    RetiringSecret,
    Status,
    Versioned,
)
from chalicelib.ports import BATCH
from chalicelib.reconciliation.drift import Drift, Kind, Outcome, Result, count_by_kind
from chalicelib.timing import RateLimiter
from tests.fakes import FakeClock, FakeStateStore
from tests.problems import as_problem
from tests.unit.chalicelib.clients.lifecycle_world import DAY
from tests.unit.chalicelib.reconciliation.reconcile_world import (
    BREAKAGES,
    LOST_ANSWER,
    Breakage,
    ReconcileWorld,
)
from tests.worlds import EAST, WEST

NOBODY = ClientId("sgc_" + "x" * 26)
SETTLED = 900
FOREVER = 10_000

every_breakage = pytest.mark.parametrize("breakage", BREAKAGES.values(), ids=BREAKAGES)


@pytest.fixture
def world() -> ReconcileWorld:
    return ReconcileWorld()


def results(outcomes: list[Outcome]) -> list[Result]:
    return [outcome.result for outcome in outcomes]


def kinds(drifts: list[Drift]) -> list[tuple[Kind, str]]:
    return [(drift.kind, drift.region) for drift in drifts]


# Found and repaired


def test_a_consistent_deployment_has_no_drift(world: ReconcileWorld) -> None:
    disabled = world.client()
    world.clients.change(disabled, {"status": Status.DISABLED})
    rotating, deleted = world.client(), world.client()
    world.app_client_rotation.advance(rotating, due_before=int(world.clock()))
    world.deletion.delete(deleted, 7)
    world.adopted()
    world.clock.advance(DAY)
    assert world.found() == []
    assert world.repaired() == []


def test_a_deployment_without_clients_has_no_drift(world: ReconcileWorld) -> None:
    assert world.found() == []


@every_breakage
def test_each_breakage_is_the_only_drift_found(world: ReconcileWorld, breakage: Breakage) -> None:
    _, broken, _ = world.client(), world.client(), world.client()
    breakage.happen(world, broken)
    (drift,) = world.found()
    assert (drift.kind, drift.region, drift.repairable) == (breakage.kind, breakage.region, True)
    assert drift.client_id == (None if drift.kind is Kind.DENIALS else broken)


@every_breakage
def test_a_survey_changes_nothing(world: ReconcileWorld, breakage: Breakage) -> None:
    breakage.happen(world, world.client())
    before = world.snapshot()
    world.found()
    world.found(thorough=False)
    assert world.snapshot() == before


@every_breakage
def test_repaired_drift_is_not_found_again(world: ReconcileWorld, breakage: Breakage) -> None:
    client_id = world.client()
    breakage.happen(world, client_id)
    (drift,) = world.found()
    assert world.reconcile.repair(drift) == Outcome(drift, Result.REPAIRED)
    assert world.found() == []
    assert world.stranded == set()


@every_breakage
def test_drift_already_repaired_is_not_repaired_again(
    world: ReconcileWorld, breakage: Breakage
) -> None:
    client_id = world.client()
    breakage.happen(world, client_id)
    (drift,) = world.found()
    assert world.reconcile.repair(drift).result is Result.REPAIRED
    world.clock.advance(DAY)
    before = world.snapshot()
    again = world.reconcile.repair(drift).result
    # Repeated alignment changes nothing, and may be reported as repaired.
    assert again is Result.NOTHING_TO_DO or drift.kind in {Kind.APP_CLIENT_DIFFERS, Kind.LISTING}
    assert world.snapshot() == before


@pytest.mark.slow
@given(data=st.data())
def test_combined_breakages_are_repaired(data: st.DataObject) -> None:
    world = ReconcileWorld()
    clients = [world.client() for _ in range(4)]
    for client_id in clients:
        # Two on one client: the second may no longer be possible.
        wrong = data.draw(st.lists(st.sampled_from(sorted(BREAKAGES)), max_size=2, unique=True))
        for name in wrong:
            with suppress(AssertionError, KeyError, ServiceError):
                BREAKAGES[name].happen(world, client_id)
    world.clock.advance(DAY)
    first = world.repaired()
    assert not [each for each in first if each.result in {Result.FAILED, Result.LEFT_ALONE}]
    world.clock.advance(DAY)
    # The next run repairs drift uncovered by the first (an app client not yet surveyed).
    world.repaired()
    assert world.found() == []
    assert world.stranded == set()


def test_a_client_gets_tokens_with_its_new_app_client(world: ReconcileWorld) -> None:
    client_id = world.client()
    before = world.record(client_id)
    world.west.delete(world.regional(client_id, WEST).app_client_id)
    world.repaired()
    after = world.record(client_id)
    regional = world.regional(client_id, WEST)
    assert regional.client_secret in [
        value for value, _ in world.app_client(client_id, WEST).secrets.values()
    ]
    assert regional.secret_since == int(world.clock())
    assert replace(after, app_clients=before.app_clients) == before
    assert world.regional(client_id, EAST) == before.app_clients[EAST]


def test_an_app_client_whose_answer_was_lost_is_replaced(
    world: ReconcileWorld,
) -> None:
    client_id = world.client()
    lost = world.regional(client_id, WEST).app_client_id
    LOST_ANSWER(world, client_id)
    assert sorted(kinds(world.found())) == [(Kind.ORPHAN, WEST), (Kind.PENDING, WEST)]
    assert set(results(world.repaired())) == {Result.REPAIRED}
    assert lost not in world.west.made
    assert world.regional(client_id, WEST).app_client_id in world.west.made
    assert world.found() == []


def test_undoing_an_enrollment_deletes_its_app_clients(world: ReconcileWorld) -> None:
    """The reservation goes with the app clients that were made for it but never recorded."""
    client_id = world.client()
    BREAKAGES["an enrollment ended half-way"].happen(world, client_id)
    world.orphan(client_id, EAST)
    world.orphan(client_id, WEST)
    assert set(results(world.repaired())) == {Result.REPAIRED}
    assert client_id not in world.store.kept
    assert (world.east.made, world.west.made) == ({}, {})


def test_an_enrollment_that_is_being_undone_cannot_be_resumed(world: ReconcileWorld) -> None:
    client_id = world.client()
    BREAKAGES["an enrollment ended half-way"].happen(world, client_id)
    world.store.failures["schedule_deletion"] = [StoreUnavailableError()]
    (drift,) = world.found()
    seen = world.store.read(client_id).version
    assert world.reconcile.repair(drift).result is Result.FAILED
    assert is_abandoned(world.record(client_id))
    assert world.store.read(client_id).version != seen
    assert results(world.repaired()) == [Result.REPAIRED]
    assert client_id not in world.store.kept


def test_an_enrollment_with_a_replicated_reservation_is_undone(
    world: ReconcileWorld,
) -> None:
    client_id = world.client()
    BREAKAGES["an enrollment ended half-way"].happen(world, client_id)
    world.store.replicate(client_id)
    assert results(world.repaired()) == [Result.REPAIRED]
    assert client_id not in world.store.kept
    assert world.store.replicas == {}


def test_an_enrollment_finished_since_the_survey_is_not_undone(world: ReconcileWorld) -> None:
    client_id = world.client()
    active = world.record(client_id)
    BREAKAGES["an enrollment ended half-way"].happen(world, client_id)
    (drift,) = world.found()

    def somebody_finishes_it() -> None:
        del world.store.meanwhile["replace"]
        found = world.store.read(client_id)
        world.store.replace(replace(active, client_name="finished"), found.version)

    world.store.meanwhile["replace"] = somebody_finishes_it
    assert world.reconcile.repair(drift).result is Result.FAILED
    assert world.record(client_id).client_name == "finished"
    assert world.reconcile.repair(drift).result is Result.NOTHING_TO_DO


def test_a_half_undone_enrollment_cannot_be_restored(world: ReconcileWorld) -> None:
    client_id = world.client()
    BREAKAGES["an enrollment was undone half-way"].happen(world, client_id)
    with pytest.raises(OperationError) as refused:
        world.deletion.restore(client_id)
    assert as_problem(refused.value).slug == "gone"
    assert results(world.repaired()) == [Result.REPAIRED]


def test_a_client_restored_since_the_survey_is_kept(world: ReconcileWorld) -> None:
    client_id = world.client()
    BREAKAGES["a deletion ended after the mark"].happen(world, client_id)
    (drift,) = world.found()
    world.deletion.restore(client_id)
    before = world.snapshot()
    assert world.reconcile.repair(drift).result is Result.NOTHING_TO_DO
    assert world.snapshot() == before
    assert world.found() == []


def test_a_denial_in_one_region_is_copied_to_the_other(world: ReconcileWorld) -> None:
    here, there = world.client(), world.client()
    BREAKAGES["the client is denied here only"].happen(world, here)
    BREAKAGES["the client is denied there only"].happen(world, there)
    assert kinds(world.found()) == [(Kind.DENIALS, EAST), (Kind.DENIALS, WEST)]
    assert results(world.repaired()) == [Result.REPAIRED] * 2
    for region in (EAST, WEST):
        assert world.both_denials[region].list() == {here, there}


def test_the_detail_of_many_denials_names_some(world: ReconcileWorld) -> None:
    clients = [ClientId(f"sgc_{letter * 26}") for letter in "abcdefg"]
    world.both_denials[EAST].change(deny=clients, allow=[])
    (drift,) = world.found()
    assert drift.detail.startswith(f"7 clients, last told in {EAST}: {clients[0]} (denied), ")
    assert clients[4] in drift.detail
    assert clients[5] not in drift.detail


def test_a_denial_of_an_adopted_client_is_reported_by_its_handle(world: ReconcileWorld) -> None:
    adopted = ClientId("1h57kf5cpq17m0eml12example")
    world.both_denials[EAST].change(deny=[adopted], allow=[])
    (drift,) = world.found()
    assert adopted not in drift.detail


# Left alone


@pytest.mark.parametrize("age", [SETTLED - 1, SETTLED])
def test_changes_younger_than_15_minutes_are_no_drift(world: ReconcileWorld, age: int) -> None:
    client_id, old = world.client(), world.client()
    world.east.create(NOBODY, ("demo/read",))
    world.east.add_secret(world.regional(old, EAST).app_client_id, "being rotated")
    BREAKAGES["an enrollment ended half-way"].happen(world, client_id)
    world.change(client_id, created_at=int(world.clock()))
    world.clock.advance(age)
    # The survey itself takes time: use the clock's time before it.
    seen = kinds(world.found())
    if age < SETTLED:
        assert seen == []
    else:
        assert sorted(seen) == sorted(
            [(Kind.ORPHAN, EAST), (Kind.COGNITO_SECRET, EAST), (Kind.ENROLLMENT, EAST)]
        )


def test_a_repair_leaves_changes_younger_than_15_minutes(world: ReconcileWorld) -> None:
    """The repair checks the age itself, and does not rely on the finding."""
    client_id, reserved = world.client(), world.client()
    orphan, _ = world.east.create(NOBODY, ("demo/read",))
    world.east.add_secret(world.regional(client_id, EAST).app_client_id, "being rotated")
    BREAKAGES["an enrollment ended half-way"].happen(world, reserved)
    world.change(reserved, created_at=int(world.clock()))
    world.clock.advance(SETTLED - 10)
    before = world.snapshot()
    for drift in (
        Drift(Kind.ORPHAN, EAST, NOBODY, "", repairable=True, app_client_id=orphan),
        Drift(Kind.COGNITO_SECRET, EAST, client_id, "", repairable=True),
        Drift(Kind.ENROLLMENT, EAST, reserved, "", repairable=True),
    ):
        assert world.reconcile.repair(drift).result is Result.LEFT_ALONE
    assert world.snapshot() == before


def test_app_clients_without_the_name_prefix_are_ignored(world: ReconcileWorld) -> None:
    foreign = world.orphan(NOBODY)
    world.east.made[foreign].name, world.east.made[foreign].client_id = "people", None
    assert world.found() == []
    drift = Drift(Kind.ORPHAN, EAST, NOBODY, "", repairable=True, app_client_id=foreign)
    assert world.reconcile.repair(drift).result is Result.LEFT_ALONE
    assert foreign in world.east.made


def test_an_app_client_recorded_since_the_survey_is_no_orphan(world: ReconcileWorld) -> None:
    client_id = world.client()
    regional = world.regional(client_id, EAST)
    world.set_regional(client_id, EAST, Pending(0, "why"))
    drifts = world.found()
    assert sorted(kinds(drifts)) == [(Kind.ORPHAN, EAST), (Kind.PENDING, EAST)]
    world.set_regional(client_id, EAST, regional)
    assert [world.reconcile.repair(drift).result for drift in drifts] == [Result.NOTHING_TO_DO] * 2
    assert regional.app_client_id in world.east.made


def test_a_client_missing_from_the_list_is_read_by_name(world: ReconcileWorld) -> None:
    """ListSecrets lags: the app clients of a new client are not orphans."""
    client_id = world.client()
    world.store.unlisted.add(client_id)
    assert world.found() == []


def test_the_app_clients_of_an_unreadable_record_are_kept(world: ReconcileWorld) -> None:
    client_id = world.client()
    orphan = world.orphan(client_id)
    healthy = world.store.stored[client_id]
    (drift,) = world.found()
    world.store.malformed.add(client_id)
    (found,) = world.found()
    assert (found.kind, found.client_id, found.repairable) == (Kind.MALFORMED, client_id, False)
    assert world.reconcile.repair(found).result is Result.LEFT_ALONE
    assert world.reconcile.repair(drift).result is Result.LEFT_ALONE
    assert orphan in world.east.made
    assert world.store.stored[client_id] == healthy


def buried_alive(world: ReconcileWorld) -> ClientId:
    """Return a client whose crashed deletion scheduled the deletion of a just restored record."""
    client_id = world.client()
    world.store.unreplicate(client_id)
    world.store.schedule_deletion(client_id, 7)
    return client_id


def test_the_app_clients_of_a_live_record_scheduled_for_deletion_are_kept(
    world: ReconcileWorld,
) -> None:
    client_id = buried_alive(world)
    before = world.snapshot()
    (drift,) = world.found()
    assert (drift.kind, drift.region, drift.client_id) == (Kind.DELETION, EAST, client_id)
    assert not drift.repairable
    assert "surrogatectl restore" in drift.detail
    assert results(world.repaired()) == [Result.LEFT_ALONE]
    for region in (EAST, WEST):
        app_client_id = world.regional(client_id, region).app_client_id
        stale = Drift(Kind.ORPHAN, region, client_id, "", True, app_client_id)
        assert world.reconcile.repair(stale).result is Result.LEFT_ALONE
    assert world.snapshot() == before
    world.deletion.restore(client_id)
    assert world.found() == []


@pytest.mark.parametrize("failure", [StoreUnavailableError(), StoreRefusedError("no")])
def test_with_unreadable_deleted_records_no_app_client_is_an_orphan(
    world: ReconcileWorld, failure: Exception
) -> None:
    client_id = world.client()
    world.deletion.delete(client_id, 7)
    orphan = world.orphan(client_id)
    (drift,) = world.found()
    assert drift.kind is Kind.ORPHAN
    world.store.failures["describe"] = [failure] * 3
    assert kinds(world.found()) == [(Kind.UNKNOWN, EAST)]
    world.store.failures["describe"] = [failure]
    assert world.reconcile.repair(drift).result is Result.FAILED
    assert orphan in world.east.made
    world.store.failures["describe"] = []
    assert world.reconcile.repair(drift).result is Result.REPAIRED
    assert orphan not in world.east.made


def test_a_record_under_another_clients_name_is_not_repaired(world: ReconcileWorld) -> None:
    client_id, other = world.client(), world.client()
    stray = world.store.stored[other]
    world.store.stored[client_id] = Versioned(stray.value, stray.version)
    found = world.found()
    assert [(each.kind, each.client_id) for each in found] == [(Kind.MALFORMED, client_id)]


def test_the_app_clients_of_an_adopted_client_are_not_deleted(world: ReconcileWorld) -> None:
    client_id = world.adopted()
    world.east.delete(world.regional(client_id, EAST).app_client_id)
    world.west.add_secret(world.regional(client_id, WEST).app_client_id, "its owner's own")
    world.clock.advance(DAY)
    found = world.found()
    assert [(each.kind, each.region, each.repairable) for each in found] == [
        (Kind.APP_CLIENT_GONE, EAST, False),
        (Kind.COGNITO_SECRET, WEST, False),
    ]
    for drift in found:
        for asked in (drift, replace(drift, repairable=True)):
            assert world.reconcile.repair(asked).result is Result.LEFT_ALONE
    assert len(world.west.secrets(world.regional(client_id, WEST).app_client_id)) == 2
    assert world.east.made == {}


def test_extra_scopes_of_an_adopted_app_client_are_kept(world: ReconcileWorld) -> None:
    client_id = world.adopted()
    wide = frozenset({"demo/read", "demo/write"})
    for region in (EAST, WEST):
        world.app_client(client_id, region).scopes = wide
        world.app_client(client_id, region).access_token_seconds = 7_200
    assert world.found() == []
    world.app_client(client_id, WEST).scopes = frozenset({"demo/write"})
    (drift,) = world.found()
    assert (drift.kind, drift.region) == (Kind.APP_CLIENT_DIFFERS, WEST)
    assert world.reconcile.repair(drift).result is Result.REPAIRED
    assert world.app_client(client_id, WEST).scopes == wide
    assert world.app_client(client_id, WEST).access_token_seconds == 7_200


def test_an_app_client_in_another_pool_is_kept(world: ReconcileWorld) -> None:
    """The configuration may name a new pool, or a wrong one."""
    client_id = world.client()
    world.change_regional(client_id, WEST, user_pool_id="us-west-2_Before001")
    found = [drift for drift in world.found() if drift.kind is not Kind.ORPHAN]
    assert [(each.kind, each.region, each.repairable) for each in found] == [
        (Kind.APP_CLIENT_GONE, WEST, False)
    ]
    asked = replace(found[0], repairable=True)
    assert world.reconcile.repair(asked).result is Result.LEFT_ALONE


def test_a_retiring_secret_is_no_drift(world: ReconcileWorld) -> None:
    client_id = world.client()
    regional = world.regional(client_id, EAST)
    (first,) = world.east.secrets(regional.app_client_id)
    world.east.add_secret(regional.app_client_id, "the new one")
    now = int(world.clock())
    retiring = RetiringSecret(first.cognito_secret_id, now)
    world.change_regional(
        client_id, EAST, client_secret="the new one", secret_since=now, retiring=retiring
    )
    world.clock.advance(DAY)
    assert world.found() == []
    stale = Drift(Kind.COGNITO_SECRET, EAST, client_id, "", repairable=True)
    assert world.reconcile.repair(stale).result is Result.NOTHING_TO_DO
    assert len(world.east.secrets(regional.app_client_id)) == 2


# Replicas


def failed_replication(world: ReconcileWorld) -> ClientId:
    client_id = world.client()
    del world.store.replicas[client_id]
    world.store.failed.add(client_id)
    return client_id


def test_a_failed_replication_is_removed_and_asked_for_again(world: ReconcileWorld) -> None:
    client_id = failed_replication(world)
    (drift,) = world.found()
    assert (drift.kind, drift.region, drift.repairable) == (Kind.REPLICA, WEST, True)
    assert "failed" in drift.detail
    # A request alone changes nothing, as at AWS.
    world.store.replicate(client_id)
    assert world.found() == [drift]
    assert results(world.repaired()) == [Result.REPAIRED]
    assert world.store.replicas[client_id] == world.store.stored[client_id]
    assert world.found() == []


def test_a_crash_after_the_removal_of_a_failed_replica_is_mended_by_a_repeat(
    world: ReconcileWorld,
) -> None:
    client_id = failed_replication(world)
    world.store.failures["replicate"].append(StoreUnavailableError())
    assert results(world.repaired()) == [Result.FAILED]
    assert results(world.repaired()) == [Result.REPAIRED]
    assert world.store.replicas[client_id] == world.store.stored[client_id]


def test_a_promoted_secret_is_not_removed_with_a_failed_replica(world: ReconcileWorld) -> None:
    client_id = failed_replication(world)
    world.store.alone.add(client_id)
    (outcome,) = world.repaired()
    assert outcome.result is Result.LEFT_ALONE
    assert "surrogatectl failback" in outcome.detail
    assert client_id in world.store.failed


def test_a_failed_replica_is_not_removed_unless_the_other_region_answers(
    world: ReconcileWorld,
) -> None:
    client_id = failed_replication(world)
    (drift,) = world.found()
    world.store.other_region_answers = False
    assert world.reconcile.repair(drift).result is Result.FAILED
    assert client_id in world.store.failed


@pytest.mark.parametrize("state", [Replication.FAILED, Replication.MISSING])
def test_the_deployments_own_secrets_are_replicated_again(
    world: ReconcileWorld, state: Replication
) -> None:
    world.own_secrets.statuses |= {"ours/deployment": state, "ours/jwks": Replication.IN_PROGRESS}
    (drift,) = world.found()
    assert (drift.kind, drift.region, drift.client_id) == (Kind.REPLICA, WEST, None)
    assert "ours/deployment" in drift.detail
    assert results(world.repaired()) == [Result.REPAIRED]
    assert world.own_secrets.statuses["ours/deployment"] is Replication.IN_SYNC


def test_an_own_secret_in_place_of_a_replica_is_left_to_people(world: ReconcileWorld) -> None:
    world.own_secrets.statuses["ours/deployment"] = Replication.FAILED
    world.own_secrets.alone.add("ours/deployment")
    (outcome,) = world.repaired()
    assert outcome.result is Result.LEFT_ALONE
    assert "surrogatectl init" in outcome.detail
    assert world.own_secrets.statuses["ours/deployment"] is Replication.FAILED


def test_an_outdated_replica_is_reported(world: ReconcileWorld) -> None:
    client_id = world.client()
    world.store.lag = True
    world.change(client_id, client_name="written now")
    before = world.clock()
    (drift,) = world.found()
    assert (drift.kind, drift.region, drift.repairable) == (Kind.REPLICA, WEST, False)
    assert "behind" in drift.detail
    assert 30 <= world.clock() - before < 40


def test_a_replica_in_a_region_that_stops_answering_is_unknown(world: ReconcileWorld) -> None:
    client_id = world.client()
    world.store.lag = True
    world.change(client_id, client_name="written now")

    def it_is_lost() -> None:
        world.store.other_region_answers = False

    world.store.meanwhile["replication"] = it_is_lost
    (drift,) = world.found()
    assert (drift.kind, drift.region, drift.client_id) == (Kind.UNKNOWN, WEST, client_id)


def test_a_replica_that_catches_up_is_no_drift(world: ReconcileWorld) -> None:
    client_id = world.client()
    world.store.lag = True
    world.change(client_id, client_name="written now")
    asked = 0

    def it_catches_up() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            world.store.replicas[client_id] = world.store.stored[client_id]

    world.store.meanwhile["replication"] = it_catches_up
    assert world.found() == []
    assert asked == 2


def test_a_client_written_during_the_survey_is_not_behind(world: ReconcileWorld) -> None:
    client_id = world.client()
    world.store.lag = True
    world.change(client_id, client_name="written now")
    asked = 0

    def somebody_writes() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            world.change(client_id, client_name="written again")

    world.store.meanwhile["replication"] = somebody_writes
    assert world.found() == []


# The writing Region


def test_two_writing_regions_are_reported_and_nothing_is_repaired(world: ReconcileWorld) -> None:
    orphan = world.orphan(NOBODY)
    world.other_state.stored = world.state.stored
    found = world.found()
    assert [(each.kind, each.repairable) for each in found] == [
        (Kind.WRITER, False),
        (Kind.UNKNOWN, False),
    ]
    drift = Drift(Kind.ORPHAN, EAST, NOBODY, "", repairable=True, app_client_id=orphan)
    assert world.reconcile.repair(drift).result is Result.FAILED
    assert orphan in world.east.made


def test_without_a_writing_region_nothing_else_is_surveyed(world: ReconcileWorld) -> None:
    orphan = world.orphan(NOBODY)
    world.state.stored = world.other_state.stored
    assert kinds(world.found()) == [(Kind.WRITER, EAST), (Kind.UNKNOWN, EAST)]
    drift = Drift(Kind.ORPHAN, EAST, NOBODY, "", repairable=True, app_client_id=orphan)
    assert world.reconcile.repair(drift).result is Result.FAILED
    assert orphan in world.east.made


def test_a_missing_state_is_reported(world: ReconcileWorld) -> None:
    world.orphan(NOBODY)
    world.other_state.stored = None
    assert kinds(world.found()) == [(Kind.MALFORMED, WEST), (Kind.ORPHAN, EAST)]
    world.state.stored = None
    assert kinds(world.found()) == [
        (Kind.MALFORMED, EAST),
        (Kind.MALFORMED, WEST),
        (Kind.UNKNOWN, EAST),
    ]


def test_a_failover_between_survey_and_repair_ends_the_repair(world: ReconcileWorld) -> None:
    orphan = world.orphan(NOBODY)
    (drift,) = world.found()
    world.state.stored = FakeStateStore.of(replace(world.state.read().value, writer=False)).stored
    assert world.reconcile.repair(drift).result is Result.FAILED
    assert orphan in world.east.made


# Outages


def lose(world: ReconcileWorld, region: str) -> None:
    """Make every service of the other Region unreachable."""
    pool = world.pools[region]
    for name in ("ours", "describe", "secrets", "create", "delete", "align", "delete_secret"):
        pool.failures[name] = [AppClientsUnreachableError()] * FOREVER
    world.other_state.failures["read"] = [StoreUnavailableError()] * FOREVER
    world.replicas.down = True


def test_with_the_other_region_gone_this_one_is_surveyed(
    world: ReconcileWorld,
) -> None:
    clients = [world.client() for _ in range(3)]
    world.orphan(NOBODY)
    world.east.delete(world.regional(clients[0], EAST).app_client_id)
    world.west.delete(world.regional(clients[1], WEST).app_client_id)
    lose(world, WEST)
    found = world.found()
    assert [(each.kind, each.region) for each in found if each.kind is not Kind.UNKNOWN] == [
        (Kind.APP_CLIENT_GONE, EAST),
        (Kind.ORPHAN, EAST),
    ]
    unknown = [each for each in found if each.kind is Kind.UNKNOWN]
    assert [each.detail for each in unknown] == [
        "Secrets Manager does not answer: 4 not looked at.",  # its state, three replicas
        "Cognito does not answer: 4 not looked at.",  # its list, three app clients
    ]
    assert {(each.region, each.client_id, each.repairable) for each in unknown} == {
        (WEST, None, False)
    }
    assert results(world.repaired()) == [
        Result.REPAIRED,
        Result.REPAIRED,
        Result.LEFT_ALONE,
        Result.LEFT_ALONE,
    ]


def test_an_unreachable_region_is_not_called_for_every_client(world: ReconcileWorld) -> None:
    world.many(100)
    lose(world, WEST)
    world.west.calls.clear()
    before = world.clock()
    world.found()
    assert len(world.west.calls) == 3
    assert len(world.replicas.asked) == 0  # the same Secrets Manager was called before
    # Two hundred calls to Cognito here at 8 a second, and some retries.
    assert world.clock() - before < 60


def test_an_app_client_in_an_unreachable_region_stays_pending(world: ReconcileWorld) -> None:
    client_id = world.client()
    BREAKAGES["an app client is pending"].happen(world, client_id)
    (drift,) = world.found()
    before = world.store.stored[client_id]
    lose(world, WEST)
    outcome = world.reconcile.repair(drift)
    assert outcome.result is Result.FAILED
    assert WEST in outcome.detail
    assert world.store.stored[client_id] == before


def test_a_deletion_that_cannot_be_finished_is_reported(world: ReconcileWorld) -> None:
    client_id = world.client()
    BREAKAGES["a deletion ended after the mark"].happen(world, client_id)
    (drift,) = world.found()
    lose(world, WEST)
    outcome = world.reconcile.repair(drift)
    assert outcome.result is Result.FAILED
    assert f"the app client in {WEST}" in outcome.detail


@pytest.mark.parametrize("failure", [AppClientsThrottledError, AppClientsUnreachableError])
def test_a_throttled_pool_is_retried(world: ReconcileWorld, failure: type[Exception]) -> None:
    client_id = world.client()
    world.east.delete(world.regional(client_id, EAST).app_client_id)
    world.east.failures["describe"] = [failure(), failure()]
    before = world.clock()
    assert kinds(world.found()) == [(Kind.APP_CLIENT_GONE, EAST)]
    assert world.clock() - before > 5


def test_refused_parts_are_reported_and_the_rest_is_surveyed(world: ReconcileWorld) -> None:
    clients = sorted(world.client() for _ in range(3))
    refusal = AppClientsRefusedError("AccessDeniedException")
    world.east.failures["describe"] = [refusal, None, refusal]
    world.app_client(clients[1], EAST).scopes = frozenset()
    found = world.found()
    assert [(each.kind, each.client_id) for each in found] == [
        (Kind.APP_CLIENT_DIFFERS, clients[1]),
        (Kind.UNKNOWN, None),
    ]
    assert "AccessDeniedException" in found[1].detail
    assert "2 not looked at" in found[1].detail


@pytest.mark.parametrize("failure", [StoreUnavailableError, StoreThrottledError])
def test_without_the_list_no_client_is_surveyed(
    world: ReconcileWorld, failure: type[Exception]
) -> None:
    world.orphan(world.client())
    world.store.failures["list"] = [failure()] * 3
    assert kinds(world.found()) == [(Kind.UNKNOWN, EAST)]


def test_an_expired_list_cursor_is_reported(world: ReconcileWorld) -> None:
    world.many(150)
    world.store.failures["list"] = [None, InvalidCursorError()]
    (drift,) = world.found()
    assert (drift.kind, drift.region) == (Kind.UNKNOWN, EAST)
    assert "expire" in drift.detail


def test_with_unreadable_records_no_app_client_is_an_orphan(world: ReconcileWorld) -> None:
    world.orphan(world.client())
    world.store.failures["read_many"] = [StoreUnavailableError()] * FOREVER
    assert kinds(world.found()) == [(Kind.UNKNOWN, EAST)]


def test_a_refused_record_does_not_hide_the_others(world: ReconcileWorld) -> None:
    """For example when its KMS key may not be used."""
    clients = sorted(world.client() for _ in range(3))
    world.east.delete(world.regional(clients[2], EAST).app_client_id)
    world.store.failures["read_many"] = [StoreRefusedError(), None, StoreRefusedError()]
    found = world.found()
    assert [(each.kind, each.client_id) for each in found] == [
        (Kind.MALFORMED, clients[1]),
        (Kind.APP_CLIENT_GONE, clients[2]),
    ]


def test_refusal_of_every_record_is_reported_once(world: ReconcileWorld) -> None:
    world.many(BATCH + 1)
    world.store.failures["read_many"] = [StoreRefusedError("AccessDenied")] * FOREVER
    found = world.found()
    assert kinds(found) == [(Kind.UNKNOWN, EAST)]
    assert "refuses (AccessDenied)" in found[0].detail


def test_the_failure_of_one_repair_does_not_stop_the_others(world: ReconcileWorld) -> None:
    clients = sorted(world.client() for _ in range(3))
    for client_id in clients:
        world.east.delete(world.regional(client_id, EAST).app_client_id)
    world.east.failures["create"] = [None, AppClientsThrottledError(), None]
    outcomes = world.repaired()
    assert results(outcomes) == [Result.REPAIRED, Result.FAILED, Result.REPAIRED]
    assert "throttles" in outcomes[1].detail
    assert results(world.repaired()) == [Result.REPAIRED]


@pytest.mark.parametrize(
    ("breakage", "call", "failure"),
    [
        ("the app client is gone", "create", AppClientsUnreachableError()),
        ("the app client is gone", "create", AppClientsRefusedError("LimitExceededException")),
        ("the app client has too many scopes", "align", AppClientsThrottledError()),
        ("the app client has a second secret", "delete_secret", AppClientsUnreachableError()),
        ("an app client is orphaned", "delete", AppClientsRefusedError("AccessDenied")),
    ],
)
def test_a_failed_repair_reports_its_reason_and_can_be_repeated(
    world: ReconcileWorld, breakage: str, call: str, failure: Exception
) -> None:
    BREAKAGES[breakage].happen(world, world.client())
    (drift,) = world.found()
    world.east.failures[call] = [failure]
    outcome = world.reconcile.repair(drift)
    assert outcome.result is Result.FAILED
    assert EAST in outcome.detail
    world.clock.advance(DAY)
    assert world.reconcile.repair(drift).result is Result.REPAIRED
    assert world.repaired() == []


@pytest.mark.parametrize("failure", [StoreUnavailableError(), StoreRefusedError("no")])
def test_a_failed_record_write_deletes_the_new_app_client(
    world: ReconcileWorld, failure: Exception
) -> None:
    client_id = world.client()
    world.east.delete(world.regional(client_id, EAST).app_client_id)
    world.store.failures["replace"] = [failure]
    assert results(world.repaired()) == [Result.FAILED]
    assert world.stranded == set()


def test_an_unknown_write_outcome_keeps_the_new_app_client(
    world: ReconcileWorld,
) -> None:
    client_id = world.client()
    world.east.delete(world.regional(client_id, EAST).app_client_id)
    world.store.lost["replace"] = [OutcomeUnknownError()]
    assert results(world.repaired()) == [Result.FAILED]
    assert world.regional(client_id, EAST).app_client_id in world.east.made
    assert world.repaired() == []


def test_a_concurrent_change_wins_over_the_repair(world: ReconcileWorld) -> None:
    client_id = world.client()
    world.east.delete(world.regional(client_id, EAST).app_client_id)

    def somebody_renames_it() -> None:
        del world.store.meanwhile["replace"]
        world.change(client_id, client_name="renamed")

    world.store.meanwhile["replace"] = somebody_renames_it
    assert results(world.repaired()) == [Result.FAILED]
    assert world.record(client_id).client_name == "renamed"
    assert world.stranded - {world.regional(client_id, EAST).app_client_id} == set()
    assert results(world.repaired()) == [Result.REPAIRED]
    assert world.record(client_id).client_name == "renamed"


def test_a_repaired_listing_shows_a_concurrent_change(world: ReconcileWorld) -> None:
    client_id = world.client()
    BREAKAGES["lists show an old name"].happen(world, client_id)
    (drift,) = world.found()

    def somebody_renames_it() -> None:
        del world.store.meanwhile["update_listing"]
        world.change(client_id, client_name="renamed")

    world.store.meanwhile["update_listing"] = somebody_renames_it
    assert world.reconcile.repair(drift).result is Result.REPAIRED
    (shown,) = world.store.list(None, 10).items
    assert shown.client_name == "renamed"


@pytest.mark.parametrize("breakage", ["the replica is missing", "lists show an old name"])
def test_parts_that_refuse_the_survey_are_unknown(world: ReconcileWorld, breakage: str) -> None:
    BREAKAGES[breakage].happen(world, world.client())
    for call in ("replication", "describe"):
        world.store.failures[call] = [StoreRefusedError("AccessDenied")]
    assert kinds(world.found()) == [(Kind.UNKNOWN, EAST)]


def test_a_client_deleted_while_its_replica_was_behind_is_no_drift(
    world: ReconcileWorld,
) -> None:
    client_id = world.client()
    world.store.lag = True
    world.change(client_id, client_name="written now")
    asked = 0

    def somebody_removes_it() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            del world.store.stored[client_id]

    world.store.meanwhile["replication"] = somebody_removes_it
    assert world.found() == []


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.DENIALS, Kind.ORPHAN, Kind.DELETION}))
def test_drift_of_a_client_deleted_since_the_survey_is_nothing_to_do(
    world: ReconcileWorld, kind: Kind
) -> None:
    marked, gone = world.client(), world.client()
    BREAKAGES["a deletion ended after the mark"].happen(world, marked)
    world.deletion.delete(gone, 7)
    before = world.snapshot()
    for client_id in (marked, gone):
        drift = Drift(kind, EAST, client_id, "", repairable=True)
        assert world.reconcile.repair(drift).result in {Result.NOTHING_TO_DO, Result.LEFT_ALONE}
    assert world.snapshot() == before


def test_drift_of_an_app_client_deleted_since_the_survey_is_nothing_to_do(
    world: ReconcileWorld,
) -> None:
    pending, gone = world.client(), world.client()
    BREAKAGES["an app client is pending"].happen(world, pending)
    world.west.delete(world.regional(gone, WEST).app_client_id)
    before = world.snapshot()
    for kind, client_id in (
        (Kind.APP_CLIENT_DIFFERS, pending),
        (Kind.COGNITO_SECRET, pending),
        (Kind.COGNITO_SECRET, gone),
    ):
        drift = Drift(kind, WEST, client_id, "", repairable=True)
        assert world.reconcile.repair(drift).result is Result.NOTHING_TO_DO
    drift = Drift(Kind.APP_CLIENT_DIFFERS, WEST, gone, "", repairable=True)
    assert world.reconcile.repair(drift).result is Result.FAILED
    assert world.snapshot() == before


def test_a_record_of_another_client_is_not_written(world: ReconcileWorld) -> None:
    client_id, other = world.client(), world.client()
    world.store.stored[client_id] = world.store.stored[other]
    before = world.snapshot()
    for kind in (Kind.LISTING, Kind.DELETION, Kind.ENROLLMENT, Kind.PENDING):
        drift = Drift(kind, EAST, client_id, "", repairable=True)
        assert world.reconcile.repair(drift).result is Result.LEFT_ALONE
    assert world.snapshot() == before


def test_the_listing_of_a_continually_written_client_is_repaired_later(
    world: ReconcileWorld,
) -> None:
    client_id = world.client()
    BREAKAGES["lists show an old name"].happen(world, client_id)
    (drift,) = world.found()
    world.store.meanwhile["describe"] = lambda: world.change(client_id, client_name="again")
    assert world.reconcile.repair(drift).result is Result.FAILED


# Thousands of clients


def test_progress_is_reported_for_every_client(world: ReconcileWorld) -> None:
    world.many(2 * BATCH + 3)
    world.found()
    assert world.progress[0] == (2 * BATCH + 3, None)
    assert world.progress[1:] == [(done, 2 * BATCH + 3) for done in range(1, 2 * BATCH + 4)]


def test_findings_are_yielded_as_they_are_found(world: ReconcileWorld) -> None:
    clients = sorted(world.many(3 * BATCH))
    world.east.delete(world.regional(clients[0], EAST).app_client_id)
    next(iter(world.survey.run(lambda _done, _total: None)))
    assert world.store.calls.count("read_many") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("thorough", "per_client"), [(True, 4), (False, 0)], ids=["thorough", "quick"]
)
def test_the_number_of_calls_is_linear_in_the_number_of_clients(
    *, thorough: bool, per_client: int
) -> None:
    calls = {}
    for count in (100, 1_000, 5_000):
        world = ReconcileWorld()
        world.many(count)
        for each in (world.store, world.east, world.west):
            each.calls.clear()
        assert world.found(thorough=thorough) == []
        made = Counter(world.store.calls)
        assert made.pop("list") == -(-count // 100)
        assert made.pop("read_many") == -(-count // BATCH)
        assert max(world.replicas.asked) <= BATCH
        assert not made
        calls[count] = len(world.east.calls) + len(world.west.calls)
    assert calls == {count: per_client * count + 2 for count in calls}


@pytest.mark.slow
def test_survey_memory_per_client_is_bounded() -> None:
    peaks = {}
    for count in (200, 1_000):
        world = ReconcileWorld()
        world.many(count)
        # The fakes' own records of calls are not the survey's memory.
        world.progress = _Forgetful()
        for each in (world.store, world.east, world.west):
            each.calls = _Forgetful()
        tracemalloc.start()
        world.found()
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (peaks[1_000] - peaks[200]) / 800 < 1_500


class _Forgetful(list[Any]):
    def append(self, each: Any) -> None:
        pass


def test_cognito_calls_are_rate_limited(world: ReconcileWorld) -> None:
    """The limit holds in every window of one second."""
    world.many(60)
    asked: dict[str, list[float]] = {EAST: [], WEST: []}
    for region, pool in world.pools.items():
        for name in ("describe", "secrets"):
            pool.meanwhile[name] = lambda region=region: asked[region].append(world.clock())  # type: ignore[misc]
    world.found()
    for times in asked.values():
        assert len(times) == 120
        assert all(later - earlier >= 1 / 8 - 1e-6 for earlier, later in pairwise(times))
        # No time is lost: the Regions are called concurrently.
        assert times[-1] - times[0] < 121 / 8


def test_pages_of_app_clients_are_rate_limited(world: ReconcileWorld) -> None:
    world.many(181)
    before = world.clock()
    world.found(thorough=False)
    assert world.clock() - before >= 2 * 3 / 8


def test_repairs_are_rate_limited(world: ReconcileWorld) -> None:
    world.many(100)
    for _ in range(10):
        world.east.create(NOBODY, ())
    world.clock.advance(DAY)
    times: list[float] = []
    world.east.meanwhile["delete"] = lambda: times.append(world.clock())
    world.repaired()
    assert len(times) == 10
    assert all(later - earlier >= 1 / 3 - 1e-6 for earlier, later in pairwise(times))


def test_a_clock_set_back_delays_no_call() -> None:
    clock, pauses = FakeClock(), list[float]()
    limiter = RateLimiter(2.0, clock, pauses.append)
    limiter.wait()
    clock.advance(-DAY)
    limiter.wait()
    assert pauses == [0.5]


def test_a_quick_survey_trusts_cognitos_list(world: ReconcileWorld) -> None:
    gone, wide, outdated = world.client(), world.client(), world.client()
    world.east.delete(world.regional(gone, EAST).app_client_id)
    world.app_client(wide, EAST).scopes = frozenset({"demo/read", "demo/write"})
    BREAKAGES["the app client is marked as outdated"].happen(world, outdated)
    found = world.found(thorough=False)
    assert {(each.kind, each.client_id) for each in found} == {
        (Kind.APP_CLIENT_GONE, gone),
        (Kind.APP_CLIENT_DIFFERS, outdated),
    }
    assert len(world.found()) == 3


# Reports


def test_every_kind_of_drift_is_counted() -> None:
    drifts = [Drift(Kind.ORPHAN, EAST, NOBODY, "", repairable=True)] * 2
    counts = count_by_kind([*drifts, Drift(Kind.WRITER, EAST, None, "", repairable=False)])
    assert set(counts) == {kind.value for kind in Kind}
    assert {kind: count for kind, count in counts.items() if count} == {
        "orphaned_app_client": 2,
        "writer": 1,
    }


def test_no_finding_shows_a_secret_or_an_app_client(world: ReconcileWorld) -> None:
    confidential: set[str] = set()
    for breakage in BREAKAGES.values():
        client_id = world.client()
        confidential.update(
            text
            for region in (EAST, WEST)
            for regional in [world.regional(client_id, region)]
            for text in (regional.app_client_id, regional.client_secret, regional.mac)
        )
        breakage.happen(world, client_id)
    confidential.update(world.east.made, world.west.made)
    outcomes = world.repaired()
    assert len(outcomes) >= len(BREAKAGES) - 1
    told = repr(outcomes)
    assert not [text for text in confidential if text in told]


def test_a_finding_without_its_subject_is_not_repaired(world: ReconcileWorld) -> None:
    for drift in (
        Drift(Kind.ORPHAN, EAST, NOBODY, "", repairable=True),
        Drift(Kind.REPLICA, WEST, None, "", repairable=True),
    ):
        assert world.reconcile.repair(drift).result is Result.LEFT_ALONE


def test_repairs_go_on_with_an_unreadable_state_of_the_other_region(world: ReconcileWorld) -> None:
    world.orphan(NOBODY)
    (drift,) = world.found()
    world.other_state.failures["read"] = [MalformedSecretError()]
    assert world.reconcile.repair(drift).result is Result.REPAIRED


def test_an_orphan_already_deleted_is_nothing_to_do(world: ReconcileWorld) -> None:
    orphan = world.orphan(NOBODY)
    (drift,) = world.found()
    del world.east.made[orphan]
    assert world.reconcile.repair(drift).result is Result.NOTHING_TO_DO
    assert AppClientId(orphan) == drift.app_client_id


def test_an_app_client_without_a_secret_is_reported_and_the_rest_is_repaired(
    world: ReconcileWorld,
) -> None:
    odd, other = sorted(world.client() for _ in range(2))
    world.app_client(odd, EAST).secrets.clear()
    _break(world, other)
    outcomes = world.repaired()
    assert [(each.drift.kind, each.drift.client_id, each.result) for each in outcomes] == [
        (Kind.COGNITO_SECRET, odd, Result.LEFT_ALONE),
        (Kind.APP_CLIENT_DIFFERS, other, Result.REPAIRED),
    ]


def test_a_second_secret_that_is_gone_with_all_others_needs_no_repair(
    world: ReconcileWorld,
) -> None:
    client_id = world.client()
    world.east.add_secret(world.regional(client_id, EAST).app_client_id, "of a crash")
    world.clock.advance(DAY)
    (drift,) = world.found()
    world.app_client(client_id, EAST).secrets.clear()
    assert world.reconcile.repair(drift).result is Result.NOTHING_TO_DO


def _break(world: ReconcileWorld, client_id: ClientId) -> None:
    world.app_client(client_id, EAST).scopes = frozenset()


@pytest.mark.parametrize(
    ("orphans", "clients", "deleted"), [(5, 0, True), (6, 0, False), (6, 54, True), (7, 60, False)]
)
def test_many_orphans_are_not_deleted_unasked(
    world: ReconcileWorld, orphans: int, clients: int, *, deleted: bool
) -> None:
    """They mean a wrong prefix, pool or Region; a crash leaves few."""
    world.many(clients)
    for _ in range(orphans):
        world.orphan(credentials.new_client_id(world.random_bytes))
    before = len(world.east.made)
    found = [each for each in world.repaired() if each.drift.kind is Kind.ORPHAN]
    assert len(found) == orphans
    assert before - len(world.east.made) == (orphans if deleted else 0)
    assert all((each.result is Result.REPAIRED) is deleted for each in found)
    if not deleted:
        assert f"{orphans} of {orphans + clients}" in found[0].drift.detail


def test_many_orphans_are_deleted_when_asked(world: ReconcileWorld) -> None:
    for _ in range(20):
        world.orphan(credentials.new_client_id(world.random_bytes))
    drifts = world.survey.run(lambda _done, _total: None, many_orphans=True)
    assert {world.reconcile.repair(each).result for each in drifts} == {Result.REPAIRED}
    assert world.east.made == {}
