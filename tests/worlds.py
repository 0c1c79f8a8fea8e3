"""Fixtures of the wired parts over fakes, for tests of use cases and routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib import credentials
from chalicelib.caching import LastKnownCache
from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.denials import Denials
from chalicelib.clients.enrollment import Enrollment
from chalicelib.clients.repository import ClientRepository
from chalicelib.credentials import SecretHasher
from chalicelib.errors import OAuthError
from chalicelib.jwks.document import KeyDocument, document
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    DenialShard,
    IssuedCredentials,
    Origin,
    Status,
    TokenRequest,
)
from chalicelib.timing import CircuitBreaker
from chalicelib.token.allowances import Rereads, token_requests
from chalicelib.token.denial_cache import DenialCache
from chalicelib.token.exchange import Exchange
from chalicelib.token.health import Health
from chalicelib.token.request_memo import RequestMemo
from chalicelib.token.token_cache import TokenCache
from tests.fake_keys import FakeKeyStore, both_pools
from tests.fakes import (
    CountingArgon2,
    CountingBytes,
    Events,
    FakeAppClients,
    FakeClock,
    FakeDenialStore,
    FakeDeploymentKey,
    FakeRecordStore,
    FakeStateStore,
    FakeTokenEndpoint,
)

EAST, WEST = "us-east-1", "us-west-2"
CALLER = "arn:aws:iam::123456789012:user/operator"
EAST_POOL, WEST_POOL = f"{EAST}_Fake00001", f"{WEST}_Fake00002"
ADOPTED = ClientId("1h57kf5cpq17m0eml12example")
COGNITO_SECRET = "9l3a+cognito+secret+example"
FRESH, STALE = 30, 900


def cheap_hasher(random_bytes: CountingBytes, argon2: CountingArgon2 | None = None) -> SecretHasher:
    """Return a hasher of the cheapest profile, with a decoy of the same."""
    argon2 = argon2 or CountingArgon2()
    return SecretHasher(random_bytes, argon2=argon2, decoy=argon2.hash("a secret thrown away"))


@dataclass
class ExchangeWorld:
    """The exchange of one Region over fakes."""

    clock: FakeClock = field(default_factory=FakeClock)
    random_bytes: CountingBytes = field(default_factory=CountingBytes)
    events: Events = field(default_factory=Events)
    store: FakeRecordStore = field(default_factory=FakeRecordStore)
    state: FakeStateStore = field(default_factory=FakeStateStore.writing)
    denied: FakeDenialStore = field(default_factory=FakeDenialStore)

    def __post_init__(self) -> None:
        self.denied.clock = self.clock
        self.argon2 = CountingArgon2()
        self.hasher = cheap_hasher(self.random_bytes, self.argon2)
        self.endpoint = FakeTokenEndpoint(clock=self.clock)
        self.shards: LastKnownCache[int, DenialShard] = LastKnownCache(
            lambda number: self.denied.read(number).value,
            fresh=FRESH,
            stale=STALE,
            clock=self.clock,
        )
        self.records = LastKnownCache(self.store.read, fresh=FRESH, stale=STALE, clock=self.clock)
        self.exchange = Exchange(
            region=EAST,
            denials=DenialCache(self.shards),
            records=self.records,
            hasher=self.hasher,
            endpoint=self.endpoint,
            tokens=TokenCache(self.clock),
            request_memo=RequestMemo(self.random_bytes),
            rereads=Rereads(self.clock),
            token_requests=token_requests(self.clock),
            endpoint_breaker=CircuitBreaker(self.clock),
            clock=self.clock,
            emit=self.events,
        )
        self.health = Health(self.state, self.endpoint, self.clock)
        self.keys = FakeKeyStore.of(both_pools())
        self.documents: LastKnownCache[str, KeyDocument] = LastKnownCache(
            lambda _: document(self.keys.read().value), fresh=300, stale=86_400, clock=self.clock
        )

    def jwks(self) -> KeyDocument:
        """Return the published document of both pools' keys."""
        return self.documents.get("jwks")

    def client(self, **changes: Any) -> IssuedCredentials:
        """Store an active client; return its credentials."""
        issued = credentials.issue(credentials.new_client_id(self.random_bytes), self.random_bytes)
        return self._store(issued, changes)

    def adopted(self, client_secret: str = COGNITO_SECRET, **changes: Any) -> IssuedCredentials:
        """Store an adopted client, whose ID and secret are Cognito's."""
        issued = IssuedCredentials(
            ADOPTED, credentials.secret_id(client_secret), client_secret=client_secret
        )
        return self._store(issued, {"origin": Origin.ADOPTED, **changes})

    def _store(self, issued: IssuedCredentials, changes: Mapping[str, Any]) -> IssuedCredentials:
        now = int(self.clock())
        record = ClientRecord(
            client_id=issued.client_id,
            client_name="billing",
            status=Status.ACTIVE,
            origin=Origin.ENROLLED,
            created_at=now,
            secrets=(self.hasher.hash(issued, now=now),),
            scopes=("demo/read", "demo/write"),
            app_clients={
                EAST: AppClient(EAST_POOL, AppClientId("east-app"), "east-secret", "aa", now),
                WEST: AppClient(WEST_POOL, AppClientId("west-app"), "west-secret", "bb", now),
            },
        )
        self.store.create(replace(record, **changes))
        return issued

    def hash_of(self, issued: IssuedCredentials) -> str:
        """Return the stored hash of the current secret."""
        return self.store.stored[issued.client_id].value.secrets[0].hash

    def change(self, issued: IssuedCredentials, **changes: Any) -> None:
        """Change a stored record, as another administrator would."""
        found = self.store.read(issued.client_id)
        self.store.replace(replace(found.value, **changes), found.version)

    def update_state(self, **changes: Any) -> None:
        """Change the Region's state, as another administrator would."""
        found = self.state.read()
        self.state.replace(replace(found.value, **changes), found.version)

    def deny(self, *client_ids: ClientId) -> None:
        """Deny clients, as another administrator would."""
        self.denials().change(deny=client_ids, allow=())

    def allow(self, *client_ids: ClientId) -> None:
        """Allow clients, as another administrator would."""
        self.denials().change(deny=(), allow=client_ids)

    def denials(self) -> Denials:
        """Return the Region's denials, as an administrator has them."""
        return Denials(EAST, self.denied, self.clock)


