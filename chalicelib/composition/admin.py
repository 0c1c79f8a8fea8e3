"""Wiring of the admin surface and the schedule, for the function and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from chalicelib.aws.cognito_app_clients import Connect as CognitoConnect
from chalicelib.aws.cognito_app_clients import PoolAppClients
from chalicelib.aws.connections import Connections
from chalicelib.aws.jwks_fetch import PoolKeys
from chalicelib.aws.region_state import StateSecret
from chalicelib.aws.secret_replicas import NamedReplicas
from chalicelib.aws.token_endpoint import CognitoTokenEndpoint
from chalicelib.clients.app_client_rotation import AppClientRotation
from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.deletion import DeletionAndRestore
from chalicelib.clients.denials import Denials
from chalicelib.clients.repository import ClientRepository
from chalicelib.composition.stores import (
    denial_store,
    deployment_key,
    key_set,
    own_secrets,
    record_store,
    state_store,
)
from chalicelib.credentials import RandomBytes
from chalicelib.http.problems import explain
from chalicelib.jwks.refresh import KeyRefresh
from chalicelib.ports import Clock, Pause, unlimited
from chalicelib.reconciliation.repair import REPAIRS_PER_SECOND, Reconciler
from chalicelib.reconciliation.survey import Survey
from chalicelib.settings import RegionSettings, Settings
from chalicelib.timing import RateLimiter


def app_clients_of(
    *,
    client: CognitoConnect,
    once: CognitoConnect,
    region: RegionSettings,
    settings: Settings,
) -> PoolAppClients:
    """Return the app clients of *region*'s user pool; see `PoolAppClients`."""
    return PoolAppClients(
        client=client,
        once=once,
        user_pool_id=region.user_pool_id,
        prefix=settings.secret_prefix,
        access_token_seconds=settings.access_token_seconds,
    )


@dataclass(frozen=True, kw_only=True)
class AdminParts:
    """Parts of administrators' operations in *settings*' own Region."""

    settings: Settings
    here: Connections
    there: Connections
    clock: Clock
    pause: Pause
    random_bytes: RandomBytes = field(repr=False)
    require_time: Callable[[], None] = unlimited

    @cached_property
    def repository(self) -> ClientRepository:
        """Repository of the client records."""
        return ClientRepository(
            region=self.settings.own.name,
            other_region=self.settings.other.name,
            state=self._state(self.here),
            other_state=self._state(self.there),
            records=record_store(
                self.here.admin_secrets,
                self.there.admin_secrets,
                own=self.settings.own,
                other=self.settings.other,
                settings=self.settings,
                random_bytes=self.random_bytes,
                promotes=self._secondary,
            ),
            clock=self.clock,
            pause=self.pause,
            secondary=self._secondary,
        )

    @property
    def _secondary(self) -> bool:
        """True in the secondary Region, which writes only while it stands alone."""
        return self.settings.own == self.settings.secondary

    @property
    def _connections(self) -> tuple[tuple[RegionSettings, Connections], ...]:
        return (self.settings.own, self.here), (self.settings.other, self.there)

    @cached_property
    def app_clients(self) -> AppClientPair:
        """App clients of both Regions."""
        return AppClientPair(
            repository=self.repository,
            pools={
                region.name: app_clients_of(
                    client=connections.admin_cognito,
                    once=connections.admin_cognito_once,
                    region=region,
                    settings=self.settings,
                )
                for region, connections in self._connections
            },
            deployment_key=deployment_key(self.here.admin_secrets, settings=self.settings),
        )

    @cached_property
    def app_client_rotation(self) -> AppClientRotation:
        """Rotation of the real Cognito secrets."""
        return AppClientRotation(
            repository=self.repository,
            app_clients=self.app_clients,
            endpoints=self.endpoints,
            random_bytes=self.random_bytes,
            wait_seconds=self.settings.fresh_seconds + self.settings.stale_seconds,
            require_time=self.require_time,
        )

    @cached_property
    def endpoints(self) -> dict[str, CognitoTokenEndpoint]:
        """Both Regions' token endpoints."""
        return {
            region.name: CognitoTokenEndpoint(region.token_endpoint, self.clock)
            for region, _ in self._connections
        }

    @cached_property
    def deletion(self) -> DeletionAndRestore:
        """Deletion and restoring of clients."""
        return DeletionAndRestore(repository=self.repository, app_clients=self.app_clients)

    @cached_property
    def denials(self) -> dict[str, Denials]:
        """Each Region's denials."""
        return {
            region.name: Denials(
                region=region.name,
                store=denial_store(
                    connections.admin_secrets,
                    settings=self.settings,
                    random_bytes=self.random_bytes,
                ),
                clock=self.clock,
            )
            for region, connections in self._connections
        }

    @cached_property
    def key_refresh(self) -> KeyRefresh:
        """Refresh of the snapshot of both pools' keys."""
        return KeyRefresh(
            store=key_set(
                self.here.admin_secrets,
                region=self.settings.own,
                settings=self.settings,
                random_bytes=self.random_bytes,
            ),
            issuers={
                region.issuer: PoolKeys(region.jwks_url, self.clock).fetch
                for region, _ in self._connections
            },
            clock=self.clock,
        )

    @cached_property
    def survey(self) -> Survey:
        """Survey of drift."""
        return Survey(
            repository=self.repository,
            app_clients=self.app_clients,
            other_state=self.repository.other_state,
            denials=self.denials,
            replicas=record_store(
                self.there.admin_secrets,
                self.here.admin_secrets,
                own=self.settings.other,
                other=self.settings.own,
                settings=self.settings,
                random_bytes=self.random_bytes,
            ),
            own_secrets=self.own_secrets,
        )

    @cached_property
    def own_secrets(self) -> NamedReplicas:
        """The deployment's own secrets that are replicated."""
        return own_secrets(
            self.here.admin_secrets,
            self.there.admin_secrets,
            other=self.settings.other,
            settings=self.settings,
        )

    @cached_property
    def reconcile(self) -> Reconciler:
        """Survey and repair of drift."""
        return Reconciler(
            survey=self.survey,
            deletion=self.deletion,
            limiter=RateLimiter(REPAIRS_PER_SECOND, self.clock, self.pause),
            explain=explain,
        )

    def _state(self, connections: Connections) -> StateSecret:
        return state_store(
            connections.admin_secrets, settings=self.settings, random_bytes=self.random_bytes
        )
