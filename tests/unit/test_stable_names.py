"""
What users and machines see is called as it always was.

`stable_names.json` was taken before the code was rearranged, and nothing writes it anew: who
adds a name, or means to change one, edits it by hand, and says in the changelog what that does
to those who rely on it.  Everything is compared with what is printed, answered or stored, and
in both directions: nothing may be missing, and nothing new go unnoticed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pytest_socket import enable_socket

from tests.unit import (
    names_api,
    names_commands,
    names_logs,
    names_stored,
    names_tokens,
)
from tests.unit.names import Names, differences, members
from tests.unit.names_commands import Session, run_all
from tests.unit.served_cloud import served_cloud
from tests.unit.surrogatectl.cli.command_line import TwoRegions, two_regions

KEPT: Final = Path(__file__).with_name("stable_names.json")

ALONE: Final[dict[str, Callable[[], Names]]] = {
    "admin API": names_api.admin_api,
    "answers of the gateway itself": names_api.gateways_own,
    "closed sets": names_stored.closed_sets,
    "commands": names_commands.commands,
    "log lines": names_logs.log_lines,
    "metrics": names_logs.metrics,
    "problems": names_api.problems,
    "routes": names_api.routes,
    "settings": names_stored.settings,
    "stages": names_stored.stages,
    "templates": names_stored.templates,
    "token surface": names_tokens.token_surface,
}
OF_A_SESSION: Final[dict[str, Callable[[TwoRegions, Session], Names]]] = {
    "audit lines of operators": lambda _, session: names_commands.audit_lines(session),
    "documents of commands": lambda _, session: names_commands.printed(session),
    "documents of failures": names_commands.failures,
    "exit codes": lambda regions, _: names_commands.exit_codes(regions),
    "stored": lambda _, session: names_stored.stored(session),
}


def kept() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(KEPT.read_text())
    return content


def assert_as_before(before: Names, now: Names) -> None:
    found = differences(before, now)
    assert not found, "\n".join([f"{KEPT.name} and what is there now differ:", *found])


@pytest.fixture
def regions() -> Iterator[TwoRegions]:
    enable_socket()
    with two_regions() as serving:
        yield serving


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    enable_socket()
    with served_cloud() as cloud:
        yield run_all(cloud, tmp_path)


@pytest.mark.parametrize("part", ALONE)
def test_a_name_that_others_rely_on_stays(part: str) -> None:
    assert_as_before(kept()[part], ALONE[part]())


def test_a_name_that_a_command_prints_or_stores_stays(
    regions: TwoRegions, session: Session
) -> None:
    found = {part: told(regions, session) for part, told in OF_A_SESSION.items()}
    assert_as_before({part: kept()[part] for part in found}, found)


def test_every_part_of_the_list_is_compared() -> None:
    assert kept().keys() == ALONE.keys() | OF_A_SESSION.keys()


def test_the_list_is_sorted_and_easy_to_read() -> None:
    assert KEPT.read_text() == json.dumps(kept(), indent=2, sort_keys=True) + "\n"


# How they are compared


def test_what_is_missing_and_what_is_new_is_named() -> None:
    before = {"enroll": {"members": ["client_id", "scope"], "status": 201}}
    now = {"enroll": {"members": ["client_id", "scopes"], "status": 200}, "list": {}}
    assert differences(before, now) == [
        "missing: enroll / members / scope",
        "missing: enroll / status = 201",
        "new: enroll / members / scopes",
        "new: enroll / status = 200",
        "new: list",
    ]
    assert differences(before, before) == []


def test_the_members_of_documents_are_told_together_and_without_their_values() -> None:
    documents = [
        {"secrets": [], "deletion": None, "app_clients": {"us-east-1": "ready"}},
        {"secrets": [{"secret_id": "abcdefgh"}], "deletion": {"at": 1}},
    ]
    assert members(documents) == ["app_clients.<Region>", "deletion.at", "secrets[].secret_id"]
