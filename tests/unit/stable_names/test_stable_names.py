"""
Public names that users and programs rely on are unchanged.

`stable_names.json` is a snapshot from before the code was rearranged, and is never regenerated:
an added or changed name is edited by hand, and the changelog describes the effect on users.
The list is compared with real output, answers and stored documents, in both directions: no name
may be missing, and no new one unlisted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pytest_socket import enable_socket

from tests.unit.stable_names import (
    api,
    commands,
    logs,
    stored,
    tokens,
)
from tests.unit.stable_names.commands import Session, run_all
from tests.unit.stable_names.names import Names, differences, members
from tests.unit.stable_names.served_cloud import served_cloud
from tests.unit.surrogatectl.cli.command_line import TwoRegions, two_regions

KEPT: Final = Path(__file__).with_name("stable_names.json")

ALONE: Final[dict[str, Callable[[], Names]]] = {
    "admin API": api.admin_api,
    "answers of the gateway itself": api.gateways_own,
    "closed sets": stored.closed_sets,
    "commands": commands.commands,
    "log lines": logs.log_lines,
    "metrics": logs.metrics,
    "problems": api.problems,
    "routes": api.routes,
    "settings": stored.settings,
    "stages": stored.stages,
    "templates": stored.templates,
    "token surface": tokens.token_surface,
}
OF_A_SESSION: Final[dict[str, Callable[[TwoRegions, Session], Names]]] = {
    "audit lines of operators": lambda _, session: commands.audit_lines(session),
    "documents of commands": lambda _, session: commands.printed(session),
    "documents of failures": commands.failures,
    "exit codes": lambda regions, _: commands.exit_codes(regions),
    "stored": lambda _, session: stored.stored(session),
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
def test_public_names_are_unchanged(part: str) -> None:
    assert_as_before(kept()[part], ALONE[part]())


def test_printed_and_stored_names_are_unchanged(regions: TwoRegions, session: Session) -> None:
    found = {part: told(regions, session) for part, told in OF_A_SESSION.items()}
    assert_as_before({part: kept()[part] for part in found}, found)


def test_every_section_of_the_list_is_compared() -> None:
    assert kept().keys() == ALONE.keys() | OF_A_SESSION.keys()


def test_the_list_is_sorted_and_easy_to_read() -> None:
    assert KEPT.read_text() == json.dumps(kept(), indent=2, sort_keys=True) + "\n"


# Comparison


def test_differences_name_missing_and_new_entries() -> None:
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


def test_members_of_documents_are_merged_and_have_no_values() -> None:
    documents = [
        {"secrets": [], "deletion": None, "app_clients": {"us-east-1": "ready"}},
        {"secrets": [{"secret_id": "abcdefgh"}], "deletion": {"at": 1}},
    ]
    assert members(documents) == ["app_clients.<Region>", "deletion.at", "secrets[].secret_id"]
