"""The help of `surrogatectl`, by sections."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from surrogatectl.main import main


@pytest.fixture(params=[60, 80, 120])
def help_text(request: pytest.FixtureRequest) -> str:
    done = CliRunner().invoke(main, ["--help"], terminal_width=request.param)
    assert done.exit_code == 0
    return done.output


def test_the_help_has_four_sections(help_text: str) -> None:
    titles = re.findall(r"^(\w+):", help_text, re.MULTILINE)
    assert titles == ["Usage", "Options", "Clients", "Regions", "Deployment", "Backends"]


def test_the_help_lists_every_command_once(help_text: str) -> None:
    listed = re.findall(r"^  ([a-z][a-z-]+)(?:  |$)", help_text, re.MULTILINE)
    assert sorted(listed) == sorted(main.commands)


def test_no_line_of_the_help_is_cut_off(help_text: str) -> None:
    assert "..." not in help_text.partition("Options:")[2]


def test_a_commands_help_line_fits_beside_its_name() -> None:
    for command in main.commands.values():
        line = command.get_short_help_str(limit=200)
        assert 0 < len(line) <= 60, f"{command.name}: {line}"
