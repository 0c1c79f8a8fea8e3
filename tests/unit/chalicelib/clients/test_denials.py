from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import record_json
from chalicelib.clients.denials import ALLOWED_KEPT_DAYS, MAX_CHANGED, Denials
from chalicelib.denial_shards import (
    DAY,
    DOUBT_SECONDS,
    SHARDS,
    WRITES_A_DAY,
    denied_in,
    differing,
    home,
    settle,
)
from chalicelib.errors import OperationError, StoreUnavailableError, VersionConflictError
from chalicelib.model import ClientId, DenialShard, VersionId, Word
from tests.fakes import FakeClock, FakeDenialStore, use_up
from tests.problems import as_problem
from tests.worlds import EAST, WEST


def ids(count: int, start: int = 0) -> list[ClientId]:
    return [ClientId(f"sgc_{number:026d}") for number in range(start, start + count)]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> FakeDenialStore:
    return FakeDenialStore(clock=clock)


@pytest.fixture
def denials(store: FakeDenialStore, clock: FakeClock) -> Denials:
    return Denials(EAST, store, clock)


@pytest.fixture
def elsewhere(clock: FakeClock) -> Denials:
    return Denials(WEST, FakeDenialStore(clock=clock), clock)


def merge(one: Denials, other: Denials) -> frozenset[ClientId]:
    """Bring the lists together, as failback does; return who was in doubt."""
    own, others = one.words(), other.words()
    counts, doubtful = settle(own, others)
    one.adopt(differing(own, counts))
    other.adopt(differing(others, counts))
    assert one.list() == other.list()
    return doubtful


def test_denied_clients_are_listed(denials: Denials) -> None:
    assert denials.change(ids(2), []) == frozenset(ids(2))
    assert denials.list() == frozenset(ids(2))


def test_many_clients_are_denied_with_one_write_of_each_shard(
    denials: Denials, store: FakeDenialStore
) -> None:
    denials.change(ids(MAX_CHANGED), [])
    assert store.calls.count("replace") == SHARDS
    assert denials.list() == frozenset(ids(MAX_CHANGED))


def test_allowing_removes_the_denial_only(denials: Denials) -> None:
    denials.change(ids(3), [])
    assert denials.change([], ids(1)) == frozenset(ids(2, 1))


def test_a_client_both_denied_and_allowed_is_denied(denials: Denials) -> None:
    assert denials.change(ids(1), ids(1)) == frozenset(ids(1))


def test_a_later_call_counts_even_within_the_same_second(denials: Denials) -> None:
    for _ in range(3):
        assert denials.change(ids(1), []) == frozenset(ids(1))
        assert denials.change([], ids(1)) == frozenset()


def test_hundreds_of_single_denials_are_all_in_force(denials: Denials, clock: FakeClock) -> None:
    for client_id in ids(300):
        denials.change([client_id], [])
        clock.advance(1)
    assert denials.list() == frozenset(ids(300))


def test_one_client_is_denied_and_allowed_hundreds_of_times_in_a_day(
    denials: Denials, store: FakeDenialStore, clock: FakeClock
) -> None:
    (client_id,) = ids(1)
    for _ in range(250):
        assert denials.change([client_id], []) == {client_id}
        assert denials.change([], [client_id]) == frozenset()
        clock.advance(1)
    assert store.shards[home(client_id)].value.overflow


class Contended(FakeDenialStore):
    """Every second write loses to another one, which costs a version."""

    def replace(self, number: int, shard: DenialShard, read: VersionId) -> VersionId:
        self.contended = not getattr(self, "contended", False)
        if self.contended:
            found = self.shards[number]
            super().replace(number, found.value, found.version)
        return super().replace(number, shard, read)


def test_a_storm_of_denials_of_one_shard_is_in_force(clock: FakeClock) -> None:
    """Lost compare-and-swaps use versions up that no shard has counted."""
    store = Contended(clock=clock)
    denials = Denials(EAST, store, clock)
    clients = [each for each in ids(4_000) if home(each) == 3][:150]
    for client_id in clients:
        denials.change([client_id], [])
    assert denials.list() == frozenset(clients)
    assert len(store.shards[3].value.written) < WRITES_A_DAY
    assert store.shards[3].value.overflow


def test_the_list_is_the_same_days_after_a_shard_was_full(
    denials: Denials, clock: FakeClock
) -> None:
    (client_id,) = ids(1)
    for _ in range(WRITES_A_DAY):
        denials.change([client_id], [])
    assert denials.change([], [client_id]) == frozenset()
    clock.advance(2 * DAY)
    assert denials.list() == frozenset()
    assert denials.change([client_id], []) == {client_id}
    clock.advance(2 * DAY)
    assert denials.change([], [client_id]) == frozenset()


def test_a_full_list_is_an_error_that_says_when_it_ends(
    denials: Denials, store: FakeDenialStore, clock: FakeClock
) -> None:
    denials.change(ids(2), [])
    use_up(store)
    clock.advance(600)
    with pytest.raises(OperationError) as refused:
        denials.change(ids(1, 7), [])
    problem = as_problem(refused.value)
    assert problem.slug == "denials-full"
    assert "surrogatectl disable" in problem.detail
    assert problem.extensions["until"] == int(clock()) - 600 + DAY
    assert denials.list() == frozenset(ids(2))
    clock.advance(DAY)
    assert denials.change(ids(1, 7), []) == frozenset([*ids(2), *ids(1, 7)])


