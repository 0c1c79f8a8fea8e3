"""Changes of a client: name, scopes, addresses, expiry and status."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypedDict

from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.errors import ConcurrentChangeError, PreconditionFailedError
from chalicelib.clients.repository import (
    ClientRepository,
    ClientView,
    require_live,
)
from chalicelib.errors import (
    AppClientsUnreachableError,
    OperationError,
    ServiceError,
    concerning,
)
from chalicelib.model import (
    AppClient,
    ClientId,
    ClientRecord,
    ClientSummary,
    Network,
    Origin,
    Page,
    Pending,
    Status,
    Versioned,
    VersionId,
)
from chalicelib.ports import BATCH


class ClientUpdate(TypedDict, total=False):
    """New values for a record; absent members stay."""

    client_name: str
    scopes: tuple[str, ...]
    allowed_cidrs: tuple[Network, ...]
    expires_at: int | None
    status: Status


@dataclass(frozen=True, slots=True)
class ClientService:
    """Shows, lists and changes clients."""

    repository: ClientRepository
    app_clients: AppClientPair

    def show(self, client_id: ClientId) -> ClientView:
        """
        Return *client_id*.

        Raises:
            OperationError: If there is no such client, or it cannot be read.
        """
        found = self.repository.find(client_id)
        replication = self.repository.replication(client_id, found.version)
        return ClientView(found.value, found.version, replication)

    def unknown(self, client_ids: Sequence[ClientId]) -> tuple[ClientId, ...]:
        """
        Return those of *client_ids* that have no record, or one that was deleted.

        It leaves out clients whose records cannot be read (in time): no answer does not
        mean no record.
        """
        unknown: tuple[ClientId, ...] = ()
        for start in range(0, len(client_ids), BATCH):
            batch = client_ids[start : start + BATCH]
            try:
                found = self.repository.records.read_many(batch)
            except ServiceError:
                break
            unknown += tuple(each for each in batch if each not in found)
        return unknown

    def list(self, cursor: str | None, limit: int) -> Page[ClientSummary]:
        """
        Return a page of clients.

        Raises:
            InvalidCursorError: If *cursor* is not one of ours, or has expired.
            ServiceError: If Secrets Manager does not answer.
        """
        with concerning(self.repository.region):
            return self.repository.records.list(cursor, limit)

    def change(
        self, client_id: ClientId, changes: ClientUpdate, if_match: VersionId | None = None
    ) -> ClientView:
        """
        Make *changes* to *client_id*.

        Raises:
            OperationError: If it is not possible.
        """
        self.repository.require_writer()
        if "scopes" in changes:
            changed = self._change_scopes(client_id, changes, changes["scopes"], if_match)
        else:
            changed = self.repository.update(
                client_id, if_match, lambda record: _changed(record, changes)
            )
        replication = self.repository.replicate(client_id, changed.version)
        return ClientView(changed.value, changed.version, replication)

    def _change_scopes(
        self,
        client_id: ClientId,
        changes: ClientUpdate,
        scopes: tuple[str, ...],
        if_match: VersionId | None,
    ) -> Versioned[ClientRecord]:
        """
        Widen the app clients, change the record, narrow the app clients.

        So an app client always has at least the scopes of the record.  Further ones
        cannot be requested, and `reconcile` removes them.
        """
        self.app_clients.require_known_scopes(scopes)
        found = self.repository.find(client_id, if_match)
        record = _changed(found.value, changes)
        granted = set(found.value.scopes)
        both = (*found.value.scopes, *(scope for scope in scopes if scope not in granted))
        app_clients = {
            region: self._widen(region, app_client, both, record.origin)
            if len(both) > len(granted)
            else app_client
            for region, app_client in found.value.app_clients.items()
        }
        record = replace(record, app_clients=app_clients)
        try:
            changed = self.repository.update(client_id, found.version, lambda _: record)
        except PreconditionFailedError:
            if if_match is None:
                raise ConcurrentChangeError from None
            raise
        for region, app_client in app_clients.items():
            # Even without narrowing: somebody else may be narrowing at the same time.
            if isinstance(app_client, AppClient) and app_client.outdated is None:
                with suppress(OperationError):  # `reconcile` repairs it
                    self.app_clients.align(changed, [region])
        return changed

    def _widen(
        self, region: str, app_client: AppClient | Pending, scopes: tuple[str, ...], origin: Origin
    ) -> AppClient | Pending:
        if isinstance(app_client, Pending):
            return app_client
        with concerning(region):
            try:
                self.app_clients.pools[region].align(
                    app_client.app_client_id, scopes, adopted=origin is Origin.ADOPTED
                )
            except AppClientsUnreachableError:
                if region == self.repository.region:
                    raise
                since = int(self.repository.clock())
                reason = f"Cognito in {region} did not answer"
                return replace(app_client, outdated=Pending(since, reason))
        return replace(app_client, outdated=None)


def _changed(record: ClientRecord, changes: ClientUpdate) -> ClientRecord:
    require_live(record)
    return replace(record, **changes)
