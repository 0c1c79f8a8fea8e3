"""One run of failover or failback at a time steers the Regions, by a lease."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from chalicelib.errors import OperationError
from chalicelib.model import RegionState, Status
from chalicelib.reconciliation.drift import Result
from surrogatectl.regions.failback import SplitsError
from surrogatectl.regions.failback_plan import Choices, Keep
from surrogatectl.regions.lease import (
    LEASE_SECONDS,
    RENEW_SECONDS,
    LeaseHeldError,
    LeaseLostError,
    RunLease,
)
from surrogatectl.regions.state import NoAnswerError, RegionStateError
from tests.aws_worlds import PREFIX, REGIONS, AwsWorld, Operators
from tests.fake_aws import Call, Crash, crash_before, meanwhile, none_at_all
from tests.rescue import Rescue, state
from tests.unit.chalicelib.clients.crash_scenes import Scene, unseen
from tests.worlds import CALLER, EAST, WEST

LATER = 1_200
UNTIL = "until 2027-"


def taken_over() -> Scene:
    """Return a scene in which the primary Region was lost, work went on, and it is back."""
    scene = Scene()
    world = scene.world
    world.clock.advance(LATER)
    rotated, disabled, deleted = (scene.enroll(name) for name in ("rotated", "disabled", "deleted"))
    world.clock.advance(LATER)
    world.aws.down.add(EAST)
    Rescue(world).failover(force=True)
    there = scene.operators = Operators(world, WEST)
    there.rotation.rotate(rotated, 0)
    there.clients.change(rotated, {"client_name": "renamed"})
    there.clients.change(disabled, {"status": Status.DISABLED})
    there.deletion.delete(deleted, 7)
    scene.enroll("during")
    world.aws.down.clear()
    world.clock.advance(60)
    world.aws.watch()
    return scene


@pytest.fixture
def world() -> AwsWorld:
    return taken_over().world


def calls_of(run: Callable[[AwsWorld], object]) -> list[Call]:
    world = taken_over().world
    run(world)
    return list(world.aws.calls)


def failback(world: AwsWorld) -> object:
    return Rescue(world).failback()


def writers(world: AwsWorld) -> list[str]:
    """Return the Regions that take administrators' changes."""
    found = []
    for region in REGIONS:
        with suppress(OperationError):
            Operators(world, region).admin.require_writer()
            found.append(region)
    return found


def undisturbed(world: AwsWorld, run: Callable[[], object]) -> Callable[[], object]:
    """Return *run*, during which no further accident happens."""

    def alone() -> object:
        world.aws.accident = none_at_all
        return run()

    return alone


@pytest.mark.slow
def test_a_second_failback_at_any_moment_is_refused_and_the_first_one_completes() -> None:
    count = len(calls_of(failback))
    refused = 0
    for number in range(count):
        world = taken_over().world

        def second(world: AwsWorld = world) -> None:
            nonlocal refused
            try:
                Rescue(world).failback()
            except LeaseHeldError as err:
                refused += CALLER in str(err) and UNTIL in str(err)

        world.aws.watch(meanwhile(number, undisturbed(world, second)))
        # The second one may have begun first, at the very beginning, and completed.
        Rescue(world).failback()
        assert writers(world) == [EAST]
        assert state(world, WEST).lease is None
    assert refused > count * 0.8


class WithoutLease(Rescue):
    """As a version without leases was."""

    def lease(self, command: str) -> RunLease:
        made = super().lease(command)
        return _NoLease(
            made.side, made.command, made.holder, made.run_id, made.clock, made.announce
        )


class _NoLease(RunLease):
    @contextmanager
    def held(self, **_: bool) -> Iterator[None]:
        yield

    def confirm(self, seconds: float = 0) -> None:
        """Be sure."""

    def own(self, state: RegionState) -> RegionState:
        return state


@pytest.mark.slow
def test_another_failback_at_any_moment_is_never_told_as_a_split() -> None:
    """Without leases it was: a batch and the reads that follow it show different moments."""
    for number in range(len(calls_of(lambda world: WithoutLease(world).failback()))):
        world = taken_over().world
        other = undisturbed(world, WithoutLease(world).failback)
        world.aws.watch(meanwhile(number, other))
        try:
            WithoutLease(world).failback()
        except SplitsError as err:
            raise AssertionError(f"at call {number}: {err}") from err
        except (RegionStateError, OperationError):
            pass


