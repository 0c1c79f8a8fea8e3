"""Circuit breaker, rate limiter, retries."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.timing import CircuitBreaker, RateLimiter, polling, retrying
from tests.fakes import FakeClock


def test_a_circuit_breaker_is_open_for_its_time_after_a_failure() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock, 2)
    assert breaker.closed
    breaker.trip()
    assert not breaker.closed
    clock.advance(1.9)
    assert not breaker.closed
    clock.advance(0.1)
    assert breaker.closed


def test_a_reset_circuit_breaker_is_closed() -> None:
    breaker = CircuitBreaker(FakeClock(), 2)
    breaker.trip()
    breaker.reset()
    assert breaker.closed


@given(st.floats(-1e6, -0.001))
def test_a_clock_set_back_keeps_no_circuit_breaker_open(seconds: float) -> None:
    clock = FakeClock(0)
    breaker = CircuitBreaker(clock, 2)
    breaker.trip()
    clock.advance(seconds)
    assert breaker.closed


@given(st.lists(st.floats(0, 3), max_size=30))
def test_a_rate_limiter_spaces_calls(work: list[float]) -> None:
    clock = FakeClock(0)
    limiter = RateLimiter(2.0, clock, clock.advance)
    starts = []
    for seconds in work:
        limiter.wait()
        starts.append(clock())
        clock.advance(seconds)
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(gap >= 0.499 for gap in gaps)


class Flaky:
    """Function that fails *times* times."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise ConnectionError(self.calls)
        return "done"


@given(st.integers(0, 6), st.lists(st.floats(0, 9), max_size=5))
def test_a_call_is_repeated_once_after_each_pause(times: int, pauses: list[float]) -> None:
    call, paused = Flaky(times), list[float]()

    def attempt() -> str:
        return retrying(call, on=ConnectionError, pauses=pauses, pause=paused.append)

    if times <= len(pauses):
        assert attempt() == "done"
        assert paused == pauses[:times]
    else:
        with pytest.raises(ConnectionError, match=str(len(pauses) + 1)):
            attempt()
        assert paused == pauses
    assert call.calls == min(times, len(pauses)) + 1


def test_another_error_is_not_retried() -> None:
    call = Flaky(1)
    with pytest.raises(ConnectionError):
        retrying(call, on=ValueError)
    assert call.calls == 1


@given(st.integers(1, 9))
def test_polling_ends_with_the_first_acceptable_result_or_the_last(wanted: int) -> None:
    seen, paused = iter(range(1, 10)), list[float]()
    found = polling(
        lambda: next(seen), until=lambda n: n >= wanted, pauses=(1, 2, 3), pause=paused.append
    )
    assert found == min(wanted, 4)
    assert paused == [1, 2, 3][: found - 1]
