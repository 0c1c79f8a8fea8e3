"""Secrets of app clients that were exchanged behind our back: found by `reconcile`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import AppClientsRefusedError
from chalicelib.model import ClientId, RetiringSecret
from chalicelib.reconciliation.app_client_survey import CLOCK_SECONDS, SETTLED_SECONDS
from chalicelib.reconciliation.drift import Kind, Outcome, Result
from tests.unit.chalicelib.clients.lifecycle_world import DAY
from tests.unit.chalicelib.reconciliation.reconcile_world import ReconcileWorld
from tests.worlds import EAST, WEST


@pytest.fixture
def world() -> ReconcileWorld:
    return ReconcileWorld()


@pytest.mark.parametrize("region", [EAST, WEST])
@pytest.mark.parametrize("make", [ReconcileWorld.client, ReconcileWorld.adopted])
def test_a_secret_that_was_exchanged_is_reported_and_rotation_mends_it(
    world: ReconcileWorld, make: Callable[[ReconcileWorld], ClientId], region: str
) -> None:
    client_id = make(world)
    exchange(world, client_id, region)
    (drift,) = world.found()
    assert (drift.kind, drift.region, drift.client_id) == (Kind.COGNITO_SECRET, region, client_id)
    assert "surrogatectl rotate CLIENT --app-clients" in drift.detail
    before = world.snapshot()
    assert world.repaired() == [
        Outcome(drift, Result.LEFT_ALONE, "It is not repaired automatically.")
    ]
    assert world.snapshot() == before
    for _ in range(6):  # each Region in three steps
        world.app_client_rotation.advance(client_id, due_before=int(world.clock()) - 3_600)
        world.clock.advance(DAY / 24)
    assert world.found() == []


def exchange(world: ReconcileWorld, client_id: ClientId, region: str) -> None:
    pool, app_client_id = world.pools[region], world.regional(client_id, region).app_client_id
    (old,) = pool.secrets(app_client_id)
    pool.add_secret(app_client_id, "somebody else's")
    pool.delete_secret(app_client_id, old.cognito_secret_id)
    world.clock.advance(DAY)


@given(
    rotating=st.booleans(),
    adopted=st.booleans(),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 1)), max_size=6),
)
def test_secrets_are_drift_if_the_records_is_gone_or_not_alone(
    *, rotating: bool, adopted: bool, steps: list[tuple[bool, int]]
) -> None:
    world = ReconcileWorld()
    client_id = world.adopted() if adopted else world.client()
    if adopted:  # long after the app client was made
        world.change_regional(client_id, EAST, secret_since=int(world.clock()))
        world.clock.advance(DAY)
    if rotating:
        world.app_client_rotation.advance(client_id, due_before=int(world.clock()))
    regional, pool = world.regional(client_id, EAST), world.east
    for add, which in steps:
        world.clock.advance(DAY / 24)
        with suppress(AppClientsRefusedError, IndexError):
            if add:
                pool.add_secret(regional.app_client_id, f"somebody else's of {world.clock()}")
            else:
                secret = pool.secrets(regional.app_client_id)[which]
                pool.delete_secret(regional.app_client_id, secret.cognito_secret_id)
    world.clock.advance(DAY)
    values = [value for value, _ in pool.made[regional.app_client_id].secrets.values()]
    known = regional.client_secret in values
    second = regional.retiring is None and len(values) > 1
    found = [drift for drift in world.found() if drift.kind is Kind.COGNITO_SECRET]
    assert [("another secret" in each.detail, each.repairable) for each in found] == (
        [(True, False)] if not known else [(False, not adopted)] if second else []
    )


@pytest.mark.parametrize("seconds", [CLOCK_SECONDS, CLOCK_SECONDS + 1])
def test_clocks_that_differ_exchange_no_secret(world: ReconcileWorld, seconds: int) -> None:
    client_id = world.client()
    (secret,) = world.east.secrets(world.regional(client_id, EAST).app_client_id)
    world.change_regional(client_id, EAST, secret_since=secret.created_at - seconds)
    assert len(world.found()) == (seconds > CLOCK_SECONDS)


def test_a_secret_of_the_last_15_minutes_is_not_missed(world: ReconcileWorld) -> None:
    """A list may not have it yet."""
    client_id = world.client()
    regional = world.regional(client_id, EAST)
    (old,) = world.east.secrets(regional.app_client_id)
    retiring = RetiringSecret(old.cognito_secret_id, int(world.clock()))
    world.change_regional(
        client_id, EAST, secret_since=int(world.clock()), client_secret="new", retiring=retiring
    )
    assert world.found() == []
    world.clock.advance(SETTLED_SECONDS)
    (drift,) = world.found()
    assert drift.kind is Kind.COGNITO_SECRET


@pytest.mark.parametrize("make", [ReconcileWorld.client, ReconcileWorld.adopted])
def test_a_secret_that_cognito_manages_is_reported(
    world: ReconcileWorld, make: Callable[[ReconcileWorld], ClientId]
) -> None:
    client_id = make(world)
    made = world.app_client(client_id, WEST)
    made.manage(int(world.clock()))
    (drift,) = world.found()
    assert (drift.kind, drift.region, drift.repairable) == (Kind.COGNITO_SECRET, WEST, False)
    assert "every seven days" in drift.detail
    assert "docs/clients.md" in drift.detail
    assert [each.result for each in world.repaired()] == [Result.LEFT_ALONE]
    world.clock.advance(7 * DAY)
    made.manage(int(world.clock()))
    assert world.found() == [drift]
