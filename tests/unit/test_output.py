from __future__ import annotations

import stat
from pathlib import Path

import click
import pytest

from surrogatectl import output


def test_what_people_typed_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table("[red]title", ("name",), [("[/bold] [link]x",)])
    output.print_facts("title", [("name", "[/x]")])
    shown = capsys.readouterr().out
    assert "[red]title" in shown
    assert "[/bold] [link]x" in shown
    assert "[/x]" in shown


def test_a_date_is_utc() -> None:
    assert output.date(1_800_000_000) == "2027-01-15 08:00"
    assert output.date(0, zero="never") == "never"


def test_a_secret_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with output.secret_file(path) as file:
        assert file is not None
        file.write("x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_file_that_got_no_secret_is_removed(tmp_path: Path) -> None:
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
