"""Failover, writes while the primary Region is gone, and failback, over `fake_aws`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace

import click
import pytest

from chalicelib.aws.region_state import StateSecret
from chalicelib.clients.enrollment import EnrollmentRequest
from chalicelib.errors import OperationError
from chalicelib.model import (
    AppClient,
    ClientId,
    Pending,
    RegionState,
    Replication,
    Status,
    VersionId,
)
from chalicelib.reconciliation.drift import Result
from surrogatectl.cli.common import Conflict
from surrogatectl.regions.canary import Problem
from surrogatectl.regions.failback import SplitsError, Timeouts
from surrogatectl.regions.failback_command import _KeepChoice, _print_splits
from surrogatectl.regions.failback_pass import ClientPasses
from surrogatectl.regions.failback_plan import Choices, Keep
from surrogatectl.regions.failback_summary import Summary
from surrogatectl.regions.failover import Check, Failover
from surrogatectl.regions.failover import Result as CheckResult
from surrogatectl.regions.failover_command import region_failures
from surrogatectl.regions.state import NoAnswerError, NotAllowedError, Side, writing
from tests.aws_worlds import REGIONS, Operators
from tests.problems import as_problem
from tests.rescue import Rescue, state, version
from tests.unit.chalicelib.clients.crash_scenes import Scene, unseen
from tests.worlds import CALLER, EAST, WEST

LATER = 1_200
REQUEST = EnrollmentRequest("x", ("demo/read",), (), None, None)


@pytest.fixture
def scene() -> Scene:
    scene = Scene(strict=True)
    scene.world.clock.advance(10)
    return scene


@pytest.fixture
def rescue(scene: Scene) -> Rescue:
    return Rescue(scene.world, scene.handed_out[0])


def lose_primary(scene: Scene, rescue: Rescue) -> None:
    """Have the primary Region lost, and the secondary one take over, and serve operators."""
    scene.world.aws.down.add(EAST)
    rescue.failover(force=True)
    scene.operators = Operators(scene.world, WEST)


def find_primary(scene: Scene) -> None:
    scene.world.aws.down.clear()
    scene.world.clock.advance(10)


def settled(scene: Scene) -> None:
    """All is as the records say, seen from the primary Region."""
    scene.operators = Operators(scene.world, EAST)
    scene.world.clock.advance(LATER)
    outcomes = scene.reconcile()
    assert not [each for each in outcomes if each.result is not Result.REPAIRED], outcomes
    scene.world.clock.advance(LATER)
    assert scene.world.untidiness() == []
    assert scene.reconcile() == []


def test_failover_passes_its_checks_and_fences_the_primary(scene: Scene, rescue: Rescue) -> None:
    outcome = rescue.failover()
    assert {check.result for check in outcome.checks.values()} == {CheckResult.PASSED}
    assert outcome.fenced
    assert not outcome.already
    here, there = state(scene.world, EAST), state(scene.world, WEST)
    assert (here.writer, here.took_over) == (False, False)
    assert (there.writer, there.took_over) == (True, True)
    assert there.epoch >= here.epoch
    assert list(outcome.steps) == ["checked", "fenced", "settled", "state_written", "name_follows"]


def test_repeated_failover_changes_nothing(scene: Scene, rescue: Rescue) -> None:
    rescue.failover()
    before = state(scene.world, EAST), state(scene.world, WEST)
    outcome = rescue.failover()
    assert outcome.already
    assert (state(scene.world, EAST), state(scene.world, WEST)) == before


def test_failover_without_the_primary_requires_force(scene: Scene, rescue: Rescue) -> None:
    scene.world.aws.down.add(EAST)
    with pytest.raises(NoAnswerError, match="--force"):
        rescue.failover()
    assert not state(scene.world, WEST).writer
    outcome = rescue.failover(force=True)
    assert outcome.checks["replicas"].result is CheckResult.SKIPPED
    assert outcome.checks["canary"].result is CheckResult.PASSED
    assert not outcome.fenced
    assert state(scene.world, WEST).writer


def test_failover_to_a_lost_secondary_changes_nothing(scene: Scene, rescue: Rescue) -> None:
    before = state(scene.world, EAST)
    scene.world.aws.down.add(WEST)
    with pytest.raises(NoAnswerError, match=f"(?s){WEST}.*Nothing was changed"):
        rescue.failover(force=True)
    assert state(scene.world, EAST) == before


def test_failback_to_a_lost_primary_changes_nothing_and_says_so(
    scene: Scene, rescue: Rescue
) -> None:
    lose_primary(scene, rescue)
    before = state(scene.world, WEST)
    with pytest.raises(NoAnswerError, match=f"(?s){EAST}.*{WEST} goes on as before"):
        rescue.failback()
    assert state(scene.world, WEST) == before


def test_stopped_failover_leaves_the_fence_of_another_failover(
    scene: Scene, rescue: Rescue
) -> None:
    other = Rescue(scene.world, scene.handed_out[0])
    found = iter([Check(CheckResult.PASSED, "current"), Check(CheckResult.FAILED, "behind")])

    def settle(_: float) -> None:
        other.failover(force=True)

    with pytest.raises(NotAllowedError, match="somebody else"):
        failing_over(rescue, lambda: next(found), settle).fail_over(force=False, timeout=60)
    here, there = state(scene.world, EAST), state(scene.world, WEST)
    assert (here.writer, there.writer, there.took_over) == (False, True, True)


def test_stopped_failover_lets_the_primary_write_again(scene: Scene, rescue: Rescue) -> None:
    found = iter([Check(CheckResult.PASSED, "current"), Check(CheckResult.FAILED, "behind")])
    with pytest.raises(NotAllowedError, match=r"behind.*--force"):
        failing_over(rescue, lambda: next(found), scene.world.clock.advance).fail_over(
            force=False, timeout=60
        )
    assert f"{EAST}: writes again" in rescue.told
    here, there = state(scene.world, EAST), state(scene.world, WEST)
    assert (here.writer, there.writer, there.took_over) == (True, False, False)


def test_failover_restores_a_fence_removed_at_the_last_moment(scene: Scene, rescue: Rescue) -> None:
    primary, secondary = rescue.sides

    class Meddling(StateSecret):
        def replace(self, state: RegionState, read: VersionId) -> VersionId:
            if not self.read().value.took_over:
                primary.update_state(lambda found: replace(found, writer=True))
            return super().replace(state, read)

    store = secondary.state
    assert isinstance(store, StateSecret)
    meddled = Meddling(store.client, store.prefix, store.random_bytes)
    rescue.sides = (primary, Side(WEST, meddled, secondary.denials))
    rescue.failover()
    here, there = state(scene.world, EAST), state(scene.world, WEST)
    assert (here.writer, there.writer, there.took_over) == (False, True, True)


def failing_over(
    rescue: Rescue, replicas: Callable[[], Check], pause: Callable[[float], None]
) -> Failover:
    clock = rescue.world.clock
    return Failover(
        *rescue.sides,
        rescue.lease("failover"),
        rescue.name,
        rescue.try_canary,
        replicas,
        clock,
        pause,
        rescue.told.append,
        30,
    )


def test_failback_brings_back_writes_made_in_the_secondary(scene: Scene, rescue: Rescue) -> None:
    lose_primary(scene, rescue)
    scene.rotate(7 * 86_400)
    during = scene.enroll("during the outage")
    shown = scene.operators.clients.show(during)
    assert shown.replication is Replication.SUSPENDED
    assert isinstance(shown.record.app_clients[EAST], Pending)
    assert all(scene.world.gets_a_token(each, WEST) for each in scene.handed_out)
    find_primary(scene)
    outcome = rescue.failback()
    assert outcome.left == ()
    assert outcome.replicas.result is CheckResult.PASSED
    here, there = state(scene.world, EAST), state(scene.world, WEST)
    assert (here.writer, there.writer, there.took_over) == (True, False, False)
    for issued in scene.handed_out:
        assert scene.works(issued) == [True, True]
    assert isinstance(scene.world.record(during).app_clients[EAST], AppClient)
    settled(scene)


def test_failback_finishes_a_deletion_made_in_the_secondary(scene: Scene, rescue: Rescue) -> None:
    lose_primary(scene, rescue)
    deleted = scene.operators.deletion.delete(scene.client_id, 7)
    assert deleted.left == (f"the app client in {EAST}",)
    find_primary(scene)
    rescue.canary = None
    rescue.failback()
    assert scene.client_id not in scene.world.records()
    assert scene.client_id not in scene.world.record_secrets(WEST)
    settled(scene)
    # It can be restored, as ever.
    scene.operators.deletion.restore(scene.client_id)
    assert scene.works(scene.handed_out[0]) == [True, True]


def test_failback_keeps_a_no_op_write_made_in_the_secondary(scene: Scene, rescue: Rescue) -> None:
    scene.world.secrets[EAST].replicator.seconds = 100_000
    scene.operators.clients.change(scene.client_id, {"status": Status.DISABLED})
    lose_primary(scene, rescue)
    # There it is enabled already, and the operator relies on the answer.
    scene.operators.clients.change(scene.client_id, {"status": Status.ACTIVE})
    scene.world.secrets[EAST].replicator.seconds = 0.3
    scene.world.secrets[EAST].replicator.hurry()
    find_primary(scene)
    with pytest.raises(SplitsError) as asked:
        rescue.failback()
    assert [each.client_id for each in asked.value.splits] == [scene.client_id]
    rescue.failback(Choices(rest=Keep.SECONDARY))
    assert scene.works(scene.handed_out[0]) == [True, True]


def test_failback_asks_about_a_client_restored_in_the_secondary(
    scene: Scene, rescue: Rescue
) -> None:
    other = scene.enroll("deleted just before")
    scene.world.clock.advance(LATER)
    scene.world.secrets[EAST].replicator.seconds = 100_000
    scene.operators.deletion.delete(other, 7)
    lose_primary(scene, rescue)
    scene.operators.deletion.restore(other)
    scene.world.secrets[EAST].replicator.seconds = 0.3
    scene.world.secrets[EAST].replicator.hurry()
    find_primary(scene)
    with pytest.raises(SplitsError) as asked:
        rescue.failback()
    assert [each.client_id for each in asked.value.splits] == [other]
    rescue.failback(Choices(rest=Keep.SECONDARY))
    settled(scene)  # its app clients were deleted with it: `reconcile` makes new ones
    assert scene.works(scene.handed_out[-1]) == [True, True]


def test_returning_primary_does_not_write(scene: Scene, rescue: Rescue) -> None:
    lose_primary(scene, rescue)
    find_primary(scene)
    assert state(scene.world, EAST).writer  # it knows nothing of it
    with pytest.raises(OperationError) as refused:
        Operators(scene.world, EAST).enroll.enroll(REQUEST, CALLER)
    assert as_problem(refused.value).slug == "not-the-writing-region"


def test_fenced_regions_refuse_writes_and_say_when_to_retry(scene: Scene, rescue: Rescue) -> None:
    for side in rescue.sides:
        side.update_state(lambda found: type(found)(writer=False, took_over=found.took_over))
    for region in REGIONS:
        with pytest.raises(OperationError) as refused:
            Operators(scene.world, region).enroll.enroll(REQUEST, CALLER)
        assert (as_problem(refused.value).slug, as_problem(refused.value).retry_after) == (
            "no-region-writes",
            30,
        )


def test_failback_merges_denials_and_keeps_what_the_secondary_allowed(
    scene: Scene, rescue: Rescue
) -> None:
    first = scene.client_id
    second, third = scene.enroll("second"), scene.enroll("third")
    scene.world.clock.advance(10)
    for region in REGIONS:
        scene.operators.denials[region].change(deny=[first, second], allow=[])
    rescue.canary = None
    lose_primary(scene, rescue)
    scene.world.clock.advance(60)
    scene.operators.denials[WEST].change(deny=[third], allow=[first])
    find_primary(scene)
    rescue.failback()
    assert scene.world.denied(EAST) == scene.world.denied(WEST) == {second, third}


def test_failback_keeps_a_denial_that_only_the_primary_was_told_of(
    scene: Scene, rescue: Rescue
) -> None:
    """The secondary had allowed that client before."""
    client_id = scene.client_id
    rescue.canary = None
    lose_primary(scene, rescue)
    scene.operators.denials[WEST].change(deny=[], allow=[client_id])
    find_primary(scene)
    scene.world.clock.advance(60)
    scene.operators.denials[EAST].change(deny=[client_id], allow=[])
    rescue.failback()
    assert scene.world.denied(EAST) == scene.world.denied(WEST) == {client_id}


def test_failback_denies_a_client_in_doubt_and_says_so(scene: Scene, rescue: Rescue) -> None:
    client_id = scene.client_id
    rescue.canary = None
    lose_primary(scene, rescue)
    find_primary(scene)
    for region, words in ((WEST, {"allow": [client_id]}), (EAST, {"deny": [client_id]})):
        scene.operators.denials[region].change(**{"deny": [], "allow": [], **words})
    rescue.failback()
    assert scene.world.denied(EAST) == scene.world.denied(WEST) == {client_id}
    assert any(client_id in told and "denied in both" in told for told in rescue.told)


def test_failover_and_failback_after_hundreds_of_single_denials_in_each_region(
    scene: Scene, rescue: Rescue
) -> None:
    """One secret's versions of a day would have been used up at the hundredth."""
    clients = [ClientId(f"sgc_{number:026}") for number in range(300)]
    rescue.canary = None
    for client_id in clients:
        for region in REGIONS:
            scene.operators.denials[region].change(deny=[client_id], allow=[])
    lose_primary(scene, rescue)
    scene.rotate(7 * 86_400)
    scene.world.clock.advance(60)
    scene.operators.denials[WEST].change(deny=[], allow=clients[:1])
    find_primary(scene)
    scene.world.clock.advance(60)
    rescue.failback()
    assert scene.world.denied(EAST) == scene.world.denied(WEST) == set(clients[1:])


