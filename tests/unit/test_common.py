from __future__ import annotations

from pathlib import Path

import click
import pytest

from surrogatectl.main import main

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command", [["list"], ["doctor"], ["reconcile"], ["failover", "--to", "secondary"], ["init"]]
)
def test_without_aws_credentials_no_region_is_taken_for_lost(
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
