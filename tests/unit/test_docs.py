"""The documents name commands and options that exist, and every command is documented."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from chalicelib.credentials import CLIENT_ID, CLIENT_SECRET, SECRET_ID
from surrogatectl.main import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_CODE = re.compile(r"`([^`\n]+)`|```sh\n(.*?)```", re.DOTALL)
_PLACEHOLDERS = {"CLIENT", "SECRET_ID", "FILE", "VERSION", "[CLIENT", "…]"}


def commands_in(text: str) -> list[list[str]]:
    """Return every `surrogatectl …` of *text*, as words, without comments."""
    found = []
    for inline, block in _CODE.findall(text):
        joined = (inline or block).replace("\\\n", " ")
        for line in joined.splitlines():
            _, name, rest = line.partition("surrogatectl ")
            if name:
                found.append(shlex.split(rest.partition(" #")[0], comments=True))
    return [words for words in found if words]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_commands_in_a_document_exist_with_their_options(path: Path) -> None:
    for words in commands_in(path.read_text()):
        command = main.commands.get(words[0])
        if words[0].startswith("-"):
            continue
        assert command is not None, f"{path.name}: surrogatectl {words[0]}"
        known = {opt for each in command.params for opt in (*each.opts, *each.secondary_opts)}
        used = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
        assert used <= known | {"--help"}, f"{path.name}: surrogatectl {' '.join(words)}"


def test_every_command_is_documented() -> None:
    documented = {words[0] for path in DOCUMENTS for words in commands_in(path.read_text())}
    assert set(main.commands) <= documented


def test_every_option_has_a_help_text() -> None:
    for name, command in main.commands.items():
        assert command.help, name
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{name} {option.opts}"


def test_the_readmes_formats_agree_with_the_code() -> None:
    """Users copy them into their secret scanners."""
    readme = (ROOT / "README.md").read_text()
    for pattern in (CLIENT_ID, CLIENT_SECRET, SECRET_ID):
        assert f"`{pattern.pattern}`" in readme


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_table_row_has_the_cells_of_its_head(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        rows = [re.sub(r"`[^`]*`|\\\|", "", row) for row in table.splitlines()]
        assert {row.count("|") for row in rows} == {rows[0].count("|")}, table


def test_no_option_or_argument_takes_a_secret() -> None:
    """Every user of the machine can read arguments (invariant 1); secrets are passed in files."""
    for name, command in main.commands.items():
        for parameter in command.params:
            if "secret" in (parameter.name or ""):
                told = f"{name} {parameter.opts}"
                is_file = isinstance(parameter.type, click.Path | click.File)
                assert is_file or parameter.name == "secret_id", told


_SECRET_IN_ARGUMENTS = re.compile(r"(?:-u|--user)[ =]?\S*:|client_secret=|sgs_\w", re.ASCII)


@pytest.mark.parametrize(
    "path", [*DOCUMENTS, ROOT / "local" / "demo.py"], ids=lambda path: path.name
)
def test_no_documented_command_has_a_secret_in_its_arguments(path: Path) -> None:
    shown = [line for line in path.read_text().splitlines() if "curl" in line]
    assert not [line for line in shown if _SECRET_IN_ARGUMENTS.search(line)]


def test_the_search_finds_a_secret_in_arguments() -> None:
    for shown in ("curl -u 'sgc_…:sgs_…' x", "curl --user=a:b x", "curl -d client_secret=x"):
        assert _SECRET_IN_ARGUMENTS.search(shown), shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["delete", "sgc_" + "a" * 26 + "/secrets/aaaaaaaa", "--yes"],
        ["show", "../denials"],
        ["retire", "sgc_" + "a" * 26, "a/../b", "--yes"],
    ],
)
def test_an_argument_cannot_become_another_path(arguments: list[str]) -> None:
    with pytest.raises(click.BadParameter, match="malformed"):
        main.main(arguments, standalone_mode=False)