def split(scene: Scene, rescue: Rescue) -> None:
    """Have the first client written in both Regions."""
    scene.world.secrets[EAST].replicator.seconds = 100_000
    scene.change({"client_name": "renamed in the primary"})
    lose_primary(scene, rescue)
    scene.rotate(7 * 86_400)
    find_primary(scene)
    scene.world.secrets[EAST].replicator.seconds = 0.3


def test_failback_reports_a_client_written_in_both_and_moves_nothing(
    scene: Scene, rescue: Rescue
) -> None:
    split(scene, rescue)
    versions = [version(scene.world, scene.client_id, region) for region in REGIONS]
    with pytest.raises(SplitsError) as told:
        rescue.failback()
    (found,) = told.value.splits
    assert found.client_id == scene.client_id
    assert any("renamed in the primary" in each for each in found.differs)
    assert any(each.startswith("secrets: ") for each in found.differs)
    assert versions == [version(scene.world, scene.client_id, region) for region in REGIONS]
    there = state(scene.world, WEST)
    assert (there.writer, there.took_over) == (True, True)


@pytest.mark.parametrize("keep", Keep)
def test_failback_keeps_the_chosen_record_of_a_client_written_in_both(
    scene: Scene, rescue: Rescue, keep: Keep
) -> None:
    split(scene, rescue)
    chosen = EAST if keep is Keep.PRIMARY else WEST
    kept = version(scene.world, scene.client_id, chosen)
    rescue.failback(Choices({scene.client_id: keep}))
    scene.world.clock.advance(10)
    for region in REGIONS:
        assert version(scene.world, scene.client_id, region) == kept
    settled(scene)


