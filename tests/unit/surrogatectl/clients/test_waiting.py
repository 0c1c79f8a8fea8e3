"""`--wait`: what it waits for, what ends it at once, and what it never loses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from surrogatectl.cli.admin_client import AdminApiError, NoAnswerFromApiError
from surrogatectl.clients.in_force import CHANGED, ENROLLED, ROTATED, Change, Effect
from surrogatectl.clients.waiting import NotEverywhere, Waiter
from tests.operator_fakes import settings
from tests.worlds import EAST, WEST

Json = dict[str, Any]
CLIENT = "sgc_" + "a" * 26
BUSY = NoAnswerFromApiError({"type": "unreachable", "title": "No answer"})


def client(replication: str, west: str = "ready") -> Json:
    states = {EAST: "ready", WEST: west}
    return {"client_id": CLIENT, "replication": replication, "app_clients": states}


class World:
    """A writing Region that shows the client; the last answer is repeated."""

    def __init__(self, *shown: Json | AdminApiError) -> None:
        self.looks = 0
        self.pauses: list[float] = []
        self.said: list[str] = []
        self._shown = self._endless(shown)

    @staticmethod
    def _endless(shown: tuple[Json | AdminApiError, ...]) -> Iterator[Json | AdminApiError]:
        yield from shown
        while True:
            yield shown[-1]

    def _show(self) -> Json:
        self.looks += 1
        answer = next(self._shown)
        if isinstance(answer, AdminApiError):
            raise answer
        return answer

    def wait(self, effect: Effect, answer: Json, writer: str = EAST) -> None:
        change = Change(effect, answer, writer, settings())
        Waiter(self._show, self.pauses.append, self.said.append).wait(change)

    def refusal(self, effect: Effect, answer: Json, writer: str = EAST) -> NotEverywhere:
        with pytest.raises(NotEverywhere) as raised:
            self.wait(effect, answer, writer)
        return raised.value


def test_a_replicated_new_secret_needs_no_wait() -> None:
    world = World(client("in_progress"))
    world.wait(ROTATED, client("in_sync"))
    assert (world.looks, world.pauses) == (0, [])
    assert world.said == ["In force in both Regions."]


def test_a_new_secret_is_waited_for_until_the_replica_has_it() -> None:
    world = World(*[client("in_progress")] * 7, client("in_sync"))
    world.wait(ROTATED, client("in_progress"))
    assert world.pauses == [2.0] * 7
    assert world.said == [
        f"Waiting for {WEST}: replication is in_progress.",
        f"Waiting for {WEST}: replication is in_progress.",
        "In force in both Regions.",
    ]


def test_a_withdrawn_right_is_waited_for_until_the_caches_have_forgotten_it() -> None:
    world = World(client("in_sync"))
    world.wait(CHANGED, client("in_progress"))
    assert world.pauses == [30]
    world = World(client("in_sync"))
    world.wait(CHANGED, client("in_sync"))
    assert (world.looks, world.pauses) == (0, [30])


@pytest.mark.parametrize(
    ("answer", "writer", "said"),
    [
        (client("suspended"), WEST, "after the failback"),
        (client("unknown"), EAST, "does not answer"),
        (client("failed"), EAST, "`surrogatectl reconcile`"),
        (client("missing"), EAST, "`surrogatectl reconcile --repair`"),
        (client("in_sync", west="pending"), EAST, "pending"),
    ],
)
def test_a_region_that_will_not_follow_by_itself_is_reported_at_once(
    answer: Json, writer: str, said: str
) -> None:
    world = World(answer)
    refusal = world.refusal(ENROLLED, answer, writer)
    assert said in refusal.message
    assert f"Done in {writer}." in refusal.message
    assert f"`surrogatectl show {CLIENT}`" in refusal.message
    assert (refusal.exit_code, world.looks, world.pauses) == (5, 1, [])


@pytest.mark.parametrize("first", ["missing", "unknown", "failed"])
def test_the_answer_of_the_write_alone_is_no_reason_to_give_up(first: str) -> None:
    """It has `missing`, for instance, if one call to Secrets Manager failed."""
    world = World(client("in_progress"), client("in_sync"))
    world.wait(ROTATED, client(first))
    assert world.said[-1] == "In force in both Regions."


def test_the_wait_has_a_bound() -> None:
    world = World(client("in_progress"))
    refusal = world.refusal(ROTATED, client("in_progress"))
    assert sum(world.pauses) == 120
    assert "replication is in_progress" in refusal.message
    assert len(world.said) < len(world.pauses) / 4


def test_a_writing_region_that_is_busy_for_a_moment_is_asked_again() -> None:
    throttled = AdminApiError({"type": "throttled", "status": 429})
    world = World(BUSY, throttled, client("in_sync"))
    world.wait(ROTATED, client("missing"))
    assert world.pauses == [2.0] * 2


def test_a_client_deleted_meanwhile_ends_the_wait() -> None:
    gone = AdminApiError({"status": 404, "detail": "There is no such client."})
    refusal = World(gone).refusal(ROTATED, client("in_progress"))
    assert "There is no such client." in refusal.message
    assert refusal.exit_code == 5


def test_a_programs_document_of_an_unfinished_wait_has_its_own_title() -> None:
    refusal = World(client("unknown")).refusal(ROTATED, client("in_progress"))
    assert refusal.document["title"] == "Done, but not in both Regions yet"
