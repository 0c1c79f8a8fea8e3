"""What `surrogatectl adopt` reports, and which options it takes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from surrogatectl.adopt.command import _asked_for, _Source, adopt_command
from surrogatectl.adopt.file import credentials_file
from surrogatectl.adopt.report import print_report, progress_bar, summary
from tests.operator_fakes import settings
from tests.unit.surrogatectl.adopt.adoption_world import (
    ID,
    KEEP,
    OTHER_ID,
    OTHER_SECRET,
    SECRET,
    WEAK,
    AdoptionWorld,
    lines,
)
from tests.unit.surrogatectl.adopt.row_files import ENCODINGS, WHOLE, assert_not_read, contents
from tests.worlds import EAST


@pytest.fixture
def world() -> AdoptionWorld:
    return AdoptionWorld()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "credentials.jsonl"


def test_no_report_and_no_repr_tells_a_secret_or_an_id_of_cognitos(
    world: AdoptionWorld, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [world.row("row 1"), world.row("row 2", secret=WEAK), world.row("row 3", flows=["x"])]
    examination = world.examine(*rows, terms=KEEP)
    world.keep(rows[0])
    with credentials_file(path) as file:
        outcomes = [*world.adopt(*rows, file=file).values()]
        told = repr(file)
    print_report(outcomes, "json", dry_run=False)
    print_report(outcomes, "table", dry_run=False)
    told += repr((rows, examination, outcomes)) + "".join(capsys.readouterr())
    for row in rows:
        for pair in (row.primary, row.secondary):
            assert pair.client_secret not in told
            assert pair.app_client_id not in told
    for line in lines(path):
        assert line["client_secret"] not in told
    assert rows[0].handle in told


def test_the_json_report_says_of_every_row_what_became_of_it(
    world: AdoptionWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = world.keep(world.row("row 1"), world.row("row 2", flows=["code"]))
    print_report([*outcomes.values()], "json", dry_run=False)
    report = json.loads(capsys.readouterr().out)
    assert report["dry_run"] is False
    assert report["counts"] == {
        "adopted": 1,
        "already_adopted": 0,
        "would_adopt": 0,
        "refused": 1,
    }
    assert "surrogatectl rotate CLIENT --app-clients" in report["warning"]
    rows = {row["row"]: row for row in report["rows"]}
    assert rows["row 1"] == {
        "handle": outcomes["row 1"].handle,
        "row": "row 1",
        "outcome": "adopted",
        "client_id": outcomes["row 1"].handle,
        "client_name": "billing",
        "replication": "in_sync",
        "reason": None,
    }
    assert "client_credentials" in rows["row 2"]["reason"]


def test_the_table_tells_that_the_secrets_go_on_working_at_cognito(
    world: AdoptionWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    found = world.examine(world.row())
    print_report(found.outcomes, "table", dry_run=True)
    told = capsys.readouterr().out
    assert "dry run: nothing was written" in told
    assert "1 would adopt." in told
    assert "surrogatectl rotate CLIENT --app-clients" in told
    assert summary([]) == "no rows"


def test_the_table_tells_when_adopted_clients_are_in_force(
    world: AdoptionWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    row = world.row()
    for outcomes, dry_run, told in (
        (world.examine(row).outcomes, True, False),
        ([*world.keep(row).values()], False, True),
        ([*world.keep(row).values()], False, False),
    ):
        print_report(outcomes, "table", dry_run=dry_run)
        assert ("as soon as their replica is in_sync" in capsys.readouterr().out) is told


A_PAIR = ["--primary-client-id", ID, "--secondary-client-id", OTHER_ID]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Name one source"),
        (["--table", "t", "--csv", __file__], "Name one source"),
        (["--table", "t"], "Name a --credentials-file, or --keep-credentials."),
        (["--table", "t", "--keep-credentials", "--credentials-file", "f"], "no new ones"),
        (["--primary-client-id", ID, "--dry-run"], "A pair needs"),
        (["--secrets-from", "-", "--dry-run"], "A pair needs"),
        (["--csv", __file__, "--table-region", EAST, "--dry-run"], "goes with --table"),
        (
            [*A_PAIR, "--secrets-from", "-", "--keep-credentials"],
            "give --yes",
        ),
        (["--primary-client-secret", SECRET], "No such option"),
    ],
)
def test_options_that_make_no_sense_are_told_before_anything_happens(
    arguments: list[str], told: str
) -> None:
    outcome = CliRunner().invoke(adopt_command, arguments)
    assert outcome.exit_code == 2
    assert told in outcome.output


def test_progress_is_shown_on_a_terminal_only() -> None:
    shown = {}
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
        with progress_bar(console) as progress:
            progress("examining app clients", 3, 12)
        file = console.file
        assert isinstance(file, io.StringIO)
        shown[terminal] = file.getvalue()
    assert "examining app clients" in shown[True]
    assert "3/12" in shown[True]
    assert not shown[False]


def test_the_secrets_of_a_pair_are_asked_for_and_not_echoed() -> None:
    with CliRunner().isolation(input=f"{SECRET}\n{OTHER_SECRET}\n") as streams:
        asked = _asked_for()
        told = b"".join(stream.getvalue() for stream in streams if stream is not None)
    assert asked == f"{SECRET}\n{OTHER_SECRET}"
    assert SECRET.encode() not in told
    assert b"Secret of the secondary app client" in told


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_secrets_of_a_pair_are_read_in_every_encoding(
    encode: Callable[[str], bytes], end: str
) -> None:
    held = io.BytesIO(encode(f"{SECRET}{end}{OTHER_SECRET}{end}"))
    source = _Source(None, None, None, None, ID, OTHER_ID, held)
    assert contents([*source.rows(settings())]) == [WHOLE]


def test_a_file_of_secrets_that_is_no_text_is_named() -> None:
    held = io.BytesIO(SECRET.encode() + b"\n\xff")
    source = _Source(None, None, None, None, ID, OTHER_ID, held)
    assert_not_read(lambda: source.rows(settings()), "--secrets-from is not text in UTF-8")
