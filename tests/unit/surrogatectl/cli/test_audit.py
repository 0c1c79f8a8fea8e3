"""Audit of actions with the operator's own role: a line for each, or no action."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path
from typing import Any

import click
import pytest
from botocore.credentials import Credentials

from chalicelib.credentials import loggable
from chalicelib.errors import StoreRefusedError
from chalicelib.model import ClientId, SecretId
from chalicelib.settings import RegionSettings
from surrogatectl.adopt.file import credentials_file
from surrogatectl.cli.audit import Audit, audited, audited_run, caller, operator
from surrogatectl.main import main
from tests.operator_fakes import refusal, settings
from tests.unit.surrogatectl.adopt.adoption_world import AdoptionWorld
from tests.worlds import ADOPTED, CALLER, EAST

OURS = ClientId("sgc_" + "a" * 26)
PRIMARY = settings().primary


class Sts:
    """Fake STS, which returns the caller, or does not answer."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers

    def __call__(self, service: str, region: RegionSettings) -> Sts:
        assert (service, region) == ("sts", PRIMARY)
        return self

    def get_caller_identity(self) -> dict[str, str]:
        if not self.answers:
            raise refusal("AccessDenied")
        return {"Arn": CALLER}


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_an_audit_line_has_the_admin_apis_form(path: Path) -> None:
    with audited(path, "reconcile", PRIMARY, Sts()) as audit:
        audit(OURS, (), "repaired", kind="replica")
        audit(ADOPTED, [SecretId("abcdefgh"), SecretId("bcdefghi")], "done")
    first, second = lines(path)
    assert first.pop("at") > 0
    assert first == {
        "region": EAST,
        "event": "admin",
        "action": "reconcile",
        "caller": CALLER,
        "client_id": OURS,
        "secret_id": None,
        "outcome": "repaired",
        "kind": "replica",
    }
    assert second["client_id"] == loggable(ADOPTED)
    assert (second["secret_id"], second["secret_ids"]) == ("abcdefgh", ["abcdefgh", "bcdefghi"])
    assert ADOPTED not in path.read_text()


def test_audit_lines_are_appended_and_only_their_owner_reads_them(path: Path) -> None:
    for action in ("init", "adopt"):
        with audited(path, action, PRIMARY, Sts()) as audit:
            audit(None, (), "done")
    assert [each["action"] for each in lines(path)] == ["init", "adopt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_audit_follows_no_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "audit").symlink_to(tmp_path / "theirs")
    with (
        pytest.raises(click.ClickException, match="--audit-file"),
        audited(tmp_path / "audit", "adopt", PRIMARY, Sts()),
    ):
        pass
    assert not (tmp_path / "theirs").exists()


def test_an_unwritable_audit_file_prevents_the_action(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "audit.jsonl"
    done = []
    with (
        pytest.raises(click.ClickException, match="--audit-file"),
        audited(missing, "adopt", PRIMARY, Sts()),
    ):
        done.append("It must not come to that.")
    assert not done


def test_the_caller_is_the_access_key_if_sts_does_not_answer() -> None:
    silent = Sts(answers=False)
    credentials = Credentials("AKIDEXAMPLE", "never-to-be-seen")
    assert caller(PRIMARY, silent, lambda: credentials) == "access key AKIDEXAMPLE"
    assert caller(PRIMARY, silent, lambda: None) == "unknown"


def test_adoption_writes_an_audit_line_for_each_client(path: Path, tmp_path: Path) -> None:
    world = AdoptionWorld()
    rows = [world.row("row 1"), world.row("row 2")]
    world.store.failures["create"] = [None, StoreRefusedError("Secrets Manager refused: no")]
    with (
        audited(path, "adopt", PRIMARY, Sts()) as audit,
        credentials_file(tmp_path / "credentials") as file,
    ):
        world.adopt(*rows, file=file, audit=audit)
    done, refused = lines(path)
    (record,) = (found.value for found in world.store.stored.values())
    assert (done["client_id"], done["outcome"]) == (loggable(record.client_id), "done")
    assert done["secret_id"] == record.secrets[0].secret_id
    assert (refused["outcome"], refused["secret_id"]) == ("stopped", None)
    for row in rows:
        assert row.primary.client_secret not in path.read_text()
        assert row.primary.app_client_id not in path.read_text()


def test_no_audit_file_means_no_audit(tmp_path: Path) -> None:
    audit: Audit
    with audited(None, "adopt", PRIMARY, Sts()) as audit:
        audit(OURS, (), "done")
    assert list(tmp_path.iterdir()) == []


def test_the_holder_of_a_lease_is_the_caller_or_else_user_and_host() -> None:
    assert operator(PRIMARY, Sts()) == CALLER
    assert operator(PRIMARY, Sts(answers=False)).endswith(f"@{socket.gethostname()}")


def test_an_audited_run_writes_a_line_before_and_one_after(path: Path) -> None:
    with audited_run(path, "failover", PRIMARY, Sts()):
        (begun,) = lines(path)
    with pytest.raises(KeyboardInterrupt), audited_run(path, "failover", PRIMARY, Sts()):
        raise KeyboardInterrupt
    assert [each["outcome"] for each in lines(path)] == ["begun", "done", "begun", "failed"]
    assert (begun["caller"], begun["action"], begun["client_id"]) == (CALLER, "failover", None)


def test_every_change_past_the_admin_api_has_an_audit_option() -> None:
    audited_ones = {
        name
        for name, command in main.commands.items()
        if any(parameter.name == "audit_file" for parameter in command.params)
    }
    # `refresh-jwks` does what the schedule does; `canary` enrolls over the admin API.
    assert audited_ones == {
        "adopt",
        "attach-trigger",
        "cleanup",
        "failback",
        "failover",
        "init",
        "reconcile",
    }
