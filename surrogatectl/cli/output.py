"""Tables for people, one JSON document for programs, and files for secrets."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Width of a column's borders, and least width of prose.
_FRAME: Final = 3
_READABLE: Final = 24
_UNBOUNDED: Final = 10_000
_AWAITED: Final = "surrogatectl.json-document-awaited"


def choose(context: click.Context, output_format: str) -> None:
    """Set the output format of *context*'s command and of its parents."""
    context.meta[_AWAITED] = output_format == "json"


def is_awaited(context: click.Context) -> bool:
    """Return whether the one JSON document is still to be printed."""
    return bool(context.meta.get(_AWAITED))


def print_json(document: Mapping[str, Any]) -> None:
    """Print *document* on standard output, for programs."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_AWAITED] = False
    click.echo(json.dumps(document, indent=2))


def printable(text: str) -> str:
    """
    Return *text* without control characters.

    Names and errors are untrusted: an escape sequence in them could hide or forge output.
    """
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)


def print_facts(title: str, facts: Sequence[tuple[str, str]]) -> None:
    """Print names and values, for people."""
    table = _names_and_values()
    for name, value in facts:
        table.add_row(name, Text(printable(value)))
    _print(title, table)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """
    Print rows under *columns*, for people.

    On a screen too narrow for the table, each row becomes a block of lines.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    table = Table()
    last = len(columns) - 1
    for number, column in enumerate(columns):
        # Only the last column is prose, which may be folded.
        table.add_column(column, overflow="fold", no_wrap=number != last)
    for row in rows:
        table.add_row(*map(Text, row))  # user input is not markup
    console = _console(table)
    if _fits(columns, rows, console.width):
        _print(title, table)
    else:
        _print(title, _blocks(columns, rows))


def _fits(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    room = width - sum(widths[:-1]) - _FRAME * len(columns) - 1
    return room >= min(widths[-1], _READABLE)


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = _names_and_values()
    for row in rows:
        filled = [(column, cell) for column, cell in zip(columns, row, strict=True) if cell]
        for column, cell in filled:
            table.add_row(column, Text(cell))
        table.add_section()
    return table


def _names_and_values() -> Table:
    table = Table(show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _print(title: str, table: Table) -> None:
    console = _console(table)
    console.print(printable(title), markup=False, highlight=False)
    console.print(table)


def _console(table: Table) -> Console:
    """Return a console as wide as the screen; without a screen, it folds no line."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=_UNBOUNDED)
        console = Console(width=max(console.measure(table).maximum, 80))
    return console


def date(at: int, zero: str = "") -> str:
    """Return seconds since the epoch as a date in UTC, 0 as *zero*."""
    if not at:
        return zero
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M")


@contextmanager
def secret_file(path: Path | None) -> Iterator[TextIO | None]:
    """
    Open a new file that only its owner can read, before a secret exists.

    Remove the file again if no secret is written.

    Raises:
        click.ClickException: If the file exists already, or cannot be created.
    """
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as err:
        raise click.ClickException(
            f"--secret-file {path}: {err.strerror}. Nothing was done. Name a file that does not "
            "exist yet."
        ) from None
    try:
        with os.fdopen(descriptor, "w") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        path.unlink(missing_ok=True)
        raise click.ClickException(
            f"--secret-file {path}: {err.strerror}. The secret is lost. Create a new one with "
            "`surrogatectl rotate`. End the lost one with `surrogatectl retire`."
        ) from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
