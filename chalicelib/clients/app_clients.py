"""
App client pair of a client: one app client in each Region's user pool.

If Cognito in the other Region does not answer, its app client stays *pending* and the
operation continues.  If Cognito in this Region does not answer, the operation fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from chalicelib.clients.errors import (
    ConcurrentChangeError,
    PreconditionFailedError,
    UnknownScopeError,
)
from chalicelib.clients.repository import (
    ClientRepository,
)
from chalicelib.credentials import app_client_mac
from chalicelib.errors import (
    AppClientsThrottledError,
    AppClientsUnreachableError,
    OperationError,
    OutcomeUnknownError,
    ServiceError,
    concerning,
)
from chalicelib.model import AppClient, AppClientId, ClientRecord, Origin, Pending, Versioned
from chalicelib.ports import AppClients, DeploymentKeyReader
from chalicelib.timing import retrying


def unchanged(record: ClientRecord) -> ClientRecord:
    """Return *record* unchanged."""
    return record


@dataclass(frozen=True, slots=True)
class AppClientPair:
    """Makes, aligns and deletes app clients; *pools* maps both Regions' names to theirs."""

    repository: ClientRepository
    pools: Mapping[str, AppClients]
    deployment_key: DeploymentKeyReader

    @property
    def regions(self) -> tuple[str, str]:
        """Names of both Regions, this one first."""
        return self.repository.region, self.repository.other_region

    def key(self) -> bytes:
        """
        Return the deployment key.

        Raises:
            ServiceError: If it cannot be read.
        """
        with concerning(self.repository.region):
            return self.deployment_key.read()

    def require_known_scopes(self, scopes: tuple[str, ...]) -> None:
        """
        Make sure that both pools define *scopes*; skip the other Region's if unavailable.

        Raises:
            UnknownScopeError: If one does not.
            ServiceError: If this Region's pool cannot be read.
        """
        for region in self.regions:
            with concerning(region):
                try:
                    unknown = self.pools[region].unknown_scopes(scopes)
                except (AppClientsUnreachableError, AppClientsThrottledError):
                    if region == self.repository.region:
                        raise
                    continue  # its app client will be pending
            if unknown:
                raise UnknownScopeError(region, unknown)

    def make(
        self, region: str, record: ClientRecord, key: bytes, made: dict[str, AppClientId]
    ) -> AppClient | Pending:
        """
        Make the app client of *record* in *region*, and note it in *made* for `undo`.

        Raises:
            ServiceError: If it cannot be made, and must not stay pending.
        """
        now = int(self.repository.clock())
        with concerning(region):
            try:
                app_client_id, secret = self.pools[region].create(record.client_id, record.scopes)
            except AppClientsUnreachableError as err:
                if region == self.repository.region:
                    raise err.leaving([f"perhaps an app client in {region}"]) from None
                return Pending(now, f"Cognito in {region} did not answer")
        made[region] = app_client_id
        mac = app_client_mac(key, record.client_id, app_client_id)
        return AppClient(self.pools[region].user_pool_id, app_client_id, secret, mac, now)

    def renew(
        self,
        found: Versioned[ClientRecord],
        regions: Iterable[str],
        key: bytes,
        change: Callable[[ClientRecord], ClientRecord] = unchanged,
    ) -> Versioned[ClientRecord]:
        """
        Make new app clients of *found* in *regions*, and write the record with *change*.

        A failure deletes the new app clients.

        Raises:
            ConcurrentChangeError: If somebody else changed the record meanwhile.
            OperationError: If they cannot be made, or the record cannot be written.
        """
        made: dict[str, AppClientId] = {}
        app_clients = dict(found.value.app_clients)
        try:
            for region in regions:
                app_client = self.make(region, found.value, key, made)
                if not (
                    isinstance(app_client, Pending) and isinstance(app_clients.get(region), Pending)
                ):
                    app_clients[region] = app_client
            record = change(replace(found.value, app_clients=app_clients))
            return self.repository.update(record.client_id, found.version, lambda _: record)
        except OutcomeUnknownError:
            raise  # the record may have been written: undo nothing
        except PreconditionFailedError:
            raise ConcurrentChangeError().leaving(self.undo(made)) from None
        except OperationError as err:
            raise err.leaving(self.undo(made)) from None

    def align(
        self,
        found: Versioned[ClientRecord],
        regions: Collection[str],
        *,
        keep_more: bool = False,
    ) -> None:
        """
        Set the scopes of *found*'s app clients in *regions* to those that the record grants.

        With *keep_more* they keep further scopes.  Somebody else may change the record
        meanwhile, and the last writer must not leave the app clients with less than it
        grants.  So this repeats until the record is unchanged.

        Raises:
            OperationError: If Cognito does not do it, or the record cannot be written.
        """

        def attempt() -> None:
            nonlocal found
            aligned = self._aligned(found.value, regions, keep_more=keep_more)
            try:
                self.repository.update(
                    aligned.client_id, found.version, partial(_replaced, aligned)
                )
            except PreconditionFailedError:
                found = self.repository.find(aligned.client_id)
                raise

        try:
            retrying(attempt, on=PreconditionFailedError)
        except PreconditionFailedError:
            raise ConcurrentChangeError from None

    def _aligned(
        self, record: ClientRecord, regions: Collection[str], *, keep_more: bool
    ) -> ClientRecord:
        """Align the app clients of *record*; return it without *outdated* in *regions*."""
        adopted, app_clients = record.origin is Origin.ADOPTED, dict(record.app_clients)
        for region in regions:
            app_client, pool = app_clients.get(region), self.pools[region]
            if not isinstance(app_client, AppClient):
                continue
            with concerning(region):
                view = pool.describe(app_client.app_client_id)
                more = view.scopes.difference(record.scopes) if keep_more else ()
                scopes = (*record.scopes, *sorted(more))
                if not pool.aligned(view, scopes, adopted=adopted):
                    pool.align(app_client.app_client_id, scopes, adopted=adopted)
            app_clients[region] = replace(app_client, outdated=None)
        return replace(record, app_clients=app_clients)

    def undo(self, made: Mapping[str, AppClientId]) -> list[str]:
        """Delete the app clients *made*; return those that could not be deleted, in words."""
        left = []
        for region, app_client_id in made.items():
            try:
                self.pools[region].delete(app_client_id)
            except ServiceError:
                left.append(f"an app client in {region}")
        return left


def _replaced(record: ClientRecord, _: ClientRecord) -> ClientRecord:
    return record
