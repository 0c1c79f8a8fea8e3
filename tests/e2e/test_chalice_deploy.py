"""
`chalice deploy`, `delete`, `logs` and `invoke`, as such, against the local cloud.

The project's copy is configured for that cloud and has another name, for both stages stand there
already; nothing else of it differs. Log groups are not Chalice's: infra/region.yaml makes them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from deployment import limits
from deployment.stages import load_config
from local.cloud import Cloud
from local.deploy import without_aws_variables
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import SECONDS, post_token, verified

APP = "surrogate-credentials-rehearsal"
ROLES = ("primary", "secondary")


@dataclass(frozen=True)
class Rehearsal:
    """A copy of the project, and the shell that somebody deploys it from."""

    cloud: Cloud
    project: Path

    def chalice(self, *arguments: str, **shell: str) -> subprocess.CompletedProcess[str]:
        """Run Chalice in a shell that has credentials, and no Region but that of *shell*."""
        operator = {
            key: value
            for key, value in self.cloud.environment.items()
            if key in {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
        }
        return subprocess.run(
            [str(Path(sys.executable).with_name("chalice")), *arguments],
            cwd=self.project,
            env={**without_aws_variables(os.environ), **operator, **shell},
            input='{"unknown": "event"}',
            capture_output=True,
            text=True,
            check=False,
        )

    def succeed(self, *arguments: str, **shell: str) -> str:
        done = self.chalice(*arguments, **shell)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deployed(self, role: str) -> dict[str, dict[str, Any]]:
        """Return what Chalice noted of the stage *role*, by kind of resource."""
        text = (self.project / ".chalice" / "deployed" / f"{role}.json").read_text()
        return {found["resource_type"]: found for found in json.loads(text)["resources"]}

    def base_url(self, role: str) -> str:
        endpoint = self.cloud.endpoints["region_endpoints"][role]
        api_id = self.deployed(role)["rest_api"]["rest_api_id"]
        return f"{endpoint}/_aws/execute-api/{api_id}/api"


@pytest.fixture(scope="module")
def rehearsal(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    project = tmp_path_factory.mktemp("rehearsal") / "project"
    cloud.copy_project(project)
    path = project / ".chalice" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "app_name": APP}))
    made = Rehearsal(cloud, project)
    yield made
    for role in ROLES:
        made.chalice("delete", "--stage", role)


@pytest.fixture(scope="module")
def before(cloud: Cloud) -> dict[str, set[str]]:
    return _inventory(cloud)


@pytest.fixture(scope="module")
def deployed(rehearsal: Rehearsal, before: dict[str, set[str]]) -> Rehearsal:
    """Deploy one stage with no Region in the shell, the other with wrong ones."""
    rehearsal.succeed("deploy", "--stage", "primary")
    wrong = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "eu-west-1"}
    rehearsal.succeed("deploy", "--stage", "secondary", **wrong)
    return rehearsal


def test_each_stage_lands_in_its_own_region_whatever_the_shell_says(
    cloud: Cloud, deployed: Rehearsal, before: dict[str, set[str]]
) -> None:
    added = _added(cloud, before)
    for role in ROLES:
        functions = {f"{APP}-{role}", f"{APP}-{role}-upkeep"}
        assert added.pop(f"{role} functions") == functions
        assert len(added.pop(f"{role} schedules")) == 1
        assert len(added.pop(f"{role} APIs")) == 1
        region = cloud.endpoints["regions"][role]
        assert f":{region}:" in deployed.deployed(role)["lambda_function"]["lambda_arn"]
    assert added == {
        "roles": {f"{APP}-{role}-{name}" for role in ROLES for name in ("api_handler", "upkeep")}
    }


@pytest.mark.parametrize("role", ROLES)
def test_what_chalice_deployed_answers_a_token_request(
    cloud: Cloud, deployed: Rehearsal, enroll: Any, role: str
) -> None:
    credential: Credential = enroll()
    answer = post_token(deployed.base_url(role), credential.pair, scope="demo/read")
    assert answer.status_code == 200
    assert verified(cloud, role, answer.json()["access_token"])["scope"] == "demo/read"


@pytest.mark.parametrize("role", ROLES)
def test_what_chalice_deployed_serves_administrators_who_sign_and_nobody_else(
    deployed: Rehearsal, surrogatectl: CommandLine, role: str
) -> None:
    base_url = deployed.base_url(role)
    assert requests.get(f"{base_url}/clients", timeout=SECONDS).status_code == 403
    done = surrogatectl.run(
        "list",
        f"--region={role}",
        "--output=json",
        **{f"ADMIN_URL_{role.upper()}": base_url},
    )
    assert done.returncode == 0, done.stderr


def test_the_api_is_regional_and_the_function_is_limited(cloud: Cloud, deployed: Rehearsal) -> None:
    for role in ROLES:
        api = cloud.client("apigateway", role).get_rest_api(
            restApiId=deployed.deployed(role)["rest_api"]["rest_api_id"]
        )
        assert api["endpointConfiguration"]["types"] == ["REGIONAL"]
        reserved = cloud.client("lambda", role).get_function_concurrency(
            FunctionName=f"{APP}-{role}"
        )
        assert reserved["ReservedConcurrentExecutions"] > 0


def test_the_gateways_limits_are_set_and_survive_a_deployment(
    cloud: Cloud, deployed: Rehearsal
) -> None:
    config = load_config(deployed.project)
    gateway = cloud.client("apigateway", "secondary")
    limits.apply(deployed.project, config, "secondary", gateway)
    api_id = deployed.deployed("secondary")["rest_api"]["rest_api_id"]
    gateway.create_deployment(restApiId=api_id, stageName="api")  # as a redeployment does
    settings = gateway.get_stage(restApiId=api_id, stageName="api")["methodSettings"]["*/*"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (200, 200)
    assert settings["dataTraceEnabled"] is False
    assert settings["loggingLevel"] == "OFF"


def test_a_redeployment_changes_the_function_and_keeps_the_api(
    cloud: Cloud, deployed: Rehearsal, enroll: Any
) -> None:
    credential: Credential = enroll()
    before = deployed.deployed("primary")
    code = deployed.project / "chalicelib" / "token_api.py"
    code.write_text(code.read_text().replace('{"status": "ok"', '{"status": "redeployed"'))
    deployed.succeed("deploy", "--stage", "primary")
    assert deployed.deployed("primary") == before
    base_url = deployed.base_url("primary")
    assert requests.get(f"{base_url}/health", timeout=SECONDS).json()["status"] == "redeployed"
    assert post_token(base_url, credential.pair).status_code == 200


@pytest.mark.parametrize("role", ROLES)
def test_logs_and_invoke_get_the_region_from_the_shell(
    cloud: Cloud, deployed: Rehearsal, role: str
) -> None:
    requests.get(f"{deployed.base_url(role)}/health", timeout=SECONDS)
    function = ("--stage", role, "--name", "api_handler")
    without = deployed.chalice("logs", *function)
    assert (without.returncode, "AWS_DEFAULT_REGION" in without.stderr) == (2, True)
    region = {"AWS_DEFAULT_REGION": cloud.endpoints["regions"][role]}
    # Not HTTP, so Chalice's own words come back; what matters is who answered.
    answered = deployed.chalice("invoke", *function, **region)
    assert "No region configured" not in answered.stderr
    assert deployed.chalice("logs", *function, **region).returncode == 0


def test_deletion_leaves_nothing(
    cloud: Cloud, deployed: Rehearsal, before: dict[str, set[str]]
) -> None:
    for role in ROLES:
        deployed.succeed("delete", "--stage", role)
    assert _added(cloud, before) == {}


def _added(cloud: Cloud, before: dict[str, set[str]]) -> dict[str, set[str]]:
    now = _inventory(cloud)
    return {kind: now[kind] - before[kind] for kind in now if now[kind] - before[kind]}


def _inventory(cloud: Cloud) -> dict[str, set[str]]:
    """Return what Chalice makes, in both Regions."""
    found: dict[str, set[str]] = {}
    for role in ROLES:
        functions = cloud.client("lambda", role).list_functions()["Functions"]
        found[f"{role} functions"] = {function["FunctionName"] for function in functions}
        apis = cloud.client("apigateway", role).get_rest_apis()["items"]
        found[f"{role} APIs"] = {api["id"] for api in apis}
        rules = cloud.client("events", role).list_rules()["Rules"]
        found[f"{role} schedules"] = {rule["Name"] for rule in rules}
    roles = cloud.client("iam").list_roles()["Roles"]
    found["roles"] = {role["RoleName"] for role in roles}
    return found
