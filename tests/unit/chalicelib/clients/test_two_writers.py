"""
Two concurrent operations on one client: one wins or both apply, and no change is lost.

One operation is stopped just before each of its AWS calls, the other one runs
meanwhile, and the first continues.  The result must equal that of the two in
sequence, in either order, or of the winner alone if the other reported a
conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_network
from typing import Any

import pytest

from chalicelib.clients.changes import ClientUpdate
from chalicelib.clients.enrollment import EnrollmentRequest
from chalicelib.errors import OperationError
from chalicelib.model import ClientId, IssuedCredentials, SecretId, Status
from chalicelib.reconciliation.drift import Result
from tests.aws_worlds import REGIONS, Operators
from tests.fake_aws import Call, Crash, crash_before, meanwhile
from tests.problems import as_problem
from tests.unit.chalicelib.clients.crash_scenes import (
    DAY,
    READ,
    WRITE,
    Scene,
    delete_half_way,
    nothing,
    unseen,
    writes,
)
from tests.worlds import CALLER, EAST

pytestmark = pytest.mark.slow

# Allowed beside the client's own conflicts: a rotation that tests its new secret
# with scopes that are being removed must be retried later.
RETRIED = {"new-secret-refused"}
LATER = 1_200
DONE = "done"


class Actor:
    """Operator with their own process, who keeps the credentials they received."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.operators = Operators(scene.world)
        self.version = scene.world.version(scene.client_id)
        self.issued: list[IssuedCredentials] = []

    def act(self, work: Callable[[Actor], object]) -> str:
        """Return `DONE`, or the slug of the problem that it ended in."""
        try:
            work(self)
        except OperationError as problem:
            if (
                as_problem(problem).status not in {404, 409, 412}
                and as_problem(problem).slug not in RETRIED
            ):
                raise
            return as_problem(problem).slug
        return DONE

    def change(self, changes: ClientUpdate, *, if_match: bool = False) -> None:
        version = self.version if if_match else None
        self.operators.clients.change(self.scene.client_id, changes, version)

    def rotate(self, overlap_seconds: int) -> None:
        rotated = self.operators.rotation.rotate(self.scene.client_id, overlap_seconds)
        self.issued.append(rotated.issued)

    def delete(self) -> None:
        self.operators.deletion.delete(self.scene.client_id, 7)

    def restore(self) -> None:
        self.operators.deletion.restore(self.scene.client_id)

    def rotate_app_clients(self) -> None:
        self.operators.app_client_rotation.advance(self.scene.client_id, due_before=self.scene.now)

    def enroll(self) -> None:
        request = EnrollmentRequest("another", (READ,), (), None, "the same key")
        self.issued.append(self.operators.enroll.enroll(request, CALLER).issued)

    def deny(self, client_id: ClientId) -> None:
        self.operators.denials[EAST].change(deny=[client_id], allow=[])

    def reconcile(self) -> None:
        list(self.operators.reconcile.run(unseen))


Work = Callable[[Actor], object]
Works = tuple[Work, Work]
Prepare = Callable[[Scene], object]

WORKS: dict[str, Work] = {
    "rename": lambda who: who.change({"client_name": "renamed"}),
    "rename as seen": lambda who: who.change({"client_name": "as seen"}, if_match=True),
    "confine": lambda who: who.change({"allowed_cidrs": (ip_network("192.0.2.0/24"),)}),
    "disable": lambda who: who.change({"status": Status.DISABLED}),
    "widen": lambda who: who.change({"scopes": (READ, WRITE)}),
    "narrow": lambda who: who.change({"scopes": (READ,)}),
    "swap": lambda who: who.change({"scopes": (WRITE,)}),
    "rotate": lambda who: who.rotate(7 * DAY),
    "rotate at once": lambda who: who.rotate(0),
    "rotate the app clients": Actor.rotate_app_clients,
    "delete": Actor.delete,
    "restore": Actor.restore,
    "reconcile": Actor.reconcile,
}


