"""
`infra/region.yaml` deployed in both Regions, and `configure` from its outputs.

Everything is deployed except the replica of a KMS key, which the local cloud cannot make.
`routing.yaml` needs a health check, which its CloudFormation cannot make: the local cloud makes the
same records over the API, and its front door follows them (tests/local).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from local.cloud import ROOT, Cloud
from local.deploy import without_aws_variables

TEMPLATE = (ROOT / "infra" / "region.yaml").read_text()
ROLES = ("primary", "secondary")
NAME = "rehearsal"
DONE = "CREATE_COMPLETE"


class Stacks:
    """The Regions' stacks, made as root and deleted afterwards."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.made: list[tuple[str, str]] = []

    def make(self, role: str, **parameters: str) -> dict[str, str]:
        (other,) = {*ROLES} - {role}
        given = {
            "Role": role,
            "OtherRegion": self.cloud.endpoints["regions"][other],
            "AppName": NAME,
            **parameters,
        }
        client = self.cloud.client("cloudformation", role, "root")
        client.create_stack(
            StackName=f"{NAME}-{role}",
            TemplateBody=TEMPLATE,
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
        )
        self.made.append((role, f"{NAME}-{role}"))
        stack = self._settled(client, f"{NAME}-{role}")
        assert stack["StackStatus"] == DONE, stack
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    @staticmethod
    def _settled(client: Any, name: str) -> Any:
        for _ in range(100):
            (stack,) = client.describe_stacks(StackName=name)["Stacks"]
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                break
            time.sleep(0.1)
        return stack

    def delete(self) -> None:
        for role, name in self.made:
            self.cloud.client("cloudformation", role, "root").delete_stack(StackName=name)


@pytest.fixture
def stacks(cloud: Cloud) -> Iterator[Stacks]:
    made = Stacks(cloud)
    yield made
    made.delete()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(
        ROOT / ".chalice", tmp_path / ".chalice", ignore=shutil.ignore_patterns("deploy*")
    )
    (tmp_path / "infra").mkdir()
    shutil.copy(ROOT / "infra" / "operators-policy.json", tmp_path / "infra")
    return tmp_path


def configure(cloud: Cloud, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / ".venv" / "bin" / "surrogatectl"), "configure", *arguments],
        env={**without_aws_variables(os.environ), **cloud.environment},
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def token_endpoints(cloud: Cloud) -> list[str]:
    """Return the options that name the local token endpoints: the stacks' outputs name AWS's."""
    urls = cloud.endpoints["region_endpoints"]
    return [f"--token-endpoint-{role}={urls[role]}/oauth2/token" for role in ROLES]


def pools(cloud: Cloud, role: str) -> dict[str, Mapping[str, Any]]:
    client = cloud.client("cognito-idp", role, "root")
    listed = client.list_user_pools(MaxResults=60)["UserPools"]
    return {
        each["Id"]: client.describe_user_pool(UserPoolId=each["Id"])["UserPool"] for each in listed
    }


def test_configure_writes_the_outputs_of_both_regions_stacks(
    cloud: Cloud, stacks: Stacks, project: Path
) -> None:
    zone = cloud.client("route53", "primary", "root").list_hosted_zones()["HostedZones"][0]["Id"]
    outputs = {
        role: stacks.make(
            role,
            UserPoolDomainPrefix=f"{NAME}-{role}",
            Scope3="admin",
            DomainName="auth.example.test",
            HostedZoneId=zone.rpartition("/")[2],
            ApiId=cloud.endpoints[role].split("/")[-2],
            AlarmEmail="operators@example.test",
        )
        for role in ROLES
    }
    for role in ROLES:
        client = cloud.client("cognito-idp", role, "root")
        (server,) = client.list_resource_servers(
            UserPoolId=outputs[role]["UserPoolId"], MaxResults=50
        )["ResourceServers"]
        assert {each["ScopeName"] for each in server["Scopes"]} == {"read", "write", "admin"}
        alarms = cloud.client("cloudwatch", role, "root").describe_alarms()["MetricAlarms"]
        topic = outputs[role]["AlarmTopicArn"]
        assert len([each for each in alarms if each["AlarmActions"] == [topic]]) == 16
        pool = client.describe_user_pool(UserPoolId=outputs[role]["UserPoolId"])["UserPool"]
        config = pool["LambdaConfig"]["PreTokenGenerationConfig"]
        assert config == {"LambdaArn": outputs[role]["TriggerArn"], "LambdaVersion": "V3_0"}
        assert_a_token_is_given(cloud, role, pool["Id"])

    stacks_named = [f"--stack-{role}={NAME}-{role}" for role in ROLES]
    arguments = [*stacks_named, *token_endpoints(cloud), "--yes", "--output=json"]
    done = configure(cloud, project, *arguments)
    assert done.returncode == 0, done.stderr
    config = json.loads((project / ".chalice" / "config.json").read_text())
    common = config["environment_variables"]
    for role in ROLES:
        assert common[f"USER_POOL_ID_{role.upper()}"] == outputs[role]["UserPoolId"]
        assert common[f"LOG_GROUP_{role.upper()}"] == f"/aws/lambda/{NAME}-{role}"
        policy = (project / ".chalice" / f"policy-{role}.json").read_text()
        assert f"userpool/{outputs[role]['UserPoolId']}" in policy
    assert common["PUBLIC_URL"] == "https://auth.example.test"
    assert f'+    "PUBLIC_URL": "{common["PUBLIC_URL"]}"' not in done.stdout  # for people only
    assert json.loads(configure(cloud, project, *arguments).stdout)["differ"] == []