def test_abort_lets_the_secondary_write_while_it_has_the_traffic(
    scene: Scene, rescue: Rescue
) -> None:
    lose_primary(scene, rescue)
    find_primary(scene)
    for side in rescue.sides:
        side.update_state(
            lambda found: type(found)(writer=False, took_over=found.took_over, epoch=7)
        )
    assert rescue.failing_back().abort()
    assert state(scene.world, WEST).writer
    assert not rescue.failing_back().abort()
    scene.rotate(0)  # it writes again


def test_failback_moves_no_traffic_if_the_secondary_writes_again(
    scene: Scene, rescue: Rescue
) -> None:
    lose_primary(scene, rescue)
    find_primary(scene)

    class GivingUp(Rescue):
        def try_canary(self, region: str) -> Problem | None:
            if not state(self.world, WEST).writer:  # both are fenced
                # As a run of a version without leases would, that was given up.
                self.sides[1].update_state(writing(99))
            return super().try_canary(region)

    with pytest.raises(NotAllowedError, match="writes again"):
        GivingUp(scene.world).failback()
    here, there = state(scene.world, EAST), state(scene.world, WEST)
    assert (here.writer, there.writer, there.took_over) == (False, True, True)
    rescue.failback()
    settled(scene)


def test_abort_is_refused_after_the_traffic_has_moved(scene: Scene, rescue: Rescue) -> None:
    for side in rescue.sides:
        side.update_state(lambda found: type(found)(writer=False, took_over=False, epoch=7))
    with pytest.raises(NotAllowedError):
        rescue.failing_back().abort()


