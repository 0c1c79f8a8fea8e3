"""
Plain `chalice deploy`, `delete`, `logs` and `invoke` against the local cloud.

The project's copy is configured for that cloud and has another name, because both stages are
deployed there already; the rest is unchanged. infra/region.yaml makes the log groups, not Chalice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from deployment import limits
from deployment.stages import load_config
from local.cloud import Cloud
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.rehearsal import ROLES, Inventory, Rehearsal, added, inventory
from tests.e2e.tokens import SECONDS, post_token, verified

APP = "surrogate-credentials-rehearsal"


@pytest.fixture(scope="module")
def rehearsal(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    made = Rehearsal.new(cloud, tmp_path_factory.mktemp("rehearsal") / "project", APP)
    yield made
    for role in ROLES:
        made.chalice("delete", "--stage", role)


@pytest.fixture(scope="module")
def before(cloud: Cloud) -> Inventory:
    return inventory(cloud)


@pytest.fixture(scope="module")
def deployed(rehearsal: Rehearsal, before: Inventory) -> Rehearsal:
    """Deploy one stage with no Region in the shell, the other with wrong ones."""
    rehearsal.succeed("deploy", "--stage", "primary")
    wrong = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "eu-west-1"}
    rehearsal.succeed("deploy", "--stage", "secondary", **wrong)
    return rehearsal


def test_each_stage_is_deployed_in_its_own_region_despite_shell_settings(
    cloud: Cloud, deployed: Rehearsal, before: Inventory
) -> None:
    new = added(cloud, before)
    for role in ROLES:
        functions = {f"{APP}-{role}", f"{APP}-{role}-upkeep"}
        assert new.pop(f"{role} functions") == functions
        assert len(new.pop(f"{role} schedules")) == 1
        assert len(new.pop(f"{role} APIs")) == 1
        region = cloud.endpoints["regions"][role]
        assert f":{region}:" in deployed.deployed(role)["lambda_function"]["lambda_arn"]
    assert new == {
        "roles": {f"{APP}-{role}-{name}" for role in ROLES for name in ("api_handler", "upkeep")}
    }


@pytest.mark.parametrize("role", ROLES)
def test_the_deployed_function_answers_a_token_request(
    cloud: Cloud, deployed: Rehearsal, enroll: Any, role: str
) -> None:
    credential: Credential = enroll()
    answer = post_token(deployed.base_url(role), credential.pair, scope="demo/read")
    assert answer.status_code == 200
    assert verified(cloud, role, answer.json()["access_token"])["scope"] == "demo/read"


@pytest.mark.parametrize("role", ROLES)
def test_the_deployed_function_serves_only_signed_admin_requests(
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
    found = gateway.get_stage(restApiId=api_id, stageName="api")["methodSettings"]
    limited = {key.lstrip("/"): each["throttlingRateLimit"] for key, each in found.items()}
    assert limited == {"*/*": 200, "health/takeover/GET": 1000, "health/ready/GET": 1000}
    for settings in found.values():
        assert settings["dataTraceEnabled"] is False
        assert settings["loggingLevel"] == "OFF"


def test_a_redeployment_changes_the_function_and_keeps_the_api(
    cloud: Cloud, deployed: Rehearsal, enroll: Any
) -> None:
    credential: Credential = enroll()
    before = deployed.deployed("primary")
    code = deployed.project / "chalicelib" / "http" / "token_routes.py"
    code.write_text(code.read_text().replace('{"status": "ok"', '{"status": "redeployed"'))
    deployed.succeed("deploy", "--stage", "primary")
    assert deployed.deployed("primary") == before
    base_url = deployed.base_url("primary")
    assert requests.get(f"{base_url}/health", timeout=SECONDS).json()["status"] == "redeployed"
    assert post_token(base_url, credential.pair).status_code == 200


@pytest.mark.parametrize("role", ROLES)
def test_chalice_logs_and_invoke_use_the_shells_region(
    cloud: Cloud, deployed: Rehearsal, role: str
) -> None:
    requests.get(f"{deployed.base_url(role)}/health", timeout=SECONDS)
    function = ("--stage", role, "--name", "api_handler")
    without = deployed.chalice("logs", *function)
    assert (without.returncode, "AWS_DEFAULT_REGION" in without.stderr) == (2, True)
    region = {"AWS_DEFAULT_REGION": cloud.endpoints["regions"][role]}
    # Not HTTP, so Chalice's own error comes back; the test is which function answered.
    answered = deployed.chalice("invoke", *function, **region)
    assert "No region configured" not in answered.stderr
    assert deployed.chalice("logs", *function, **region).returncode == 0


def test_chalice_delete_leaves_nothing(
    cloud: Cloud, deployed: Rehearsal, before: Inventory
) -> None:
    for role in ROLES:
        deployed.succeed("delete", "--stage", role)
    assert added(cloud, before) == {}
