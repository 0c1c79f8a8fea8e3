"""Admin use cases of the primary Region over fakes, with one enrolled client."""

from __future__ import annotations

from dataclasses import dataclass, field

from chalicelib.clients.app_client_rotation import AppClientRotation
from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.changes import ClientService
from chalicelib.clients.deletion import DeletionAndRestore
from chalicelib.clients.denials import Denials
from chalicelib.clients.enrollment import Enrolled, EnrollmentRequest
from chalicelib.clients.rotation import Rotation
from chalicelib.model import AppClient, ClientId, ClientRecord
from tests.fakes import FakeDenialStore, FakeTokenEndpoint, FakeUseLog
from tests.worlds import CALLER, EAST, FRESH, STALE, WEST, EnrollmentWorld

DAY = 86_400


@dataclass
class LifecycleWorld(EnrollmentWorld):
    """Operations on a client after its enrollment."""

    logs: dict[str, FakeUseLog] = field(
        default_factory=lambda: {EAST: FakeUseLog(), WEST: FakeUseLog()}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.east.clock = self.west.clock = self.clock
        self.endpoints = {region: FakeTokenEndpoint(clock=self.clock) for region in (EAST, WEST)}
        self.app_clients = AppClientPair(self.admin, {EAST: self.east, WEST: self.west}, self.key)
        self.clients = ClientService(self.admin, self.app_clients)
        self.rotation = Rotation(self.admin, self.logs, self.hasher, self.random_bytes)
        self.deletion = DeletionAndRestore(self.admin, self.app_clients)
        self.denial_stores = {each: FakeDenialStore(clock=self.clock) for each in (EAST, WEST)}
        self.both_denials = {
            region: Denials(region, store, self.clock)
            for region, store in self.denial_stores.items()
        }
        self.denials = self.both_denials[EAST]
        self.app_client_rotation = AppClientRotation(
            self.admin, self.app_clients, self.endpoints, self.random_bytes, FRESH + STALE
        )

    def enrolled(self, scope: str = "demo/read demo/write") -> Enrolled:
        return self.enroll.enroll(
            EnrollmentRequest("billing", tuple(scope.split()), (), None, None), CALLER
        )

    def record(self, client_id: ClientId) -> ClientRecord:
        return self.store.stored[client_id].value

    def regional(self, client_id: ClientId, region: str) -> AppClient:
        regional = self.record(client_id).app_clients[region]
        assert isinstance(regional, AppClient)
        return regional

    def authenticates(self, client_id: ClientId, client_secret: str) -> bool:
        """Return whether *client_secret* is valid and not expired."""
        verified = self.hasher.verify(client_id, client_secret, self.record(client_id).secrets)
        if verified is None:
            return False
        return verified.secret.expires_at is None or verified.secret.expires_at > self.clock()