def test_failback_without_a_failover_only_checks_replication(scene: Scene, rescue: Rescue) -> None:
    before = state(scene.world, EAST), state(scene.world, WEST)
    outcome = rescue.failback()
    assert outcome.already
    assert list(outcome.steps) == ["replication"]
    assert (state(scene.world, EAST), state(scene.world, WEST)) == before


def test_reconcile_in_the_lone_secondary_only_makes_pending_app_clients(
    scene: Scene, rescue: Rescue
) -> None:
    scene.world.secrets[EAST].replicator.seconds = 100_000
    unreplicated = scene.enroll("unknown in the secondary")
    lose_primary(scene, rescue)
    during = scene.enroll("during")
    scene.operators.deletion.delete(scene.client_id, 7)
    find_primary(scene)
    scene.world.clock.advance(LATER)
    for outcome in scene.operators.reconcile.run(unseen):
        assert outcome.result is Result.REPAIRED, outcome
    assert list(scene.operators.survey.run(unseen)) == []
    assert isinstance(scene.world.record(during, WEST).app_clients[EAST], AppClient)
    # The app clients of a client that only the primary knows are left alone.
    for region in REGIONS:
        assert unreplicated in {client_id for _, client_id in scene.world.ours(region)}
    assert scene.world.record(scene.client_id, WEST).status is Status.DELETED


