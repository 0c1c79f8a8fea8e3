"""`reconcile` over fakes, with clients old enough to be surveyed, and ways to break them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib import credentials
from chalicelib.errors import StoreUnavailableError
from chalicelib.http.problems import explain
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    ClientSummary,
    Deletion,
    Origin,
    Pending,
    Status,
    StoredSecret,
    Versioned,
)
from chalicelib.reconciliation.drift import Drift, Kind, Outcome
from chalicelib.reconciliation.repair import REPAIRS_PER_SECOND, Reconciler
from chalicelib.reconciliation.survey import Survey
from chalicelib.timing import RateLimiter
from tests.fakes import FakeAppClients, FakeRecordStore, FakeReplicatedSecrets
from tests.unit.chalicelib.clients.lifecycle_world import DAY, LifecycleWorld
from tests.worlds import EAST, WEST


@dataclass
class Replicas:
    """Records as read in the other Region."""

    store: FakeRecordStore
    down: bool = False
    asked: list[int] = field(default_factory=list)

    def read_many(
        self, client_ids: Sequence[ClientId]
    ) -> Mapping[ClientId, Versioned[ClientRecord] | None]:
        self.asked.append(len(client_ids))
        if self.down:
            raise StoreUnavailableError
        replicas = self.store.replicas
        return {each: replicas[each] for each in client_ids if each in replicas}


@dataclass
class ReconcileWorld(LifecycleWorld):
    """Writing Region, whose `reconcile` waits by moving the clock."""

    progress: list[tuple[int, int | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.admin = replace(self.admin, pause=self.clock.advance)
        self.app_clients = replace(self.app_clients, repository=self.admin)
        self.deletion = replace(self.deletion, repository=self.admin, app_clients=self.app_clients)
        self.replicas = Replicas(self.store)
        self.own_secrets = FakeReplicatedSecrets()
        self.survey = Survey(
            self.admin,
            self.app_clients,
            self.other_state,
            self.both_denials,
            self.replicas,
            self.own_secrets,
        )
        self.reconcile = Reconciler(
            self.survey,
            self.deletion,
            RateLimiter(REPAIRS_PER_SECOND, self.clock, self.clock.advance),
            explain,
        )

    @property
    def pools(self) -> dict[str, FakeAppClients]:
        return {EAST: self.east, WEST: self.west}

    def client(self) -> ClientId:
        """Enroll a client, and let days pass."""
        client_id = self.enrolled("demo/read").issued.client_id
        self.clock.advance(2 * DAY)
        return client_id

    def adopted(self) -> ClientId:
        """Return an adopted client, whose app clients have foreign names."""
        client_id = self.client()
        for region in self.pools:
            made = self.app_client(client_id, region)
            made.name, made.client_id = "people", None
        self.change(client_id, origin=Origin.ADOPTED)
        return client_id

    def many(self, count: int) -> list[ClientId]:
        """Store *count* clients, without the cost of enrollment."""
        return [self._stored() for _ in range(count)]

    def _stored(self) -> ClientId:
        client_id, now = credentials.new_client_id(self.random_bytes), int(self.clock())
        app_clients: dict[str, AppClient | Pending] = {}
        for region, pool in self.pools.items():
            app_client_id, secret = pool.create(client_id, ("demo/read",))
            app_clients[region] = AppClient(pool.user_pool_id, app_client_id, secret, "mac", now)
        self.store.create(
            ClientRecord(
                client_id=client_id,
                client_name="one of many",
                status=Status.ACTIVE,
                origin=Origin.ENROLLED,
                created_at=now,
                secrets=(StoredSecret(credentials.secret_id(client_id), "hash", now),),
                scopes=("demo/read",),
                app_clients=app_clients,
            )
        )
        self.store.replicate(client_id)
        return client_id

    def app_client(self, client_id: ClientId, region: str) -> Any:
        """Return the client's app client in the pool."""
        return self.pools[region].made[self.regional(client_id, region).app_client_id]

    def orphan(self, client_id: ClientId, region: str = EAST) -> AppClientId:
        """Make an app client that no record refers to, and let time pass."""
        app_client_id, _ = self.pools[region].create(client_id, ("demo/read",))
        self.clock.advance(DAY)
        return app_client_id

    def change(self, client_id: ClientId, **changes: Any) -> None:
        found = self.store.stored[client_id]
        self.store.replace(replace(found.value, **changes), found.version)

    def change_regional(self, client_id: ClientId, region: str, **changes: Any) -> None:
        self.set_regional(client_id, region, replace(self.regional(client_id, region), **changes))

    def set_regional(self, client_id: ClientId, region: str, regional: AppClient | Pending) -> None:
        app_clients = {**self.record(client_id).app_clients, region: regional}
        self.change(client_id, app_clients=app_clients)

    def snapshot(self) -> object:
        """Return all state that `reconcile` could change."""
        store, denied = self.store, {r: d.list() for r, d in self.both_denials.items()}
        made = {region: repr(pool.made) for region, pool in self.pools.items()}
        kept = (dict(store.stored), dict(store.replicas), set(store.scheduled), dict(store.shown))
        return kept, made, denied

    def found(self, *, thorough: bool = True) -> list[Drift]:
        return list(self.survey.run(self._report, thorough=thorough))

    def repaired(self) -> list[Outcome]:
        return list(self.reconcile.run(self._report))

    def _report(self, done: int, total: int | None) -> None:
        self.progress.append((done, total))


@dataclass(frozen=True)
class Breakage:
    """Inconsistency of a client, with its kind of drift."""

    kind: Kind
    region: str
    happen: Callable[[ReconcileWorld, ClientId], object]


