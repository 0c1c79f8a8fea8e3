"""
Whole application over `fake_aws`: the real adapters, both Regions.

`AwsWorld` is AWS and all state that outlives a process; `Operators` is a process of
the administrators' side in one Region.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from chalicelib import record_json
from chalicelib.aws.client_records import ClientSecrets, ClientSecretsReader
from chalicelib.aws.cognito_app_clients import PoolAppClients, app_client_name
from chalicelib.aws.region_state import (
    DenialSecrets,
    DeploymentKeySecret,
    StateSecret,
    denials_secret_name,
)
from chalicelib.aws.secret_replicas import NamedReplicas, SecretReplicas
from chalicelib.caching import LastKnownCache
from chalicelib.clients.app_client_rotation import AppClientRotation
from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.changes import ClientService
from chalicelib.clients.deletion import DeletionAndRestore
from chalicelib.clients.denials import Denials
from chalicelib.clients.enrollment import Enrollment
from chalicelib.clients.repository import ClientRepository
from chalicelib.clients.rotation import Rotation
from chalicelib.credentials import app_client_mac
from chalicelib.denial_shards import SHARDS, all_words, denied_in
from chalicelib.errors import OAuthError
from chalicelib.http.problems import explain
from chalicelib.model import (
    AppClient,
    ClientId,
    ClientRecord,
    DenialShard,
    IssuedCredentials,
    RegionState,
    Status,
    TokenRequest,
    VersionId,
)
from chalicelib.reconciliation.repair import REPAIRS_PER_SECOND, Reconciler
from chalicelib.reconciliation.survey import Survey
from chalicelib.timing import CallDeadline, CircuitBreaker, RateLimiter
from chalicelib.token.allowances import Rereads, token_requests
from chalicelib.token.denial_cache import DenialCache
from chalicelib.token.exchange import Exchange
from chalicelib.token.request_memo import RequestMemo
from chalicelib.token.token_cache import TokenCache
from tests.fake_aws import FakeAws
from tests.fake_cognito import Cognito, CognitoTokens
from tests.fake_secrets_manager import Replicator, Secret, SecretsManager
from tests.fakes import CountingBytes, Events, FakeClock, FakeUseLog
from tests.worlds import EAST, EAST_POOL, FRESH, STALE, WEST, WEST_POOL, cheap_hasher

PREFIX = "surrogate"
REGIONS = (EAST, WEST)
OTHER = {EAST: WEST, WEST: EAST}


@dataclass
class AwsWorld:
    """AWS in two Regions, set up but without clients."""

    clock: FakeClock = field(default_factory=FakeClock)
    random_bytes: CountingBytes = field(default_factory=CountingBytes)
    list_seconds: float = 300
    replica_seconds: float = 0.3
    strict: bool = True

    def __post_init__(self) -> None:
        self.aws = FakeAws(self.clock, strict=self.strict)
        replicator = Replicator(self.aws, self.replica_seconds)
        self.aws.settle.append(replicator.settle)
        self.secrets = {
            region: SecretsManager(self.aws, region, replicator, self.list_seconds)
            for region in REGIONS
        }
        self.pools = {
            EAST: Cognito(self.aws, EAST, EAST_POOL),
            WEST: Cognito(self.aws, WEST, WEST_POOL),
        }
        self._make_deployment()

    def _make_deployment(self) -> None:
        for region in REGIONS:
            state = RegionState(writer=region == EAST, took_over=False)
            self._make_secret(region, "region", record_json.state_to_json(state))
            for number in range(SHARDS):
                empty = record_json.denials_to_json(DenialShard())
                self._make_secret(region, f"denials/{number:02}", empty)
        self.deployment_key = self.random_bytes(32)
        key = record_json.deployment_key_to_json(self.deployment_key)
        self._make_secret(EAST, "deployment", key)
        self.secrets[EAST].replicate_secret_to_regions(
            SecretId=f"{PREFIX}/deployment", AddReplicaRegions=[{"Region": WEST}]
        )
        self.clock.advance(3_600)

    def _make_secret(self, region: str, name: str, text: str) -> None:
        self.secrets[region].create_secret(
            Name=f"{PREFIX}/{name}", ClientRequestToken=f"{name:-<36}", SecretString=text
        )

    # Inspection of stored state, without API calls

    def record_secrets(self, region: str) -> dict[ClientId, Secret]:
        """Return the client secrets in *region*."""
        start = f"{PREFIX}/clients/"
        return {
            ClientId(name.removeprefix(start)): secret
            for name, secret in self.secrets[region].secrets.items()
            if name.startswith(start)
        }

    def records(self, region: str = EAST) -> dict[ClientId, ClientRecord]:
        """Return the records in *region* that are not marked for deletion."""
        return {
            client_id: record_json.record_from_json(secret.current.text)
            for client_id, secret in self.record_secrets(region).items()
            if secret.deleted_at is None
        }

    def record(self, client_id: ClientId, region: str = EAST) -> ClientRecord:
        return self.records(region)[client_id]

    def version(self, client_id: ClientId) -> VersionId:
        secret = self.record_secrets(EAST)[client_id]
        return VersionId(secret.holder("AWSCURRENT") or "")

    def ours(self, region: str) -> Iterator[tuple[str, ClientId]]:
        """Yield the app clients of *region* with the name prefix."""
        mark = app_client_name(PREFIX, ClientId(""))
        for app_client_id, found in self.pools[region].clients.items():
            name = found.settings["ClientName"]
            if name.startswith(mark):
                yield app_client_id, ClientId(name.removeprefix(mark))

    def denied(self, region: str) -> frozenset[ClientId]:
        """Return the denied clients in *region*."""
        stored = self.secrets[region].secrets
        return denied_in(
            all_words(
                {
                    number: record_json.denials_from_json(
                        stored[denials_secret_name(PREFIX, number)].current.text
                    )
                    for number in range(SHARDS)
                }
            )
        )

    def write_by_hand(self, client_id: ClientId, **changes: object) -> None:
        """Change members of the stored JSON, as an operator at the console would."""
        secret = self.record_secrets(EAST)[client_id]
        secret.current.text = json.dumps(json.loads(secret.current.text) | changes)

    def untidiness(self) -> list[str]:
        """Return a description of every inconsistency that is left at the end."""
        for each in self.aws.settle:
            each()
        return [*self._bad_records(), *self._bad_app_clients(), *self._bad_replicas()]

    def _bad_records(self) -> Iterator[str]:
        for client_id, record in self.records().items():
            if record.status not in {Status.ACTIVE, Status.DISABLED}:
                yield f"a record is {record.status}"
                continue
            for region in REGIONS:
                regional = record.app_clients.get(region)
                if isinstance(regional, AppClient):
                    yield from self._bad_regional(region, record, regional)
                else:
                    yield f"the app client in {region} is {regional}"
            shown = self.secrets[EAST].described(f"{PREFIX}/clients/{client_id}")
            wanted = (record.client_name, record.status, str(record.expires_at or 0))
            if shown != wanted:
                yield f"lists show {shown}, not {wanted}"

    def _bad_regional(
        self, region: str, record: ClientRecord, regional: AppClient
    ) -> Iterator[str]:
        pool = self.pools[region]
        found = pool.clients.get(regional.app_client_id)
        if regional.user_pool_id != pool.user_pool_id or found is None:
            yield f"the app client in {region} is gone"
            return
        if found.scopes != set(record.scopes) or regional.outdated:
            yield f"the app client in {region} has {sorted(found.scopes)}, not {record.scopes}"
        if not found.accepts(regional.client_secret):
            yield f"the app client in {region} has another secret"
        known = {regional.retiring.cognito_secret_id} if regional.retiring else set[str]()
        if len(set(found.secrets) - known) != 1:
            yield f"the app client in {region} has a secret that nobody knows"
        mac = app_client_mac(self.deployment_key, record.client_id, regional.app_client_id)
        if regional.mac != mac:
            yield f"the MAC in {region} is wrong"

    def _bad_app_clients(self) -> Iterator[str]:
        for region in REGIONS:
            referred = {
                regional.app_client_id
                for record in self.records().values()
                if isinstance(regional := record.app_clients.get(region), AppClient)
            }
            for app_client_id, client_id in self.ours(region):
                if app_client_id not in referred:
                    yield f"nothing refers to an app client in {region}, made for {client_id}"

    def _bad_replicas(self) -> Iterator[str]:
        here, there = self.record_secrets(EAST), self.record_secrets(WEST)
        for client_id, secret in here.items():
            replica = there.get(client_id)
            if secret.deleted_at is not None:
                if replica is not None:
                    yield "a deleted record has a replica"
            elif replica is None:
                yield "a record has no replica"
            elif replica.holder("AWSCURRENT") != secret.holder("AWSCURRENT"):
                yield "a replica is behind"
        for client_id in there:
            if client_id not in here:
                yield "a replica has no primary"

    # Token requests

    def exchange(self, region: str) -> Exchange:
        """Return the exchange of *region* in a process with empty caches."""
        secrets = self.aws.secrets_manager(self.secrets[region])
        shards = DenialSecrets(lambda: secrets, PREFIX, self.random_bytes)
        reader = ClientSecretsReader(lambda: secrets, PREFIX)
        return Exchange(
            region=region,
            denials=DenialCache(
                LastKnownCache(
                    lambda number: shards.read(number).value,
                    fresh=FRESH,
                    stale=STALE,
                    clock=self.clock,
                )
            ),
            records=LastKnownCache(reader.read, fresh=FRESH, stale=STALE, clock=self.clock),
            hasher=cheap_hasher(self.random_bytes),
            endpoint=CognitoTokens(self.pools[region], self.clock),
            tokens=TokenCache(self.clock),
            request_memo=RequestMemo(self.random_bytes),
            rereads=Rereads(self.clock),
            token_requests=token_requests(self.clock),
            endpoint_breaker=CircuitBreaker(self.clock),
            clock=self.clock,
            emit=Events(),
        )

    def gets_a_token(self, issued: IssuedCredentials, region: str) -> bool:
        """Return whether *issued* gets a token in *region* now."""
        request = TokenRequest(issued.client_id, issued.client_secret, None, "192.0.2.1")
        try:
            self.exchange(region).exchange(request)
        except OAuthError:
            return False
        return True


class Operators:
    """Process that serves administrators in *region*."""

    def __init__(self, world: AwsWorld, region: str = EAST) -> None:
        self.world = world
        clock, other, aws = world.clock, OTHER[region], world.aws
        here, there = (aws.secrets_manager(world.secrets[each]) for each in (region, other))
        random_bytes = world.random_bytes
        self.call_deadline = CallDeadline(clock)
        hasher = cheap_hasher(random_bytes)
        self.state = StateSecret(lambda: here, PREFIX, random_bytes)
        self.state_there = StateSecret(lambda: there, PREFIX, random_bytes)
        self.admin = ClientRepository(
            region=region,
            other_region=other,
            state=self.state,
            other_state=self.state_there,
            records=ClientSecrets(
                lambda: here, lambda: there, other, PREFIX, random_bytes, promotes=region == WEST
            ),
            clock=clock,
            pause=self.call_deadline.bounded(clock.advance),
            secondary=region == WEST,
        )
        self.app_clients = AppClientPair(
            self.admin,
            {each: _pool(world, each) for each in (region, other)},
            DeploymentKeySecret(lambda: here, PREFIX),
        )
        self.enroll = Enrollment(self.admin, self.app_clients, hasher, random_bytes)
        self.logs = {each: FakeUseLog() for each in REGIONS}
        self.rotation = Rotation(self.admin, self.logs, hasher, random_bytes)
        self.clients = ClientService(self.admin, self.app_clients)
        self.deletion = DeletionAndRestore(self.admin, self.app_clients)
        self.denials = {
            region: Denials(region, DenialSecrets(lambda: here, PREFIX, random_bytes), clock),
            other: Denials(other, DenialSecrets(lambda: there, PREFIX, random_bytes), clock),
        }
        self.app_client_rotation = AppClientRotation(
            self.admin,
            self.app_clients,
            {each: CognitoTokens(world.pools[each], clock) for each in REGIONS},
            random_bytes,
            FRESH + STALE,
            self.call_deadline.require_time,
        )
        replicas = ClientSecrets(lambda: there, lambda: here, region, PREFIX, random_bytes)
        own_secrets = NamedReplicas(
            SecretReplicas(lambda: here, lambda: there, other), (f"{PREFIX}/deployment",)
        )
        self.survey = Survey(
            self.admin, self.app_clients, self.state_there, self.denials, replicas, own_secrets
        )
        self.reconcile = Reconciler(
            self.survey,
            self.deletion,
            RateLimiter(REPAIRS_PER_SECOND, clock, clock.advance),
            explain,
        )


def _pool(world: AwsWorld, region: str) -> PoolAppClients:
    client = world.aws.cognito(world.pools[region])
    return PoolAppClients(
        lambda: client, lambda: client, world.pools[region].user_pool_id, PREFIX, 3_600
    )
