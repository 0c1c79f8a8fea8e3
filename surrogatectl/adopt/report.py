"""Report of an adoption: by handle, never a secret, none of Cognito's IDs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from chalicelib.credentials import loggable
from surrogatectl.adopt.known import Progress as Tell
from surrogatectl.adopt.rows import Outcome, Standing
from surrogatectl.cli import output
from surrogatectl.clients.in_force import ADOPTED

WARNING: Final = (
    "The Cognito secrets of adopted app clients go on working directly at Cognito, past this "
    "service, for everybody who has them, until they are rotated: "
    "`surrogatectl rotate CLIENT --app-clients`."
)


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return how many rows stand how."""
    found = Counter(outcome.standing for outcome in outcomes)
    return {standing.value: found[standing] for standing in Standing}


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the counts in words."""
    told = (
        f"{number} {standing.replace('_', ' ')}"
        for standing, number in counts(outcomes).items()
        if number
    )
    return ", ".join(told) or "no rows"


def print_report(outcomes: Sequence[Outcome], output_format: str, *, dry_run: bool) -> None:
    """Print what became of every row, or would."""
    if output_format == "json":
        output.print_json(
            {
                "dry_run": dry_run,
                "rows": [_document(outcome) for outcome in outcomes],
                "counts": counts(outcomes),
                "warning": WARNING,
            }
        )
        return
    output.print_table(
        "Adoption" + (" (dry run: nothing was written)" if dry_run else ""),
        ("handle", "row", "outcome", "client", "name", "replica", "reason"),
        [tuple(str(value or "") for value in _document(outcome).values()) for outcome in outcomes],
    )
    click.echo(f"{summary(outcomes)}.")
    if not dry_run and any(outcome.standing is Standing.ADOPTED for outcome in outcomes):
        click.echo(ADOPTED)
    click.echo(WARNING)


def _document(outcome: Outcome) -> dict[str, str | None]:
    return {
        "handle": outcome.handle or None,
        "row": outcome.where,
        "outcome": outcome.standing.value,
        "client_id": outcome.client_id and loggable(outcome.client_id),
        "client_name": outcome.client_name or None,
        "replication": outcome.replication and outcome.replication.value,
        "reason": outcome.reason or None,
    }


@contextmanager
def progress_bar(console: Console | None = None) -> Iterator[Tell]:
    """Show how far things are on *console*, standard error if `None`, if it is a terminal."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda _what, _done, _total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )
