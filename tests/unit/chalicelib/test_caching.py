"""Caches of fresh and last known values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import caching
from chalicelib.caching import MISSING_SECONDS, ExpiringCache, LastKnownCache, Reading
from chalicelib.errors import (
    MalformedSecretError,
    RecordInDoubtError,
    RecordMissingError,
    ServiceError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
    UnknownClientError,
)
from tests.fakes import FakeClock

FRESH, STALE, BACKOFF = 30, 900, 2


@dataclass
class Source:
    """Source for `LastKnownCache`: numbered values, or an error."""

    clock: FakeClock = field(default_factory=FakeClock)
    error: Exception | None = None
    takes: float = 0
    loads: list[str] = field(default_factory=list)

    def __call__(self, key: str) -> str:
        self.loads.append(key)
        self.clock.advance(self.takes)
        if self.error is not None:
            raise self.error
        return f"{key}-{len(self.loads)}"

    def known(self) -> LastKnownCache[str, str]:
        return LastKnownCache(self, fresh=FRESH, stale=STALE, clock=self.clock)


class Secret:
    """Value whose garbage collection can be observed."""

    def __init__(self, _key: str) -> None:
        """Load the value."""


def test_a_value_is_loaded_once_while_it_is_fresh() -> None:
    source = Source()
    known = source.known()
    assert [known.get("a"), known.get("a")] == ["a-1", "a-1"]
    source.clock.advance(FRESH - 0.01)
    assert known.get("a") == "a-1"
    source.clock.advance(0.01)
    assert known.get("a") == "a-2"
    assert source.loads == ["a", "a"]


def test_values_are_cached_by_key() -> None:
    known = Source().known()
    assert [known.get("a"), known.get("b"), known.get("a")] == ["a-1", "b-2", "a-1"]


def test_the_age_of_a_value_counts_from_the_request() -> None:
    source = Source(takes=3)
    known = source.known()
    known.get("a")
    source.clock.advance(FRESH - 3)
    known.get("a")
    assert len(source.loads) == 2


@pytest.mark.parametrize("error", [StoreUnavailableError(), StoreThrottledError()])
def test_the_last_known_value_serves_while_the_source_is_unavailable(error: Exception) -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.error = error
    source.clock.advance(STALE - 0.1)
    assert known.get("a") == "a-1"
    source.clock.advance(0.1)
    with pytest.raises(StoreUnavailableError):
        known.get("a")


def test_serving_the_last_known_value_does_not_lengthen_its_life() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.error = StoreUnavailableError()
    for _ in range(STALE // 50 - 1):
        source.clock.advance(50)
        assert known.get("a") == "a-1"
    source.clock.advance(50)
    with pytest.raises(StoreUnavailableError):
        known.get("a")


def test_a_recovered_source_is_used() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.error = StoreUnavailableError()
    source.clock.advance(FRESH)
    assert known.get("a") == "a-1"
    source.error = None
    source.clock.advance(BACKOFF)
    assert known.get("a") == "a-3"


@pytest.mark.parametrize("error", [MalformedSecretError(), StoreRefusedError()])
def test_the_last_known_value_does_not_serve_for_other_errors(error: ServiceError) -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.error = error
    source.clock.advance(FRESH)
    with pytest.raises(type(error)):
        known.get("a")


def test_a_deleted_value_is_absent_at_once_and_cached_as_absent() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.clock.advance(FRESH)
    source.error = UnknownClientError()
    for _ in range(3):
        with pytest.raises(UnknownClientError):
            known.get("a")
    assert len(source.loads) == 2
    source.error = StoreUnavailableError()
    source.clock.advance(FRESH)
    with pytest.raises(StoreUnavailableError):
        known.get("a")


def test_an_absent_value_is_loaded_again_after_the_fresh_seconds() -> None:
    source = Source(error=UnknownClientError())
    known = source.known()
    with pytest.raises(UnknownClientError):
        known.get("a")
    source.error = None
    with pytest.raises(UnknownClientError):
        known.get("a")
    source.clock.advance(FRESH)
    assert known.get("a") == "a-2"


def test_a_flood_of_unknown_keys_evicts_no_value() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.error = UnknownClientError()
    for number in range(2_000):
        with pytest.raises(UnknownClientError):
            known.get(f"invented-{number}")
    assert known.get("a") == "a-1"


def test_the_number_of_cached_values_is_bounded() -> None:
    source = Source()
    known = source.known()
    for number in range(caching.REMEMBERED + 1):
        known.get(str(number))
    before = len(source.loads)
    known.get("1")
    assert len(source.loads) == before
    known.get("0")
    assert len(source.loads) == before + 1, "the oldest was forgotten"


def test_an_unused_value_is_dropped_after_the_stale_seconds() -> None:
    """The record of a deleted client holds a hash, and Cognito secrets."""
    source = Source()
    known = LastKnownCache(Secret, fresh=FRESH, stale=STALE, clock=source.clock)
    gone = ref(known.get("gone"))
    source.clock.advance(STALE - 1)
    known.get("a")
    assert gone() is not None, "it may have to stand in"
    source.clock.advance(1)
    known.get("b")
    assert gone() is None


def test_an_outage_causes_no_stampede() -> None:
    source = Source(error=StoreUnavailableError())
    known = source.known()
    for second in range(20):
        for key in "abcde":
            with pytest.raises(StoreUnavailableError):
                known.get(key)
        assert len(source.loads) <= second // BACKOFF + 1
        source.clock.advance(1)


def test_without_time_to_load_only_cached_values_serve() -> None:
    source = Source()
    known = source.known()
    with pytest.raises(StoreUnavailableError):
        known.get("a", load=False)
    known.get("a")
    source.clock.advance(STALE - 1)
    assert known.get("a", load=False) == "a-1"
    source.clock.advance(1)
    with pytest.raises(StoreUnavailableError):
        known.get("a", load=False)
    assert source.loads == ["a"]


# Reading again


def test_a_reload_loads_again_however_fresh_the_value_is() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    assert known.reload("a") == "a-2"
    assert known.reload("a") == "a-3"
    assert known.get("a") == "a-3"


def test_a_reload_replaces_an_absent_value() -> None:
    source = Source(error=UnknownClientError())
    known = source.known()
    with pytest.raises(UnknownClientError):
        known.get("a")
    source.error = None
    assert known.reload("a") == "a-2"
    assert known.get("a") == "a-2"


def test_a_failed_reload_changes_nothing() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.error = StoreUnavailableError()
    with pytest.raises(StoreUnavailableError):
        known.reload("a")
    assert known.get("a") == "a-1"
    source.error = None
    with pytest.raises(StoreUnavailableError):  # the source is not called for a while
        known.reload("a")
    source.clock.advance(BACKOFF)
    assert known.reload("a") == "a-3"


def test_a_reload_of_a_deleted_value_forgets_it() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.error = UnknownClientError()
    with pytest.raises(UnknownClientError):
        known.reload("a")
    with pytest.raises(UnknownClientError):
        known.get("a")


def test_a_look_tells_whether_it_read_the_source() -> None:
    source = Source()
    known = source.known()
    assert known.look("a") == Reading("a-1", just_read=True)
    assert known.look("a") == Reading("a-1", just_read=False)
    source.clock.advance(FRESH)
    source.error = StoreUnavailableError()
    assert known.look("a") == Reading("a-1", just_read=False), "the last known one"
    source.clock.advance(BACKOFF)
    source.error = UnknownClientError()
    assert known.look("a") == Reading(None, just_read=True)
    assert known.look("a") == Reading(None, just_read=False)


# Missing values


def test_a_value_that_is_missing_for_a_moment_serves() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.clock.advance(FRESH)
    source.error = RecordMissingError()
    assert known.get("a") == "a-1"
    source.clock.advance(MISSING_SECONDS - 0.1)
    assert known.get("a") == "a-1"
    source.error = None
    assert known.get("a") == "a-4", "and is read at every look"


def test_a_value_that_stays_missing_is_absent_after_the_missing_seconds() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.clock.advance(FRESH)
    source.error = RecordMissingError()
    assert known.get("a") == "a-1"
    source.clock.advance(MISSING_SECONDS)
    for _ in range(2):
        with pytest.raises(UnknownClientError):
            known.get("a")


def test_a_missing_value_known_long_ago_is_unavailable_before_it_is_absent() -> None:
    """It may be deleted, so it does not serve; or its label is moving, so it is not unknown."""
    source = Source()
    known = source.known()
    known.get("a")
    source.clock.advance(FRESH + MISSING_SECONDS)
    source.error = RecordMissingError()
    with pytest.raises(StoreUnavailableError):
        known.get("a")
    source.clock.advance(MISSING_SECONDS)
    with pytest.raises(UnknownClientError):
        known.get("a")


def test_a_missing_value_does_not_stop_reads_of_the_others() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.error = RecordMissingError()
    with pytest.raises(RecordInDoubtError):
        known.reload("a")
    source.error = None
    assert known.get("b") == "b-3"


def test_a_missing_value_that_was_never_known_is_absent_at_once() -> None:
    known = Source(error=RecordMissingError()).known()
    with pytest.raises(UnknownClientError):
        known.get("a")


def test_a_value_found_again_may_be_missing_for_another_moment() -> None:
    source = Source()
    known = source.known()
    for error in (None, RecordMissingError(), None, RecordMissingError()):
        source.error = error
        known.get("a")
        source.clock.advance(FRESH)


# Clocks set back


def test_a_clock_set_back_makes_no_value_fresher() -> None:
    source = Source()
    known = source.known()
    known.get("a")
    source.clock.advance(-3600)
    assert known.get("a") == "a-2"


# Properties


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ok", "down", "gone", "bad", "missing"]),
            st.floats(0, STALE),
            st.sampled_from([lambda known: known.get("a"), lambda k: k.reload("a")]),
        )
    )
)
def test_no_value_is_ever_older_than_stale(
    steps: list[tuple[str, float, Callable[[LastKnownCache[str, str]], str | None]]],
) -> None:
    source = Source()
    known = source.known()
    loaded: dict[str, float] = {}
    errors = {
        "down": StoreUnavailableError(),
        "gone": UnknownClientError(),
        "missing": RecordMissingError(),
        "ok": None,
    }
    for answer, seconds, ask in steps:
        source.error = errors.get(answer, MalformedSecretError())
        source.clock.advance(seconds)
        before = len(source.loads)
        try:
            value = ask(known)
        except ServiceError:
            continue
        if value is None:
            continue
        if len(source.loads) > before and answer == "ok":
            loaded[value] = source.clock()
        assert source.clock() - loaded[value] < STALE


# Retention


def test_values_are_evicted_in_insertion_order() -> None:
    kept: ExpiringCache[str, int] = ExpiringCache(lambda _: False, remembered=2)
    for key, value in [("a", 1), ("b", 2), ("a", 3), ("c", 4)]:
        kept.put(key, value)
    assert [kept.get(key) for key in "abc"] == [3, None, 4]
    kept.drop("a")
    kept.drop("a")
    assert kept.get("a") is None


def test_an_expired_value_is_not_cached() -> None:
    kept: ExpiringCache[str, int] = ExpiringCache(lambda value: value < 0)
    kept.put("a", -1)
    assert kept.get("a") is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20)), max_size=40))
def test_the_cache_is_bounded_and_returns_only_the_keys_own_value(
    puts: list[tuple[str, int]],
) -> None:
    now = 0
    kept: ExpiringCache[str, tuple[str, int]] = ExpiringCache(
        lambda value: value[1] <= now, remembered=3
    )
    last: dict[str, tuple[str, int]] = {}
    for now, (key, end) in enumerate(puts):  # noqa: B007 - the clock of `kept`
        last[key] = (key, end)
        kept.put(key, last[key])
        found = {each: value for each in last if (value := kept.get(each)) is not None}
        assert len(found) <= 3
        assert found == {each: last[each] for each in found}