def request(
    issued: IssuedCredentials,
    *,
    secret: str | None = None,
    scope: str | None = None,
    source_ip: str = "192.0.2.1",
) -> TokenRequest:
    """Return a token request of *issued*."""
    return TokenRequest(
        issued.client_id,
        secret or issued.client_secret,
        None if scope is None else frozenset(scope.split()),
        source_ip,
    )


@dataclass
class EnrollmentWorld:
    """Enrollment in the primary Region over fakes."""

    clock: FakeClock = field(default_factory=FakeClock)
    random_bytes: CountingBytes = field(default_factory=CountingBytes)
    events: Events = field(default_factory=Events)
    store: FakeRecordStore = field(default_factory=FakeRecordStore)
    state: FakeStateStore = field(default_factory=FakeStateStore.writing)
    other_state: FakeStateStore = field(default_factory=FakeStateStore.standby)
    key: FakeDeploymentKey = field(default_factory=FakeDeploymentKey)
    east: FakeAppClients = field(
        default_factory=lambda: FakeAppClients(user_pool_id=f"{EAST}_Fake00001")
    )
    west: FakeAppClients = field(
        default_factory=lambda: FakeAppClients(user_pool_id=f"{WEST}_Fake00002")
    )
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hasher = cheap_hasher(self.random_bytes)
        self.admin = ClientRepository(
            region=EAST,
            other_region=WEST,
            state=self.state,
            other_state=self.other_state,
            records=self.store,
            clock=self.clock,
            pause=self.pauses.append,
        )
        self.enroll = Enrollment(
            repository=self.admin,
            app_clients=AppClientPair(self.admin, {EAST: self.east, WEST: self.west}, self.key),
            hasher=self.hasher,
            random_bytes=self.random_bytes,
        )

    @property
    def stranded(self) -> set[AppClientId]:
        """App clients that no record refers to."""
        referred = {
            regional.app_client_id
            for versioned in self.store.stored.values()
            for regional in versioned.value.app_clients.values()
            if isinstance(regional, AppClient)
        }
        return (set(self.east.made) | set(self.west.made)) - referred


def outcome(world: ExchangeWorld, issued: IssuedCredentials, **asked: Any) -> str:
    """Return the outcome of an exchange of *issued*, as the log has it."""
    try:
        world.exchange.exchange(request(issued, **asked))
    except OAuthError as error:
        return error.reason
    return "issued"
