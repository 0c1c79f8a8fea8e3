"""
Denials: this Region's own list of clients that get no token, regardless of their records.

The list is in the Region state, which is not replicated, so it stays writable during
an outage of the other Region.  A denial takes effect within the freshness of the
state, and revokes no token that was issued before.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from chalicelib.clients.errors import ConcurrentChangeError, DenialsFullError
from chalicelib.errors import VersionConflictError, concerning
from chalicelib.model import ClientId, RegionState
from chalicelib.ports import StateStore
from chalicelib.record_json import state_to_json
from chalicelib.timing import AT_ONCE, retrying

MAX_DENIED: Final = 1_500
"""Most denials in a Region state, however long their IDs are."""

_MAX_CHARACTERS: Final = 65_536  # Secrets Manager's limit

ClientIds = frozenset[ClientId]


@dataclass(frozen=True, slots=True)
class Denials:
    """Lists and changes the denials of *region*."""

    region: str
    state: StateStore

    def list(self) -> ClientIds:
        """
        Return the denied clients.

        Raises:
            ServiceError: If the Region's state cannot be read.
        """
        with concerning(self.region):
            return self.state.read().value.denied

    def change(self, deny: Collection[ClientId], allow: Collection[ClientId]) -> ClientIds:
        """
        Add *deny* to the list and remove *allow*, all or nothing; return the new list.

        Raises:
            DenialsFullError: If the list would be too long.
            ConcurrentChangeError, ServiceError: If it cannot be written.
        """

        def attempt() -> ClientIds:
            found = self.state.read()
            state = changed(found.value, frozenset(deny), frozenset(allow))
            if state != found.value:
                longer = (state.denied - found.value.denied) | (state.allowed - found.value.allowed)
                if longer and is_full(state):
                    raise DenialsFullError(self.region, MAX_DENIED)
                self.state.replace(state, found.version)
            return state.denied

        with concerning(self.region):
            try:
                return retrying(attempt, on=VersionConflictError, pauses=(*AT_ONCE, 0.0, 0.0))
            except VersionConflictError:
                raise ConcurrentChangeError from None


def changed(state: RegionState, deny: ClientIds, allow: ClientIds) -> RegionState:
    """
    Return *state* with *deny* denied and *allow* not.

    A Region that stands alone records the clients that it allowed: the other one may
    deny them, and failback must not restore that denial.
    """
    allowed = state.allowed | (allow - deny) if state.took_over else state.allowed
    return replace(state, denied=(state.denied - allow) | deny, allowed=allowed - deny)


def is_full(state: RegionState) -> bool:
    """Return whether *state* exceeds Secrets Manager's limit, or `MAX_DENIED`."""
    return len(state.denied) > MAX_DENIED or len(state_to_json(state)) > _MAX_CHARACTERS
