"""Readiness of this Region, and its takeover."""

from __future__ import annotations

import pytest

from chalicelib.errors import (
    MalformedSecretError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
)
from chalicelib.model import RegionState
from chalicelib.token.health import CACHED_SECONDS, Readiness
from tests.fakes import FakeStateStore
from tests.worlds import ExchangeWorld

DAY = 86_400


@pytest.fixture
def world() -> ExchangeWorld:
    return ExchangeWorld()


def test_a_region_with_all_parts_answering_is_ready(world: ExchangeWorld) -> None:
    assert world.health.readiness() == Readiness(secrets_manager=True, token_endpoint=True)
    assert world.health.readiness().ready


@pytest.mark.parametrize(
    "error", [StoreUnavailableError(), StoreRefusedError(), MalformedSecretError()]
)
def test_a_region_whose_secrets_manager_does_not_answer_is_not_ready(
    world: ExchangeWorld, error: Exception
) -> None:
    world.state.failures["read"] = [error]
    readiness = world.health.readiness()
    assert readiness == Readiness(secrets_manager=False, token_endpoint=True)
    assert not readiness.ready


def test_a_region_whose_state_is_missing_is_not_ready() -> None:
    assert not ExchangeWorld(state=FakeStateStore()).health.readiness().ready


def test_a_region_whose_token_endpoint_does_not_answer_is_not_ready(world: ExchangeWorld) -> None:
    world.endpoint.up = False
    readiness = world.health.readiness()
    assert readiness == Readiness(secrets_manager=True, token_endpoint=False)
    assert not readiness.ready


def test_a_throttled_region_is_ready(world: ExchangeWorld) -> None:
    world.state.failures["read"] = [StoreThrottledError()]
    assert world.health.readiness().ready


def test_readiness_ignores_cached_values(world: ExchangeWorld) -> None:
    """Tokens may still be served from caches, but the routing must see the outage."""
    world.exchange.denials.look(world.client().client_id)
    world.state.failures["read"] = [StoreUnavailableError()]
    assert not world.health.readiness().ready


def test_frequent_probes_cause_one_check(world: ExchangeWorld) -> None:
    for _ in range(20):
        world.health.readiness()
        world.health.took_over()
    world.clock.advance(CACHED_SECONDS - 0.1)
    world.health.readiness()
    world.health.took_over()
    assert world.state.calls == ["read", "read"], "one for each of the two questions"
    assert world.endpoint.calls == ["reachable"]


def test_readiness_is_checked_again_after_the_cache_expires(world: ExchangeWorld) -> None:
    assert world.health.readiness().ready
    world.endpoint.up = False
    world.clock.advance(CACHED_SECONDS)
    assert not world.health.readiness().ready
    world.endpoint.up = True
    world.clock.advance(CACHED_SECONDS)
    assert world.health.readiness().ready


def test_readiness_requests_no_token(world: ExchangeWorld) -> None:
    world.health.readiness()
    assert not world.endpoint.requests


@pytest.mark.parametrize("took_over", [False, True])
def test_the_takeover_is_read_from_the_state(*, took_over: bool) -> None:
    state = FakeStateStore.of(RegionState(writer=not took_over, took_over=took_over))
    assert ExchangeWorld(state=state).health.took_over() is took_over


def test_a_takeover_is_seen_within_seconds_in_both_directions(world: ExchangeWorld) -> None:
    assert not world.health.took_over()
    for took_over in (True, False):
        world.update_state(took_over=took_over)
        world.clock.advance(CACHED_SECONDS)
        assert world.health.took_over() is took_over


def test_the_last_known_takeover_serves_for_a_day_during_an_outage(
    world: ExchangeWorld,
) -> None:
    world.update_state(took_over=True)
    assert world.health.took_over()
    world.state.failures["read"] = [StoreUnavailableError() for _ in range(100)]
    for _ in range(10):
        world.clock.advance(DAY / 10 - 1)
        assert world.health.took_over()
    world.clock.advance(11)
    with pytest.raises(StoreUnavailableError):  # it is not known for ever
        world.health.took_over()


UNREADABLE = pytest.mark.parametrize(
    "error",
    [StoreUnavailableError(), StoreThrottledError(), StoreRefusedError(), MalformedSecretError()],
)


@UNREADABLE
@pytest.mark.parametrize("took_over", [False, True])
def test_the_last_known_takeover_holds_however_the_state_is_unreadable(
    world: ExchangeWorld, error: Exception, *, took_over: bool
) -> None:
    world.update_state(took_over=took_over)
    assert world.health.took_over() is took_over
    world.state.failures["read"] = [error]
    world.clock.advance(CACHED_SECONDS)
    assert world.health.took_over() is took_over


@UNREADABLE
def test_a_cold_process_with_an_unreadable_state_does_not_know_of_a_takeover(
    world: ExchangeWorld, error: Exception
) -> None:
    world.update_state(took_over=True)
    world.state.failures["read"] = [error]
    with pytest.raises(StoreUnavailableError):
        world.health.took_over()
