"""Cognito, called through the SDK and at its token endpoint."""

from typing import Any

import jwt
import pytest
import requests
from botocore.exceptions import ClientError

from local.cloud import Cloud

pytestmark = pytest.mark.cloud


@pytest.fixture
def pool_id(cloud: Cloud) -> str:
    return str(cloud.endpoints["user_pools"]["primary"])


@pytest.fixture
def cognito(cloud: Cloud) -> Any:
    return cloud.client("cognito-idp", "primary")


@pytest.fixture
def app_client(cognito: Any, pool_id: str) -> Any:
    made = cognito.create_user_pool_client(
        UserPoolId=pool_id,
        ClientName="surrogate-test",
        GenerateSecret=True,
        AllowedOAuthFlows=["client_credentials"],
        AllowedOAuthScopes=["demo/read", "demo/write"],
        AllowedOAuthFlowsUserPoolClient=True,
    )["UserPoolClient"]
    yield made
    cognito.delete_user_pool_client(UserPoolId=pool_id, ClientId=made["ClientId"])


def ask(cloud: Cloud, app_client: Any, role: str = "primary", **form: str) -> requests.Response:
    return requests.post(
        f"{cloud.endpoints['region_endpoints'][role]}/oauth2/token",
        auth=(app_client["ClientId"], form.pop("secret", app_client["ClientSecret"])),
        data={"grant_type": "client_credentials", **form},
        timeout=10,
    )


def test_a_machine_gets_a_token_that_its_pool_signed(
    cloud: Cloud, app_client: Any, pool_id: str
) -> None:
    answer = ask(cloud, app_client, scope="demo/read")
    document = answer.json()
    assert (answer.status_code, document["token_type"]) == (200, "Bearer")
    assert "no-store" in answer.headers["cache-control"]
    endpoint = cloud.endpoints["region_endpoints"]["primary"]
    key = jwt.PyJWKClient(f"{endpoint}/{pool_id}/.well-known/jwks.json").get_signing_key_from_jwt(
        document["access_token"]
    )
    claims = jwt.decode(
        document["access_token"],
        key,
        algorithms=["RS256"],
        issuer=f"https://cognito-idp.us-east-1.amazonaws.com/{pool_id}",
    )
    expected = "sub token_use scope auth_time iss exp iat version jti client_id"
    assert set(claims) == set(expected.split())
    assert claims["scope"] == "demo/read"
    assert claims["sub"] == claims["client_id"] == app_client["ClientId"]


def test_both_secrets_work_until_one_is_deleted(
    cloud: Cloud, cognito: Any, app_client: Any, pool_id: str
) -> None:
    which = {"UserPoolId": pool_id, "ClientId": app_client["ClientId"]}
    added = cognito.add_user_pool_client_secret(**which)["ClientSecretDescriptor"]
    second = added["ClientSecretValue"]
    assert ask(cloud, app_client).ok
    assert ask(cloud, app_client, secret=second).ok
    with pytest.raises(ClientError, match="LimitExceeded"):
        cognito.add_user_pool_client_secret(**which)
    secrets = cognito.list_user_pool_client_secrets(**which)["ClientSecrets"]
    assert [set(item) for item in secrets] == [{"ClientSecretId", "ClientSecretCreateDate"}] * 2
    cognito.delete_user_pool_client_secret(**which, ClientSecretId=secrets[0]["ClientSecretId"])
    assert ask(cloud, app_client).json() == {"error": "invalid_client"}
    assert ask(cloud, app_client, secret=second).ok
    with pytest.raises(ClientError, match="last remaining"):
        cognito.delete_user_pool_client_secret(**which, ClientSecretId=added["ClientSecretId"])


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"secret": "wrong"}, "invalid_client"),
        ({"scope": "demo/unknown"}, "invalid_scope"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
    ],
)
def test_errors_are_400_and_json(
    cloud: Cloud, app_client: Any, form: dict[str, str], error: str
) -> None:
    answer = ask(cloud, app_client, **form)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_the_token_endpoint_takes_forms_by_post_only(cloud: Cloud) -> None:
    url = f"{cloud.endpoints['region_endpoints']['primary']}/oauth2/token"
    assert requests.get(url, timeout=10).status_code == 405
    assert requests.post(url, json={}, timeout=10).json() == {"error": "invalid_request"}


def test_a_client_whose_oauth_is_switched_off_gets_no_token(
    cloud: Cloud, cognito: Any, app_client: Any, pool_id: str
) -> None:
    cognito.update_user_pool_client(
        UserPoolId=pool_id,
        ClientId=app_client["ClientId"],
        AllowedOAuthFlows=["client_credentials"],
        AllowedOAuthScopes=["demo/read"],
    )
    assert ask(cloud, app_client).json() == {"error": "invalid_grant"}


def test_the_other_region_knows_neither_the_client_nor_the_pool(
    cloud: Cloud, app_client: Any, pool_id: str
) -> None:
    assert ask(cloud, app_client, "secondary").json() == {"error": "invalid_client"}
    elsewhere = cloud.endpoints["region_endpoints"]["secondary"]
    keys = requests.get(f"{elsewhere}/{pool_id}/.well-known/jwks.json", timeout=10)
    assert keys.status_code == 404
    client = cloud.client("cognito-idp", "secondary")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client.describe_user_pool_client(UserPoolId=pool_id, ClientId=app_client["ClientId"])


def test_the_shared_port_finds_the_region_of_an_app_client(cloud: Cloud, app_client: Any) -> None:
    answer = requests.post(
        f"{cloud.endpoints['cloud']}/oauth2/token",
        data={
            "grant_type": "client_credentials",
            "client_id": app_client["ClientId"],
            "client_secret": app_client["ClientSecret"],
        },
        timeout=10,
    )
    assert answer.ok


def test_a_throttled_token_endpoint_answers_without_oauth_errors(
    cloud: Cloud, app_client: Any
) -> None:
    cloud.add_fault("token", "throttle", "primary", times=1)
    answer = ask(cloud, app_client)
    assert (answer.status_code, answer.text) == (429, "Rate exceeded")
    assert ask(cloud, app_client).ok


def test_new_actions_are_enforced_by_iam(cloud: Cloud, app_client: Any, pool_id: str) -> None:
    nobody = cloud.client("cognito-idp", "primary", "nobody")
    which = {"UserPoolId": pool_id, "ClientId": app_client["ClientId"]}
    for call in (nobody.add_user_pool_client_secret, nobody.list_user_pool_client_secrets):
        with pytest.raises(ClientError, match="not authorized to perform: cognito-idp:"):
            call(**which)
