"""
In-memory fakes of the ports, which can fail on demand.

`tests/contract` runs the same suite over these and the real adapters.  A fake
fails when `failures` holds an exception under a method's name: one is taken
for each call.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Literal

from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from chalicelib.denial_shards import SHARDS, WRITES_A_DAY
from chalicelib.errors import (
    AppClientRefusedError,
    AppClientsRefusedError,
    ClientExistsError,
    InvalidCursorError,
    MalformedSecretError,
    RecordMissingError,
    StoreRefusedError,
    StoreUnavailableError,
    UnknownAppClientError,
    UnknownClientError,
    VersionConflictError,
    VersionsUsedUpError,
)
from chalicelib.model import (
    AccessToken,
    AppClient,
    AppClientId,
    AppClientView,
    ClientId,
    ClientRecord,
    ClientSummary,
    CognitoSecret,
    DenialShard,
    Page,
    RegionState,
    Replication,
    SecretId,
    Versioned,
    VersionId,
)
from chalicelib.ports import Deadline, LastUses, unlimited

_versions = itertools.count(1)
_one_writer = Lock()  # compare-and-swap, for tests with threads


def _new_version() -> VersionId:
    return VersionId(f"version-{next(_versions)}")


class FakeClock:
    """Clock that stands still until it is moved."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class CountingBytes:
    """Source of distinct bytes, the same in every run."""

    def __init__(self) -> None:
        self._counter = itertools.count(1)

    def __call__(self, count: int) -> bytes:
        seed = next(self._counter)
        return bytes(
            (seed * 7919 + index * 104_729 + (seed * index) % 251) % 256 for index in range(count)
        )


class CountingArgon2(PasswordHasher):
    """argon2 with the cheapest profile, which records the hashes it verified."""

    def __init__(self, time_cost: int = CHEAPEST.time_cost) -> None:
        super().__init__(
            time_cost=time_cost,
            memory_cost=CHEAPEST.memory_cost,
            parallelism=CHEAPEST.parallelism,
            hash_len=CHEAPEST.hash_len,
            salt_len=CHEAPEST.salt_len,
            type=CHEAPEST.type,
        )
        self.verified: list[str | bytes] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        self.verified.append(hash)
        return super().verify(hash, password)


@dataclass
class Failing:
    """
    Base of fakes that raise a test's `failures` and record their calls.

    `None` among the failures lets one call pass.  `lost` is raised after the
    work was done, as when an answer does not arrive.  `meanwhile` runs first:
    time passes, or another process acts.
    """

    failures: dict[str, list[Exception | None]] = field(default_factory=lambda: defaultdict(list))
    lost: dict[str, list[Exception]] = field(default_factory=lambda: defaultdict(list))
    meanwhile: dict[str, Callable[[], None]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.meanwhile.get(name, _nothing)()
        failure = self.failures[name].pop(0) if self.failures[name] else None
        if failure is not None:
            # A copy: callers add the Region to the exception, and tests use one twice.
            raise copy(failure)

    def _done(self, name: str) -> None:
        if self.lost[name]:
            raise copy(self.lost[name].pop(0))


def _nothing() -> None:
    """Do nothing: the default for `meanwhile`."""


@dataclass
class FakeRecordStore(Failing):
    """
    `RecordStore` in memory; replicas follow at once unless `lag` is set.

    Unless `other_region_answers`, the replication status is unknown.  Lists lack
    the `unlisted` clients, and show the entries of `shown` in place of the
    record's.  A replication that `failed` stays so until the replica is removed; it
    fails where a secret stands `alone` in the other Region.
    """

    stored: dict[ClientId, Versioned[ClientRecord]] = field(default_factory=dict)
    replicas: dict[ClientId, Versioned[ClientRecord]] = field(default_factory=dict)
    replicated: set[ClientId] = field(default_factory=set)
    scheduled: set[ClientId] = field(default_factory=set)
    failed: set[ClientId] = field(default_factory=set)
    alone: set[ClientId] = field(default_factory=set)
    malformed: set[ClientId] = field(default_factory=set)
    lag: bool = False
    other_region_answers: bool = True
    unlisted: set[ClientId] = field(default_factory=set)
    shown: dict[ClientId, ClientSummary] = field(default_factory=dict)

    @property
    def kept(self) -> dict[ClientId, Versioned[ClientRecord]]:
        """The records that are not marked for deletion."""
        return {each: found for each, found in self.stored.items() if each not in self.scheduled}

    def read(self, client_id: ClientId) -> Versioned[ClientRecord]:
        self._called("read")
        if client_id not in self.stored:
            raise RecordMissingError
        if client_id in self.scheduled:
            raise UnknownClientError
        if client_id in self.malformed:
            raise MalformedSecretError
        return self.stored[client_id]

    def create(self, record: ClientRecord) -> VersionId:
        self._called("create")
        if record.client_id in self.stored:
            raise ClientExistsError
        version = self._put(record)
        self._done("create")
        return version

    def replace(self, record: ClientRecord, read: VersionId) -> VersionId:
        self._called("replace")
        if record.client_id not in self.stored or record.client_id in self.scheduled:
            raise UnknownClientError
        with _one_writer:
            if self.stored[record.client_id].version != read:
                raise VersionConflictError
            version = self._put(record)
        self._done("replace")
        return version

    def replicate(self, client_id: ClientId) -> None:
        self._called("replicate")
        if client_id not in self.stored:
            raise UnknownClientError
        if client_id in self.replicated:
            return
        self.replicated.add(client_id)
        if client_id in self.alone:
            self.failed.add(client_id)
        self._sync(client_id)

    def stands_alone(self, client_id: ClientId) -> bool:
        self._called("stands_alone")
        if not self.other_region_answers:
            raise StoreUnavailableError
        return client_id in self.alone

    def replication(self, client_id: ClientId, version: VersionId) -> Replication:
        self._called("replication")
        if client_id not in self.stored:
            raise UnknownClientError
        replica = self.replicas.get(client_id) if self.other_region_answers else None
        if replica is not None and replica.version == version:
            return Replication.IN_SYNC
        if client_id in self.failed:
            return Replication.FAILED
        if client_id not in self.replicated:
            return Replication.MISSING
        return Replication.IN_PROGRESS if self.other_region_answers else Replication.UNKNOWN

    def list(self, cursor: str | None, limit: int) -> Page[ClientSummary]:
        self._called("list")
        if cursor is not None and not cursor.isdecimal():
            raise InvalidCursorError
        names = sorted(set(self.stored) - self.scheduled - self.unlisted)
        start = int(cursor or 0)
        chosen = names[start : start + limit]
        return Page(
            tuple(self._summary(name) for name in chosen),
            str(start + limit) if start + limit < len(names) else None,
        )

    def read_many(
        self, client_ids: Sequence[ClientId]
    ) -> Mapping[ClientId, Versioned[ClientRecord] | None]:
        self._called("read_many")
        present = [
            each for each in client_ids if each in self.stored and each not in self.scheduled
        ]
        return {each: None if each in self.malformed else self.stored[each] for each in present}

    def describe(self, client_id: ClientId) -> Versioned[ClientSummary]:
        self._called("describe")
        if client_id not in self.stored:
            raise UnknownClientError
        return Versioned(self._summary(client_id), self.stored[client_id].version)

    def update_listing(self, record: ClientRecord) -> None:
        self._called("update_listing")
        if record.client_id not in self.stored or record.client_id in self.scheduled:
            raise UnknownClientError
        self.shown[record.client_id] = ClientSummary.of(record)

    def _summary(self, client_id: ClientId) -> ClientSummary:
        summary = ClientSummary.of(self.stored[client_id].value)
        return self.shown.get(client_id) or replace(summary, client_id=client_id)

    def unreplicate(self, client_id: ClientId) -> None:
        self._called("unreplicate")
        if client_id not in self.stored:
            raise UnknownClientError
        self.replicated.discard(client_id)
        self.failed.discard(client_id)
        self.replicas.pop(client_id, None)

    def schedule_deletion(self, client_id: ClientId, recovery_days: int) -> None:
        self._called("schedule_deletion")
        if client_id in self.replicated:
            raise StoreRefusedError("Secrets Manager refused: InvalidParameterException")
        if client_id in self.stored:
            self.scheduled.add(client_id)

    def cancel_deletion(self, client_id: ClientId) -> None:
        self._called("cancel_deletion")
        if client_id not in self.stored:
            raise UnknownClientError
        self.scheduled.discard(client_id)

    def _put(self, record: ClientRecord) -> VersionId:
        versioned = Versioned(record, _new_version())
        self.stored[record.client_id] = versioned
        self.shown.pop(record.client_id, None)
        self._sync(record.client_id)
        return versioned.version

    def _sync(self, client_id: ClientId) -> None:
        if client_id in self.replicated - self.failed and not self.lag:
            self.replicas[client_id] = self.stored[client_id]


@dataclass
class FakeReplicatedSecrets:
    """`ReplicatedSecrets` in memory: *statuses* maps each name to its replication."""

    statuses: dict[str, Replication] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)

    @property
    def names(self) -> Sequence[str]:
        return list(self.statuses)

    def replication(self, name: str) -> Replication:
        return self.statuses[name]

    def stands_alone(self, name: str) -> bool:
        return name in self.alone

    def replicate(self, name: str) -> None:
        if self.statuses[name] is Replication.MISSING:
            self.statuses[name] = Replication.IN_SYNC

    def unreplicate(self, name: str) -> None:
        self.statuses[name] = Replication.MISSING


