"""Client identity at backends: one name for a client in both Regions, and the keys of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import requests

from chalicelib.model import AppClient
from examples.protected_api import verifier_for
from local.cloud import Cloud
from surrogate_verifier import ClientNames
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import SECONDS, post_token, regional, token_without_exchange, verified

ROLES = ("primary", "secondary")


def published(base_url: str, **headers: str) -> requests.Response:
    return requests.get(
        f"{base_url}/.well-known/jwks.json",
        headers=headers,
        timeout=SECONDS,
        allow_redirects=False,
    )


def verified_by(keys: list[dict[str, Any]], token: str) -> dict[str, Any]:
    """Return the claims of *token*, verified with the published keys only."""
    kid = jwt.get_unverified_header(token)["kid"]
    iss = jwt.decode(token, options={"verify_signature": False})["iss"]
    (key,) = [each for each in keys if (each["kid"], each["iss"]) == (kid, iss)]
    claims: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(key).key, algorithms=["RS256"], issuer=key["iss"]
    )
    return claims


def issuer(cloud: Cloud, role: str) -> str:
    region, pool = cloud.endpoints["regions"][role], cloud.endpoints["user_pools"][role]
    return f"https://cognito-idp.{region}.amazonaws.com/{pool}"


def test_each_region_publishes_the_keys_of_both_from_the_first_minute(cloud: Cloud) -> None:
    for role in ROLES:
        answer = published(cloud.endpoints[role])
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        issuers = {each["iss"] for each in answer.json()["keys"]}
        assert issuers == {issuer(cloud, each) for each in ROLES}
        again = published(cloud.endpoints[role], **{"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(("lost", "left"), [ROLES, ROLES[::-1]])
def test_tokens_of_both_regions_are_verified_while_one_is_lost(
    breakable_cloud: Cloud, enroll_everywhere: Callable[[], Credential], lost: str, left: str
) -> None:
    credential = enroll_everywhere()
    endpoints = breakable_cloud.endpoints
    tokens = {
        role: post_token(endpoints[role], credential.pair).json()["access_token"] for role in ROLES
    }
    breakable_cloud.set_region(lost, "refused")
    keys = published(endpoints[left]).json()["keys"]
    for role, token in tokens.items():
        assert verified_by(keys, token)["iss"] == issuer(breakable_cloud, role)


def test_refreshing_by_hand_finds_nothing_new(surrogatectl: CommandLine) -> None:
    done = surrogatectl("refresh-jwks")
    assert (done["outcome"], done["failed"]) == ("unchanged", {})


def test_a_refresh_with_a_region_lost_keeps_its_keys(
    breakable_cloud: Cloud, surrogatectl: CommandLine
) -> None:
    before = published(breakable_cloud.endpoints["primary"]).json()
    breakable_cloud.set_region("secondary", "refused")
    done = surrogatectl("refresh-jwks")
    assert set(done["failed"]) == {issuer(breakable_cloud, "secondary")}
    assert published(breakable_cloud.endpoints["primary"]).json() == before


# One name


def ask_cognito(cloud: Cloud, role: str, stolen: AppClient, **metadata: str) -> dict[str, Any]:
    """Return the claims of a token requested from Cognito without the exchange."""
    return verified(cloud, role, token_without_exchange(cloud, role, stolen, **metadata))


def test_tokens_of_both_regions_carry_the_same_client_name(
    cloud: Cloud, enroll_everywhere: Callable[[], Credential]
) -> None:
    credential = enroll_everywhere()
    claims = {
        role: verified(
            cloud,
            role,
            post_token(cloud.endpoints[role], credential.pair).json()["access_token"],
        )
        for role in ROLES
    }
    assert {each["surrogate_client_id"] for each in claims.values()} == {credential.client_id}
    assert claims["primary"]["client_id"] != claims["secondary"]["client_id"]


def test_the_holder_of_a_cognito_secret_cannot_name_another_client(
    cloud: Cloud, enroll_everywhere: Callable[[], Credential]
) -> None:
    thief, victim = enroll_everywhere(), enroll_everywhere()
    for role in ROLES:
        stolen, other = (regional(cloud, each.client_id, role) for each in (thief, victim))
        for mac in (other.mac, stolen.mac, "0" * 64):
            claims = ask_cognito(
                cloud, role, stolen, surrogate_client_id=victim.client_id, surrogate_mac=mac
            )
            assert "surrogate_client_id" not in claims
        assert "surrogate_client_id" not in ask_cognito(cloud, role, stolen)
        own = ask_cognito(
            cloud, role, stolen, surrogate_client_id=thief.client_id, surrogate_mac=stolen.mac
        )
        assert own["surrogate_client_id"] == thief.client_id


def test_a_mac_of_one_region_is_invalid_in_the_other(
    cloud: Cloud, enroll_everywhere: Callable[[], Credential]
) -> None:
    credential = enroll_everywhere()
    here, there = (regional(cloud, credential.client_id, role) for role in ROLES)
    claims = ask_cognito(
        cloud,
        "secondary",
        there,
        surrogate_client_id=credential.client_id,
        surrogate_mac=here.mac,
    )
    assert "surrogate_client_id" not in claims


def test_a_lost_deployment_key_costs_the_claim_and_no_token(
    breakable_cloud: Cloud, enroll: Callable[..., Credential]
) -> None:
    """Tested with a function that starts during the outage; a running one has the key."""
    credential, cloud = enroll(), breakable_cloud
    stolen = regional(cloud, credential.client_id, "primary")
    told = {"surrogate_client_id": credential.client_id, "surrogate_mac": stolen.mac}
    functions = cloud.client("lambda", "primary", "root")
    name = "surrogate-credentials-primary-trigger"
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    cloud.add_fault("secretsmanager", "error500", "primary")
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**variables, "COLD": "1"}}
    )
    assert "surrogate_client_id" not in ask_cognito(cloud, "primary", stolen, **told)
    cloud.clear_faults()
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    again = ask_cognito(cloud, "primary", stolen, **told)
    assert again["surrogate_client_id"] == credential.client_id


def test_the_client_map_agrees_with_the_claim(
    cloud: Cloud,
    surrogatectl: CommandLine,
    enroll_everywhere: Callable[[], Credential],
    tmp_path: Any,
) -> None:
    credential = enroll_everywhere()
    clients = surrogatectl("app-clients")["clients"]
    assert set(clients) == {issuer(cloud, role) for role in ROLES}
    for role in ROLES:
        token = post_token(cloud.endpoints[role], credential.pair).json()["access_token"]
        claims = verified(cloud, role, token)
        assert clients[claims["iss"]][claims["client_id"]] == claims["surrogate_client_id"]
    done = surrogatectl.run("app-clients", "--file", str(tmp_path / "map.json"))
    assert done.returncode == 0, done.stderr
    path = tmp_path / "map.json"
    assert json.loads(path.read_text())["clients"].keys() == clients.keys()
    # A backend of Lite pools has tokens without the claim, and the map.
    verifier = verifier_for(cloud.endpoints, client_names=ClientNames.from_file(path))
    for role in ROLES:
        own = regional(cloud, credential.client_id, role)
        token = verifier.verify(token_without_exchange(cloud, role, own))
        assert "surrogate_client_id" not in token.claims
        assert token.client_id == credential.client_id


# An existing pool

POOL_SETTINGS: dict[str, Any] = {
    "DeletionProtection": "ACTIVE",
    "AutoVerifiedAttributes": ["email"],
    "Policies": {"PasswordPolicy": {"MinimumLength": 14, "TemporaryPasswordValidityDays": 2}},
    "AdminCreateUserConfig": {"AllowAdminCreateUserOnly": True},
    "UserPoolTags": {"owner": "payments"},
    "AccountRecoverySetting": {"RecoveryMechanisms": [{"Priority": 1, "Name": "verified_email"}]},
}


@pytest.fixture
def brought(cloud: Cloud) -> Iterator[str]:
    cognito = cloud.client("cognito-idp", "primary", "root")
    pool = cognito.create_user_pool(PoolName="brought", **POOL_SETTINGS)["UserPool"]["Id"]
    yield str(pool)
    cognito.update_user_pool(UserPoolId=pool, DeletionProtection="INACTIVE")
    cognito.delete_user_pool(UserPoolId=pool)


def test_the_trigger_is_attached_only_to_a_pool_without_one(
    cloud: Cloud, surrogatectl: CommandLine, brought: str
) -> None:
    cognito = cloud.client("cognito-idp", "primary", "root")
    functions = cloud.client("lambda", "primary", "root")
    name = "surrogate-credentials-primary-trigger"
    before = cognito.describe_user_pool(UserPoolId=brought)["UserPool"]

    def attach() -> Any:
        return surrogatectl.run(
            "attach-trigger",
            "--region=primary",
            "--yes",
            "--output=json",
            USER_POOL_ID_PRIMARY=brought,
        )

    refused = attach()
    assert refused.returncode == 1
    assert "does not let Cognito invoke it" in refused.stderr
    functions.add_permission(
        FunctionName=name,
        StatementId="brought",
        Action="lambda:InvokeFunction",
        Principal="cognito-idp.amazonaws.com",
        SourceArn=before["Arn"],
        SourceAccount=before["Arn"].split(":")[4],
    )
    try:
        done = attach()
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["us-east-1"]["attached"] is True
        after = cognito.describe_user_pool(UserPoolId=brought)["UserPool"]
        config = after.pop("LambdaConfig")["PreTokenGenerationConfig"]
        assert config["LambdaArn"].endswith(f":{name}")
        for each in (before, after):
            each.pop("LambdaConfig", None)
            each.pop("LastModifiedDate")
            each["AdminCreateUserConfig"].pop("UnusedAccountValidityDays", None)
        assert after == before
        assert json.loads(attach().stdout)["us-east-1"]["attached"] is False
    finally:
        functions.remove_permission(FunctionName=name, StatementId="brought")
    theirs = {"LambdaArn": config["LambdaArn"] + "-theirs", "LambdaVersion": "V2_0"}
    cognito.update_user_pool(
        UserPoolId=brought, LambdaConfig={"PreTokenGenerationConfig": theirs}, **POOL_SETTINGS
    )
    kept = attach()
    assert kept.returncode == 3
    assert "never replaced" in kept.stderr
    found = cognito.describe_user_pool(UserPoolId=brought)["UserPool"]["LambdaConfig"]
    assert found["PreTokenGenerationConfig"] == theirs
