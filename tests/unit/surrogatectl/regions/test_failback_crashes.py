"""
Failover and failback may end before any of their calls, or lose any answer.

Each is run once undisturbed, and its calls recorded; then again for each of them,
in a new world, with the process ended before that call, or the answer lost.  The
operator repeats it; everything is counted behind everybody's back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from chalicelib.errors import OperationError, ServiceError
from chalicelib.model import ClientId, IssuedCredentials, Status
from chalicelib.reconciliation.drift import Result
from surrogatectl.regions.failback_plan import Choices, Keep
from surrogatectl.regions.lease import LEASE_SECONDS
from surrogatectl.regions.state import RegionStateError
from tests.aws_worlds import REGIONS, AwsWorld, Operators
from tests.fake_aws import Accident, Call, Crash, crash_before, lose_answer, lose_request
from tests.rescue import Rescue, state
from tests.unit.chalicelib.clients.crash_scenes import DAY, Scene, unseen
from tests.worlds import EAST, WEST

pytestmark = pytest.mark.slow

LATER = 1_200
CHOICES = Choices(rest=Keep.SECONDARY)
ACCIDENTS: dict[str, Callable[[int], Accident]] = {
    "a crash before": crash_before,
    "a lost answer": lose_answer,
    "a lost request": lose_request,
}


@dataclass
class Outage:
    """A scene in which the primary Region was lost, work went on, and it is back."""

    scene: Scene
    works: list[IssuedCredentials]
    void: list[IssuedCredentials]
    gone: ClientId
    denied: set[ClientId]


def taken_over() -> Outage:
    """Have everything that failback has to deal with be there once."""
    scene = Scene()
    world = scene.world
    untouched = scene.handed_out[0]
    rotated, disabled, deleted, written = (
        scene.enroll(name) for name in ("rotated", "disabled", "deleted", "written in both")
    )
    allowed = scene.enroll("allowed")
    world.clock.advance(LATER)
    for region in REGIONS:
        scene.operators.denials[region].change(deny=[allowed], allow=[])
    world.secrets[EAST].replicator.seconds = 100_000
    scene.operators.clients.change(written, {"client_name": "lost with the primary"})
    unreplicated = scene.enroll("not replicated")
    world.aws.down.add(EAST)
    Rescue(world).failover(force=True)
    there = scene.operators = Operators(world, WEST)
    replaced = scene.handed_out[1]
    scene.handed_out.append(there.rotation.rotate(rotated, 0).issued)
    there.clients.change(disabled, {"status": Status.DISABLED})
    there.deletion.delete(deleted, 7)
    scene.handed_out.append(there.rotation.rotate(written, 7 * DAY).issued)
    scene.enroll("during")
    denied = scene.enroll("denied during")
    world.clock.advance(LATER)
    there.denials[WEST].change(deny=[denied], allow=[allowed])
    world.aws.down.clear()
    world.secrets[EAST].replicator.seconds = 0.3
    world.secrets[EAST].replicator.hurry()
    world.clock.advance(LATER)
    void = [
        each
        for each in scene.handed_out
        if each.client_id in {disabled, deleted, denied} or each is replaced
    ]
    works = [each for each in scene.handed_out if each not in void]
    assert untouched in works
    assert unreplicated in {each.client_id for each in works}
    world.aws.watch()
    return Outage(scene, works, void, deleted, {denied})


def check(outage: Outage) -> None:
    """Both Regions agree, and with what should be."""
    scene, world = outage.scene, outage.scene.world
    here, there = state(world, EAST), state(world, WEST)
    assert (here.writer, there.writer, there.took_over) == (True, False, False)
    world.clock.advance(LATER)
    scene.operators = Operators(world, EAST)
    for _ in range(2):
        left = [
            each
            for each in scene.operators.reconcile.run(unseen)
            if each.result not in {Result.REPAIRED, Result.NOTHING_TO_DO}
        ]
        world.clock.advance(LATER)
    assert not left, left
    assert world.untidiness() == []
    assert world.denied(EAST) == world.denied(WEST) == outage.denied
    for issued in outage.works:
        assert scene.works(issued) == [True, True], "a client is cut off"
    for issued in outage.void:
        assert scene.works(issued) == [False, False], "what is void works"
    assert outage.gone not in world.records()
    assert {each.primary_region for each in world.record_secrets(WEST).values()} == {EAST}


def recorded() -> list[Call]:
    outage = taken_over()
    Rescue(outage.scene.world).failback(CHOICES)
    calls = list(outage.scene.world.aws.calls)
    check(outage)
    return calls


@pytest.mark.parametrize("kind", ACCIDENTS)
def test_repeated_failback_completes_after_an_accident_at_any_call(kind: str) -> None:
    calls = recorded()
    assert len(calls) > 100
    for number, call in enumerate(calls):
        outage = taken_over()
        world = outage.scene.world
        world.aws.watch(ACCIDENTS[kind](number))
        try:
            try:
                Rescue(world).failback(CHOICES)
            except (Crash, RegionStateError, ServiceError):
                world.aws.watch()
                assert_one_writes_at_most(outage)
                world.clock.advance(LEASE_SECONDS)
                Rescue(world).failback(CHOICES, take_over=True)
            world.aws.watch()
            check(outage)
        except (AssertionError, RegionStateError, ServiceError) as err:
            raise AssertionError(f"{kind} call {number}, {call}: {err!r}") from err


def assert_one_writes_at_most(outage: Outage) -> None:
    world = outage.scene.world
    assert sum(map(writes, [world] * 2, REGIONS)) <= 1
    # Until the traffic moves, the secondary serves all that it served.
    if state(world, WEST).took_over:
        world.clock.advance(1)
        for issued in outage.works:
            if issued.client_id in world.records(WEST):
                assert world.gets_a_token(issued, WEST), "cut off half-way"


def writes(world: AwsWorld, region: str) -> bool:
    """Return whether administrators' changes are taken in *region*."""
    try:
        Operators(world, region).admin.require_writer()
    except OperationError:
        return False
    return True


