"""Rehearsal of the runbook: its literal commands, against the local cloud."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.cloud import ROOT, Cloud
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.test_lifecycle import eventually
from tests.e2e.tokens import post_token, verified

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
# DNS is 30 times as fast on the local cloud, and no one else calls the admin API.
QUICKLY = {"failover": ("--settle=1",), "failback": ("--settle=1", "--ttl=3")}


def section(number: int) -> list[list[str]]:
    """Return the commands of a section, as words, without comments."""
    (text,) = re.findall(rf"^## {number}\. .*?(?=^## |\Z)", RUNBOOK, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


@dataclass
class Operator:
    """Operator who follows the runbook literally."""

    ctl: CommandLine
    files: Path

    def type(self, words: list[str], **meant: str) -> str:
        """Run a command with its placeholders replaced from *meant*; return its output."""
        name, *arguments = [meant.get(word, word) for word in words]
        assert name == "surrogatectl"
        assert not [word for word in arguments if word.isupper()], arguments
        done = self.ctl.run(*arguments, *QUICKLY.get(arguments[0], ()))
        # The exit code of `status` shows that something needs attention.
        assert done.returncode == 0 or arguments[0] == "status", (words, done.stdout, done.stderr)
        return done.stdout

    def status(self) -> dict[str, object]:
        shown: dict[str, object] = json.loads(
            self.ctl.run("status", "--quick", "--output=json").stdout
        )
        return shown


@pytest.fixture
def operator(breakable_cloud: Cloud, tmp_path: Path) -> Iterator[Operator]:
    ctl = CommandLine(breakable_cloud)
    ctl("canary", "--scope=demo/read")
    yield Operator(ctl, tmp_path)
    breakable_cloud.reset()
    ctl("failback", "--settle=0", "--ttl=0", "--keep-all=secondary", "--force")


def test_every_section_has_its_commands() -> None:
    assert [len(section(number)) for number in (1, 3, 4, 5, 6, 7)] == [1, 3, 5, 2, 3, 2]


def test_the_runbook_covers_loss_of_the_primary_and_failback(
    breakable_cloud: Cloud, operator: Operator, enroll_everywhere: Callable[[], Credential]
) -> None:
    cloud, name = breakable_cloud, breakable_cloud.endpoints["front_door"]
    kept, rotated, gone = (enroll_everywhere() for _ in range(3))
    cloud.set_region("primary", "refused")

    (look,) = section(1)
    assert "us-east-1 (primary) does not answer" in operator.type(look)

    planned, forced, look = section(3)
    assert planned[-1] != "--force"
    operator.type(forced)
    assert "us-west-2" in operator.type(look)
    assert operator.status()["writer"] == "us-west-2"
    token = post_token(name, kept.pair).json()["access_token"]
    verified(cloud, "secondary", token)

    enroll, rotate, disable, deny, delete = section(4)
    new, renewed = operator.files / "new", operator.files / "renewed"
    operator.type(enroll, NAME="meanwhile", FILE=str(new))
    operator.type(rotate, CLIENT=rotated.client_id, FILE=str(renewed))
    for command in (disable, deny, delete):
        operator.type(command, CLIENT=gone.client_id)
    assert post_token(name, (rotated.client_id, renewed.read_text().strip())).status_code == 200

    cloud.set_region("primary", "up")
    look, back = section(5)
    assert "us-west-2" in operator.type(look)
    operator.type(back)

    look, repair, doctor = section(6)
    operator.type(repair)
    assert "\n0 failed" in operator.type(doctor)
    shown = operator.status()
    assert shown["writer"] == "us-east-1"
    assert shown["name"] == {"leads_to": "us-east-1", "should_lead_to": "us-east-1"}
    verified(cloud, "primary", post_token(name, kept.pair).json()["access_token"])
    operator.type(look)

    # Changes made meanwhile are in both Regions.
    for role in ("primary", "secondary"):
        url = cloud.endpoints[role]
        pair = (rotated.client_id, renewed.read_text().strip())
        assert eventually(lambda u=url, p=pair: post_token(u, p).status_code == 200)  # type: ignore[misc]
        assert eventually(lambda u=url: post_token(u, gone.pair).status_code == 401)  # type: ignore[misc]


def test_the_runbooks_planned_failover_works_with_both_regions_up(
    breakable_cloud: Cloud, operator: Operator, enroll_everywhere: Callable[[], Credential]
) -> None:
    credential = enroll_everywhere()
    planned, _, _ = section(3)
    operator.type(planned)
    token = post_token(breakable_cloud.endpoints["front_door"], credential.pair)
    verified(breakable_cloud, "secondary", token.json()["access_token"])
    _, back = section(5)
    operator.type(back)
    token = post_token(breakable_cloud.endpoints["front_door"], credential.pair)
    verified(breakable_cloud, "primary", token.json()["access_token"])
