"""
Implementations of each port behind one interface: the fakes, and the adapters over an AWS.

A *world* holds a port's implementation and a test's direct access to the state behind it.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Protocol

from chalicelib import record_json
from chalicelib.aws import client_records, region_state
from chalicelib.aws.client_records import ClientSecrets, ClientSecretsReader
from chalicelib.aws.cognito_app_clients import PoolAppClients
from chalicelib.aws.region_state import DenialSecrets, DeploymentKeySecret, StateSecret
from chalicelib.aws.token_endpoint import CognitoTokenEndpoint
from chalicelib.aws.use_log import CloudWatchUseLog
from chalicelib.denial_shards import SHARDS
from chalicelib.errors import LogUnavailableError, UnknownClientError
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    DenialShard,
    RegionState,
    SecretId,
    Versioned,
)
from chalicelib.ports import (
    AppClients,
    Clock,
    DenialStore,
    DeploymentKeyReader,
    RecordReader,
    RecordStore,
    StateStore,
    TokenEndpoint,
    UseLog,
)
from tests.contract.clients import IMPATIENT, PATIENT, REPEATING, Aws
from tests.contract.loopback import LOOPBACK, Answer, Choose, Loopback, Seen, answer, closed_port
from tests.contract.samples import app_client, new_client_id, unique
from tests.fakes import (
    FakeAppClients,
    FakeDenialStore,
    FakeDeploymentKey,
    FakeRecordStore,
    FakeStateStore,
    FakeTokenEndpoint,
    FakeUseLog,
)
from tests.worlds import EAST, WEST

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

WRONG_SECRET = "this_is_not_the_secret_of_anybody"


class Serve(Protocol):
    """Start a server that lives as long as the test."""

    def __call__(self, choose: Choose, *, tls: SSLContext | None = None) -> Loopback: ...


@dataclass(frozen=True, slots=True)
class TwoRegions:
    """AWS with two Regions: the endpoints of each, and the access key."""

    aws: Aws
    endpoints: Mapping[str, str]
    user_pools: Mapping[str, str]

    def secrets(self, region: str, *, repeating: bool = False) -> SecretsManagerClient:
        config = REPEATING if repeating else PATIENT
        return self.aws.secrets(region, self.endpoints[region], config)

    def cognito(self, region: str) -> CognitoIdentityProviderClient:
        return self.aws.cognito(region, self.endpoints[region])

    def logs(self, region: str) -> CloudWatchLogsClient:
        return self.aws.logs(region, self.endpoints[region])


class RecordsWorld(Protocol):
    """`RecordStore` in one Region, with access to its surroundings."""

    @property
    def store(self) -> RecordStore: ...

    @property
    def reader(self) -> RecordReader:
        """Reader of the exchange, in the same Region."""

    @property
    def reader_there(self) -> RecordReader:
        """Reader of the exchange in the other Region."""

    def other_region_is_gone(self) -> None:
        """Make the other Region unreachable for *store*."""

    def put_in_the_way(self, client_id: ClientId) -> None:
        """Make a secret of that name in the other Region, which is no replica."""

    def clear_the_way(self, client_id: ClientId) -> None:
        """Remove it."""


@dataclass
class _Replicas:
    store: FakeRecordStore

    def read(self, client_id: ClientId) -> Versioned[ClientRecord]:
        try:
            return self.store.replicas[client_id]
        except KeyError:
            raise UnknownClientError from None


class FakeRecords:
    """The fake."""

    def __init__(self) -> None:
        self.store = FakeRecordStore()
        self.reader = self.store
        self.reader_there = _Replicas(self.store)

    def other_region_is_gone(self) -> None:
        self.store.other_region_answers = False

    def put_in_the_way(self, client_id: ClientId) -> None:
        self.store.alone.add(client_id)

    def clear_the_way(self, client_id: ClientId) -> None:
        self.store.alone.discard(client_id)


class AwsRecords:
    """The adapter."""

    def __init__(self, regions: TwoRegions, *, repeating: bool = False) -> None:
        self.prefix = f"contract-{unique()}"
        self.here = regions.secrets(EAST, repeating=repeating)
        self.behind = regions.secrets(EAST)
        self.there = regions.secrets(WEST)
        self._reached = self.there
        self._regions = regions
        self.store = ClientSecrets(
            lambda: self.here, lambda: self._reached, WEST, self.prefix, secrets.token_bytes
        )
        self.reader = ClientSecretsReader(lambda: self.here, self.prefix)
        self.reader_there = ClientSecretsReader(lambda: self.there, self.prefix)

    def name(self, client_id: ClientId) -> str:
        return client_records.client_secret_name(self.prefix, client_id)

    def put_in_the_way(self, client_id: ClientId) -> None:
        self.there.create_secret(Name=self.name(client_id), SecretString="another")

    def clear_the_way(self, client_id: ClientId) -> None:
        self.there.delete_secret(SecretId=self.name(client_id), ForceDeleteWithoutRecovery=True)

    def with_keys(self, here: str, there: str) -> ClientSecrets:
        """Return a store with a configured KMS key in each Region."""
        return replace(self.store, kms_key=here, replica_kms_key=there)

    def other_region_is_gone(self) -> None:
        nowhere = f"http://{LOOPBACK}:{closed_port()}"
        self._reached = self._regions.aws.secrets(WEST, nowhere, IMPATIENT)

    def be_impatient_here(self) -> None:
        """Use short timeouts for this Region, which will not answer."""
        self.here = self._regions.aws.secrets(EAST, self._regions.endpoints[EAST], IMPATIENT)

    def be_impatient_there(self) -> None:
        """Use short timeouts for the other Region, which will not answer."""
        self._reached = self._regions.aws.secrets(WEST, self._regions.endpoints[WEST], IMPATIENT)

    def be_patient_there(self) -> None:
        """Use long timeouts for the other Region, which will answer."""
        self._reached = self.there

    def writer_elsewhere(self) -> ClientSecrets:
        """Return a store that shares only the secrets with this one."""
        return ClientSecrets(
            lambda: self.behind, lambda: self.there, WEST, self.prefix, secrets.token_bytes
        )

    def writer_there(self) -> ClientSecrets:
        """Return a store in the other Region."""
        return ClientSecrets(
            lambda: self.there, lambda: self.here, EAST, self.prefix, secrets.token_bytes
        )


class StateWorld(Protocol):
    """`StateStore` with a state in it."""

    @property
    def store(self) -> StateStore: ...

    def lose(self) -> None:
        """Delete the state."""


class FakeState:
    """The fake."""

    def __init__(self, state: RegionState) -> None:
        self.store = FakeStateStore.of(state)

    def lose(self) -> None:
        self.store.stored = None


class AwsState:
    """The adapter."""

    def __init__(self, regions: TwoRegions, state: RegionState, *, repeating: bool = False) -> None:
        self.prefix = f"contract-{unique()}"
        self.name = region_state.state_secret_name(self.prefix)
        self.here = regions.secrets(EAST, repeating=repeating)
        self.behind = regions.secrets(EAST)
        self.store = StateSecret(lambda: self.here, self.prefix, secrets.token_bytes)
        self.behind.create_secret(Name=self.name, SecretString=record_json.state_to_json(state))

    def lose(self) -> None:
        self.behind.delete_secret(SecretId=self.name, RecoveryWindowInDays=7)


class DenialWorld(Protocol):
    """`DenialStore` with empty shards in it."""

    @property
    def store(self) -> DenialStore: ...

    def lose(self, number: int) -> None:
        """Delete a shard."""


class FakeDenials:
    """The fake."""

    def __init__(self) -> None:
        self.store = FakeDenialStore()

    def lose(self, number: int) -> None:
        del self.store.shards[number]


class AwsDenials:
    """The adapter; *state* is what the Region's state secret holds, if there is one."""

    def __init__(self, regions: TwoRegions, state: str | None = None) -> None:
        self.prefix = f"contract-{unique()}"
        self.here = regions.secrets(EAST)
        self.behind = regions.secrets(EAST)
        self.store = DenialSecrets(lambda: self.here, self.prefix, secrets.token_bytes)
        for number in range(SHARDS):
            self.behind.create_secret(
                Name=self.name(number), SecretString=record_json.denials_to_json(DenialShard())
            )
        if state is not None:
            self.behind.create_secret(
                Name=region_state.state_secret_name(self.prefix), SecretString=state
            )

    def name(self, number: int) -> str:
        return region_state.denials_secret_name(self.prefix, number)

    def lose(self, number: int) -> None:
        self.behind.delete_secret(SecretId=self.name(number), RecoveryWindowInDays=7)