@dataclass
class FakeStateStore(Failing):
    """`StateStore` in memory; missing until it is given a state."""

    stored: Versioned[RegionState] | None = None

    @classmethod
    def writing(cls) -> FakeStateStore:
        return cls.of(RegionState(writer=True, took_over=False))

    def hand_over_to(self, other: FakeStateStore) -> None:
        """Make *other* the writing Region."""
        if self.stored is not None and other.stored is not None:
            here, there = self.stored.value, other.stored.value
            self.stored = Versioned(replace(here, writer=False), _new_version())
            other.stored = Versioned(replace(there, writer=True), _new_version())

    @classmethod
    def standby(cls) -> FakeStateStore:
        return cls.of(RegionState(writer=False, took_over=False))

    @classmethod
    def of(cls, state: RegionState) -> FakeStateStore:
        return cls(stored=Versioned(state, _new_version()))

    def read(self) -> Versioned[RegionState]:
        self._called("read")
        if self.stored is None:
            raise MalformedSecretError("The Region's state is missing.")
        return self.stored

    def replace(self, state: RegionState, read: VersionId) -> VersionId:
        self._called("replace")
        with _one_writer:
            if self.stored is None or self.stored.version != read:
                raise VersionConflictError
            self.stored = Versioned(state, _new_version())
            return self.stored.version


@dataclass
class FakeDenialStore(Failing):
    """
    `DenialStore` in memory, with empty shards.

    It keeps as many versions of a shard in a day as Secrets Manager, on *clock*.
    """

    clock: Callable[[], float] = field(default=lambda: 0.0)
    shards: dict[int, Versioned[DenialShard]] = field(
        default_factory=lambda: {
            number: Versioned(DenialShard(), _new_version()) for number in range(SHARDS)
        }
    )
    versions: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def read(self, number: int) -> Versioned[DenialShard]:
        self._called("read")
        if number not in self.shards:
            raise MalformedSecretError(f"Shard {number} of the Region's denials is missing.")
        return self.shards[number]

    def read_all(self) -> Mapping[int, DenialShard]:
        self._called("read_all")
        return {number: self.shards[number].value for number in range(SHARDS)}

    def replace(self, number: int, shard: DenialShard, read: VersionId) -> VersionId:
        self._called("replace")
        with _one_writer:
            if number not in self.shards:
                raise MalformedSecretError(f"Shard {number} of the Region's denials is missing.")
            now = self.clock()
            recent = [at for at in self.versions[number] if at > now - 86_400]
            if len(recent) >= 99:  # with the first one, 100
                raise VersionsUsedUpError
            self.versions[number] = [*recent, now]
            if self.shards[number].version != read:
                raise VersionConflictError
            self.shards[number] = Versioned(shard, _new_version())
            return self.shards[number].version