def assert_a_token_is_given(cloud: Cloud, role: str, pool: str) -> None:
    """Assert that a pool whose trigger lacks the SDK gives a token, without the claim."""
    cognito = cloud.client("cognito-idp", role, "root")
    made = cognito.create_user_pool_client(
        UserPoolId=pool,
        ClientName="machine",
        GenerateSecret=True,
        AllowedOAuthFlows=["client_credentials"],
        AllowedOAuthScopes=["demo/read"],
        AllowedOAuthFlowsUserPoolClient=True,
    )["UserPoolClient"]
    metadata = {"surrogate_client_id": "sgc_x", "surrogate_mac": "00"}
    answer = requests.post(
        f"{cloud.endpoints['region_endpoints'][role]}/oauth2/token",
        auth=(made["ClientId"], made["ClientSecret"]),
        data={
            "grant_type": "client_credentials",
            "aws_client_metadata": json.dumps(metadata),
        },
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert "surrogate_client_id" not in claims


def test_a_stack_without_the_claim_has_no_trigger(cloud: Cloud, stacks: Stacks) -> None:
    outputs = stacks.make("primary", UserPoolDomainPrefix=f"{NAME}-plain", SurrogateClaim="no")
    assert "TriggerArn" not in outputs
    pool = pools(cloud, "primary")[outputs["UserPoolId"]]
    assert "PreTokenGenerationConfig" not in pool.get("LambdaConfig", {})


def test_a_lite_pool_is_made_without_a_trigger(cloud: Cloud, stacks: Stacks) -> None:
    outputs = stacks.make("primary", UserPoolDomainPrefix=f"{NAME}-lite", UserPoolTier="LITE")
    assert "TriggerArn" not in outputs


def test_an_existing_pool_is_not_changed(cloud: Cloud, stacks: Stacks) -> None:
    before = pools(cloud, "secondary")
    pool = cloud.endpoints["user_pools"]["secondary"]
    outputs = stacks.make(
        "secondary", ExistingUserPoolId=pool, ExistingTokenHost="login.example.test"
    )
    assert outputs["UserPoolId"] == pool
    # Its trigger is made, and attached by `surrogatectl attach-trigger` only.
    assert outputs["TriggerArn"].endswith(f":function:{NAME}-secondary-trigger")
    assert outputs["TokenEndpoint"] == "https://login.example.test/oauth2/token"
    assert pools(cloud, "secondary") == before


def test_configure_refuses_a_stack_of_the_other_role(
    cloud: Cloud, stacks: Stacks, project: Path
) -> None:
    stacks.make("primary", UserPoolDomainPrefix=f"{NAME}-other")
    before = (project / ".chalice" / "config.json").read_text()
    done = configure(
        cloud,
        project,
        f"--stack-secondary={NAME}-primary",
        "--region-secondary=us-east-1",
        "--yes",
    )
    assert done.returncode == 1
    assert "Role=secondary" in done.stderr
    assert (project / ".chalice" / "config.json").read_text() == before


def test_configure_writes_nothing_that_contradicts_the_live_pools(
    cloud: Cloud, project: Path
) -> None:
    """The example's pools do not exist."""
    before = (project / ".chalice" / "config.json").read_text()
    done = configure(cloud, project, *token_endpoints(cloud), "--yes")
    assert done.returncode == 1
    assert "us-east-1_EXAMPLE11 cannot be described" in done.stderr
    assert (project / ".chalice" / "config.json").read_text() == before


def test_configure_shows_its_changes_and_writes_only_after_confirmation(
    cloud: Cloud, project: Path
) -> None:
    before = (project / ".chalice" / "config.json").read_text()
    ids = cloud.endpoints["user_pools"]
    options = [f"--user-pool-id-{role}={ids[role]}" for role in ROLES]
    arguments = [
        *options,
        *token_endpoints(cloud),
        "--public-url=https://auth.example.test",
        "--secret-prefix=ours",
    ]
    done = configure(cloud, project, *arguments)
    assert done.returncode == 1
    assert '+    "SECRET_PREFIX": "ours"' in done.stderr
    assert "secret:ours/clients/*" in done.stderr  # the policies too
    assert "Aborted" in done.stderr
    assert (project / ".chalice" / "config.json").read_text() == before
