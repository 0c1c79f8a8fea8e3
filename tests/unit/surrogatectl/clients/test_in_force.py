"""When a change is in force, as the commands say it."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.model import Replication
from surrogatectl.clients.in_force import (
    CHANGED,
    ENROLLED,
    RESCOPED,
    RESTORED,
    ROTATED,
    ROTATED_WITHOUT_OVERLAP,
    Change,
    Effect,
    denial_seconds,
)
from tests.operator_fakes import settings
from tests.worlds import EAST, WEST

EFFECTS = (ENROLLED, ROTATED, ROTATED_WITHOUT_OVERLAP, RESCOPED, CHANGED, RESTORED)


def change(effect: Effect, replication: str, writer: str = EAST, **app_clients: str) -> Change:
    states = {EAST: app_clients.get("east", "ready"), WEST: app_clients.get("west", "ready")}
    answer: dict[str, Any] = {"replication": replication, "app_clients": states}
    return Change(effect, answer, writer, settings(FRESH_SECONDS="20"))


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.soon)
def test_a_replicated_change_is_in_force_in_both_regions_alike(effect: Effect) -> None:
    replicated = change(effect, "in_sync")
    here, there = dict(replicated.facts).values()
    assert here == there
    seconds = 0 if effect in {ENROLLED, ROTATED} else 20
    assert replicated.seconds == {EAST: seconds, WEST: seconds}
    assert ("20 s" in here) is (seconds == 20)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.soon)
@pytest.mark.parametrize("replication", sorted(set(Replication) - {Replication.IN_SYNC}))
def test_until_it_is_replicated_nobody_says_when_the_other_region_acts_on_it(
    effect: Effect, replication: Replication
) -> None:
    replicating = change(effect, replication)
    assert replicating.seconds[EAST] is not None
    assert replicating.seconds[WEST] is None
    assert effect.meanwhile in dict(replicating.facts)[f"in force in {WEST}"]


@pytest.mark.parametrize(
    ("replication", "said"),
    [
        ("in_progress", "once replicated: at once"),
        ("failed", "`surrogatectl reconcile`"),
        ("missing", "`surrogatectl reconcile --repair`"),
        ("unknown", "does not answer"),
    ],
)
def test_the_other_region_needs_the_replica(replication: str, said: str) -> None:
    replicating = change(ROTATED, replication)
    assert said in dict(replicating.facts)[f"in force in {WEST}"]
    assert (replicating.obstacle is None) is (replication == "in_progress")


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.soon)
def test_the_secondary_region_writes_for_itself_until_the_failback(effect: Effect) -> None:
    standing_in = change(effect, "suspended", writer=WEST)
    assert standing_in.seconds[EAST] is None
    assert standing_in.seconds[WEST] is not None
    assert dict(standing_in.facts)[f"in force in {EAST}"].startswith("after the failback")


def test_a_pending_app_client_keeps_its_region_from_issuing_tokens() -> None:
    pending = change(ENROLLED, "in_sync", west="pending")
    assert pending.seconds == {EAST: 0, WEST: None}
    assert "pending" in dict(pending.facts)[f"in force in {WEST}"]
    here = change(ENROLLED, "in_sync", east="pending")
    assert here.seconds == {EAST: None, WEST: 0}
    assert "pending" in dict(here.facts)[f"in force in {EAST}"]


def test_an_outdated_app_client_delays_only_new_scopes() -> None:
    assert change(RESCOPED, "in_sync", west="outdated").seconds[WEST] is None
    assert change(ROTATED, "in_sync", west="outdated").seconds[WEST] == 0
    assert change(RESCOPED, "in_sync", west="rotating").seconds[WEST] == 20


def test_a_deletion_needs_no_replication() -> None:
    done, partly = (
        Change(CHANGED, {"left": left}, EAST, settings()) for left in ([], ["the app client"])
    )
    assert done.seconds == {EAST: 30, WEST: 30}
    assert partly.seconds == {EAST: 30, WEST: None}
    assert "reconcile --repair" in dict(partly.facts)[f"in force in {WEST}"]
    assert Change(CHANGED, {"left": []}, WEST, settings()).seconds == {EAST: None, WEST: 30}


@pytest.mark.parametrize("answer", [{}, {"replication": "of a newer version"}], ids=str)
def test_an_answer_that_this_version_does_not_know_is_unknown_and_no_error(
    answer: dict[str, Any],
) -> None:
    """An error would hide the new secret that comes with it."""
    newer = Change(ROTATED, answer, EAST, settings())
    assert newer.seconds == {EAST: 0, WEST: None}
    assert len(newer.facts) == 2


def test_a_change_does_not_show_its_secret() -> None:
    shown = Change(ROTATED, {"client_secret": "sgs_new"}, EAST, settings())
    assert "sgs_new" not in repr(shown)


def test_a_denial_is_in_force_within_a_minute_unless_states_are_cached_for_longer() -> None:
    assert denial_seconds(settings()) == 60
    assert denial_seconds(settings(FRESH_SECONDS="120")) == 120