def test_a_true_split_is_told_after_a_second_look() -> None:
    scene = Scene()
    world = scene.world
    world.clock.advance(LATER)
    world.secrets[EAST].replicator.seconds = 100_000
    scene.operators.clients.change(scene.client_id, {"client_name": "lost"})
    world.aws.down.add(EAST)
    Rescue(world).failover(force=True)
    Operators(world, WEST).clients.change(scene.client_id, {"client_name": "written"})
    world.aws.down.clear()
    world.clock.advance(60)
    began = world.clock()
    with pytest.raises(SplitsError) as told:
        Rescue(world).failback()
    assert [each.client_id for each in told.value.splits] == [scene.client_id]
    assert world.clock() - began >= 5, "what is on its way has time to arrive"
    assert state(world, WEST).lease is None


@pytest.mark.slow
def test_a_forced_failover_at_any_moment_stops_a_failback_before_its_next_change() -> None:
    stopped = 0
    for number in range(len(calls_of(failback))):
        world = taken_over().world
        forced = Rescue(world)
        world.aws.watch(
            meanwhile(number, undisturbed(world, lambda: forced.failover(force=True)))  # noqa: B023
        )
        try:
            Rescue(world).failback()
        except LeaseLostError as err:
            stopped += "stops here" in str(err) and writers(world) == [WEST]
        except NoAnswerError as err:
            raise AssertionError(f"at call {number}: {err}") from err
        assert len(writers(world)) == 1
        assert state(world, WEST).lease is None
    assert stopped > number * 0.8


def test_a_planned_failover_beside_a_failback_is_refused(world: AwsWorld) -> None:
    told = []

    def other() -> None:
        for run in (Rescue(world).failover, Rescue(world).failing_back().abort):
            with pytest.raises(LeaseHeldError, match=f"failback of {CALLER}") as raised:
                run()
            told.append(str(raised.value))

    world.aws.watch(meanwhile(40, undisturbed(world, other)))
    Rescue(world).failback()
    assert len(told) == 2
    assert all("failover --to secondary --force" in each for each in told)
    assert writers(world) == [EAST]


def ended_half_way(world: AwsWorld) -> None:
    """End a failback while it holds the lease, without any clearing up."""
    world.aws.watch(crash_before(40))
    with pytest.raises(Crash):
        Rescue(world).failback()
    world.aws.watch()


def test_a_lease_in_force_is_not_taken_over_except_by_force(world: AwsWorld) -> None:
    ended_half_way(world)
    before = state(world, WEST)
    for run in (Rescue(world).failback, Rescue(world).failover):
        with pytest.raises(LeaseHeldError, match=UNTIL):
            run(take_over=True)
    with pytest.raises(LeaseHeldError, match=UNTIL):
        Rescue(world).failback(force=True)
    assert state(world, WEST) == before
    Rescue(world).failover(force=True)
    assert writers(world) == [WEST]


def test_a_lease_that_was_not_given_back_is_taken_over_on_request(world: AwsWorld) -> None:
    ended_half_way(world)
    world.clock.advance(LEASE_SECONDS)
    with pytest.raises(LeaseHeldError, match="--take-over"):
        Rescue(world).failback()
    with pytest.raises(LeaseHeldError, match="--take-over"):
        Rescue(world).failing_back().abort()
    Rescue(world).failback(take_over=True)
    assert writers(world) == [EAST]
    assert state(world, WEST).lease is None


def test_abort_goes_on_after_a_crash_on_request(world: AwsWorld) -> None:
    fenced = next(
        number
        for number in range(len(calls_of(failback)))
        if _nobody_writes_after_a_crash_at(number)
    )
    world.aws.watch(crash_before(fenced))
    with pytest.raises(Crash):
        Rescue(world).failback()
    world.aws.watch()
    assert writers(world) == []
    world.clock.advance(LEASE_SECONDS)
    # The primary Region may be ill again: that is a reason to give up.
    world.aws.down.add(EAST)
    assert Rescue(world).failing_back().abort(take_over=True)
    world.aws.down.clear()
    assert writers(world) == [WEST]


