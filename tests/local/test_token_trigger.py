"""Triggers and pools' settings in the local cloud, as Cognito documents them."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import requests
from botocore.exceptions import ClientError

from local.aws_gaps import user_pools
from local.cloud import Cloud

pytestmark = pytest.mark.cloud

CLAIMS = {"surrogate_client_id": "sgc_x", "number": 7, "client_id": "other", "cognito:x": "y"}
STAMP = f"""
import json
def handler(event, context):
    print(json.dumps(event))
    event["response"]["claimsAndScopeOverrideDetails"] = {{"accessTokenGeneration": {{
        "claimsToAddOrOverride": {CLAIMS!r}, "claimsToSuppress": ["iss"], "scopesToAdd": ["x/y"]}}}}
    event["response"]["seen"] = 1
    return event
"""
ECHO = """
def handler(event, context):
    details = {"accessTokenGeneration": {"claimsToAddOrOverride": {"seen": event}}}
    return {**event, "response": {"claimsAndScopeOverrideDetails": details}}
"""

Attach = Callable[..., None]


@pytest.fixture
def cognito(cloud: Cloud) -> Any:
    return cloud.client("cognito-idp", "primary")


@pytest.fixture
def pool(cognito: Any) -> Iterator[Any]:
    made = cognito.create_user_pool(PoolName="triggered")["UserPool"]
    cognito.create_resource_server(
        UserPoolId=made["Id"],
        Identifier="demo",
        Name="demo",
        Scopes=[{"ScopeName": "read", "ScopeDescription": "Read"}],
    )
    yield made
    cognito.delete_user_pool(UserPoolId=made["Id"])


@pytest.fixture
def attach(cloud: Cloud, cognito: Any, pool: Any) -> Iterator[Attach]:
    functions, iam = cloud.client("lambda", "primary"), cloud.client("iam", "primary")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    document = {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="trigger", AssumeRolePolicyDocument=json.dumps(document))
    names: list[str] = []

    def attach(source: str, *, source_arn: str | None = pool["Arn"], timeout: int = 5) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("index.py", source)
        name = f"trigger-{len(names)}"
        made = functions.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role=role["Role"]["Arn"],
            Handler="index.handler",
            Timeout=timeout,
            Code={"ZipFile": archive.getvalue()},
        )
        names.append(name)
        if source_arn is not None:
            functions.add_permission(
                FunctionName=name,
                StatementId="cognito",
                Action="lambda:InvokeFunction",
                Principal="cognito-idp.amazonaws.com",
                SourceArn=source_arn,
                SourceAccount=pool["Arn"].split(":")[4],
            )
        config = {"LambdaArn": made["FunctionArn"], "LambdaVersion": "V3_0"}
        cognito.update_user_pool(
            UserPoolId=pool["Id"], LambdaConfig={"PreTokenGenerationConfig": config}
        )

    yield attach
    for name in names:
        functions.delete_function(FunctionName=name)
    iam.delete_role(RoleName="trigger")


@pytest.fixture
def ask(cloud: Cloud, cognito: Any, pool: Any) -> Callable[..., requests.Response]:
    client = cognito.create_user_pool_client(
        UserPoolId=pool["Id"],
        ClientName="machine",
        GenerateSecret=True,
        AllowedOAuthFlows=["client_credentials"],
        AllowedOAuthScopes=["demo/read"],
        AllowedOAuthFlowsUserPoolClient=True,
    )["UserPoolClient"]

    def ask(**metadata: str) -> requests.Response:
        form = {"grant_type": "client_credentials"}
        if metadata:
            form["aws_client_metadata"] = json.dumps(metadata)
        return requests.post(
            f"{cloud.endpoints['region_endpoints']['primary']}/oauth2/token",
            auth=(client["ClientId"], client["ClientSecret"]),
            data=form,
            timeout=30,
        )

    return ask


def claims_of(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    claims: dict[str, Any] = jwt.decode(
        answer.json()["access_token"], options={"verify_signature": False}
    )
    return claims


def test_a_machine_s_event_is_the_documented_one(
    attach: Attach, pool: Any, ask: Callable[..., requests.Response]
) -> None:
    attach(ECHO)
    claims = claims_of(ask(surrogate="x"))
    assert claims["seen"] == {
        "version": "3",
        "triggerSource": "TokenGeneration_ClientCredentials",
        "region": "us-east-1",
        "userPoolId": pool["Id"],
        "userName": "ClientCredentials",
        "callerContext": {
            "awsSdkVersion": "aws-sdk-unknown-unknown",
            "clientId": claims["client_id"],
        },
        "request": {
            "userAttributes": {},
            "groupConfiguration": None,
            "scopes": ["demo/read"],
            "clientMetadata": {"surrogate": "x"},
        },
        "response": {"claimsAndScopeOverrideDetails": None},
    }


def test_claims_and_scopes_are_changed_and_cognito_s_own_are_not(
    attach: Attach, pool: Any, ask: Callable[..., requests.Response]
) -> None:
    attach(STAMP)
    claims = claims_of(ask())
    assert (claims["surrogate_client_id"], claims["number"]) == ("sgc_x", 7)
    assert claims["scope"] == "demo/read x/y"
    assert claims["client_id"] == claims["sub"] != "other"
    assert claims["iss"].endswith(pool["Id"])
    assert "cognito:x" not in claims


@pytest.mark.parametrize(
    "source",
    [
        "def handler(event, context):\n    raise ValueError('no')",
        "def handler(event, context):\n    return None",
        "def handler(event, context):\n    return {'response': {}}",
        "handler = None",
    ],
)
def test_a_trigger_that_fails_costs_the_token(
    attach: Attach, ask: Callable[..., requests.Response], source: str
) -> None:
    attach(source)
    answer = ask()
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_trigger_that_takes_too_long_costs_the_token(
    attach: Attach, ask: Callable[..., requests.Response]
) -> None:
    attach("import time\ndef handler(event, context):\n    time.sleep(12)\n", timeout=60)
    began = time.monotonic()
    answer = ask()
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert time.monotonic() - began < 12


@pytest.mark.parametrize("source_arn", [None, "arn:aws:cognito-idp:us-east-1:0:userpool/other"])
def test_a_trigger_that_the_pool_may_not_invoke_costs_the_token(
    attach: Attach, ask: Callable[..., requests.Response], source_arn: str | None
) -> None:
    attach(STAMP, source_arn=source_arn)
    assert "AccessDenied" in ask().json()["error_description"]


def test_a_lite_pool_has_no_such_trigger(cognito: Any) -> None:
    config = {"LambdaArn": "arn:aws:lambda:us-east-1:000000000000:function:x"}
    lite = cognito.create_user_pool(PoolName="lite", UserPoolTier="LITE")["UserPool"]["Id"]
    for version in ("V2_0", "V3_0"):
        with pytest.raises(ClientError, match="FeatureUnavailableInTier"):
            cognito.update_user_pool(
                UserPoolId=lite,
                LambdaConfig={"PreTokenGenerationConfig": {**config, "LambdaVersion": version}},
            )
    cognito.delete_user_pool(UserPoolId=lite)


def test_an_update_of_a_pool_resets_what_it_leaves_out(cognito: Any, pool: Any) -> None:
    which = {"UserPoolId": pool["Id"]}
    cognito.update_user_pool(
        **which,
        DeletionProtection="ACTIVE",
        MfaConfiguration="OFF",
        AutoVerifiedAttributes=["email"],
        AdminCreateUserConfig={"AllowAdminCreateUserOnly": True},
        UserPoolTags={"owner": "us"},
        AccountRecoverySetting={"RecoveryMechanisms": [{"Priority": 1, "Name": "verified_email"}]},
    )
    cognito.update_user_pool(**which, MfaConfiguration="OFF")
    found = cognito.describe_user_pool(**which)["UserPool"]
    for name in ("DeletionProtection", "AutoVerifiedAttributes", "AdminCreateUserConfig"):
        assert found[name] == user_pools.DEFAULTS[name]
    assert not found.get("UserPoolTags")
    assert found["UserPoolTier"] == "ESSENTIALS"
