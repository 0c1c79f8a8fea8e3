"""
Deletion, and restoring what was deleted.

The steps are ordered so that the record, a tombstone by then, tells what is
left to do until all of it is done:

1. the record becomes `deleted`: from now on it authenticates nobody;
2. the app clients go (adopted ones stay: they are their owner's);
3. the record forgets them;
4. the replica goes, then the secret itself, after its recovery window.

With the other Region out of reach, its app client and the tombstone stay;
`reconcile` goes on from there.  Where the secondary Region writes, the tombstone
stays until failback.

Restoring makes new app clients even where a tombstone still refers to one: it
may be being deleted at this moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.errors import (
    ClientEnrollingError,
    ClientGoneError,
    ClientNotFoundError,
    ConcurrentChangeError,
    PreconditionFailedError,
)
from chalicelib.clients.repository import (
    ClientRepository,
    ClientView,
    require_live,
)
from chalicelib.errors import (
    NO_ANSWER,
    AppClientsError,
    CallTimedOutError,
    StoreRefusedError,
    UnknownClientError,
    concerning,
)
from chalicelib.model import (
    AppClient,
    ClientId,
    ClientRecord,
    Deletion,
    Origin,
    Pending,
    Status,
    Versioned,
    VersionId,
)
from chalicelib.ports import RecordStore
from chalicelib.timing import retrying

MIN_RECOVERY_DAYS: Final = 7
MAX_RECOVERY_DAYS: Final = 30

_DELETED: Final = "deleted"
# The replica goes a moment after it was told to.
_UNREPLICATION_PAUSES: Final = (0.3, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted client; *left* says, in words, what `reconcile` has yet to remove."""

    record: ClientRecord
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeletionAndRestore:
    """Deletes clients and restores them."""

    repository: ClientRepository
    app_clients: AppClientPair

    def delete(
        self, client_id: ClientId, recovery_days: int, if_match: VersionId | None = None
    ) -> Deleted:
        """
        Delete *client_id*; for *recovery_days* (7 to 30) it can be restored.

        Repeating it is safe, and goes on with what is left.

        Raises:
            OperationError: If there is no such client, or it cannot be marked.
        """
        self.repository.require_writer()
        now = int(self.repository.clock())

        def mark(record: ClientRecord) -> ClientRecord:
            if record.status is Status.DELETED:
                return record
            if record.status is Status.ENROLLING:
                raise ClientEnrollingError
            deletion = Deletion(now, record.status, recovery_days)
            return replace(record, status=Status.DELETED, deletion=deletion)

        return self.finish(self.repository.update(client_id, if_match, mark))

    def finish(self, found: Versioned[ClientRecord]) -> Deleted:
        """
        Go on with the deletion of *found*, a tombstone, as far as possible.

        Raises:
            ConcurrentChangeError: If somebody restores it at the same time.
            ServiceError: If Secrets Manager does not answer.
        """

        def attempt() -> Deleted:
            nonlocal found
            record, left = self._remove_app_clients(found.value)
            try:
                found = self.repository.update(
                    record.client_id, found.version, partial(_instead, record)
                )
                return Deleted(found.value, tuple(left or self._schedule_deletion(found)))
            except ClientNotFoundError:
                return Deleted(record, ())  # somebody else finished it
            except PreconditionFailedError:
                found = self.repository.find(record.client_id)
                if found.value.status is not Status.DELETED:
                    raise ConcurrentChangeError from None
                raise

        try:
            return retrying(attempt, on=PreconditionFailedError, pauses=(0.0, 0.0))
        except PreconditionFailedError:
            raise ConcurrentChangeError from None

    def _remove_app_clients(self, record: ClientRecord) -> tuple[ClientRecord, list[str]]:
        if record.origin is Origin.ADOPTED:
            return record, []
        left: list[str] = []
        app_clients = dict(record.app_clients)
        for region, app_client in record.app_clients.items():
            if isinstance(app_client, Pending):
                continue
            try:
                self.app_clients.pools[region].delete(app_client.app_client_id)
            except (AppClientsError, CallTimedOutError):
                left.append(f"the app client in {region}")
            else:
                app_clients[region] = Pending(int(self.repository.clock()), _DELETED)
        return replace(record, app_clients=app_clients), left

    def _schedule_deletion(self, tombstone: Versioned[ClientRecord]) -> list[str]:
        """Remove the replica and schedule the record's deletion; return what is left."""
        if self.repository.secondary:
            return []  # until failback: the other Region has to learn of the tombstone

        def attempt() -> bool:
            record, records = tombstone.value, self.repository.records
            days = record.deletion.recovery_days if record.deletion else MAX_RECOVERY_DAYS
            if records.describe(record.client_id).version != tombstone.version:
                return False
            records.unreplicate(record.client_id)
            records.schedule_deletion(record.client_id, days)
            # Secrets Manager schedules the deletion of whatever stands there.
            return records.describe(record.client_id).version == tombstone.version

        try:
            scheduled = retrying(
                attempt,
                on=StoreRefusedError,  # while the replica is still on its way out
                pauses=_UNREPLICATION_PAUSES,
                pause=self.repository.pause,
            )
        except UnknownClientError:
            return []
        except (StoreRefusedError, *NO_ANSWER):
            return ["the record and its replica"]
        if not scheduled:
            # Somebody restored it; an earlier round may have removed the replica.
            self._cancel_deletion(tombstone.value.client_id)
            raise ConcurrentChangeError
        return []

    def _cancel_deletion(self, client_id: ClientId) -> None:
        with concerning(self.repository.region):
            self.repository.records.cancel_deletion(client_id)
            self.repository.records.replicate(client_id)

    def restore(self, client_id: ClientId) -> ClientView:
        """
        Restore *client_id*, with new app clients where the old ones are gone.

        Raises:
            ClientGoneError: If it is gone for good.
            OperationError: If it is being enrolled, or its app clients cannot be made.
        """
        self.repository.require_writer()
        key = self.app_clients.key()
        with concerning(self.repository.region):
            try:
                self.repository.records.cancel_deletion(client_id)
            except UnknownClientError:
                raise ClientGoneError(client_id) from None
        found = self.repository.find(client_id)
        if is_undone(found.value):
            raise ClientGoneError(client_id)
        if found.value.status is Status.DELETED:
            found = self._revive(found, key)
        else:
            # Live already: nothing to write, unless this Region cannot know it (see `update`).
            found = self.repository.update(client_id, found.version, lambda record: record)
        require_live(found.value)
        replication = self.repository.replicate(client_id, found.version)
        return ClientView(found.value, found.version, replication)

    def _revive(self, found: Versioned[ClientRecord], key: bytes) -> Versioned[ClientRecord]:
        was = found.value.deletion.was if found.value.deletion else Status.DISABLED
        old = {
            region: app_client.app_client_id
            for region, app_client in found.value.app_clients.items()
            if isinstance(app_client, AppClient)
        }
        if found.value.origin is Origin.ADOPTED:
            kept, old = frozenset(old), {}  # deletion leaves them
        else:
            kept = frozenset()
        missing = [region for region in self.app_clients.regions if region not in kept]
        revived = self.app_clients.renew(
            found, missing, key, lambda record: replace(record, status=was, deletion=None)
        )
        self.app_clients.undo(old)  # what cannot be deleted now, `reconcile` finds
        return revived


def is_undone(record: ClientRecord) -> bool:
    """Return whether *record* is the tombstone of an enrollment that was undone."""
    return record.status is Status.DELETED and record.deletion is None


def is_done(tombstone: ClientRecord) -> bool:
    """Return whether nothing but the burial of *tombstone* is left to do."""
    return tombstone.origin is Origin.ADOPTED or not any(
        isinstance(app_client, AppClient) for app_client in tombstone.app_clients.values()
    )


def is_scheduled_but_alive(records: RecordStore, client_id: ClientId) -> bool:
    """
    Return whether a record that cannot be read is marked for deletion without being a tombstone.

    A deletion that ends just when somebody restores the client may leave that.

    Raises:
        StoreUnavailableError, StoreRefusedError
    """
    try:
        return records.describe(client_id).value.status != Status.DELETED
    except UnknownClientError:
        return False


def _instead(record: ClientRecord, _: ClientRecord) -> ClientRecord:
    return record
