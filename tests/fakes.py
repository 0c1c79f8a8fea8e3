"""
The outside world, written by us: in memory, obedient, and able to fail on demand.

`tests/contract` holds these to the same suite as the real adapters.  A fake
fails when `failures` holds an exception under a method's name: one is taken
for each call.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.errors import (
    AppClientRefusedError,
    AppClientsRefusedError,
    ClientExistsError,
    MalformedSecretError,
    UnknownClientError,
    VersionConflictError,
)
from chalicelib.model import (
    AccessToken,
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    RegionState,
    Replication,
    Versioned,
    VersionId,
)
from chalicelib.ports import Deadline

_versions = itertools.count(1)


def _new_version() -> VersionId:
    return VersionId(f"version-{next(_versions)}")


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class CountingBytes:
    """Unpredictable enough for tests, and the same in every run."""

    def __init__(self) -> None:
        self._counter = itertools.count(1)

    def __call__(self, count: int) -> bytes:
        seed = next(self._counter)
        return bytes(
            (seed * 7919 + index * 104_729 + (seed * index) % 251) % 256 for index in range(count)
        )


@dataclass
class Failing:
    """Raises what a test put into `failures`, and remembers what was called."""

    failures: dict[str, list[Exception]] = field(default_factory=lambda: defaultdict(list))
    calls: list[str] = field(default_factory=list)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.failures[name]:
            raise self.failures[name].pop(0)


@dataclass
class FakeRecordStore(Failing):
    """`RecordStore` in memory; replicas follow at once unless `lag` is set."""

    stored: dict[ClientId, Versioned[ClientRecord]] = field(default_factory=dict)
    replicas: dict[ClientId, Versioned[ClientRecord]] = field(default_factory=dict)
    replicated: set[ClientId] = field(default_factory=set)
    lag: bool = False

    def read(self, client_id: ClientId) -> Versioned[ClientRecord]:
        self._called("read")
        try:
            return self.stored[client_id]
        except KeyError:
            raise UnknownClientError from None

    def create(self, record: ClientRecord) -> VersionId:
        self._called("create")
        if record.client_id in self.stored:
            raise ClientExistsError
        return self._put(record)

    def replace(self, record: ClientRecord, read: VersionId) -> VersionId:
        self._called("replace")
        if record.client_id not in self.stored:
            raise UnknownClientError
        if self.stored[record.client_id].version != read:
            raise VersionConflictError
        return self._put(record)

    def destroy(self, client_id: ClientId) -> None:
        self._called("destroy")
        self.stored.pop(client_id, None)

    def replicate(self, client_id: ClientId) -> None:
        self._called("replicate")
        if client_id not in self.stored:
            raise UnknownClientError
        self.replicated.add(client_id)
        self._sync(client_id)

    def replication(self, client_id: ClientId, version: VersionId) -> Replication:
        self._called("replication")
        if client_id not in self.stored:
            raise UnknownClientError
        replica = self.replicas.get(client_id)
        if replica is not None and replica.version == version:
            return Replication.IN_SYNC
        return Replication.IN_PROGRESS if client_id in self.replicated else Replication.MISSING

    def _put(self, record: ClientRecord) -> VersionId:
        versioned = Versioned(record, _new_version())
        self.stored[record.client_id] = versioned
        self._sync(record.client_id)
        return versioned.version

    def _sync(self, client_id: ClientId) -> None:
        if client_id in self.replicated and not self.lag:
            self.replicas[client_id] = self.stored[client_id]


@dataclass
class FakeStateStore(Failing):
    """`StateStore` in memory; missing until it is given a state."""

    stored: Versioned[RegionState] | None = None

    @classmethod
    def writing(cls) -> FakeStateStore:
        return cls.of(RegionState(writer=True, took_over=False))

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
        if self.stored is None or self.stored.version != read:
            raise VersionConflictError
        self.stored = Versioned(state, _new_version())
        return self.stored.version


@dataclass
class FakeDeploymentKey(Failing):
    """`DeploymentKeyReader` in memory."""

    key: bytes = b"k" * 32

    def read(self) -> bytes:
        self._called("read")
        return self.key


@dataclass
class FakeAppClients(Failing):
    """`AppClients` in memory."""

    user_pool_id: str = "us-east-1_Fake00001"
    scopes: frozenset[str] = frozenset({"demo/read", "demo/write"})
    made: dict[AppClientId, tuple[ClientId, tuple[str, ...]]] = field(default_factory=dict)
    _counter: Any = field(default_factory=lambda: itertools.count(1))

    def unknown_scopes(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        self._called("unknown_scopes")
        return tuple(scope for scope in scopes if scope not in self.scopes)

    def create(self, client_id: ClientId, scopes: tuple[str, ...]) -> tuple[AppClientId, str]:
        self._called("create")
        if not self.scopes.issuperset(scopes):
            raise AppClientsRefusedError("ScopeDoesNotExistException")
        app_client_id = AppClientId(f"{self.user_pool_id[-4:].lower()}{next(self._counter):022d}")
        self.made[app_client_id] = (client_id, scopes)
        return app_client_id, f"cognito-secret-of-{app_client_id}"

    def delete(self, app_client_id: AppClientId) -> None:
        self._called("delete")
        self.made.pop(app_client_id, None)


@dataclass
class FakeTokenEndpoint(Failing):
    """`TokenEndpoint` that issues numbered tokens; `refused` app clients get none."""

    clock: Callable[[], float] = field(default_factory=FakeClock)
    life: int = 3600
    requests: list[tuple[AppClientId, str, dict[str, str]]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    up: bool = True

    def request_token(
        self, app_client: AppClient, scope: str, metadata: Mapping[str, str], deadline: Deadline
    ) -> AccessToken:
        self.requests.append((app_client.app_client_id, scope, dict(metadata)))
        self._called("request_token")
        if app_client.client_secret in self.refused:
            raise AppClientRefusedError("invalid_client")
        return AccessToken(f"token-{len(self.requests)}", int(self.clock()) + self.life)

    def reachable(self, deadline: Deadline) -> bool:
        self._called("reachable")
        return self.up


@dataclass
class Events:
    """Takes what would be logged."""

    seen: list[Mapping[str, Any]] = field(default_factory=list)

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.seen.append(event)

    @property
    def outcomes(self) -> list[Any]:
        return [event.get("outcome") for event in self.seen]