class KeyWorld(Protocol):
    """`DeploymentKeyReader` with a key to read."""

    @property
    def reader(self) -> DeploymentKeyReader: ...

    def lose(self) -> None:
        """Delete the key."""


class FakeKey:
    """The fake."""

    def __init__(self, key: bytes) -> None:
        self.reader = FakeDeploymentKey(key=key)

    def lose(self) -> None:
        self.reader.key = None


class AwsKey:
    """The adapter."""

    def __init__(self, regions: TwoRegions, key: bytes) -> None:
        prefix = f"contract-{unique()}"
        self.name = region_state.deployment_secret_name(prefix)
        self.here = regions.secrets(EAST)
        self.reader = DeploymentKeySecret(lambda: self.here, prefix)
        self.here.create_secret(
            Name=self.name, SecretString=record_json.deployment_key_to_json(key)
        )

    def lose(self) -> None:
        self.here.delete_secret(SecretId=self.name, RecoveryWindowInDays=7)


class AppClientsWorld(Protocol):
    """`AppClients` of a pool that defines `demo/read` and `demo/write`."""

    @property
    def clients(self) -> AppClients: ...

    def make_foreign(self, name: str) -> AppClientId:
        """Make a foreign app client, with which people log in."""

    def manage(self, app_client_id: AppClientId) -> None:
        """Have Cognito manage its secret in Secrets Manager."""


