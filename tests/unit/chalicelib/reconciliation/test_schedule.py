from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.errors import AppClientsThrottledError, StoreRefusedError, StoreUnavailableError
from chalicelib.http.problems import slug_of
from chalicelib.jwks.document import EMPTY
from chalicelib.jwks.refresh import KeyRefresh
from chalicelib.model import Status
from chalicelib.ports import BATCH, unlimited
from chalicelib.reconciliation.drift import Drift, Kind, Outcome, Result
from chalicelib.reconciliation.schedule import ROTATIONS_PER_SECOND, Upkeep
from chalicelib.timing import RateLimiter
from tests.fake_keys import EAST_ISSUER, WEST_ISSUER, FakeIssuers, FakeKeyStore, key
from tests.unit.chalicelib.clients.lifecycle_world import DAY, LifecycleWorld
from tests.unit.chalicelib.reconciliation.reconcile_world import ReconcileWorld
from tests.worlds import EAST, WEST


class FakeSurvey:
    """Survey with scripted findings."""

    def __init__(self) -> None:
        self.found: list[Drift] = []
        self.thorough: list[bool] = []

    def run(
        self,
        _progress: object,
        *,
        thorough: bool = True,
        many_orphans: bool = False,
        before_each: Callable[[], object] = unlimited,
    ) -> Iterator[Drift]:
        self.thorough.append(thorough)
        for each in self.found:
            yield each
            before_each()


@pytest.fixture
def world() -> LifecycleWorld:
    return LifecycleWorld()


@pytest.fixture
def survey() -> FakeSurvey:
    return FakeSurvey()


def left_alone(drift: Drift) -> Outcome:
    return Outcome(drift, Result.LEFT_ALONE)


def upkeep(
    world: LifecycleWorld,
    survey: FakeSurvey,
    days: int = 90,
    repair: Callable[[Drift], Outcome] = left_alone,
) -> Upkeep:
    found: Any = survey
    limiter = RateLimiter(ROTATIONS_PER_SECOND, world.clock, world.clock.advance)
    return Upkeep(
        world.admin,
        key_refresh(world),
        found,
        repair,
        world.both_denials,
        world.app_client_rotation,
        days,
        limiter,
        slug_of,
        world.events,
    )


def key_refresh(world: LifecycleWorld) -> KeyRefresh:
    issuers = FakeIssuers({EAST_ISSUER: (key("east"),), WEST_ISSUER: (key("west"),)})
    return KeyRefresh(FakeKeyStore.of(EMPTY), issuers.fetches(), world.clock)


def plenty() -> float:
    return 900.0


def drift(kind: Kind) -> Drift:
    return Drift(kind, EAST, None, "", repairable=True)


def test_drift_is_reported_by_kind_and_not_repaired(
    world: LifecycleWorld, survey: FakeSurvey
) -> None:
    survey.found = [drift(Kind.ORPHAN), drift(Kind.ORPHAN), drift(Kind.REPLICA)]
    upkeep(world, survey).run(plenty)
    (event,) = [each for each in world.events.seen if each["event"] == "reconcile"]
    assert event["complete"] is True
    assert event["drift"] == dict.fromkeys((kind.value for kind in Kind), 0) | {
        "orphaned_app_client": 2,
        "replica": 1,
    }
    assert survey.thorough == [False]


def test_the_keys_that_verify_tokens_are_refreshed(
    world: LifecycleWorld, survey: FakeSurvey
) -> None:
    upkeep(world, survey).run(plenty)
    (event,) = [each for each in world.events.seen if each["event"] == "jwks"]
    assert (event["outcome"], event["failed"], event["age"]) == ("written", {}, 0)


def test_absence_of_drift_is_reported(world: LifecycleWorld, survey: FakeSurvey) -> None:
    """An alarm must be able to tell an empty survey from a missing one."""
    upkeep(world, survey).run(plenty)
    assert any(each["event"] == "reconcile" for each in world.events.seen)


def test_drift_beyond_the_time_limit_is_left_for_the_next_run(
    world: LifecycleWorld, survey: FakeSurvey
) -> None:
    survey.found = [drift(Kind.ORPHAN)] * 5
    upkeep(world, survey, days=0).run(lambda: 10.0)
    (event,) = [each for each in world.events.seen if each["event"] == "reconcile"]
    assert event["complete"] is False
    assert sum(event["drift"].values()) == 1


