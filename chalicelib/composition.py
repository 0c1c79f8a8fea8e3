"""
The administrators' parts, wired to AWS; for `app.py` and the command line.

Nothing is connected before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from chalicelib.aws.client_records import ClientSecrets
from chalicelib.aws.cognito_app_clients import PoolAppClients
from chalicelib.aws.connections import Connections
from chalicelib.aws.jwks_fetch import PoolKeys
from chalicelib.aws.jwks_secret import KeySetSecret
from chalicelib.aws.region_state import DeploymentKeySecret, StateSecret
from chalicelib.aws.token_endpoint import CognitoTokenEndpoint
from chalicelib.clients.app_client_rotation import AppClientRotation
from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.deletion import DeletionAndRestore
from chalicelib.clients.denials import Denials
from chalicelib.clients.repository import ClientRepository
from chalicelib.credentials import RandomBytes
from chalicelib.http.problems import explain
from chalicelib.jwks.refresh import KeyRefresh
from chalicelib.ports import Clock, Pause, at_once
from chalicelib.reconciliation.repair import REPAIRS_PER_SECOND, Reconciler
from chalicelib.reconciliation.survey import Survey
from chalicelib.settings import RegionSettings, Settings
from chalicelib.timing import RateLimiter


@dataclass(frozen=True)
class AdminParts:
    """What administrators' operations in *settings*' own Region are made of."""

    settings: Settings
    here: Connections
    there: Connections
    clock: Clock
    pause: Pause
    random_bytes: RandomBytes = field(repr=False)
    require_time: Callable[[], None] = at_once

    @cached_property
    def admin(self) -> ClientRepository:
        """Reads and changes records."""
        own, other = self.settings.own, self.settings.other
        return ClientRepository(
            region=own.name,
            other_region=other.name,
            state=self._state(self.here),
            other_state=self._state(self.there),
            records=self._records(self.here, self.there, own, other, promotes=self._secondary),
            clock=self.clock,
            pause=self.pause,
            secondary=self._secondary,
        )

    @property
    def _secondary(self) -> bool:
        """Whether this is the secondary Region, which writes only while it stands alone."""
        return self.settings.own == self.settings.secondary

    @cached_property
    def app_clients(self) -> AppClientPair:
        """Makes, aligns and removes app clients."""
        own, other = self.settings.own, self.settings.other
        pools = {
            own.name: self._pool(own, self.here),
            other.name: self._pool(other, self.there),
        }
        key = DeploymentKeySecret(self.here.admin_secrets, self.settings.secret_prefix)
        return AppClientPair(self.admin, pools, key)

    @cached_property
    def endpoints(self) -> dict[str, CognitoTokenEndpoint]:
        """Both Regions' token endpoints."""
        return {
            region.name: CognitoTokenEndpoint(region.token_endpoint, self.clock)
            for region in (self.settings.own, self.settings.other)
        }

    @cached_property
    def app_client_rotation(self) -> AppClientRotation:
        """Rotates the real Cognito secrets."""
        wait_seconds = self.settings.fresh_seconds + self.settings.stale_seconds
        return AppClientRotation(
            self.admin,
            self.app_clients,
            self.endpoints,
            self.random_bytes,
            wait_seconds,
            self.require_time,
        )

    @cached_property
    def deletion(self) -> DeletionAndRestore:
        """Deletes and restores clients."""
        return DeletionAndRestore(self.admin, self.app_clients)

    @cached_property
    def key_refresh(self) -> KeyRefresh:
        """Refreshes the snapshot of both pools' keys."""
        own = self.settings.own
        return KeyRefresh(
            KeySetSecret(
                self.here.admin_secrets, own.name, self.settings.secret_prefix, self.random_bytes
            ),
            {
                region.issuer: PoolKeys(region.jwks_url, self.clock).fetch
                for region in (own, self.settings.other)
            },
            self.clock,
        )

    @cached_property
    def survey(self) -> Survey:
        """Looks for drift."""
        other_records = self._records(self.there, self.here, self.settings.other, self.settings.own)
        return Survey(self.admin, self.app_clients, self.admin.other_state, other_records)

    @cached_property
    def reconcile(self) -> Reconciler:
        """Looks for drift and repairs it."""
        own, other = self.settings.own, self.settings.other
        denials = {
            own.name: Denials(own.name, self.admin.state),
            other.name: Denials(other.name, self.admin.other_state),
        }
        pace = RateLimiter(REPAIRS_PER_SECOND, self.clock, self.pause)
        return Reconciler(self.survey, self.deletion, denials, pace, explain)

    def _state(self, connections: Connections) -> StateSecret:
        prefix = self.settings.secret_prefix
        return StateSecret(connections.admin_secrets, prefix, self.random_bytes)

    def _records(
        self,
        here: Connections,
        there: Connections,
        own: RegionSettings,
        other: RegionSettings,
        *,
        promotes: bool = False,
    ) -> ClientSecrets:
        return ClientSecrets(
            here.admin_secrets,
            there.admin_secrets,
            other.name,
            self.settings.secret_prefix,
            self.random_bytes,
            promotes,
            own.kms_key_id,
            other.kms_key_id,
        )

    def _pool(self, region: RegionSettings, connections: Connections) -> PoolAppClients:
        return PoolAppClients(
            connections.admin_cognito,
            connections.admin_cognito_once,
            region.user_pool_id,
            self.settings.secret_prefix,
            self.settings.access_token_seconds,
        )