def use_up(store: FakeDenialStore) -> None:
    """Have every shard of *store* written as often as a day allows."""
    now = int(store.clock())
    for number, found in store.shards.items():
        full = replace(found.value, written=(now,) * WRITES_A_DAY, overflow=True)
        store.shards[number] = Versioned(full, found.version)


@dataclass
class FakeDeploymentKey(Failing):
    """`DeploymentKeyReader` in memory."""

    key: bytes | None = b"k" * 32

    def read(self) -> bytes:
        self._called("read")
        if self.key is None:
            raise MalformedSecretError("The deployment key is missing.")
        return self.key


@dataclass
class FakeAppClient:
    """App client of `FakeAppClients`."""

    name: str
    client_id: ClientId | None
    scopes: frozenset[str]
    created_at: int
    secrets: dict[str, tuple[str, int]]  # Cognito's secret ID: value, created at
    flows: frozenset[str] = frozenset({"client_credentials"})
    access_token_seconds: int = 3600
    managed: bool = False

    def manage(self, now: int) -> None:
        """Have Cognito manage the secret: it is exchanged at once, and no more shown."""
        *_, newest = self.secrets.items()
        self.secrets = dict([newest, (f"managed-{now}", (f"managed-secret-of-{now}", now))])
        self.managed = True