@pytest.mark.parametrize(("seconds", "complete"), [(80, False), (120, False), (900, True)])
def test_a_survey_without_findings_ends_in_time(seconds: int, *, complete: bool) -> None:
    """Lambda would stop a run that does not end itself, and nothing would be reported."""
    world = ReconcileWorld()
    world.many(600)
    world.clock.advance(91 * DAY)
    ends = world.clock() + seconds
    slow = replace(world.admin, pause=lambda waited: world.clock.advance(30 * waited))
    limiter = RateLimiter(ROTATIONS_PER_SECOND, world.clock, world.clock.advance)
    survey = replace(world.survey, repository=slow)
    work = replace(upkeep(world, FakeSurvey()), repository=slow, survey=survey, limiter=limiter)
    work.run(lambda: ends - world.clock())
    assert world.clock() <= ends
    (event,) = [each for each in world.events.seen if each["event"] == "reconcile"]
    assert event["complete"] is complete


def test_rotation_does_not_prevent_the_survey(survey: FakeSurvey) -> None:
    """There may be more to rotate than fits into one run."""
    world = ReconcileWorld()
    world.many(600)
    world.clock.advance(91 * DAY)
    ends = world.clock() + 900
    upkeep(world, survey).run(lambda: ends - world.clock())
    assert [each["event"] for each in world.events.seen[:2]] == ["jwks", "reconcile"]
    assert world.clock() <= ends


def test_the_standby_does_nothing(world: LifecycleWorld, survey: FakeSurvey) -> None:
    world.state.hand_over_to(world.other_state)
    upkeep(world, survey).run(plenty)
    assert survey.thorough == []
    assert [each["outcome"] for each in world.events.seen] == ["not-the-writing-region"]


def test_old_cognito_secrets_are_rotated_over_several_runs(
    world: LifecycleWorld, survey: FakeSurvey
) -> None:
    enrolled = [world.enrolled().issued.client_id for _ in range(25)]
    old = {each: world.regional(each, EAST).client_secret for each in enrolled}
    young = world.enrolled().issued.client_id
    world.clock.advance(91 * DAY)
    found = world.store.read(young)
    app_clients = {
        region: replace(world.regional(young, region), secret_since=int(world.clock()))
        for region in found.value.app_clients
    }
    world.store.replace(replace(found.value, app_clients=app_clients), found.version)

    for _ in range(8):
        upkeep(world, survey).run(plenty)
        world.clock.advance(1_200)
    for client_id in enrolled:
        for region in found.value.app_clients:
            regional = world.regional(client_id, region)
            assert regional.retiring is None
            assert regional.secret_since > 91 * DAY
        assert world.regional(client_id, EAST).client_secret != old[client_id]
    assert world.regional(young, EAST) == app_clients[EAST]
    assert world.stranded == set()


def test_rotation_is_rate_limited(world: LifecycleWorld, survey: FakeSurvey) -> None:
    for _ in range(10):
        world.enrolled()
    world.clock.advance(91 * DAY)
    before = world.clock()
    upkeep(world, survey).run(plenty)
    assert world.clock() - before >= 9 / ROTATIONS_PER_SECOND


def test_rotation_is_off_by_default(world: LifecycleWorld, survey: FakeSurvey) -> None:
    client_id = world.enrolled().issued.client_id
    before = world.record(client_id)
    world.clock.advance(10_000 * DAY)
    upkeep(world, survey, days=0).run(plenty)
    assert world.record(client_id) == before


def test_a_failed_rotation_does_not_stop_the_others(
    world: LifecycleWorld, survey: FakeSurvey
) -> None:
    for _ in range(3):
        world.enrolled()
    world.clock.advance(91 * DAY)
    world.east.failures["add_secret"] = [AppClientsThrottledError()]
    upkeep(world, survey).run(plenty)
    (done,) = [each for each in world.events.seen if each.get("steps")]
    assert done["steps"]["failed"] == 1
    assert done["steps"]["started"] == 2


def test_each_rotation_leaves_an_audit_line(world: LifecycleWorld, survey: FakeSurvey) -> None:
    """The line is like an administrator's, with the schedule as the caller."""
    enrolled = {world.enrolled().issued.client_id for _ in range(2)}
    world.clock.advance(91 * DAY)
    world.east.failures["add_secret"] = [AppClientsThrottledError()]
    upkeep(world, survey).run(plenty)
    lines = [each for each in world.events.seen if each["event"] == "admin"]
    assert {each["client_id"] for each in lines} == enrolled
    assert {(each["action"], each["caller"], each["secret_id"]) for each in lines} == {
        ("rotate-app-clients", "schedule", None)
    }
    assert {each["outcome"]: each["app_clients"] for each in lines} == {
        "cognito-throttled": {},
        "done": {EAST: "started", WEST: "idle"},
    }