def test_failback_after_a_planned_failover_leaves_nothing_to_reconcile(
    scene: Scene, rescue: Rescue
) -> None:
    rescue.failover()
    scene.operators = Operators(scene.world, WEST)
    scene.enroll("while both are there")
    scene.rotate(0)
    rescue.canary = scene.handed_out[-1]
    rescue.failback()
    settled(scene)


@pytest.mark.parametrize("detached", ["Detached", "InProgress", "Failed", None])
def test_failback_replicates_again_whatever_status_the_old_replica_has(
    scene: Scene, detached: str | None
) -> None:
    scene.world.secrets[EAST].replicator.detached = detached
    rescue = Rescue(scene.world, scene.handed_out[0])
    lose_primary(scene, rescue)
    scene.rotate(7 * 86_400)
    find_primary(scene)
    rescue.failback()
    settled(scene)


# What people see, and what is never overwritten


class BringsNothing(ClientPasses):
    """As if what the other Region has could not be brought back, and nobody had noticed."""

    def bring_back(
        self, client_ids: Sequence[ClientId], choices: Choices, summary: Summary
    ) -> None:
        pass


def test_failback_overwrites_only_a_version_that_the_primary_holds(
    scene: Scene, rescue: Rescue
) -> None:
    lose_primary(scene, rescue)
    scene.rotate(7 * 86_400)
    written = version(scene.world, scene.client_id, WEST)
    find_primary(scene)
    clients = rescue.failing_back().clients
    passes = BringsNothing(*(getattr(clients, each.name) for each in fields(clients)))
    summary = Summary()
    passes.replicate(scene.client_id, Choices(), summary, late=False)
    scene.world.clock.advance(LATER)
    assert [each.client_id for each in summary.left] == [scene.client_id]
    assert version(scene.world, scene.client_id, WEST) == written
    assert scene.world.record_secrets(WEST)[scene.client_id].primary_region is None  # no replica


