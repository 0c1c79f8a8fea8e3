"""
Re-establishes the replication from the primary Region, when that writes again.

What was promoted in the secondary Region is a secret of its own there.  It is
overwritten by a replica only where the primary provably holds its version.  What
the primary says of the replica that it once had there is not documented (it may
say that it is detached, failed, on its way, or nothing); so whatever it says, that
is forgotten first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chalicelib.clients.deletion import DeletionAndRestore
from chalicelib.errors import OperationError, StoreRefusedError, UnknownClientError
from chalicelib.http.problems import explain
from chalicelib.model import ClientId, ClientRecord, Status, Versioned
from chalicelib.ports import Pause
from chalicelib.timing import RateLimiter
from surrogatectl.regions.record_copies import Copies, SecretDescription, was_current
from surrogatectl.regions.record_restore import (
    Choices,
    Keep,
    Left,
    RecordRestorer,
    Summary,
    UnfinishedError,
    is_unfinished,
)

# A replica goes a moment after it was told to.
_FORGET_PAUSES: Final = (0.0, 0.3, 1.0, 2.0, 4.0, 8.0)
_ON_ITS_WAY: Final = frozenset({"InSync", "InProgress", "Pending"})

RELINKED: Final = "replicated_again"
BURIED: Final = "buried"
REMOVED: Final = "removed"


@dataclass(frozen=True, slots=True)
class ReplicationRepairer:
    """
    Replicates records from the primary Region again.

    *deletion* is the primary Region's; *looks* and *writes* are paces.
    """

    primary: Copies
    secondary: Copies
    deletion: DeletionAndRestore
    bring_back: RecordRestorer
    looks: RateLimiter
    writes: RateLimiter
    pause: Pause

    def one(self, client_id: ClientId, choices: Choices, summary: Summary, *, late: bool) -> None:
        """
        Replicate the record of *client_id*, unless it is replicated; note what was done.

        *late*: the primary Region writes for long.  What only the other one has is
        then not brought back by itself: it may have been deleted since.

        Raises:
            ServiceError: If a Region does not answer.
        """
        self.looks.wait()
        there = self.secondary.standing(client_id)
        if there is not None and there.replica_of is not None:
            return
        try:
            if there is not None and self._is_removed(client_id, summary):
                there = None
            if there is not None:
                self._look_again(client_id, there, choices, summary, late=late)
                there = self.secondary.standing(client_id)
            self._relink(client_id, there, choices, summary)
        except UnknownClientError:
            summary.left.append(Left(client_id, "It went away at this moment."))
        except (UnfinishedError, StoreRefusedError) as err:
            summary.left.append(Left(client_id, f"Its replication: {err}"))

    def _relink(
        self,
        client_id: ClientId,
        there: SecretDescription | None,
        choices: Choices,
        summary: Summary,
    ) -> None:
        here = self.primary.standing(client_id)
        if here is None:
            return
        if here.buried:
            self._buried(client_id, there, choices, summary)
            return
        if there is not None and not self._holds(client_id, here, there):
            summary.left.append(
                Left(client_id, "The primary Region does not have what the other one has.")
            )
            return
        found = self.primary.stored([client_id])[client_id]
        record = found.record
        if record is None or is_unfinished(record):
            return  # it is not replicated before it has ended
        if record.status is Status.DELETED:
            self._bury(Versioned(record, found.version), there, summary)
        elif there is not None or here.replica not in _ON_ITS_WAY:
            self.writes.wait()
            if here.replica is not None:
                self._forget(client_id)
            self.primary.replicate(client_id, overwrite=there is not None)
            _count(summary, RELINKED)

    def _bury(
        self, tombstone: Versioned[ClientRecord], there: SecretDescription | None, summary: Summary
    ) -> None:
        self.writes.wait()
        client_id = tombstone.value.client_id
        if there is not None:
            self.secondary.delete_now(client_id)
        try:
            left = self.deletion.finish(tombstone).left
        except UnknownClientError:
            raise
        except OperationError as err:
            raise UnfinishedError(explain(err)) from None
        if left:
            summary.left.append(Left(client_id, f"Of its deletion: {', '.join(left)}."))
        else:
            _count(summary, BURIED)

    def _look_again(
        self,
        client_id: ClientId,
        there: SecretDescription,
        choices: Choices,
        summary: Summary,
        *,
        late: bool,
    ) -> None:
        """Bring back what lists did not show before; who wrote after whom is seen as ever."""
        here = self.primary.standing(client_id)
        if here is None:
            self._stranger(client_id, choices, summary, late=late)
        elif not here.buried and here.current != there.current:
            self.bring_back.batch([client_id], choices, summary)

    def _stranger(
        self, client_id: ClientId, choices: Choices, summary: Summary, *, late: bool
    ) -> None:
        """Bring a client back that only the secondary Region knows, or say so, or let it go."""
        choice = choices.of(client_id)
        if choice is None and not late:
            choice = Keep.SECONDARY  # lists did not show it before
        if choice is Keep.SECONDARY:
            self.bring_back.batch([client_id], choices, summary)
            return
        found = self.secondary.stored([client_id]).get(client_id)
        record = found.record if found else None
        if choice is Keep.PRIMARY or (record and record.status is Status.DELETED):
            self.writes.wait()
            self.secondary.delete_now(client_id)
            _count(summary, REMOVED)
        else:
            why = "The primary Region has no record of it: --keep it, or let it go."
            summary.left.append(Left(client_id, why))

    def _is_removed(self, client_id: ClientId, summary: Summary) -> bool:
        """Remove what was left of an enrollment; return whether it was that."""
        found = self.secondary.stored([client_id]).get(client_id)
        record = found.record if found else None
        if record is None or not is_unfinished(record):
            return False
        self.writes.wait()
        self.secondary.delete_now(client_id)
        _count(summary, REMOVED)
        return True

    def _holds(
        self, client_id: ClientId, here: SecretDescription, there: SecretDescription
    ) -> bool:
        """Return whether the primary has, or had, what the other Region has."""
        if there.current is None:
            return False
        return here.current == there.current or was_current(
            self.primary.labels(client_id), there.current
        )

    def _buried(
        self,
        client_id: ClientId,
        there: SecretDescription | None,
        choices: Choices,
        summary: Summary,
    ) -> None:
        """Remove what stands alone of a client whose record is buried in the primary Region."""
        if there is None:
            return
        known = there.current is not None and was_current(
            self.primary.labels(client_id), there.current
        )
        if known or choices.of(client_id) is Keep.PRIMARY:
            self.writes.wait()
            self.secondary.delete_now(client_id)
            _count(summary, BURIED)
        else:
            summary.left.append(Left(client_id, "It is marked for deletion in the primary Region."))

    def _forget(self, client_id: ClientId) -> None:
        """
        Have the primary forget the replica that it once had.

        Raises:
            UnfinishedError: If it does not within seconds.
        """
        self.primary.unreplicate(client_id)
        for seconds in _FORGET_PAUSES:
            self.pause(seconds)
            standing = self.primary.standing(client_id)
            if standing is None or standing.replica is None:
                return
        raise UnfinishedError("the old replica is not forgotten yet; repeat.")


def _count(summary: Summary, what: str) -> None:
    summary.resolutions[what] = summary.resolutions.get(what, 0) + 1
