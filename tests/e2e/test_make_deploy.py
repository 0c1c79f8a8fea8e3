"""
`make deploy STAGE=…` end to end: the staged copy, Chalice, the gateway's limits, and deletion.

The Makefile's command is run in a copy of the project, configured for the local cloud.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from local.cloud import ROOT, Cloud
from tests.e2e.conftest import Credential
from tests.e2e.rehearsal import Inventory, Rehearsal, added, inventory
from tests.e2e.test_package import MOST_BYTES
from tests.e2e.tokens import SECONDS, post_token, verified

APP = "surrogate-credentials-made"
STAGE = "secondary-token"
FUNCTION = f"{APP}-{STAGE}"


@pytest.fixture(scope="module")
def before(cloud: Cloud) -> Inventory:
    return inventory(cloud)


@pytest.fixture(scope="module")
def made(
    cloud: Cloud, before: Inventory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rehearsal]:
    """Deploy a split stage with a wrong Region in the shell."""
    rehearsal = Rehearsal.new(cloud, tmp_path_factory.mktemp("made") / "project", APP)
    shutil.copytree(ROOT / "deployment", rehearsal.project / "deployment")
    # Accept the version that runs the tests: test_package tests that another is refused.
    running = f'python = "{sys.version_info.major}.{sys.version_info.minor}"'
    text = (ROOT / "pyproject.toml").read_text()
    changed, count = re.subn(r'(?<=\[tool\.deployment\]\n)python = "[0-9.]+"', running, text)
    assert count == 1
    (rehearsal.project / "pyproject.toml").write_text(changed)
    deploy(rehearsal, AWS_DEFAULT_REGION="eu-west-1")
    yield rehearsal
    rehearsal.chalice("delete", "--stage", STAGE)


def deploy(rehearsal: Rehearsal, **shell: str) -> None:
    done = rehearsal.run(sys.executable, "-m", "deployment", "deploy", STAGE, **shell)
    assert done.returncode == 0, done.stdout + done.stderr


def function(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = cloud.client("lambda", "secondary").get_function_configuration(
        FunctionName=FUNCTION
    )
    return found


def test_make_deploy_runs_the_deployment_module() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", "deploy", f"STAGE={STAGE}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f'python -m deployment deploy "{STAGE}"' in shown


def test_a_split_stage_is_deployed_in_its_region_only(
    cloud: Cloud, made: Rehearsal, before: Inventory
) -> None:
    new = added(cloud, before)
    assert len(new.pop("secondary APIs")) == 1
    assert new == {"secondary functions": {FUNCTION}, "roles": {f"{FUNCTION}-api_handler"}}


def test_the_function_runs_the_zip_that_was_packaged(cloud: Cloud, made: Rehearsal) -> None:
    archive = (made.project / "build" / "packages" / STAGE / "deployment.zip").read_bytes()
    digest = base64.b64encode(hashlib.sha256(archive).digest()).decode()
    found = function(cloud)
    assert (found["CodeSize"], found["CodeSha256"]) == (len(archive), digest)
    assert len(archive) <= MOST_BYTES


def test_a_token_stage_serves_no_admin_requests(
    cloud: Cloud, made: Rehearsal, enroll_everywhere: Callable[[], Credential]
) -> None:
    credential, base_url = enroll_everywhere(), made.base_url(STAGE)
    answer = post_token(base_url, credential.pair, scope="demo/read")
    assert answer.status_code == 200
    assert verified(cloud, "secondary", answer.json()["access_token"])["scope"] == "demo/read"
    assert requests.get(f"{base_url}/clients", timeout=SECONDS).status_code in {403, 404}


def test_the_gateways_limits_are_set(cloud: Cloud, made: Rehearsal) -> None:
    settings = method_settings(cloud, made)
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (200, 200)
    assert settings["dataTraceEnabled"] is False


def method_settings(cloud: Cloud, made: Rehearsal) -> dict[str, Any]:
    api_id = made.deployed(STAGE)["rest_api"]["rest_api_id"]
    stage = cloud.client("apigateway", "secondary").get_stage(restApiId=api_id, stageName="api")
    found: dict[str, Any] = stage["methodSettings"]["*/*"]
    return found


def test_a_redeployment_changes_the_function_and_nothing_else(
    cloud: Cloud, made: Rehearsal, enroll_everywhere: Callable[[], Credential]
) -> None:
    credential = enroll_everywhere()
    before, code = made.deployed(STAGE), function(cloud)["CodeSha256"]
    source = made.project / "chalicelib" / "http" / "token_routes.py"
    source.write_text(source.read_text().replace('{"status": "ok"', '{"status": "redeployed"'))
    deploy(made)
    assert made.deployed(STAGE) == before
    assert function(cloud)["CodeSha256"] != code
    base_url = made.base_url(STAGE)
    assert requests.get(f"{base_url}/health", timeout=SECONDS).json()["status"] == "redeployed"
    assert post_token(base_url, credential.pair).status_code == 200
    assert method_settings(cloud, made)["throttlingRateLimit"] == 200


def test_chalice_delete_leaves_nothing(cloud: Cloud, made: Rehearsal, before: Inventory) -> None:
    made.succeed("delete", "--stage", STAGE)
    assert added(cloud, before) == {}
