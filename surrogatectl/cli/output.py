"""Tables for people, one JSON document for programs, and secrets where they are wanted."""

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

# What a column's borders take, and how narrow prose may become.
_FRAME: Final = 3
_READABLE: Final = 24
_UNBOUNDED: Final = 10_000
_AWAITED: Final = "surrogatectl.json-document-awaited"


def choose(context: click.Context, output_format: str) -> None:
    """Note that the command of *context* and its parents is to print in *output_format*."""
    context.meta[_AWAITED] = output_format == "json"


def is_awaited(context: click.Context) -> bool:
    """Return whether a program still waits for its one JSON document."""
    return bool(context.meta.get(_AWAITED))


def print_json(document: Mapping[str, Any]) -> None:
    """Print *document* on standard output, for programs."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_AWAITED] = False
    click.echo(json.dumps(document, indent=2))


def printable(text: str) -> str:
    """
    Return *text* without what a terminal would obey.

    Names and errors come from elsewhere, and an escape sequence among them could hide
    or forge what an operator reads.
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

    Where the screen is too narrow for that, each row is a block of lines.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    table = Table()
    last = len(columns) - 1
    for number, column in enumerate(columns):
        # Only the last column is prose, and can do with less than it has.
        table.add_column(column, overflow="fold", no_wrap=number != last)
    for row in rows:
        table.add_row(*map(Text, row))  # what people typed is no markup
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
        told = [(column, cell) for column, cell in zip(columns, row, strict=True) if cell]
        for column, cell in told:
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
    """Return a console as wide as the screen; where there is none, a line is not folded."""
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
    Open a new file that only its owner can read, before there is a secret to lose.

    It is removed again if no secret came.

    Raises:
        click.ClickException: If the file exists already, or cannot be made.
    """
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as err:
        raise click.ClickException(
            f"--secret-file {path}: {err.strerror}. Nothing was done; name a file that does not "
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
            f"--secret-file {path}: {err.strerror}. The secret is lost; `surrogatectl rotate` "
            "makes a new one, and `surrogatectl retire` ends the one that nobody has."
        ) from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
