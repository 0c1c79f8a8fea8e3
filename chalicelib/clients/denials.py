"""
Denials: this Region's own list of clients that get no token, whatever their record says.

The list is in the Region's state, which is not replicated, so it can be
written when the other Region is gone.  It is in force within the freshness of
the state, and does not revoke tokens that were issued before.
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
"""How many denials a Region's state holds, however long their IDs are."""

_MAX_CHARACTERS: Final = 65_536  # Secrets Manager's limit

ClientIds = frozenset[ClientId]


@dataclass(frozen=True, slots=True)
class Denials:
    """Changes and shows the denials of *region*."""

    region: str
    state: StateStore

    def list(self) -> ClientIds:
        """
        Return who is denied.

        Raises:
            ServiceError: If the Region's state cannot be read.
        """
        with concerning(self.region):
            return self.state.read().value.denied

    def change(self, deny: Collection[ClientId], allow: Collection[ClientId]) -> ClientIds:
        """
        Deny *deny* and take the denial of *allow* away, all or nothing; return who is denied now.

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

    A Region that stands alone notes whom it allowed: the other one may deny
    them, and failback must not bring that back.
    """
    noted = state.allowed | (allow - deny) if state.took_over else state.allowed
    return replace(state, denied=(state.denied - allow) | deny, allowed=noted - deny)


def is_full(state: RegionState) -> bool:
    """Return whether *state* is longer than Secrets Manager takes, or we allow."""
    return len(state.denied) > MAX_DENIED or len(state_to_json(state)) > _MAX_CHARACTERS