class FakePool:
    """The fake."""

    def __init__(self) -> None:
        self.clients = FakeAppClients()

    def make_foreign(self, name: str) -> AppClientId:
        app_client_id, _ = self.clients.create(ClientId("whoever"), ())
        made = self.clients.made[app_client_id]
        made.name, made.client_id, made.flows = name, None, frozenset({"code"})
        made.access_token_seconds = 7_200
        return app_client_id

    def manage(self, app_client_id: AppClientId) -> None:
        self.clients.made[app_client_id].manage(int(self.clients.clock()))


@dataclass
class AwsPool:
    """The adapter."""

    regions: TwoRegions
    prefix: str = field(default_factory=lambda: f"contract-{unique()}")
    access_token_seconds: int = 1_800
    region: str = EAST

    def __post_init__(self) -> None:
        self.cognito = self.regions.cognito(self.region)
        self.user_pool_id = self.regions.user_pools[self.region]
        self.clients = self.clients_of(self.user_pool_id)

    def clients_of(self, user_pool_id: str) -> PoolAppClients:
        return PoolAppClients(
            lambda: self.cognito,
            lambda: self.cognito,
            user_pool_id,
            self.prefix,
            self.access_token_seconds,
        )

    def make_foreign(self, name: str) -> AppClientId:
        made = self.cognito.create_user_pool_client(
            UserPoolId=self.user_pool_id,
            ClientName=name,
            GenerateSecret=True,
            AllowedOAuthFlows=["code"],
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthScopes=["openid"],
            CallbackURLs=["https://app.example.com/callback"],
            SupportedIdentityProviders=["COGNITO"],
            ExplicitAuthFlows=["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
            AccessTokenValidity=2,
            RefreshTokenValidity=12,
            TokenValidityUnits={"AccessToken": "hours", "RefreshToken": "hours"},
            EnableTokenRevocation=False,
        )["UserPoolClient"]
        return AppClientId(made["ClientId"])

    def manage(self, app_client_id: AppClientId) -> None:
        # The stubs do not know the parameter yet.
        more: dict[str, Any] = {"PublishSecretsInAWSSecretsManager": True}
        self.cognito.update_user_pool_client(
            UserPoolId=self.user_pool_id, ClientId=app_client_id, **more
        )


class TokenWorld(Protocol):
    """`TokenEndpoint` with an app client for one-hour tokens of `demo/read`."""

    @property
    def endpoint(self) -> TokenEndpoint: ...

    @property
    def app_client(self) -> AppClient: ...


class FakeEndpoint:
    """The fake."""

    def __init__(self, clock: Clock) -> None:
        self.app_client = app_client()
        self.endpoint = FakeTokenEndpoint(clock=clock, refused={WRONG_SECRET})


class LoopbackCognito:
    """The adapter, and a server that plays Cognito."""

    def __init__(self, clock: Clock, serve: Serve) -> None:
        self.app_client = app_client()
        self.endpoint = CognitoTokenEndpoint(f"{serve(self._answer).url}/oauth2/token", clock)

    def _answer(self, seen: Seen) -> Answer:
        form = seen.form
        if form.get("grant_type") != "client_credentials":
            return answer(400, {"error": "invalid_request"})
        credentials = (form["client_id"], form["client_secret"])
        if credentials != (self.app_client.app_client_id, self.app_client.client_secret):
            return answer(400, {"error": "invalid_client"})
        if form["scope"] != "demo/read":
            return answer(400, {"error": "invalid_grant"})
        token = {"access_token": f"token-{seen.connection}", "expires_in": 3600}
        return answer(200, token | {"token_type": "Bearer"})


class CloudCognito:
    """The adapter, and the local cloud's token endpoint."""

    def __init__(self, clock: Clock, regions: TwoRegions, region: str = EAST) -> None:
        pool = AwsPool(regions, access_token_seconds=3600, region=region)
        app_client_id, client_secret = pool.clients.create(new_client_id(), ("demo/read",))
        self.app_client = app_client(
            user_pool_id=pool.user_pool_id,
            app_client_id=app_client_id,
            client_secret=client_secret,
        )
        self.endpoint = CognitoTokenEndpoint(f"{regions.endpoints[region]}/oauth2/token", clock)


class LogWorld(Protocol):
    """`UseLog` of a Region whose function has logged nothing yet."""

    @property
    def log(self) -> UseLog: ...

    def used(self, client_id: ClientId, secret_id: SecretId, at: int) -> None:
        """Log a token of a client's secret."""

    def lose(self) -> None:
        """Delete the log."""


class FakeLog:
    """The fake."""

    def __init__(self) -> None:
        self.log = FakeUseLog()

    def used(self, client_id: ClientId, secret_id: SecretId, at: int) -> None:
        self.log.uses[secret_id] = max(at, self.log.uses.get(secret_id, 0))

    def lose(self) -> None:
        self.log.failures["last_uses"] = [LogUnavailableError("gone")]


class AwsLog:
    """The adapter, and a log group of its own."""

    def __init__(self, regions: TwoRegions) -> None:
        self.logs, self.group = regions.logs(EAST), f"/aws/lambda/contract-{unique()}"
        self.logs.create_log_group(logGroupName=self.group)
        self.log = CloudWatchUseLog(lambda: self.logs, self.group, time.time)

    def used(self, client_id: ClientId, secret_id: SecretId, at: int) -> None:
        found = {"event": "exchange", "outcome": "issued"}
        self.write(at, json.dumps(found | {"client_id": client_id, "secret_id": secret_id}))

    def write(self, at: int, line: str) -> None:
        """Log *line* in a stream of its own: within one, times must not go back."""
        stream = unique()
        self.logs.create_log_stream(logGroupName=self.group, logStreamName=stream)
        self.logs.put_log_events(
            logGroupName=self.group,
            logStreamName=stream,
            logEvents=[{"timestamp": at * 1000, "message": line}],
        )

    def lose(self) -> None:
        self.logs.delete_log_group(logGroupName=self.group)
