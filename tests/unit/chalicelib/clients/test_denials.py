from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib import record_json
from chalicelib.clients.denials import MAX_DENIED, Denials
from chalicelib.errors import OperationError, StoreUnavailableError, VersionConflictError
from chalicelib.model import ClientId, RegionState
from tests.fakes import FakeStateStore
from tests.problems import as_problem
from tests.worlds import EAST


def ids(count: int, start: int = 0) -> list[ClientId]:
    return [ClientId(f"sgc_{number:026d}") for number in range(start, start + count)]


@pytest.fixture
def state() -> FakeStateStore:
    return FakeStateStore.of(RegionState(writer=False, took_over=True))


@pytest.fixture
def denials(state: FakeStateStore) -> Denials:
    return Denials(EAST, state)


def test_a_region_that_does_not_write_denies_too(denials: Denials) -> None:
    assert denials.change(ids(2), []) == frozenset(ids(2))
    assert denials.list() == frozenset(ids(2))


def test_many_clients_are_denied_in_one_write(denials: Denials, state: FakeStateStore) -> None:
    denials.change(ids(100), [])
    assert state.calls.count("replace") == 1


def test_allowing_removes_the_denial_only(denials: Denials, state: FakeStateStore) -> None:
    denials.change(ids(3), [])
    assert denials.change([], ids(1)) == frozenset(ids(2, 1))
    assert state.stored is not None
    assert state.stored.value.took_over
    assert not state.stored.value.writer


def test_a_client_both_denied_and_allowed_is_denied(denials: Denials) -> None:
    assert denials.change(ids(1), ids(1)) == frozenset(ids(1))


def test_a_repeat_writes_nothing(denials: Denials, state: FakeStateStore) -> None:
    denials.change(ids(1), [])
    denials.change(ids(1), [])
    assert state.calls.count("replace") == 1


def test_a_full_list_is_an_error_that_changes_nothing_and_names_the_fallback(
    denials: Denials,
) -> None:
    denials.change(ids(MAX_DENIED), [])
    with pytest.raises(OperationError) as refused:
        denials.change(ids(1, MAX_DENIED), [])
    assert as_problem(refused.value).slug == "denials-full"
    assert "disable" in as_problem(refused.value).detail
    assert denials.list() == frozenset(ids(MAX_DENIED))
    denials.change([], ids(1))
    denials.change(ids(1, MAX_DENIED), [])


def test_a_full_list_fits_secrets_managers_limit(denials: Denials, state: FakeStateStore) -> None:
    """Tested with IDs of the maximum length."""
    denials.change([ClientId(f"{number:040d}") for number in range(MAX_DENIED)], [])
    assert state.stored is not None
    assert len(record_json.state_to_json(state.stored.value)) <= 65_536


def test_allowed_entries_count_against_the_limit_after_a_takeover(
    denials: Denials, state: FakeStateStore
) -> None:
    alone = RegionState(writer=True, took_over=True, denied=frozenset())
    state.stored = FakeStateStore.of(alone).stored
    longest = [ClientId(f"{number:040d}") for number in range(MAX_DENIED + 100)]
    denials.change([], longest[MAX_DENIED:])
    with pytest.raises(OperationError) as refused:
        denials.change(longest[:MAX_DENIED], [])
    assert as_problem(refused.value).slug == "denials-full"
    assert denials.list() == frozenset()


def test_a_full_list_can_always_be_shortened(denials: Denials, state: FakeStateStore) -> None:
    too_many = RegionState(writer=True, took_over=False, denied=frozenset(ids(MAX_DENIED + 10)))
    state.stored = FakeStateStore.of(too_many).stored
    assert len(denials.change([], ids(1))) == MAX_DENIED + 9


def test_two_operators_at_once_both_get_their_denial(
    denials: Denials, state: FakeStateStore
) -> None:
    def somebody_denies_another() -> None:
        del state.meanwhile["replace"]
        found = state.read()
        denied = found.value.denied | frozenset(ids(1, 50))
        state.replace(replace(found.value, denied=denied), found.version)

    state.meanwhile["replace"] = somebody_denies_another
    assert denials.change(ids(1), []) == frozenset([*ids(1), *ids(1, 50)])


def test_repeated_conflicts_end_in_a_conflict(denials: Denials, state: FakeStateStore) -> None:
    state.failures["replace"] = [VersionConflictError() for _ in range(20)]
    with pytest.raises(OperationError) as refused:
        denials.change(ids(1), [])
    assert as_problem(refused.value).slug == "conflict"


def test_a_state_that_cannot_be_read_names_the_region(
    denials: Denials, state: FakeStateStore
) -> None:
    state.failures["read"] = [StoreUnavailableError()]
    with pytest.raises(OperationError) as refused:
        denials.change(ids(1), [])
    assert as_problem(refused.value).status == 503
    assert EAST in as_problem(refused.value).detail
