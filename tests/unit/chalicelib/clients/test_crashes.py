"""
No crash, and no lost answer, loses a record, strands an app client or cuts off a client.

Each operation is run once undisturbed, and its AWS calls are recorded.  Then it
is run again for each of them, in a new world, and the process ends just before
that call; and in one more run it ends after the last one.  (The end of a call
equals the start of the next: only calls change AWS.)  Further runs lose the
answer of each call, or let it time out and arrive after the operation's end.

Afterwards the operation is repeated or not; then `reconcile` runs, and the
stored state is inspected without API calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import OperationError
from chalicelib.model import AppClient
from chalicelib.reconciliation.drift import Kind, Result
from tests.aws_worlds import REGIONS
from tests.fake_aws import (
    Accident,
    CarryOut,
    Crash,
    arrive_late,
    crash_after,
    crash_before,
    lose_answer,
)
from tests.problems import as_problem
from tests.unit.chalicelib.clients.crash_scenes import (
    OPERATIONS,
    OUTAGES,
    Operation,
    Scene,
    messy,
    unseen,
    writes,
)
from tests.worlds import EAST, WEST

pytestmark = pytest.mark.slow

EVERYTHING = OPERATIONS | OUTAGES
LATER = 1_200
ACCIDENTS = {
    "a crash before": crash_before,
    "a crash after": crash_after,
    "a lost answer": lose_answer,
}

every_operation = pytest.mark.parametrize("operation", EVERYTHING.values(), ids=EVERYTHING)


@dataclass(frozen=True)
class Case:
    """Accident with its name in messages; *late* calls arrive after the operation."""

    name: str
    accident: Accident
    late: list[CarryOut] = field(default_factory=list)


def cases(operation: Operation) -> Iterator[Case]:
    """Yield every accident of *operation*."""
    scene = operation.scene()
    operation.run(scene)
    calls = list(scene.world.aws.calls)
    assert len(calls) > 2
    for number, call in enumerate(calls):
        yield Case(f"a crash before call {number}, {call}", crash_before(number))
        yield Case(f"the answer of call {number}, {call}, is lost", lose_answer(number))
    for number, call in writes(calls):
        late: list[CarryOut] = []
        yield Case(f"call {number}, {call}, arrives late", arrive_late(number, late), late)
    last = len(calls) - 1
    yield Case(f"a crash after the last call, {calls[last]}", crash_after(last))


def disturbed(operation: Operation, case: Case) -> tuple[Scene, bool]:
    """Run *operation* with the accident; return the scene, and whether it was interrupted."""
    scene = operation.scene()
    scene.world.aws.watch(case.accident)
    try:
        operation.run(scene)
    except (Crash, OperationError):
        ended = True
    else:
        ended = False
    scene.world.aws.watch()
    for arrive in case.late:
        with suppress(BotoCoreError, ClientError):
            arrive()
    require_service(operation, scene, EAST)
    scene.world.aws.down.clear()
    require_service(operation, scene, WEST)
    return scene, ended


def require_service(operation: Operation, scene: Scene, region: str) -> None:
    """Fail unless the client gets tokens there before any repair."""
    scene.world.clock.advance(1)
    issued = scene.handed_out[0]
    if operation.voids(scene, issued):
        return
    regional = scene.world.record(issued.client_id).app_clients[region]
    # A Region that did not answer when scopes were widened is pending: the client must wait.
    if isinstance(regional, AppClient) and regional.outdated is None:
        assert scene.world.gets_a_token(issued, region), f"cut off in {region}"


def check(operation: Operation, scene: Scene) -> None:
    """Reconcile later, and inspect the stored state."""
    settle(scene)
    for issued in scene.handed_out:
        works = scene.works(issued)
        void = operation.voids(scene, issued) and not any(works)
        assert all(works) or void, f"works in {REGIONS}: {works}"


def settle(scene: Scene) -> None:
    """Reconcile later; assert that no drift is left."""
    scene.world.clock.advance(LATER)
    failed = [each for each in scene.reconcile() if each.result is not Result.REPAIRED]
    assert not failed, f"not repaired: {failed}"
    scene.world.clock.advance(LATER)
    untidy = scene.world.untidiness()
    assert not untidy, f"left: {untidy}"
    found = scene.reconcile()
    assert not found, f"found again: {found}"


@every_operation
def test_an_undisturbed_operation_succeeds(operation: Operation) -> None:
    scene = operation.scene(strict=True)
    operation.run(scene)
    scene.world.aws.down.clear()
    scene.world.clock.advance(1)
    operation.done(scene)
    if not operation.outage:
        assert scene.world.untidiness() == []
    check(operation, scene)


@every_operation
def test_an_interrupted_operation_can_be_repeated(operation: Operation) -> None:
    for case in cases(operation):
        try:
            scene, ended = disturbed(operation, case)
            if ended:
                repeat(operation, scene)
            check(operation, scene)
        except (AssertionError, OperationError) as err:
            raise AssertionError(f"{case.name}: {err}") from err


def repeat(operation: Operation, scene: Scene) -> None:
    scene.world.clock.advance(5)
    try:
        operation.run(scene)
    except OperationError as problem:
        if as_problem(problem).slug not in operation.documented:
            raise
    else:
        scene.world.clock.advance(1)
        operation.done(scene)


@every_operation
def test_an_interrupted_operation_is_found_and_repaired(operation: Operation) -> None:
    for case in cases(operation):
        try:
            scene, _ = disturbed(operation, case)
            check(operation, scene)
        except (AssertionError, OperationError) as err:
            raise AssertionError(f"{case.name}: {err}") from err


def test_changes_not_yet_listed_are_no_drift() -> None:
    """ListSecrets lags by minutes; neither a new client nor a new name is drift."""
    scene = Scene(strict=True)
    scene.change({"client_name": "renamed a moment ago"})
    scene.enroll("enrolled a moment ago")
    assert list(scene.operators.survey.run(unseen)) == []
    scene.operators.deletion.delete(scene.client_id, 7)
    assert list(scene.operators.survey.run(unseen)) == []


def test_interrupted_repairs_can_be_repeated() -> None:
    scene = messy()
    outcomes = scene.reconcile()
    assert {each.drift.kind for each in outcomes} == {
        Kind.ORPHAN,
        Kind.APP_CLIENT_GONE,
        Kind.APP_CLIENT_DIFFERS,
        Kind.PENDING,
        Kind.ENROLLMENT,
        Kind.DELETION,
        Kind.COGNITO_SECRET,
        Kind.REPLICA,
        Kind.LISTING,
        Kind.DENIALS,
    }
    for number, call in writes(scene.world.aws.calls):
        for name, accident in ACCIDENTS.items():
            scene = messy()
            scene.world.aws.watch(accident(number))
            with suppress(Crash):
                scene.reconcile()
            scene.world.aws.watch()
            try:
                settle(scene)
                for issued in scene.handed_out:
                    assert scene.works(issued) == [True, True], "a client is cut off"
            except AssertionError as err:
                raise AssertionError(f"{name} at call {number}, {call}: {err}") from err