def _pending(world: ReconcileWorld, client_id: ClientId) -> None:
    world.west.delete(world.regional(client_id, WEST).app_client_id)
    world.set_regional(client_id, WEST, Pending(int(world.clock()), "did not answer"))


def _pending_with_a_lost_answer(world: ReconcileWorld, client_id: ClientId) -> None:
    """Leave an app client that was made for the pending entry, its answer lost."""
    world.set_regional(client_id, WEST, Pending(int(world.clock()), "did not answer"))
    world.clock.advance(DAY)


def _unmade(world: ReconcileWorld, client_id: ClientId) -> None:
    """Return to the state after an enrollment's reservation of the client ID."""
    for region, pool in world.pools.items():
        pool.delete(world.regional(client_id, region).app_client_id)
    pending = {region: Pending(0, "not made yet") for region in world.pools}
    world.store.unreplicate(client_id)
    world.change(client_id, status=Status.ENROLLING, app_clients=pending)


def _undone(world: ReconcileWorld, client_id: ClientId) -> None:
    _unmade(world, client_id)
    world.change(client_id, status=Status.DELETED)


def _marked(world: ReconcileWorld, client_id: ClientId) -> None:
    deletion = Deletion(int(world.clock()), Status.ACTIVE, 7)
    world.change(client_id, status=Status.DELETED, deletion=deletion)


def _forgotten(world: ReconcileWorld, client_id: ClientId) -> None:
    _marked(world, client_id)
    for region, pool in world.pools.items():
        pool.delete(world.regional(client_id, region).app_client_id)
        world.set_regional(client_id, region, Pending(int(world.clock()), "deleted"))


def _second_secret(world: ReconcileWorld, client_id: ClientId) -> None:
    world.east.add_secret(world.regional(client_id, EAST).app_client_id, "of a crash")
    world.clock.advance(DAY)


def _listed_as(**shown: Any) -> Callable[[ReconcileWorld, ClientId], object]:
    def happen(world: ReconcileWorld, client_id: ClientId) -> None:
        right = ClientSummary.of(world.record(client_id))
        world.store.shown[client_id] = replace(right, **shown)

    return happen


def _app_client_with(region: str, **settings: Any) -> Callable[[ReconcileWorld, ClientId], object]:
    def happen(world: ReconcileWorld, client_id: ClientId) -> None:
        for name, value in settings.items():
            setattr(world.app_client(client_id, region), name, value)

    return happen


def _denied(world: ReconcileWorld, client_id: ClientId, region: str) -> None:
    world.both_denials[region].change(deny=[client_id], allow=[])


BREAKAGES = {
    "an app client is orphaned": Breakage(
        Kind.ORPHAN, EAST, lambda world, client_id: world.orphan(client_id)
    ),
    "an app client in the other Region is orphaned": Breakage(
        Kind.ORPHAN, WEST, lambda world, client_id: world.orphan(client_id, WEST)
    ),
    "the app client is gone": Breakage(
        Kind.APP_CLIENT_GONE,
        EAST,
        lambda world, client_id: world.east.delete(world.regional(client_id, EAST).app_client_id),
    ),
    "the app client in the other Region is gone": Breakage(
        Kind.APP_CLIENT_GONE,
        WEST,
        lambda world, client_id: world.west.delete(world.regional(client_id, WEST).app_client_id),
    ),
    "the app client has too many scopes": Breakage(
        Kind.APP_CLIENT_DIFFERS,
        EAST,
        _app_client_with(EAST, scopes=frozenset({"demo/read", "demo/write"})),
    ),
    "the app client lacks a scope": Breakage(
        Kind.APP_CLIENT_DIFFERS, WEST, _app_client_with(WEST, scopes=frozenset())
    ),
    "the app client has another flow": Breakage(
        Kind.APP_CLIENT_DIFFERS, EAST, _app_client_with(EAST, flows=frozenset({"code"}))
    ),
    "the app client's tokens live longer": Breakage(
        Kind.APP_CLIENT_DIFFERS, WEST, _app_client_with(WEST, access_token_seconds=7_200)
    ),
    "the app client is marked as outdated": Breakage(
        Kind.APP_CLIENT_DIFFERS,
        WEST,
        lambda world, client_id: world.change_regional(client_id, WEST, outdated=Pending(0, "why")),
    ),
    "an app client is pending": Breakage(Kind.PENDING, WEST, _pending),
    "an enrollment ended half-way": Breakage(Kind.ENROLLMENT, EAST, _unmade),
    "an enrollment was undone half-way": Breakage(Kind.ENROLLMENT, EAST, _undone),
    "a deletion ended after the mark": Breakage(Kind.DELETION, EAST, _marked),
    "a deletion ended before the record was scheduled for deletion": Breakage(
        Kind.DELETION, EAST, _forgotten
    ),
    "the app client has a second secret": Breakage(Kind.COGNITO_SECRET, EAST, _second_secret),
    "the replica is missing": Breakage(
        Kind.REPLICA, WEST, lambda world, client_id: world.store.unreplicate(client_id)
    ),
    "lists show an old status": Breakage(
        Kind.LISTING, EAST, _listed_as(status=Status.DISABLED.value)
    ),
    "lists show an old name": Breakage(Kind.LISTING, EAST, _listed_as(client_name="before")),
    "the client is denied here only": Breakage(
        Kind.DENIALS, WEST, lambda world, client_id: _denied(world, client_id, EAST)
    ),
    "the client is denied there only": Breakage(
        Kind.DENIALS, EAST, lambda world, client_id: _denied(world, client_id, WEST)
    ),
}

LOST_ANSWER = _pending_with_a_lost_answer
