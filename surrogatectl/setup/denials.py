"""
Move of a Region's denials from its state, where the first edition kept them, into the shards.

The state keeps the old list, which a function of the first edition still reads, with a
mark that it has been taken.  Such a function loses the mark when it writes the state; then
the next `surrogatectl init` takes the list again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from chalicelib.clients.denials import Denials
from chalicelib.denial_shards import SHARDS, home
from chalicelib.errors import VersionConflictError
from chalicelib.model import ClientId, DenialShard, RegionState
from chalicelib.ports import StateStore
from chalicelib.record_json import DENIALS_MOVED, first_edition_denials
from chalicelib.timing import retrying


@dataclass(frozen=True, slots=True)
class Moved:
    """How many *denied* clients were moved, and those denied again, as that was *in_doubt*."""

    denied: int
    in_doubt: tuple[ClientId, ...]


def first_shards(state: RegionState) -> list[DenialShard]:
    """Return the shards to create: with the old denials, so that none is ever not in force."""
    old = first_edition_denials(state) or {}
    return [
        DenialShard({each: word for each, word in old.items() if home(each) == number})
        for number in range(SHARDS)
    ]


def move_denials(denials: Denials, state: StateStore) -> Moved | None:
    """
    Move the denials of a Region's *state*; return `None` if there are none to move.

    An old list that denies a client which was allowed since may have been written by a
    function of the first edition later: in doubt, it is denied.

    Raises:
        DenialsFullError, ConcurrentChangeError, ServiceError: If they cannot be moved; a
            repeat is safe.
    """
    old = first_edition_denials(state.read().value)
    if old is None:
        return None
    known = denials.words()
    in_doubt = {
        each
        for each, word in old.items()
        if word.denied and each in known and not known[each].denied
    }
    denials.adopt({each: word for each, word in old.items() if each not in known})
    if in_doubt:
        denials.change(deny=in_doubt, allow=())

    def mark() -> None:
        found = state.read()
        moved = {**found.value.unknown, DENIALS_MOVED: True}
        state.replace(replace(found.value, unknown=moved), found.version)

    retrying(mark, on=VersionConflictError)
    return Moved(sum(word.denied for word in old.values()), tuple(sorted(in_doubt)))
