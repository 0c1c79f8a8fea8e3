"""Token buckets that bound the requests to AWS."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.token.allowances import Allowance
from tests.fakes import FakeClock


def test_an_allowance_is_used_up_and_refills() -> None:
    clock = FakeClock()
    allowance: Allowance[str] = Allowance(3, 0.5, clock)
    assert [allowance.take("a") for _ in range(4)] == [0, 0, 0, 2]
    clock.advance(1.5)
    assert allowance.take("a") == 1
    clock.advance(0.5)
    assert [allowance.take("a") for _ in range(2)] == [0, 2]
    clock.advance(1_000)
    assert [allowance.take("a") for _ in range(4)] == [0, 0, 0, 2], "and never more than at first"


def test_a_refused_request_uses_nothing_up() -> None:
    clock = FakeClock()
    allowance: Allowance[str] = Allowance(1, 1, clock)
    assert allowance.take("a") == 0
    for _ in range(9):
        assert allowance.take("a") == 1
        clock.advance(0.1)
    clock.advance(0.1)
    assert allowance.take("a") == 0


def test_keys_have_allowances_of_their_own() -> None:
    allowance: Allowance[str] = Allowance(1, 1, FakeClock())
    assert [allowance.take(key) for key in "aabb"] == [0, 1, 0, 1]


def test_the_number_of_remembered_keys_is_bounded() -> None:
    allowance: Allowance[str] = Allowance(1, 1, FakeClock(), remembered=2)
    assert [allowance.take(key) for key in "abab"] == [0, 0, 1, 1]
    assert allowance.take("c") == 0
    assert allowance.take("a") == 0, "the least recently used one was forgotten"


def test_a_clock_set_back_costs_at_most_an_empty_bucket() -> None:
    clock = FakeClock()
    allowance: Allowance[str] = Allowance(3, 1, clock)
    for _ in range(3):
        allowance.take("a")
    clock.advance(-3600)
    assert allowance.take("a") == 1
    clock.advance(1)
    assert allowance.take("a") == 0


@given(
    at_once=st.integers(1, 60),
    per_second=st.sampled_from([0.1, 1.0, 10.0]),
    steps=st.lists(st.floats(0, 3), max_size=200),
)
def test_no_interval_has_more_requests_than_allowed(
    at_once: int, per_second: float, steps: list[float]
) -> None:
    clock = FakeClock()
    allowance: Allowance[str] = Allowance(at_once, per_second, clock)
    taken: list[float] = []
    for seconds in steps:
        clock.advance(seconds)
        wait = allowance.take("a")
        if wait:
            continue
        taken.append(clock())
        for first, at in enumerate(taken):
            assert len(taken) - first <= at_once + (clock() - at) * per_second + 0.02
