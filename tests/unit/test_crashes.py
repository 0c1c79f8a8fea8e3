"""
No crash, and no lost answer, loses a record, strands an app client or cuts off a client.

Each operation is run once undisturbed, and its AWS calls are recorded.  Then it
is run again for each of them, in a new world, and the process ends just before
that call; and once more, and it ends after the last one.  (After a call is
before the next one: nothing but calls changes AWS.)  And it is run again for
each of them with the answer lost.

Afterwards the operator repeats it, or nobody does; then `reconcile` runs, and
everything is counted behind everybody's back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from chalicelib.drift import Result
from chalicelib.errors import ProblemError
from chalicelib.model import AppClient
from tests.aws_worlds import REGIONS
from tests.fake_aws import Accident, Crash, crash_after, crash_before, lose_answer
from tests.unit.crash_scenes import OPERATIONS, OUTAGES, Operation, Scene
from tests.worlds import EAST, WEST

EVERYTHING = OPERATIONS | OUTAGES
LATER = 1_200

every_operation = pytest.mark.parametrize("operation", EVERYTHING.values(), ids=EVERYTHING)


@dataclass(frozen=True)
class Case:
    """An accident, and what the messages call it."""

    name: str
    accident: Accident


def cases(operation: Operation) -> Iterator[Case]:
    """Yield everything that can happen to *operation*."""
    scene = operation.scene()
    operation.run(scene)
    calls = [str(call) for call in scene.world.aws.calls]
    assert len(calls) > 2
    for number, call in enumerate(calls):
        yield Case(f"a crash before call {number}, {call}", crash_before(number))
        yield Case(f"the answer of call {number}, {call}, is lost", lose_answer(number))
    last = len(calls) - 1
    yield Case(f"a crash after the last call, {calls[last]}", crash_after(last))


def disturbed(operation: Operation, accident: Accident) -> tuple[Scene, bool]:
    """Run *operation* until *accident* ends it, if it does; return whether it did."""
    scene = operation.scene()
    scene.world.aws.watch(accident)
    try:
        operation.run(scene)
    except (Crash, ProblemError):
        ended = True
    else:
        ended = False
    scene.world.aws.watch()
    require_service(operation, scene, EAST)
    scene.world.aws.down.clear()
    require_service(operation, scene, WEST)
    return scene, ended


def require_service(operation: Operation, scene: Scene, region: str) -> None:
    """Fail unless the client gets tokens there, without anybody having repaired anything."""
    scene.world.clock.advance(1)
    issued = scene.handed_out[0]
    if operation.voids(scene, issued):
        return
    half = scene.world.record(issued.client_id).app_clients[region]
    # A Region that did not answer when scopes were widened has told the client to wait.
    if isinstance(half, AppClient) and half.outdated is None:
        assert scene.world.gets_a_token(issued, region), f"cut off in {region}"


def check(operation: Operation, scene: Scene) -> None:
    """Reconcile, a while later, and count."""
    scene.world.clock.advance(LATER)
    failed = [each for each in scene.reconcile() if each.result is not Result.REPAIRED]
    assert not failed, f"not repaired: {failed}"
    scene.world.clock.advance(LATER)
    untidy = scene.world.untidiness()
    assert not untidy, f"left: {untidy}"
    found = scene.reconcile()
    assert not found, f"found again: {found}"
    for issued in scene.handed_out:
        works = scene.works(issued)
        void = operation.voids(scene, issued) and not any(works)
        assert all(works) or void, f"works in {REGIONS}: {works}"


@every_operation
def test_an_operation_that_nothing_disturbs_has_its_effect(operation: Operation) -> None:
    scene = operation.scene(strict=True)
    operation.run(scene)
    scene.world.aws.down.clear()
    scene.world.clock.advance(1)
    operation.done(scene)
    if not operation.outage:
        assert scene.world.untidiness() == []
    check(operation, scene)


@every_operation
def test_what_ended_half_way_can_be_repeated(operation: Operation) -> None:
    for case in cases(operation):
        try:
            scene, ended = disturbed(operation, case.accident)
            if ended:
                repeat(operation, scene)
            check(operation, scene)
        except (AssertionError, ProblemError) as err:
            raise AssertionError(f"{case.name}: {err}") from err


def repeat(operation: Operation, scene: Scene) -> None:
    scene.world.clock.advance(5)
    try:
        operation.run(scene)
    except ProblemError as problem:
        if problem.slug not in operation.documented:
            raise
    else:
        scene.world.clock.advance(1)
        operation.done(scene)


@every_operation
def test_what_ended_half_way_is_found_and_mended(operation: Operation) -> None:
    for case in cases(operation):
        try:
            scene, _ = disturbed(operation, case.accident)
            check(operation, scene)
        except (AssertionError, ProblemError) as err:
            raise AssertionError(f"{case.name}: {err}") from err
