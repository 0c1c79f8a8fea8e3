"""
Deletion and restoring of clients.

Until the last step, the tombstone shows the steps that remain:

1. Record: set the status `deleted`; it authenticates nobody any more.
2. Cognito: delete the app clients, except adopted ones, which belong to their owner.
3. Record: remove them.
4. Secrets Manager: delete the replica, and schedule the deletion of the secret.

If the other Region does not answer, its app client and the tombstone stay, and
`reconcile` continues.  If the secondary Region writes, the tombstone stays until
failback.

`restore` makes new app clients even if the tombstone still refers to one, which
somebody may be deleting at the same time.
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
# Secrets Manager removes a replica a moment after the request.
_UNREPLICATION_PAUSES: Final = (0.3, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted client; *left* names, in words, the parts that `reconcile` has yet to delete."""

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

        A repetition is safe, and continues an unfinished deletion.

        Raises:
            OperationError: If there is no such client, or its record cannot be written.
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
        Continue the deletion of *found*, a tombstone, as far as possible.

        Raises:
            ConcurrentChangeError: If somebody restores it at the same time.
            ServiceError: If Secrets Manager does not answer.
        """

        def attempt() -> Deleted:
            nonlocal found
            record, left = self._remove_app_clients(found.value)
            try:
                found = self.repository.update(
                    record.client_id, found.version, partial(_replaced, record)
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
            return []  # kept until failback, which copies the tombstone to the other Region

        def attempt() -> bool:
            record, records = tombstone.value, self.repository.records
            days = record.deletion.recovery_days if record.deletion else MAX_RECOVERY_DAYS
            if records.describe(record.client_id).version != tombstone.version:
                return False
            records.unreplicate(record.client_id)
            records.schedule_deletion(record.client_id, days)
            # Secrets Manager schedules the deletion of any version; so check it again.
            return records.describe(record.client_id).version == tombstone.version

        try:
            scheduled = retrying(
                attempt,
                on=StoreRefusedError,  # while Secrets Manager is removing the replica
                pauses=_UNREPLICATION_PAUSES,
                pause=self.repository.pause,
            )
        except UnknownClientError:
            return []
        except (StoreRefusedError, *NO_ANSWER):
            return ["the record and its replica"]
        if not scheduled:
            # Somebody restored it; an earlier attempt may have removed the replica.
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
            # Live already: `update` writes it only in the secondary Region.
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
        self.app_clients.undo(old)  # `reconcile` deletes the remaining ones
        return revived


def is_undone(record: ClientRecord) -> bool:
    """Return whether *record* is the tombstone that older versions made of an enrollment."""
    return record.status is Status.DELETED and record.deletion is None


def is_done(tombstone: ClientRecord) -> bool:
    """Return whether *tombstone* has no app client of ours left, only its own secret."""
    return tombstone.origin is Origin.ADOPTED or not any(
        isinstance(app_client, AppClient) for app_client in tombstone.app_clients.values()
    )


def is_scheduled_but_alive(records: RecordStore, client_id: ClientId) -> bool:
    """
    Return whether a record that cannot be read is scheduled for deletion, but a live client's.

    A deletion and a restoration at the same time may leave such a record.

    Raises:
        StoreUnavailableError, StoreRefusedError
    """
    try:
        status = records.describe(client_id).value.status
    except UnknownClientError:
        return False
    return status not in {Status.DELETED, Status.ENROLLING}


def _replaced(record: ClientRecord, _: ClientRecord) -> ClientRecord:
    return record