def essence(scene: Scene, first: Actor, second: Actor) -> Any:
    """Return the client's relevant state, in a form that is equal across worlds."""
    owners: dict[SecretId, str] = {scene.handed_out[0].secret_id: "old"}
    owners |= {issued.secret_id: "first's" for issued in first.issued}
    owners |= {issued.secret_id: "second's" for issued in second.issued}
    record = scene.world.records().get(scene.client_id)
    if record is None:
        return "gone"
    return (
        record.status,
        record.client_name,
        record.scopes,
        record.allowed_cidrs,
        tuple((owners.get(it.secret_id), it.expires_at is not None) for it in record.secrets),
    )


def after(prepare: Prepare, works: Works, *order: int) -> Any:
    """Return the result of the works, undisturbed, in that *order*."""
    scene = scene_of(prepare)
    actors = (Actor(scene), Actor(scene))
    for each in order:
        actors[each].act(works[each])
    return essence(scene, *actors)


def scene_of(prepare: Prepare) -> Scene:
    scene = Scene()
    prepare(scene)
    scene.world.clock.advance(5)
    return scene


def assert_nobody_is_cut_off(scene: Scene, *actors: Actor) -> None:
    """Assert that every secret valid in the record gets a token in both Regions."""
    issued = [each for actor in actors for each in actor.issued]
    assert_nobody_is_cut_off_of(scene, scene.client_id, [*scene.handed_out, *issued])


def assert_nobody_is_cut_off_of(
    scene: Scene, client_id: ClientId, handed_out: Sequence[IssuedCredentials]
) -> None:
    scene.world.clock.advance(1)
    record = scene.world.records().get(client_id)
    if record is None or record.status is not Status.ACTIVE or record.allowed_cidrs:
        return
    live = {secret.secret_id for secret in record.secrets}
    for issued in handed_out:
        if issued.secret_id in live:
            works = [scene.world.gets_a_token(issued, region) for region in REGIONS]
            assert works == [True, True], f"works: {works}"


def assert_all_is_mended_later(scene: Scene) -> None:
    scene.world.clock.advance(LATER)
    outcomes = scene.reconcile()
    failed = [outcome for outcome in outcomes if outcome.result is not Result.REPAIRED]
    assert not failed, f"reconcile: {failed}"
    scene.world.clock.advance(LATER)
    untidy = scene.world.untidiness()
    assert not untidy, f"left: {untidy}"


def calls_of(prepare: Prepare, work: Work) -> list[Call]:
    scene = scene_of(prepare)
    actor = Actor(scene)
    scene.world.aws.watch()
    actor.act(work)
    return list(scene.world.aws.calls)


def interleave(prepare: Prepare, works: Works) -> None:
    """Run the second work before every call of the first."""
    both = [after(prepare, works, 0, 1), after(prepare, works, 1, 0)]
    only = [after(prepare, works, 0), after(prepare, works, 1)]
    for number, call in enumerate(calls_of(prepare, works[0])):
        scene = scene_of(prepare)
        actors = (Actor(scene), Actor(scene))
        outcomes = run_both(scene, actors, works, number)
        try:
            found = essence(scene, *actors)
            won = [each for each, outcome in enumerate(outcomes) if outcome == DONE]
            assert won, f"both lost: {outcomes}"
            expected = both if len(won) == 2 else [only[won[0]]]
            assert found in expected, f"{outcomes}: {found}, expected {expected}"
            assert_nobody_is_cut_off(scene, *actors)
            assert_all_is_mended_later(scene)
        except AssertionError as err:
            raise AssertionError(f"meanwhile at call {number}, {call}: {err}") from None


def run_both(
    scene: Scene, actors: tuple[Actor, Actor], works: Works, number: int
) -> tuple[str, str]:
    """Run the first work, and the second one just before its call *number*."""
    aws, outcomes = scene.world.aws, ["", ""]

    def meet() -> None:
        aws.watch()
        outcomes[1] = actors[1].act(works[1])

    aws.watch(meanwhile(number, meet))
    outcomes[0] = actors[0].act(works[0])
    aws.watch()
    return outcomes[0], outcomes[1]


# Operations on the record alone are similar: disturbing one of them is enough.
@pytest.mark.parametrize("first", sorted(WORKS.keys() - {"rename as seen", "confine", "narrow"}))
@pytest.mark.parametrize("second", sorted(WORKS.keys() - {"narrow"}))
def test_concurrent_operations_conflict_or_both_apply(first: str, second: str) -> None:
    interleave(nothing, (WORKS[first], WORKS[second]))