@pytest.mark.parametrize("lost", [True, False])
def test_repeated_failover_completes_after_an_accident_at_any_call(lost: bool) -> None:  # noqa: FBT001
    def scene() -> Scene:
        made = Scene()
        made.world.clock.advance(LATER)
        if lost:
            made.world.aws.down.add(EAST)
        made.world.aws.watch()
        return made

    first = scene()
    Rescue(first.world).failover(force=lost)
    for number, call in enumerate(list(first.world.aws.calls)):
        for accident in (crash_before, lose_answer):
            each = scene()
            each.world.aws.watch(accident(number))
            try:
                Rescue(each.world).failover(force=lost)
            except (Crash, RegionStateError):
                each.world.aws.watch()
                each.world.clock.advance(LEASE_SECONDS)
                Rescue(each.world).failover(force=lost, take_over=True)
            each.world.aws.watch()
            found = state(each.world, WEST)
            assert (found.writer, found.took_over) == (True, True), call
            assert lost or not state(each.world, EAST).writer, call
            assert each.world.gets_a_token(each.handed_out[0], WEST), call


def test_failback_makes_calls_in_proportion_to_clients() -> None:
    """The lists, the batches and a look at each: what ten thousand take is that many times more."""
    counts = []
    for number in (40, 80):
        scene = Scene()
        for index in range(number - 1):
            scene.enroll(f"number {index}")
        scene.world.clock.advance(LATER)
        Rescue(scene.world).failover()
        scene.operators = Operators(scene.world, WEST)
        scene.rotate(7 * DAY)
        scene.world.clock.advance(LATER)
        scene.world.aws.watch()
        Rescue(scene.world).failback()
        counts.append(len(scene.world.aws.calls))
    fixed = 2 * counts[0] - counts[1]
    for_each = (counts[1] - counts[0]) / 40
    assert fixed < 120
    assert for_each < 1.6, "a look at each replica, and batches of twenty"
