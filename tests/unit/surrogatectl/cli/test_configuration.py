"""Sources of the command line's configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from surrogatectl.cli.configuration import ConfigurationError, find_deployment
from tests.stages import environment


def deployed(project: Path, stage: str) -> str:
    """Write the deployment record of `chalice deploy`; return the API's base URL."""
    url = f"https://{stage}.execute-api.us-east-1.amazonaws.com/api"
    directory = project / ".chalice" / "deployed"
    directory.mkdir(parents=True, exist_ok=True)
    resources = [
        {"name": "role", "resource_type": "iam_role"},
        {"name": "rest_api", "resource_type": "rest_api", "rest_api_url": f"{url}/"},
    ]
    (directory / f"{stage}.json").write_text(json.dumps({"resources": resources}))
    return url


def test_split_stages_are_found(tmp_path: Path) -> None:
    """docs/deploy.md and the runbook use split stages."""
    token, admin = deployed(tmp_path, "primary-token"), deployed(tmp_path, "primary-admin")
    found = find_deployment(environment("primary"), tmp_path)
    assert found.admin_urls == {"primary": admin}
    assert found.token_urls == {"primary": token}
    with pytest.raises(ConfigurationError, match="make deploy STAGE=secondary-admin"):
        found.admin_url("secondary")


def test_a_combined_stage_serves_both_surfaces(tmp_path: Path) -> None:
    url = deployed(tmp_path, "secondary")
    found = find_deployment(environment("primary"), tmp_path)
    assert found.admin_urls == found.token_urls == {"secondary": url}


def test_split_stages_take_precedence_over_a_combined_stage(tmp_path: Path) -> None:
    deployed(tmp_path, "primary")
    token, admin = deployed(tmp_path, "primary-token"), deployed(tmp_path, "primary-admin")
    found = find_deployment(environment("primary"), tmp_path)
    assert (found.admin_urls["primary"], found.token_urls["primary"]) == (admin, token)


def test_the_environment_takes_precedence_over_deployed_stages(tmp_path: Path) -> None:
    deployed(tmp_path, "primary-token")
    named = {"ADMIN_URL_PRIMARY": "https://a.example", "TOKEN_URL_PRIMARY": "https://t.example/"}
    found = find_deployment({**environment("primary"), **named}, tmp_path)
    assert found.admin_urls == {"primary": "https://a.example"}
    assert found.token_urls == {"primary": "https://t.example"}


def test_a_lone_admin_url_serves_tokens_too(tmp_path: Path) -> None:
    named = {"ADMIN_URL_PRIMARY": "https://a.example"}
    found = find_deployment({**environment("primary"), **named}, tmp_path)
    assert found.token_urls == {"primary": "https://a.example"}


def test_the_environment_excludes_deployed_token_urls(tmp_path: Path) -> None:
    """The local cloud's environment names one API per Region; AWS must not get its canary."""
    for stage in ("primary", "primary-token"):
        deployed(tmp_path, stage)
    named = {"ADMIN_URL_PRIMARY": "http://127.0.0.1:4566/api"}
    found = find_deployment({**environment("primary"), **named}, tmp_path)
    assert found.token_urls == found.admin_urls == {"primary": "http://127.0.0.1:4566/api"}


@pytest.mark.parametrize("name", ["ADMIN_URL_PRIMARY", "TOKEN_URL_PRIMARY"])
def test_a_malformed_url_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        find_deployment({**environment("primary"), name: "ftp://a.example"}, tmp_path)


def test_a_broken_deployment_record_is_ignored(tmp_path: Path) -> None:
    deployed(tmp_path, "primary")
    (tmp_path / ".chalice" / "deployed" / "primary-admin.json").write_text("{")
    assert find_deployment(environment("primary"), tmp_path).admin_urls.keys() == {"primary"}


def test_a_missing_configuration_names_the_file_and_the_variables(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        find_deployment({}, tmp_path)
    assert str(tmp_path / ".chalice" / "config.json") in str(refused.value)
    for name in ("REGION_PRIMARY", "ADMIN_URL_PRIMARY", "ADMIN_URL_SECONDARY"):
        assert name in str(refused.value)