def test_failback_reports_its_progress_over_all_clients(scene: Scene, rescue: Rescue) -> None:
    clients = 1 + sum(1 for name in "abcde" if scene.enroll(name))
    scene.world.clock.advance(LATER)
    lose_primary(scene, rescue)
    find_primary(scene)
    told: dict[str, list[tuple[int, int]]] = {}

    def progress(what: str, done: int, every: int) -> None:
        told.setdefault(what, []).append((done, every))

    command = rescue.failing_back()
    command = replace(command, clients=replace(command.clients, progress=progress))
    command.fail_back(Choices(), Timeouts(settle=0, ttl=0, name=60), force=False)
    assert list(told) == [
        "bringing records back",
        "bringing back what changed meanwhile",
        "replicating again",
    ]
    for steps in told.values():
        assert {every for _, every in steps} == {clients}
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1][0] == clients


def test_splits_exit_as_a_conflict_and_name_the_clients(
    capsys: pytest.CaptureFixture[str], scene: Scene, rescue: Rescue
) -> None:
    split(scene, rescue)
    with pytest.raises(SplitsError) as raised:
        rescue.failback()
    _print_splits(raised.value.splits, "json")
    (told,) = json.loads(capsys.readouterr().out)["splits"]
    assert told["client_id"] == scene.client_id
    assert told["differs"]
    failures = region_failures(rescue.sides, "surrogatectl failback")
    with pytest.raises(Conflict, match="--keep CLIENT=secondary") as failed, failures:
        raise raised.value
    assert failed.value.exit_code == 3


@pytest.mark.parametrize("keep", Keep)
def test_keep_option_takes_a_client_and_a_region(keep: Keep) -> None:
    client_id = "sgc_" + "a" * 26
    assert _KeepChoice().convert(f"{client_id}={keep.value}", None, None) == (client_id, keep)


@pytest.mark.parametrize("text", ["", "sgc_a", "=primary", "sgc_x=both", "primary=sgc_x"])
def test_keep_option_refuses_a_malformed_choice(text: str) -> None:
    with pytest.raises(click.BadParameter, match="must be a client ID"):
        _KeepChoice().convert(text, None, None)


def test_failback_names_a_record_that_may_not_be_read_and_brings_the_others_back(
    scene: Scene, rescue: Rescue
) -> None:
    lose_primary(scene, rescue)
    scene.rotate(7 * 86_400)
    odd = scene.enroll("its key may not be used")
    find_primary(scene)
    scene.world.record_secrets(WEST)[odd].undecryptable = True
    with pytest.raises(NoAnswerError, match=f"1 clients.*{odd}.*AccessDenied"):
        rescue.failback()
    assert version(scene.world, scene.client_id, EAST) == version(
        scene.world, scene.client_id, WEST
    )
    scene.world.record_secrets(WEST)[odd].undecryptable = False
    assert rescue.failback().left == ()
    settled(scene)