def _nobody_writes_after_a_crash_at(number: int) -> bool:
    world = taken_over().world
    world.aws.watch(crash_before(number))
    with suppress(Crash):
        Rescue(world).failback()
    world.aws.watch()
    return not writers(world) and state(world, WEST).took_over


WRITES = ("Create", "Put", "Update", "Delete", "Tag", "Replicate", "Remove", "Restore", "Add")


def test_a_run_that_slept_through_its_lease_writes_nothing_more(world: AwsWorld) -> None:
    def other() -> None:
        world.clock.advance(LEASE_SECONDS)
        Rescue(world).failback(take_over=True)
        world.aws.watch()

    looked_up = [each.operation for each in calls_of(failback)].index("BatchGetSecretValue")
    world.aws.watch(meanwhile(looked_up, undisturbed(world, other)))
    with pytest.raises(LeaseLostError):
        Rescue(world).failback()
    assert not [each for each in world.aws.calls if each.operation.startswith(WRITES)]
    assert writers(world) == [EAST]


def test_a_run_that_nobody_took_over_from_goes_on_after_the_end_of_its_lease(
    world: AwsWorld,
) -> None:
    world.aws.watch(meanwhile(40, lambda: world.clock.advance(3 * LEASE_SECONDS)))
    Rescue(world).failback()
    assert writers(world) == [EAST]


@pytest.mark.slow
def test_a_lease_is_given_back_after_an_error_at_any_call() -> None:
    for number in range(len(calls_of(failback))):
        world = taken_over().world
        down = world.aws.down
        world.aws.watch(meanwhile(number, lambda: down.add(EAST)))  # noqa: B023
        with suppress(RegionStateError, OperationError):
            Rescue(world).failback()
        assert state(world, WEST).lease is None, number


def test_a_long_run_renews_its_lease_rarely(world: AwsWorld) -> None:
    """Secrets Manager keeps 100 versions of the state a day."""
    rescue = Rescue(world)
    lease = rescue.lease("failback")
    secret = world.secrets[WEST].secrets[f"{PREFIX}/region"]
    with lease.held(take_over=False):
        before = len(secret.versions)
        for _ in range(3_600):
            world.clock.advance(1)
            lease.confirm()
            found = state(world, WEST).lease
            assert found is not None
            assert found.until - world.clock() >= RENEW_SECONDS
        renewed = len(secret.versions) - before
    assert 0 < renewed <= 3_600 / (LEASE_SECONDS - RENEW_SECONDS)


def test_a_lease_lasts_for_a_long_wait(world: AwsWorld) -> None:
    lease = Rescue(world).lease("failback")
    with lease.held(take_over=False):
        lease.confirm(seconds=1_000)
        world.clock.advance(1_000)
        with pytest.raises(LeaseHeldError, match=UNTIL):
            Rescue(world).failback(take_over=True)


def test_a_standby_whose_state_cannot_be_written_is_found_before_anything_is_changed(
    world: AwsWorld,
) -> None:
    Rescue(world).failback()
    world.clock.advance(60)
    secret = world.secrets[WEST].secrets[f"{PREFIX}/region"]
    for number in range(100):
        secret.versions.setdefault(f"{number:036}", secret.current)
    before = state(world, EAST)
    with pytest.raises(NoAnswerError, match=f"(?s){WEST}.*Nothing was changed"):
        Rescue(world).failover(force=True)
    assert state(world, EAST) == before


def test_reconcile_leaves_everything_to_a_failback_under_way(world: AwsWorld) -> None:
    found: list[Result] = []
    there = Operators(world, WEST)

    def reconcile() -> None:
        found.extend(each.result for each in there.reconcile.run(unseen))

    pool = world.pools[WEST]
    # Drift to repair: an app client went away.
    del pool.clients[next(iter(pool.clients))]
    world.aws.watch(meanwhile(60, undisturbed(world, reconcile)))
    Rescue(world).failback(Choices(rest=Keep.SECONDARY))
    assert found
    assert set(found) == {Result.LEFT_ALONE}
    world.clock.advance(LATER)
    repaired = [each.result for each in Operators(world, EAST).reconcile.run(unseen)]
    assert Result.REPAIRED in repaired