@pytest.mark.parametrize("first", ["narrow", "swap", "rotate the app clients", "reconcile"])
@pytest.mark.parametrize("second", ["narrow", "swap", "widen", "reconcile"])
def test_concurrent_operations_on_a_narrowed_client_conflict_or_both_apply(
    first: str, second: str
) -> None:
    interleave(lambda scene: scene.change({"scopes": (READ, WRITE)}), (WORKS[first], WORKS[second]))


@pytest.mark.parametrize(
    ("first", "second"), [("restore", "restore"), ("restore", "delete"), ("delete", "restore")]
)
def test_concurrent_operations_on_a_deleted_client_conflict_or_both_apply(
    first: str, second: str
) -> None:
    interleave(
        lambda scene: scene.operators.deletion.delete(scene.client_id, 7),
        (WORKS[first], WORKS[second]),
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("reconcile", "restore"),
        ("restore", "reconcile"),
        ("reconcile", "delete"),
        ("delete", "reconcile"),
        ("reconcile", "reconcile"),
        ("restore", "restore"),
    ],
)
def test_concurrent_operations_on_a_half_deleted_client_conflict_or_both_apply(
    first: str, second: str
) -> None:
    interleave(delete_half_way, (WORKS[first], WORKS[second]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("rotate the app clients", "rotate the app clients"),
        ("rotate the app clients", "swap"),
        ("swap", "widen"),
        ("widen", "swap"),
        ("widen", "reconcile"),
        ("restore", "delete"),
        ("delete", "restore"),
    ],
)
def test_a_concurrent_interrupted_operation_keeps_the_client_working(
    first: str, second: str
) -> None:
    works = (WORKS[first], WORKS[second])
    # Reads do not change AWS: an end before the next write is equivalent.
    ends = [number for number, _ in writes(calls_of(nothing, works[1]))]
    for number, call in enumerate(calls_of(nothing, works[0])):
        for end in ends:
            scene = scene_of(nothing)
            actors = (Actor(scene), Actor(scene))

            def begin(actor: Actor, at: int = end) -> None:
                actor.scene.world.aws.watch(crash_before(at))
                with suppress(Crash):
                    actor.act(works[1])
                actor.scene.world.aws.watch()

            outcomes = run_both(scene, actors, (works[0], begin), number)
            try:
                if "delete" not in {first, second}:
                    assert_nobody_is_cut_off(scene, *actors)
                assert_all_is_mended_later(scene)
                assert_nobody_is_cut_off(scene, *actors)
            except AssertionError as err:
                where = f"call {number}, {call}, the other one ending at its call {end}"
                raise AssertionError(f"{where}: {err} ({outcomes})") from None


def test_one_of_two_concurrent_enrollments_with_the_same_key_gets_the_client() -> None:
    works = (Actor.enroll, Actor.enroll)
    for number, call in enumerate(calls_of(nothing, Actor.enroll)):
        scene = scene_of(nothing)
        actors = (Actor(scene), Actor(scene))
        outcomes = run_both(scene, actors, works, number)
        where = f"meanwhile at call {number}, {call}: {outcomes}"
        assert DONE in outcomes, where
        issued = [each for actor in actors for each in actor.issued]
        (client_id,) = {each.client_id for each in issued}
        (kept,) = scene.world.record(client_id).secrets
        # The later one is a repeat, which replaces the other's secret.
        assert kept.secret_id in {each.secret_id for each in issued}, where
        assert_nobody_is_cut_off_of(scene, client_id, issued)
        assert_all_is_mended_later(scene)
        assert len(scene.world.records()) == 2, where


def test_concurrent_denials_of_different_clients_are_all_in_force() -> None:
    scene = scene_of(nothing)
    others = [ClientId(f"sgc_{letter * 26}") for letter in "ab"]
    works = (lambda who: who.deny(others[0]), lambda who: who.deny(others[1]))
    for number in range(len(calls_of(nothing, works[0]))):
        scene = scene_of(nothing)
        actors = (Actor(scene), Actor(scene))
        assert run_both(scene, actors, works, number) == (DONE, DONE)
        assert scene.world.denied(EAST) == set(others)
