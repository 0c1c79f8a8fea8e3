"""The exchange in a Region makes no call to the other Region, even when its own fails."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from chalicelib import credentials, record_json
from chalicelib.aws import region_state
from chalicelib.aws.client_records import ClientSecrets
from chalicelib.credentials import SecretHasher
from chalicelib.denial_shards import SHARDS
from chalicelib.model import (
    ClientRecord,
    DenialShard,
    IssuedCredentials,
    Origin,
    RegionState,
    Status,
)
from chalicelib.token.oauth import FORM
from tests import stages
from tests.contract.cold_start import Run, cold_start
from tests.contract.implementations import AwsPool, Serve, TwoRegions
from tests.contract.loopback import LOOPBACK, Loopback, always, answer, closed_port
from tests.contract.samples import app_client, unique
from tests.gateway import Answer, basic, event
from tests.worlds import EAST, WEST

if TYPE_CHECKING:
    from local.cloud import Cloud

GRANT = "grant_type=client_credentials"
GOOD = {"access_token": "token-of-the-east", "expires_in": 3600, "token_type": "Bearer"}


def enrolled(app_clients: dict[str, Any]) -> tuple[IssuedCredentials, ClientRecord]:
    """Return credentials and their record."""
    issued = credentials.issue(credentials.new_client_id(secrets.token_bytes), secrets.token_bytes)
    now = int(time.time())
    record = ClientRecord(
        client_id=issued.client_id,
        client_name="one Region",
        status=Status.ACTIVE,
        origin=Origin.ENROLLED,
        created_at=now,
        secrets=(SecretHasher(secrets.token_bytes).hash(issued, now=now),),
        scopes=("demo/read",),
        app_clients=app_clients,
    )
    return issued, record


@dataclass
class EastStage:
    """Function of the primary stage, in a process of its own; the west is *elsewhere*."""

    moto: TwoRegions
    tokens: Loopback
    elsewhere: Loopback

    def __post_init__(self) -> None:
        self.prefix = f"contract-{unique()}"
        client = self.moto.secrets(EAST)
        state = RegionState(writer=True, took_over=False)
        client.create_secret(
            Name=region_state.state_secret_name(self.prefix),
            SecretString=record_json.state_to_json(state),
        )
        for number in range(SHARDS):
            client.create_secret(
                Name=region_state.denials_secret_name(self.prefix, number),
                SecretString=record_json.denials_to_json(DenialShard()),
            )
        store = ClientSecrets(
            lambda: client, lambda: client, WEST, self.prefix, secrets.token_bytes
        )
        self.issued, record = enrolled({EAST: app_client(), WEST: app_client()})
        store.create(record)

    def call(self, *events: dict[str, Any], **environment: str) -> list[Answer]:
        return self.run(*events, **environment).answers

    def run(self, *events: dict[str, Any], **environment: str) -> Run:
        return cold_start(
            events,
            {
                **stages.environment("primary"),
                "AWS_ACCESS_KEY_ID": "AKIATESTS",
                "AWS_SECRET_ACCESS_KEY": "tests",
                "SECRET_PREFIX": self.prefix,
                "OAUTH_HOST_PRIMARY": f"{self.tokens.url}/oauth2/token",
                "OAUTH_HOST_SECONDARY": f"{self.elsewhere.url}/oauth2/token",
                "ENDPOINT_URL_PRIMARY": self.moto.endpoints[EAST],
                "ENDPOINT_URL_SECONDARY": self.elsewhere.url,
                **environment,
            },
        )

    def request(self, secret: str | None = None, client_id: str | None = None) -> dict[str, Any]:
        authorization = basic(
            client_id or self.issued.client_id, secret or self.issued.client_secret
        )
        return event(headers=[("Content-Type", FORM), authorization], body=GRANT)


@pytest.fixture
def stage(moto: TwoRegions, serve: Serve) -> EastStage:
    good = always(answer(200, GOOD))
    return EastStage(moto, serve(good), serve(good))


def test_tokens_are_issued_and_refused_without_the_other_region(stage: EastStage) -> None:
    other = credentials.issue(stage.issued.client_id, secrets.token_bytes)
    unknown = credentials.new_client_id(secrets.token_bytes)
    answers = stage.call(
        stage.request(),
        stage.request(),
        stage.request(secret=other.client_secret),
        stage.request(client_id=unknown),
        event("GET", "/health"),
        event("GET", "/health/ready"),
        event("GET", "/.well-known/oauth-authorization-server"),
    )
    assert [each.status for each in answers] == [200, 200, 401, 401, 200, 200, 200]
    assert answers[0].json["access_token"] == GOOD["access_token"]
    assert [len(seen.form) > 0 for seen in stage.tokens.seen if seen.body] == [True]
    assert stage.elsewhere.connections == 0


@pytest.mark.parametrize(
    "lost",
    [
        {"OAUTH_HOST_PRIMARY": "{nowhere}/oauth2/token"},
        {"ENDPOINT_URL_PRIMARY": "{nowhere}"},
        {"OAUTH_HOST_PRIMARY": "{nowhere}/oauth2/token", "ENDPOINT_URL_PRIMARY": "{nowhere}"},
    ],
    ids=["the token endpoint", "Secrets Manager", "everything"],
)
def test_a_failure_in_this_region_causes_no_call_to_the_other(
    stage: EastStage, lost: dict[str, str]
) -> None:
    nowhere = f"http://{LOOPBACK}:{closed_port()}"
    environment = {name: value.format(nowhere=nowhere) for name, value in lost.items()}
    answers = stage.call(stage.request(), event("GET", "/health/ready"), **environment)
    assert [each.status for each in answers] == [503, 503]
    assert answers[0].error == "temporarily_unavailable"
    assert stage.elsewhere.connections == 0


def test_a_connection_attempt_to_a_closed_port_is_recorded(stage: EastStage) -> None:
    """Otherwise the tests of static stability could not fail."""
    nowhere = f"{LOOPBACK}:{closed_port()}"
    run = stage.run(stage.request(), OAUTH_HOST_PRIMARY=f"http://{nowhere}/oauth2/token")
    secrets_manager = stage.moto.endpoints[EAST].removeprefix("http://")
    assert run.attempts == {nowhere, secrets_manager}
    assert stage.run(stage.request()).attempts == {
        stage.tokens.url.removeprefix("http://"),
        secrets_manager,
    }


def test_a_refused_app_client_causes_no_call_to_the_other_region(stage: EastStage) -> None:
    stage.tokens.choose = always(answer(400, {"error": "invalid_client"}))
    (answered,) = stage.call(stage.request())
    assert answered.status >= 500
    assert stage.elsewhere.connections == 0


# On the local cloud, with the deployed stages


@pytest.fixture
def cloud_client(breakable_cloud: Cloud, local_cloud: TwoRegions) -> IssuedCredentials:
    """Store a client with an app client in both Regions, its record in both."""
    app_clients = {}
    for region in (EAST, WEST):
        pool = AwsPool(local_cloud, region=region)
        app_client_id, client_secret = pool.clients.create(
            credentials.new_client_id(secrets.token_bytes), ("demo/read",)
        )
        app_clients[region] = app_client(
            user_pool_id=pool.user_pool_id,
            app_client_id=app_client_id,
            client_secret=client_secret,
        )
    here, there = local_cloud.secrets(EAST), local_cloud.secrets(WEST)
    prefix = breakable_cloud.environment["SECRET_PREFIX"]
    store = ClientSecrets(lambda: here, lambda: there, WEST, prefix, secrets.token_bytes)
    issued, record = enrolled(app_clients)
    store.create(record)
    store.replicate(issued.client_id)
    return issued


@pytest.mark.parametrize(("role", "other"), [("primary", "secondary"), ("secondary", "primary")])
@pytest.mark.parametrize("mode", ["up", "refused", "hanging"])
def test_a_deployed_exchange_calls_its_own_region_only(
    breakable_cloud: Cloud, cloud_client: IssuedCredentials, role: str, other: str, mode: str
) -> None:
    breakable_cloud.set_region(other, mode)
    breakable_cloud.clear_calls()
    answered = requests.post(
        f"{breakable_cloud.endpoints[role]}/oauth2/token",
        auth=(cloud_client.client_id, cloud_client.client_secret),
        data={"grant_type": "client_credentials"},
        timeout=30,
    )
    assert answered.status_code == 200, answered.text
    here, elsewhere = (breakable_cloud.endpoints["regions"][each] for each in (role, other))
    calls = breakable_cloud.calls()
    assert {"secretsmanager", "token"} <= {
        call["service"] for call in calls if call["region"] == here
    }
    # Health checks call the other Region's API, and so its own function.
    foreign = [
        call
        for call in calls
        if call["region"] == elsewhere
        and call["service"] != "execute-api"
        and not _is_function(call, other)
    ]
    assert foreign == []


def _is_function(call: dict[str, Any], role: str) -> bool:
    """Return whether *call* was made by the function of the stage *role*."""
    return f"surrogate-{role}" in call["caller"]