def test_every_shard_fits_secrets_managers_limit(denials: Denials, store: FakeDenialStore) -> None:
    """Tested with IDs of the maximum length, up to a list that is full."""
    longest = [ClientId(f"{number:040d}") for number in range(20_000)]

    def deny_all() -> None:
        for start in range(0, len(longest), MAX_CHANGED):
            denials.change(longest[start : start + MAX_CHANGED], [])

    with pytest.raises(OperationError) as refused:
        deny_all()
    assert as_problem(refused.value).slug == "denials-full"
    assert len(denials.list()) > 10_000
    for found in store.shards.values():
        assert len(record_json.denials_to_json(found.value)) <= 65_536
    assert denials.fullest() < WRITES_A_DAY


def test_two_operators_at_once_both_get_their_denial(
    denials: Denials, store: FakeDenialStore, clock: FakeClock
) -> None:
    first = ids(1)
    second = [next(each for each in ids(500, 1) if home(each) == home(first[0]))]

    def somebody_denies_another() -> None:
        del store.meanwhile["replace"]
        Denials(EAST, store, clock).change(second, [])

    store.meanwhile["replace"] = somebody_denies_another
    assert denials.change(first, []) == frozenset([*first, *second])


def test_repeated_conflicts_end_in_a_conflict(denials: Denials, store: FakeDenialStore) -> None:
    store.failures["replace"] = [VersionConflictError() for _ in range(20)]
    with pytest.raises(OperationError) as refused:
        denials.change(ids(1), [])
    assert as_problem(refused.value).slug == "conflict"


@pytest.mark.parametrize("ask", [lambda it: it.change(ids(1), []), lambda it: it.list()])
def test_denials_that_cannot_be_read_name_the_region(
    denials: Denials, store: FakeDenialStore, ask: Callable[[Denials], object]
) -> None:
    store.failures["read"] = [StoreUnavailableError()]
    store.failures["read_all"] = [StoreUnavailableError()]
    with pytest.raises(OperationError) as refused:
        ask(denials)
    assert as_problem(refused.value).status == 503
    assert EAST in as_problem(refused.value).detail


def test_old_allowances_are_forgotten_and_denials_are_not(
    denials: Denials, store: FakeDenialStore, clock: FakeClock
) -> None:
    denials.change(ids(40), ids(40, 40))
    clock.advance(ALLOWED_KEPT_DAYS * DAY + 1)
    denials.change(ids(100, 100), [])
    known = {each for found in store.shards.values() for each in found.value.words}
    assert known == {*ids(40), *ids(100, 100)}


def test_a_forgotten_allowance_brings_no_older_denial_back(
    denials: Denials, clock: FakeClock
) -> None:
    """The denial is in the next shard, as its client's home was full that day."""
    (client_id,) = ids(1)
    for _ in range(WRITES_A_DAY + 1):
        denials.change([client_id], [])
    clock.advance(2 * DAY)
    assert denials.change([], [client_id]) == frozenset()
    clock.advance((ALLOWED_KEPT_DAYS + 1) * DAY)
    denials.change(ids(200, 100), [])
    assert client_id not in denials.list()


# Two Regions


def test_a_denial_told_to_one_region_survives_an_older_allowance_of_the_other(
    denials: Denials, elsewhere: Denials, clock: FakeClock
) -> None:
    denials.change(ids(1), [])
    clock.advance(60)
    elsewhere.change([], ids(1))
    clock.advance(60)
    denials.change(ids(1), [])
    assert merge(denials, elsewhere) == frozenset()
    assert denials.list() == frozenset(ids(1))


def test_an_allowance_told_to_one_region_survives_an_older_denial_of_the_other(
    denials: Denials, elsewhere: Denials, clock: FakeClock
) -> None:
    for each in (denials, elsewhere):
        each.change(ids(1), [])
    clock.advance(60)
    denials.change([], ids(1))
    assert merge(denials, elsewhere) == frozenset()
    assert denials.list() == frozenset()


@pytest.mark.parametrize("apart", [0, 1, DOUBT_SECONDS])
def test_contrary_words_of_the_same_time_deny_and_are_told(
    denials: Denials, elsewhere: Denials, clock: FakeClock, apart: int
) -> None:
    denials.change(ids(1), [])
    clock.advance(apart)
    elsewhere.change([], ids(1))
    assert merge(denials, elsewhere) == frozenset(ids(1))
    assert denials.list() == frozenset(ids(1))
    assert merge(denials, elsewhere) == frozenset()


said = st.lists(
    st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from(("here", "there", "both"))),
    max_size=30,
)


@given(said)
def test_the_last_word_counts_wherever_it_was_said(
    words: list[tuple[int, bool, str]],
) -> None:
    clock = FakeClock()
    sides = {
        "here": Denials(EAST, FakeDenialStore(clock=clock), clock),
        "there": Denials(WEST, FakeDenialStore(clock=clock), clock),
    }
    last: set[ClientId] = set()
    for number, deny, where in words:
        (client_id,) = ids(1, number)
        clock.advance(DOUBT_SECONDS + 1)
        for name in sides if where == "both" else (where,):
            sides[name].change([client_id] if deny else [], [] if deny else [client_id])
        (last.add if deny else last.discard)(client_id)
    assert merge(sides["here"], sides["there"]) == frozenset()
    assert sides["here"].list() == last


@given(
    st.dictionaries(st.sampled_from(ids(4)), st.builds(Word, st.booleans(), st.integers(0, 40))),
    st.dictionaries(st.sampled_from(ids(4)), st.builds(Word, st.booleans(), st.integers(0, 40))),
)
def test_settling_is_symmetric_and_ends(
    one: dict[ClientId, Word], two: dict[ClientId, Word]
) -> None:
    counts, doubtful = settle(one, two)
    assert settle(two, one) == (counts, doubtful)
    assert doubtful <= denied_in(counts)
    assert settle(counts, counts) == (counts, frozenset())