@dataclass
class FakeAppClients(Failing):
    """`AppClients` in memory."""

    user_pool_id: str = "us-east-1_Fake00001"
    scopes: frozenset[str] = frozenset({"demo/read", "demo/write"})
    made: dict[AppClientId, FakeAppClient] = field(default_factory=dict)
    clock: Callable[[], float] = field(default_factory=FakeClock)
    _counter: Any = field(default_factory=lambda: itertools.count(1))

    def unknown_scopes(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        self._called("unknown_scopes")
        return tuple(scope for scope in scopes if scope not in self.scopes)

    def create(self, client_id: ClientId, scopes: tuple[str, ...]) -> tuple[AppClientId, str]:
        self._called("create")
        if not self.scopes.issuperset(scopes):
            raise AppClientsRefusedError("ScopeDoesNotExistException")
        app_client_id = AppClientId(f"{self.user_pool_id[-4:].lower()}{next(self._counter):022d}")
        now = int(self.clock())
        secret = f"cognito-secret-of-{app_client_id}"
        self.made[app_client_id] = FakeAppClient(
            name=f"surrogate-{client_id}",
            client_id=client_id,
            scopes=frozenset(scopes),
            created_at=now,
            secrets={f"{app_client_id}--{now}": (secret, now)},
        )
        self._done("create")
        return app_client_id, secret

    def delete(self, app_client_id: AppClientId) -> None:
        self._called("delete")
        self.made.pop(app_client_id, None)
        self._done("delete")

    def describe(self, app_client_id: AppClientId) -> AppClientView:
        self._called("describe")
        found = self._find(app_client_id)
        return AppClientView(
            app_client_id=app_client_id,
            name=found.name,
            scopes=found.scopes,
            flows=found.flows,
            access_token_seconds=found.access_token_seconds,
            created_at=found.created_at,
            client_secret=""
            if found.managed
            else next((value for value, _ in found.secrets.values()), ""),
            managed=found.managed,
        )

    def align(self, app_client_id: AppClientId, scopes: tuple[str, ...], *, adopted: bool) -> None:
        self._called("align")
        found = self._find(app_client_id)
        if not self.scopes.issuperset(scopes):
            raise AppClientsRefusedError("ScopeDoesNotExistException")
        found.scopes = frozenset(scopes)
        found.flows = frozenset({"client_credentials"})
        if not adopted:
            found.access_token_seconds = 3600

    def aligned(self, view: AppClientView, scopes: tuple[str, ...], *, adopted: bool) -> bool:
        return (
            view.scopes == frozenset(scopes)
            and view.flows == frozenset({"client_credentials"})
            and (adopted or view.access_token_seconds == 3600)
        )

    def ours(
        self, before_page: Callable[[], object] = unlimited
    ) -> Iterator[tuple[AppClientId, ClientId]]:
        self._called("ours")
        for number, (app_client_id, found) in enumerate(list(self.made.items())):
            if number % 60 == 0:
                before_page()
            if found.client_id is not None:
                yield app_client_id, found.client_id

    def is_marked(self, view: AppClientView, client_id: ClientId) -> bool:
        return view.name == f"surrogate-{client_id}"

    def secrets(self, app_client_id: AppClientId) -> tuple[CognitoSecret, ...]:
        self._called("secrets")
        found = self._find(app_client_id)
        listed = (CognitoSecret(name, made) for name, (_, made) in found.secrets.items())
        return tuple(sorted(listed, key=lambda secret: secret.created_at))

    def add_secret(self, app_client_id: AppClientId, value: str) -> CognitoSecret:
        self._called("add_secret")
        found = self._find(app_client_id)
        if len(found.secrets) == 2:
            raise AppClientsRefusedError("LimitExceededException")
        # Two made within a second have different IDs, too.
        now = int(self.clock())
        name = f"{app_client_id}--{now}{next(self._counter)}"
        found.secrets[name] = (value, now)
        return CognitoSecret(name, now)

    def delete_secret(self, app_client_id: AppClientId, cognito_secret_id: str) -> None:
        self._called("delete_secret")
        found = self._find(app_client_id)
        if cognito_secret_id not in found.secrets:
            return
        if len(found.secrets) == 1:
            raise AppClientsRefusedError("InvalidParameterException")
        del found.secrets[cognito_secret_id]

    def _find(self, app_client_id: AppClientId) -> FakeAppClient:
        try:
            return self.made[app_client_id]
        except KeyError:
            raise UnknownAppClientError from None


@dataclass
class FakeUseLog(Failing):
    """`UseLog` in memory."""

    uses: dict[SecretId, int] = field(default_factory=dict)

    def last_uses(self, client_id: ClientId, secret_ids: Sequence[SecretId]) -> LastUses:
        self._called("last_uses")
        return {secret_id: self.uses.get(secret_id) for secret_id in secret_ids}


@dataclass
class FakeTokenEndpoint(Failing):
    """`TokenEndpoint` that issues numbered tokens; `refused` app clients get none."""

    clock: Callable[[], float] = field(default_factory=FakeClock)
    life: int = 3600
    requests: list[tuple[AppClientId, str, dict[str, str]]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    remaining: list[float] = field(default_factory=list)
    up: bool = True
    stamps: bool = True

    def request_token(
        self, app_client: AppClient, scope: str, metadata: Mapping[str, str], deadline: Deadline
    ) -> AccessToken:
        self.requests.append((app_client.app_client_id, scope, dict(metadata)))
        self.remaining.append(deadline.remaining())
        self._called("request_token")
        if app_client.client_secret in self.refused:
            raise AppClientRefusedError("invalid_client")
        value, ends = f"token-{len(self.requests)}", int(self.clock()) + self.life
        return AccessToken(value, ends, self.stamps)

    def reachable(self, deadline: Deadline) -> bool:
        self._called("reachable")
        return self.up


@dataclass
class Events:
    """Recorder of log events."""

    seen: list[Mapping[str, Any]] = field(default_factory=list)

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.seen.append(event)

    @property
    def outcomes(self) -> list[Any]:
        return [event.get("outcome") for event in self.seen]
