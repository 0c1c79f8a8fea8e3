"""Packaging of a stage: versions, templates, archives."""

from __future__ import annotations

import ast
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from chalicelib.http.problem import TYPE_PREFIX
from deployment import staging, templates
from deployment.archive import normalize
from deployment.stages import (
    DeploymentError,
    load_config,
    production_version,
    refuse_other_versions,
    region,
    surfaces,
)
from tests.stages import PROJECT

CONFIG = load_config(PROJECT)
STAGES = tuple(CONFIG["stages"])
TOKEN_STAGES = tuple(stage for stage in STAGES if "token" in surfaces(CONFIG, stage))


def _api(stage: str) -> dict[str, Any]:
    properties: dict[str, Any] = templates.merged(CONFIG, stage)["Resources"]["RestAPI"][
        "Properties"
    ]
    return properties


@pytest.mark.parametrize("running", ["3.10.9", "3.12.1", "3.1.1", "3.110.0", "2.7.18"])
def test_another_minor_version_than_productions_is_refused_naming_both(running: str) -> None:
    with pytest.raises(DeploymentError) as refused:
        refuse_other_versions("3.11", running)
    assert "3.11" in str(refused.value)
    assert running in str(refused.value)


@pytest.mark.parametrize("running", ["3.11.0", "3.11.99"])
def test_any_patch_level_of_productions_version_is_accepted(running: str) -> None:
    refuse_other_versions("3.11", running)


def test_production_runs_one_version_that_the_project_supports() -> None:
    major, minor = production_version(PROJECT).split(".")
    assert (int(major), int(minor)) >= (3, 11)


def test_an_unknown_stage_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(DeploymentError, match="primary-token"):
        region(CONFIG, "production")


def test_there_is_a_stage_for_both_surfaces_and_for_each_in_both_regions() -> None:
    found = {(region(CONFIG, stage), surfaces(CONFIG, stage)) for stage in STAGES}
    both = CONFIG["environment_variables"]
    assert found == {
        (both[f"REGION_{role}"], frozenset(served))
        for role in ("PRIMARY", "SECONDARY")
        for served in ({"token", "admin"}, {"token"}, {"admin"})
    }


def test_merge_templates_are_generated_on_demand(tmp_path: Path) -> None:
    made = tmp_path / "build" / "merged"
    for _ in range(2):
        templates.write(CONFIG, made)
    assert {path.name for path in made.iterdir()} == {f"{stage}.json" for stage in STAGES}
    for stage in STAGES:
        written = json.loads((made / f"{stage}.json").read_text())
        assert written == templates.merged(CONFIG, stage)
    assert not [*(PROJECT / ".chalice").glob("merge*")]


@pytest.mark.parametrize("stage", STAGES)
def test_every_function_is_named_after_its_stage(stage: str) -> None:
    functions = {
        name: made["Properties"]["FunctionName"]
        for name, made in templates.merged(CONFIG, stage)["Resources"].items()
        if name != "RestAPI"
    }
    upkeep = {"Upkeep": f"surrogate-credentials-{stage}-upkeep"}
    assert functions == {
        "APIHandler": f"surrogate-credentials-{stage}",
        **(upkeep if "admin" in surfaces(CONFIG, stage) else {}),
    }


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_throttled_traces_nothing_and_has_no_second_api_stage(stage: str) -> None:
    default, *others = _api(stage)["MethodSettings"]
    assert (default["ResourcePath"], default["HttpMethod"]) == ("/*", "*")
    assert 0 < default["ThrottlingRateLimit"] <= 500
    assert 0 < default["ThrottlingBurstLimit"] <= 500
    for settings in (default, *others):
        assert settings["DataTraceEnabled"] is False
        assert settings["LoggingLevel"] == "OFF"
    assert "OpenApiVersion" in _api(stage)


# Of Route 53's checkers (docs/costs.md), and of API Gateway in an account and Region.
CHECKERS, ACCOUNT_LIMIT, THRESHOLD, HEALTHY_SHARE = 15, 10_000, 3, 0.18


def _limits(stage: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (each["ResourcePath"], each["HttpMethod"]): each for each in _api(stage)["MethodSettings"]
    }


@pytest.mark.parametrize("stage", TOKEN_STAGES)
@pytest.mark.parametrize("path", ["/health/takeover", "/health/ready"])
def test_health_checks_have_limits_of_their_own(stage: str, path: str) -> None:
    """A flood below the account's own limit leaves the name where it is."""
    own = _limits(stage)[f"/{path.replace('/', '~1')}", "GET"]
    assert own["ThrottlingBurstLimit"] >= CHECKERS
    refused = 1 - own["ThrottlingRateLimit"] / ACCOUNT_LIMIT
    assert 1 - refused**THRESHOLD > HEALTHY_SHARE


@pytest.mark.parametrize("stage", TOKEN_STAGES)
def test_a_flood_of_token_requests_leaves_concurrency_to_health_checks(stage: str) -> None:
    """300 ms are those of docs/costs.md: a first verification."""
    rate = _limits(stage)["/*", "*"]["ThrottlingRateLimit"]
    assert rate * 0.3 <= 0.75 * CONFIG["stages"][stage]["reserved_concurrency"]


@pytest.mark.parametrize("stage", [each for each in STAGES if each not in TOKEN_STAGES])
def test_a_stage_without_health_checks_has_no_limits_for_them(stage: str) -> None:
    assert len(_limits(stage)) == 1