def test_deleted_clients_are_skipped(world: LifecycleWorld, survey: FakeSurvey) -> None:
    client_id = world.enrolled().issued.client_id
    found = world.store.read(client_id)
    world.store.replace(replace(found.value, status=Status.DELETED), found.version)
    world.clock.advance(91 * DAY)
    upkeep(world, survey).run(plenty)
    assert world.regional(client_id, EAST).retiring is None


def test_an_incomplete_list_is_reported(world: LifecycleWorld, survey: FakeSurvey) -> None:
    world.enrolled()
    world.store.failures["list"] = [StoreUnavailableError()]
    upkeep(world, survey).run(plenty)
    assert "StoreUnavailableError" in world.events.outcomes


def test_the_schedule_restores_replicas_and_repairs_nothing_else() -> None:
    world = ReconcileWorld()
    failed, missing, orphaned = world.client(), world.client(), world.client()
    world.store.replicas.clear()
    world.store.failed.add(failed)
    world.store.replicated.discard(missing)
    world.store.replicas[orphaned] = world.store.stored[orphaned]
    orphan = world.orphan(orphaned)
    work = replace(
        upkeep(world, FakeSurvey(), days=0), survey=world.survey, repair=world.reconcile.repair
    )
    work.run(plenty)
    for client_id in (failed, missing):
        assert world.store.replicas[client_id] == world.store.stored[client_id]
    assert orphan in world.east.made
    (event,) = [each for each in world.events.seen if each["event"] == "reconcile"]
    left = {kind: count for kind, count in event["drift"].items() if count}
    assert left == {"orphaned_app_client": 1}, "an alarm is only for what is left"
    lines = [each for each in world.events.seen if each.get("action") == "reconcile"]
    assert [(each["outcome"], each["kind"]) for each in lines] == [("repaired", "replica")] * 2


def test_the_schedule_begins_no_repair_without_time() -> None:
    world = LifecycleWorld()
    survey = FakeSurvey()
    survey.found = [Drift(Kind.REPLICA, WEST, None, "", repairable=True)]
    asked: list[Drift] = []

    def repair(drift: Drift) -> Outcome:
        asked.append(drift)
        return left_alone(drift)

    upkeep(world, survey, repair=repair).run(lambda: 10.0)
    assert asked == []


def test_an_app_client_without_a_secret_ends_its_own_rotation_only(
    world: LifecycleWorld, survey: FakeSurvey
) -> None:
    odd, *others = (world.enrolled().issued.client_id for _ in range(3))
    world.clock.advance(91 * DAY)
    world.east.made[world.regional(odd, EAST).app_client_id].secrets.clear()
    upkeep(world, survey).run(plenty)
    (done,) = [each for each in world.events.seen if each.get("steps")]
    assert done["steps"]["failed"] == 1
    assert all(world.regional(each, EAST).retiring for each in others)


def test_a_refused_record_ends_its_own_rotation_only(
    world: LifecycleWorld, survey: FakeSurvey
) -> None:
    """For example when its KMS key may not be used."""
    enrolled = sorted(world.enrolled().issued.client_id for _ in range(3))
    world.clock.advance(91 * DAY)
    refused = StoreRefusedError("AccessDeniedException")
    world.store.failures["read_many"] = [refused, refused]
    upkeep(world, survey).run(plenty)
    started = [each for each in enrolled if world.regional(each, EAST).retiring]
    assert len(started) == 2


def test_a_batch_of_refused_records_is_reported_and_the_next_one_is_read(
    world: LifecycleWorld, survey: FakeSurvey
) -> None:
    enrolled = [world.enrolled().issued.client_id for _ in range(BATCH + 1)]
    world.clock.advance(91 * DAY)
    world.store.failures["read_many"] = [StoreRefusedError("AccessDenied")] * (BATCH + 1)
    upkeep(world, survey).run(plenty)
    assert "StoreRefusedError" in world.events.outcomes
    assert len([each for each in enrolled if world.regional(each, EAST).retiring]) == 1
