from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from surrogatectl.cli.admin_client import AdminApiError
from surrogatectl.cli.common import _OPTIONS, failure
from surrogatectl.main import main
from tests.stages import PROJECT


@pytest.mark.parametrize(
    "command", [["list"], ["doctor"], ["reconcile"], ["failover", "--to", "secondary"], ["init"]]
)
def test_missing_aws_credentials_are_not_reported_as_a_lost_region(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "REGION_PRIMARY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(PROJECT)
    with pytest.raises(click.ClickException, match="No AWS credentials") as raised:
        main.main(command, standalone_mode=False)
    assert raised.value.exit_code == 1


def test_a_failure_names_the_options_for_the_apis_fields() -> None:
    document = {
        "title": "Invalid request",
        "detail": "allowed_cidrs is no network; x is unknown.",
        "status": 400,
        "errors": [{"field": "allowed_cidrs", "detail": "is no network"}, {"field": "x"}],
    }
    message = failure(AdminApiError(document)).message
    assert "allowed_cidrs is no network" in message
    assert message.endswith("(Options: --allow-cidr.)")


def test_every_field_with_an_option_exists_in_the_api() -> None:
    document = (PROJECT / "docs" / "openapi.yaml").read_text()
    options = {
        name for command in main.commands.values() for each in command.params for name in each.opts
    }
    for field, option in _OPTIONS.items():
        assert re.search(rf"\b{field}\b", document), field
        assert option in options


def test_a_failure_without_fields_names_no_option() -> None:
    assert "Options" not in failure(AdminApiError({"title": "No", "detail": "x"})).message