def test_every_function_has_reserved_concurrency_and_the_api_is_regional() -> None:
    assert CONFIG["api_gateway_endpoint_type"] == "REGIONAL"
    for stage in CONFIG["stages"].values():
        assert stage["reserved_concurrency"] > 0
        for function in stage.get("lambda_functions", {}).values():
            assert function["reserved_concurrency"] == 1


_ONLY_ADMINISTRATORS = {"ACCESS_DENIED", "EXPIRED_TOKEN", "INVALID_SIGNATURE", "UNAUTHORIZED"}


def _said(response: dict[str, Any]) -> dict[str, Any]:
    """Return the body with the gateway's variables substituted."""
    body = response["ResponseTemplates"]["application/json"]
    said: dict[str, Any] = json.loads(
        body.replace("$context.error.messageString", json.dumps("Forbidden"))
    )
    return said


@pytest.mark.parametrize("stage", TOKEN_STAGES)
def test_gateway_responses_are_uncacheable_oauth_errors(stage: str) -> None:
    responses = dict(_api(stage)["GatewayResponses"])
    if "admin" in surfaces(CONFIG, stage):
        for kind in _ONLY_ADMINISTRATORS:
            assert _said(responses.pop(kind)).keys() == {"type", "title", "detail"}
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "THROTTLED", "REQUEST_TOO_LARGE"} <= responses.keys()
    for response in responses.values():
        body = _said(response)
        assert body.keys() == {"error", "error_description"}
        # RFC 6749, section 5.2; the last two are those that this service adds (ADR 3).
        assert body["error"] in {"invalid_request", "server_error", "temporarily_unavailable"}
        headers = response["ResponseParameters"]["Headers"]
        assert headers["Cache-Control"] == "'no-store'"
        assert ("Retry-After" in headers) is (body["error"] == "temporarily_unavailable")


def test_the_gateway_response_to_a_missing_token_covers_unknown_paths() -> None:
    """The gateway cannot tell an unsigned admin request from an unknown path."""
    for stage in ("primary", "secondary"):
        answer = _api(stage)["GatewayResponses"]["MISSING_AUTHENTICATION_TOKEN"]
        assert "not signed" in _said(answer)["error_description"]
        assert "StatusCode" not in answer


@pytest.mark.parametrize("stage", [each for each in CONFIG["stages"] if each.endswith("-admin")])
def test_gateway_responses_of_admin_stages_are_problems(stage: str) -> None:
    responses = _api(stage)["GatewayResponses"]
    assert responses.keys() >= _ONLY_ADMINISTRATORS | {"DEFAULT_4XX", "DEFAULT_5XX", "THROTTLED"}
    for kind, response in responses.items():
        body = _said(response)
        assert body["type"].startswith(TYPE_PREFIX)
        assert body["detail"] == "Forbidden"  # the gateway's own message
        headers = response["ResponseParameters"]["Headers"]
        assert headers["Cache-Control"] == "'no-store'"
        later = kind in {
            "THROTTLED", "QUOTA_EXCEEDED", "INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT",
        }  # fmt: skip
        assert ("Retry-After" in headers) is later


def test_every_service_that_the_function_calls_is_in_the_reduced_package() -> None:
    called = set()
    for path in (PROJECT / "chalicelib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                (".client", "_client")
            ):
                called |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    assert called == set(staging.SERVICES)


def _zip(path: Path, *entries: tuple[str, str, int]) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content, year in entries:
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), content)
    return path.read_bytes()


def test_the_same_files_make_the_same_zip_in_any_order_and_at_any_time(tmp_path: Path) -> None:
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    before = (
        _zip(one, ("b", "B", 1999), ("a", "A", 2001)),
        _zip(two, ("a", "A", 1999), ("b", "B", 1999)),
    )
    assert before[0] != before[1]
    normalize(one)
    normalize(two)
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a": b"A", "b": b"B"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_in_the_zip_twice_is_an_error(tmp_path: Path) -> None:
    _zip(tmp_path / "one.zip", ("a", "A", 1999), ("a", "B", 1999))
    with pytest.raises(ValueError, match="a is in"):
        normalize(tmp_path / "one.zip")


def _project_that_needs(wheel: Path, said: str) -> Path:
    project = wheel.parent / "project"
    project.mkdir()
    index = f"--no-index\n--find-links {wheel.parent}\n"
    (project / "requirements.txt").write_text(f"{index}made-up==1.0 {said}\n")
    return project


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "made_up-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made_up.py", "")
        about = "made_up-1.0.dist-info"
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return path


@pytest.mark.slow
def test_a_dependency_with_the_pinned_hash_is_packaged(wheel: Path) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    project = _project_that_needs(wheel, f"--hash=sha256:{digest}")
    staging.dependencies(project, project / "vendor", {})
    assert (project / "vendor" / "made_up.py").exists()


@pytest.mark.slow
@pytest.mark.parametrize("said", ["", f"--hash=sha256:{64 * '0'}"], ids=["none", "another"])
def test_a_dependency_with_another_or_no_hash_is_refused(wheel: Path, said: str) -> None:
    project = _project_that_needs(wheel, said)
    with pytest.raises(DeploymentError, match=r"(?i)hashes"):
        staging.dependencies(project, project / "vendor", {})
