from __future__ import annotations

import stat
from pathlib import Path

import click
import pytest

from surrogatectl.cli import output
from surrogatectl.cli.common import Failure


def test_user_input_is_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table("[red]title", ("name",), [("[/bold] [link]x",)])
    output.print_facts("title", [("name", "[/x]")])
    shown = capsys.readouterr().out
    assert "[red]title" in shown
    assert "[/bold] [link]x" in shown
    assert "[/x]" in shown


ESCAPES = "x\x1b]0;forged\x07\x1b[2J\x9b1mé"


def test_output_contains_no_terminal_control_characters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output.print_table(ESCAPES, ("name",), [(ESCAPES,)])
    output.print_facts(ESCAPES, [("name", ESCAPES)])
    monkeypatch.setenv("COLUMNS", "20")
    output.print_table(ESCAPES, WIDE, [(ESCAPES,) * len(WIDE)])
    Failure(f"{ESCAPES}\nand more").show()
    shown = "".join(capsys.readouterr())
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    assert "é" in shown
    assert "\nand more" in shown


WIDE = ("client ID", "name", "status", "origin", "since", "expires")
CLIENT = ("sgc_" + "a" * 26, "billing of west", "active", "enrolled", "2026-11-01 10:00", "never")


def test_a_narrow_screen_shows_each_row_as_a_block(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    output.print_table("clients", WIDE, [CLIENT, CLIENT])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for name, value in zip(WIDE, CLIENT, strict=True):
        assert len([line for line in lines if name in line and value in line]) == 2


def test_a_wide_screen_shows_each_row_as_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    output.print_table("clients", WIDE, [CLIENT])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if CLIENT[0] in line]
    assert all(value in line for value in CLIENT)


def test_only_the_prose_column_is_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    prose = "The Region does not answer, and nothing else was looked at there. " * 3
    output.print_table("checks", ("", "Check", "What"), [("failed", "certificate", prose)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if "failed" in line and "certificate" in line]


def test_output_without_a_screen_is_not_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    row = (*CLIENT[:-1], "x" * 300)
    output.print_table("clients", WIDE, [row])
    assert len([line for line in capsys.readouterr().out.splitlines() if row[-1] in line]) == 1


def test_an_empty_table_shows_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table("0 clients", WIDE, [])
    assert "client ID" in capsys.readouterr().out


def test_a_date_is_utc() -> None:
    assert output.date(1_800_000_000) == "2027-01-15 08:00"
    assert output.date(0, zero="never") == "never"


def test_a_secret_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with output.secret_file(path) as file:
        assert file is not None
        file.write("x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_file_without_a_secret_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(RuntimeError), output.secret_file(path):
        raise RuntimeError
    assert not path.exists()


def test_a_secret_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("somebody's")
    with pytest.raises(click.ClickException), output.secret_file(path):
        pass
    assert path.read_text() == "somebody's"
