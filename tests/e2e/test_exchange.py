"""One credential, two Regions: the deployed package, real OAuth clients, real verification."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

from local.cloud import Cloud
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import SECONDS, post_token, verified

ROLES = ("primary", "secondary")
Enroll = Callable[..., Credential]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_gets_a_token_in_both_regions_with_one_credential(
    cloud: Cloud, enroll: Enroll, role: str, method: str
) -> None:
    credential = enroll()
    with AuthlibSession(
        *credential.pair, token_endpoint_auth_method=method, scope="demo/read"
    ) as session:
        answer = session.fetch_token(
            f"{cloud.endpoints[role]}/oauth2/token", grant_type="client_credentials"
        )
    claims = verified(cloud, role, answer["access_token"])
    assert claims["scope"] == "demo/read"
    assert claims["token_use"] == "access"
    assert answer["expires_in"] <= 3600


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("method", ["basic", "body"])
def test_requests_oauthlib_gets_a_token_in_both_regions_with_one_credential(
    cloud: Cloud, enroll: Enroll, role: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # the local cloud has no TLS
    credential = enroll()
    session = OAuth2Session(client=BackendApplicationClient(credential.client_id))
    answer = session.fetch_token(
        f"{cloud.endpoints[role]}/oauth2/token",
        client_id=credential.client_id,
        client_secret=credential.client_secret,
        include_client_id=method == "body",
        auth=None if method == "body" else requests.auth.HTTPBasicAuth(*credential.pair),
    )
    assert set(verified(cloud, role, answer["access_token"])["scope"].split()) == {
        "demo/read",
        "demo/write",
    }


def test_the_token_is_reused_and_its_life_counts_down(cloud: Cloud, enroll: Enroll) -> None:
    credential = enroll()
    first = post_token(cloud.endpoints["primary"], credential.pair).json()
    second = post_token(cloud.endpoints["primary"], credential.pair).json()
    assert first["access_token"] == second["access_token"]
    assert second["expires_in"] <= first["expires_in"]


def test_a_wrong_secret_is_refused_in_both_regions_with_a_challenge(
    cloud: Cloud, enroll: Enroll
) -> None:
    credential = enroll()
    other = enroll()
    for role in ROLES:
        answer = post_token(cloud.endpoints[role], (credential.client_id, other.client_secret))
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_stored_hash_does_not_authenticate(cloud: Cloud, enroll: Enroll) -> None:
    credential = enroll()
    stored = cloud.client("secretsmanager", "primary", "root").get_secret_value(
        SecretId=f"surrogate/clients/{credential.client_id}"
    )["SecretString"]
    assert credential.client_secret not in stored
    hashed = json.loads(stored)["secrets"][0]["hash"]
    answer = post_token(cloud.endpoints["primary"], (credential.client_id, hashed))
    assert answer.status_code == 401


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_get_an_oauth_answer_from_the_deployed_api(cloud: Cloud, method: str) -> None:
    answer = requests.request(method, f"{cloud.endpoints['primary']}/oauth2/token", timeout=SECONDS)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.json()["error"] == "invalid_request"


def test_a_json_body_is_not_parsed(cloud: Cloud, enroll: Enroll) -> None:
    credential = enroll()
    answer = requests.post(
        f"{cloud.endpoints['primary']}/oauth2/token",
        auth=credential.pair,
        json={"grant_type": "client_credentials"},
        timeout=SECONDS,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_metadata_and_health_answer_without_credentials(cloud: Cloud) -> None:
    for role in ROLES:
        base = cloud.endpoints[role]
        metadata = requests.get(
            f"{base}/.well-known/oauth-authorization-server", timeout=SECONDS
        ).json()
        assert metadata["token_endpoint"] == f"{cloud.endpoints['front_door']}/oauth2/token"
        assert metadata["grant_types_supported"] == ["client_credentials"]
        assert requests.get(f"{base}/health", timeout=SECONDS).status_code == 200
        assert requests.get(f"{base}/health/ready", timeout=SECONDS).status_code == 200
        assert requests.get(f"{base}/health/takeover", timeout=SECONDS).status_code == 409


def test_unsigned_and_unauthorized_callers_cannot_enroll(
    cloud: Cloud, surrogatectl: CommandLine
) -> None:
    for role in ROLES:
        answer = requests.post(f"{cloud.endpoints[role]}/clients", json={}, timeout=SECONDS)
        assert answer.status_code == 403
    nobody = cloud.identity("nobody")
    done = surrogatectl.run(
        "enroll",
        "--name=x",
        "--scope=demo/read",
        AWS_ACCESS_KEY_ID=nobody.access_key_id,
        AWS_SECRET_ACCESS_KEY=nobody.secret_access_key,
    )
    assert done.returncode == 1
    assert "execute-api:Invoke" in done.stderr


def test_a_basic_header_does_not_open_the_admin_api(cloud: Cloud, enroll: Enroll) -> None:
    credential = enroll()
    answer = requests.post(
        f"{cloud.endpoints['primary']}/clients", auth=credential.pair, json={}, timeout=SECONDS
    )
    assert answer.status_code == 403


def test_an_unknown_scope_is_named_and_nothing_is_left_behind(
    cloud: Cloud, surrogatectl: CommandLine
) -> None:
    before = _inventory(cloud)
    done = surrogatectl.run("enroll", "--name=x", "--scope=demo/read demo/nope")
    assert done.returncode == 1
    assert "demo/nope" in done.stderr
    assert _inventory(cloud) == before


@pytest.mark.parametrize("role", ROLES)
def test_a_pool_that_refuses_leaves_nothing_behind(
    breakable_cloud: Cloud, surrogatectl: CommandLine, role: str
) -> None:
    before = _inventory(breakable_cloud)
    breakable_cloud.add_fault("cognito-idp", "throttle", role, action="CreateUserPoolClient")
    request = ("enroll", "--name=x", "--scope=demo/read", f"--idempotency-key=refused-{role}")
    done = surrogatectl.run(*request)
    assert done.returncode == 4
    assert "throttles" in done.stderr
    breakable_cloud.clear_faults()
    assert _inventory(breakable_cloud) == before
    again = surrogatectl(*request)
    pair = (again["client_id"], again["client_secret"])
    assert post_token(breakable_cloud.endpoints["primary"], pair).status_code == 200


def test_enrollment_in_the_standby_names_the_writing_region(surrogatectl: CommandLine) -> None:
    done = surrogatectl.run("enroll", "--name=x", "--scope=demo/read", "--region=secondary")
    assert done.returncode == 3
    assert "us-east-1" in done.stderr


def test_a_repeated_idempotency_key_gives_one_client(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    first = enroll("--idempotency-key=once")
    second = enroll("--idempotency-key=once")
    assert first.client_id == second.client_id
    secondary = cloud.endpoints["secondary"]
    assert post_token(secondary, second.pair).status_code == 200
    assert post_token(secondary, first.pair).status_code == 401  # nobody received it
    other = surrogatectl.run("enroll", "--name=e2e", "--scope=demo/read", "--idempotency-key=once")
    assert other.returncode == 3


def test_the_secret_file_is_private_and_never_overwritten(
    cloud: Cloud, surrogatectl: CommandLine, scratch: Path
) -> None:
    path = scratch / "secret"
    answer = surrogatectl("enroll", "--name=x", "--scope=demo/read", f"--secret-file={path}")
    assert "client_secret" not in answer
    assert path.stat().st_mode & 0o777 == 0o600
    pair = (answer["client_id"], path.read_text().strip())
    assert post_token(cloud.endpoints["primary"], pair).status_code == 200
    again = surrogatectl.run("enroll", "--name=x", "--scope=demo/read", f"--secret-file={path}")
    assert again.returncode != 0
    assert path.read_text().strip() == pair[1]


def test_the_exchange_in_a_region_calls_that_region_only(
    breakable_cloud: Cloud, enroll: Enroll
) -> None:
    credential = enroll()
    for role in ROLES:
        breakable_cloud.clear_calls()
        answer = post_token(breakable_cloud.endpoints[role], credential.pair, scope="demo/write")
        assert answer.status_code == 200
        own = breakable_cloud.endpoints["regions"][role]
        # Except for the health checks of the name, which are not calls of this stage.
        called = breakable_cloud.calls_of_stage(role) + [
            call for call in breakable_cloud.calls() if call["service"] == "token"
        ]
        assert {call["service"] for call in called} == {"secretsmanager", "token"}
        assert {call["region"] for call in called} == {own}


@pytest.mark.parametrize("mode", ["refused", "hanging"])
def test_with_the_other_region_gone_tokens_and_enrollment_go_on(
    breakable_cloud: Cloud, surrogatectl: CommandLine, enroll: Enroll, mode: str
) -> None:
    before = enroll()
    breakable_cloud.set_region("secondary", mode)
    primary = breakable_cloud.endpoints["primary"]
    assert post_token(primary, before.pair).status_code == 200
    during = enroll()
    assert during.enrolled["app_clients"] == {"us-east-1": "ready", "us-west-2": "pending"}
    assert during.enrolled["replication"] != "in_sync"
    assert post_token(primary, during.pair).status_code == 200


def test_the_name_follows_a_failover_and_the_credential_goes_on_working(
    breakable_cloud: Cloud,
    surrogatectl: CommandLine,
    enroll_everywhere: Callable[[], Credential],
) -> None:
    name = breakable_cloud.endpoints["front_door"]
    credential = enroll_everywhere()
    token = post_token(name, credential.pair).json()["access_token"]
    verified(breakable_cloud, "primary", token)
    breakable_cloud.set_region("primary", "refused")
    with pytest.raises(requests.ConnectionError):
        post_token(name, credential.pair)
    try:
        surrogatectl("failover", "--to=secondary", "--timeout=60", "--force")
        token = post_token(name, credential.pair).json()["access_token"]
        verified(breakable_cloud, "secondary", token)
    finally:
        breakable_cloud.set_region("primary", "up")
        surrogatectl("failback", "--timeout=60", "--settle=1", "--ttl=1")
    verified(breakable_cloud, "primary", post_token(name, credential.pair).json()["access_token"])


def test_the_deployed_functions_logs_hold_no_secret(cloud: Cloud, enroll: Enroll) -> None:
    credential = enroll()
    token = post_token(cloud.endpoints["primary"], credential.pair).json()["access_token"]
    post_token(cloud.endpoints["primary"], (credential.client_id, credential.client_secret[::-1]))
    logs = cloud.client("logs", "primary", "root")
    text = "".join(
        event["message"]
        for group in logs.describe_log_groups()["logGroups"]
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
    )
    assert credential.client_id in text  # the log is there, and says who
    basic = base64.b64encode(":".join(credential.pair).encode()).decode()
    stored = cloud.client("secretsmanager", "primary", "root").get_secret_value(
        SecretId=f"surrogate/clients/{credential.client_id}"
    )["SecretString"]
    app_client = json.loads(stored)["app_clients"]["us-east-1"]
    secrets = [
        credential.client_secret,
        basic,
        token,
        json.loads(stored)["secrets"][0]["hash"],
        app_client["client_secret"],
        app_client["app_client_id"],
    ]
    assert not [secret for secret in secrets if secret in text]


def _inventory(cloud: Cloud) -> dict[str, set[str]]:
    """Return all owned resources: secrets that are not marked for deletion, and app clients."""
    found: dict[str, set[str]] = {}
    for role in ROLES:
        store = cloud.client("secretsmanager", role, "root")
        pages = store.get_paginator("list_secrets").paginate()
        found[f"{role} secrets"] = {
            secret["Name"] for page in pages for secret in page["SecretList"]
        }
        pool = cloud.endpoints["user_pools"][role]
        pages = (
            cloud.client("cognito-idp", role, "root")
            .get_paginator("list_user_pool_clients")
            .paginate(UserPoolId=pool)
        )
        found[f"{role} app clients"] = {
            client["ClientId"] for page in pages for client in page["UserPoolClients"]
        }
    return found


@pytest.mark.parametrize("path", ["/health/takeover", "/health/ready"])
def test_health_checks_are_answered_beside_a_throttled_token_endpoint(
    breakable_cloud: Cloud, path: str
) -> None:
    """What a flood does to a stage: nothing is left of the limit of every other method."""
    gateway = breakable_cloud.client("apigateway", "secondary", "root")
    base = breakable_cloud.endpoints["secondary"]
    stage = {"restApiId": base.split("/")[-2], "stageName": "api"}

    def limit(rate: int) -> None:
        for name in ("rateLimit", "burstLimit"):
            change = {"op": "replace", "path": f"/*/*/throttling/{name}", "value": str(rate)}
            gateway.update_stage(**stage, patchOperations=[change])

    limit(0)
    try:
        tokens = {
            requests.post(f"{base}/oauth2/token", timeout=SECONDS).status_code for _ in range(5)
        }
        probes = {requests.get(f"{base}{path}", timeout=SECONDS).status_code for _ in range(20)}
    finally:
        limit(200)
    assert tokens == {429}
    assert 429 not in probes


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
        "/health",
        "/health/ready",
        "/health/takeover",
    ],
)
def test_the_deployed_api_answers_head_wherever_it_answers_get(cloud: Cloud, path: str) -> None:
    for role in ROLES:
        url = f"{cloud.endpoints[role]}{path}"
        get, head = requests.get(url, timeout=SECONDS), requests.head(url, timeout=SECONDS)
        assert (head.status_code, head.content) == (get.status_code, b"")
        for name in ("Content-Type", "Cache-Control", "ETag"):
            assert head.headers.get(name) == get.headers.get(name)
