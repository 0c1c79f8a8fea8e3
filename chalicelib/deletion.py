"""
Deletion, and restoring what was deleted.

The steps are ordered so that the record, a tombstone by then, tells what is
left to do until all of it is done:

1. the record becomes `deleted`: from now on it authenticates nobody;
2. the app clients go (adopted ones stay: they are their owner's);
3. the record forgets them, so that restoring makes new ones;
4. the replica goes, then the secret itself, after its recovery window.

With the other Region out of reach, its app client and the tombstone stay;
`reconcile` goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from .administration import Administration, conflict, store_problems
from .errors import (
    AppClientsError,
    ProblemError,
    StoreRefusedError,
    StoreUnavailableError,
    UnknownClientError,
)
from .halves import Halves, tell_what_is_left
from .model import (
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    Deletion,
    Origin,
    Pending,
    Replication,
    Status,
    Versioned,
    VersionId,
)

MIN_RECOVERY_DAYS: Final = 7
MAX_RECOVERY_DAYS: Final = 30

_DELETED: Final = "deleted"
# The replica goes a moment after it was told to.
_BURIAL_PAUSES: Final = (0.0, 0.3, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted client; *left* says, in words, what `reconcile` has yet to remove."""

    record: ClientRecord
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored client."""

    record: ClientRecord
    version: VersionId
    replication: Replication


@dataclass(frozen=True, slots=True)
class DeletionAndRestore:
    """Deletes clients and restores them."""

    admin: Administration
    halves: Halves

    def delete(
        self, client_id: ClientId, recovery_days: int, if_match: VersionId | None = None
    ) -> Deleted:
        """
        Delete *client_id*; for *recovery_days* (7 to 30) it can be restored.

        Repeating it is safe, and goes on with what is left.

        Raises:
            ProblemError: If there is no such client, or it cannot be marked.
        """
        self.admin.require_writer()
        now = int(self.admin.clock())

        def mark(record: ClientRecord) -> ClientRecord:
            if record.status is Status.DELETED:
                return record
            if record.status is Status.ENROLLING:
                raise ProblemError(
                    409,
                    "enrolling",
                    "The client is being enrolled",
                    "Its enrolment has not finished. Repeat it, or run `surrogatectl reconcile`.",
                )
            deletion = Deletion(now, record.status, recovery_days)
            return replace(record, status=Status.DELETED, deletion=deletion)

        return self.finish(self.admin.update(client_id, if_match, mark))

    def finish(self, found: Versioned[ClientRecord]) -> Deleted:
        """
        Go on with the deletion of *found*, a tombstone, as far as possible.

        Raises:
            ProblemError: If somebody else changed it meanwhile.
        """
        record, left = self._remove_app_clients(found.value)
        record = self.admin.update(record.client_id, found.version, lambda _: record).value
        if not left:
            left = self._bury(record)
        return Deleted(record, tuple(left))

    def _remove_app_clients(self, record: ClientRecord) -> tuple[ClientRecord, list[str]]:
        if record.origin is Origin.ADOPTED:
            return record, []
        left: list[str] = []
        halves = dict(record.app_clients)
        for region, half in record.app_clients.items():
            if isinstance(half, Pending):
                continue
            try:
                self.halves.pools[region].delete(half.app_client_id)
            except AppClientsError:
                left.append(f"the app client in {region}")
            else:
                halves[region] = Pending(int(self.admin.clock()), _DELETED)
        return replace(record, app_clients=halves), left

    def _bury(self, record: ClientRecord) -> list[str]:
        days = record.deletion.recovery_days if record.deletion else MAX_RECOVERY_DAYS
        for seconds in _BURIAL_PAUSES:
            self.admin.pause(seconds)
            try:
                self.admin.records.unreplicate(record.client_id)
                self.admin.records.bury(record.client_id, days)
            except StoreRefusedError:
                continue  # the replica is still on its way out
            except UnknownClientError:
                return []
            except StoreUnavailableError:
                break
            return []
        return ["the record and its replica"]

    def restore(self, client_id: ClientId) -> Restored:
        """
        Restore *client_id*, with new app clients where the old ones are gone.

        Raises:
            ProblemError: If it is gone for good, or its app clients cannot be made.
        """
        self.admin.require_writer()
        key = self.halves.key()
        with store_problems(self.admin.region):
            try:
                self.admin.records.unbury(client_id)
            except UnknownClientError:
                raise _gone(client_id) from None
        found = self.admin.find(client_id)
        record = found.value
        if record.status is Status.DELETED:
            found = self._revive(found, key)
        replication = self.admin.replicate(client_id, found.version)
        return Restored(found.value, found.version, replication)

    def _revive(self, found: Versioned[ClientRecord], key: bytes) -> Versioned[ClientRecord]:
        record = found.value
        made: dict[str, AppClientId] = {}
        try:
            halves = dict(record.app_clients)
            for region in self.halves.regions:
                if not isinstance(halves.get(region), AppClient):
                    halves[region] = self.halves.make(region, record, key, made)
            was = record.deletion.was if record.deletion else Status.DISABLED
            revived = replace(record, status=was, deletion=None, app_clients=halves)
            return self.admin.update(record.client_id, found.version, lambda _: revived)
        except ProblemError as problem:
            if problem.slug == "outcome-unknown":
                raise  # undoing could break what was written after all
            told = conflict() if problem.slug == "changed-meanwhile" else problem
            raise tell_what_is_left(told, self.halves.undo(made)) from None


def _gone(client_id: ClientId) -> ProblemError:
    return ProblemError(
        404,
        "gone",
        "The client is gone",
        f"There is no client {client_id} that could be restored. Enrol a new one.",
        fields={"client_id": "gone"},
    )
