"""`reconcile`: look for drift in both Regions, and repair it; with the operator's own role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from chalicelib.reconciliation.drift import Outcome, Result
from chalicelib.reconciliation.survey import Progress as Report
from surrogatectl.cli import output
from surrogatectl.cli.audit import audit_option, audited
from surrogatectl.cli.common import Failure, deployment, output_option, yes_option
from surrogatectl.cli.common import confirm as confirmed
from surrogatectl.cli.parts import writing_parts


@click.command()
@click.option("--repair", is_flag=True, help="Mend what is found, as it is found.")
@click.option(
    "--quick",
    is_flag=True,
    help="Take what Cognito lists to be as the records say: minutes for 10,000, not an hour.",
)
@audit_option
@yes_option
@output_option
def reconcile(
    repair: bool,  # noqa: FBT001 - click
    quick: bool,  # noqa: FBT001 - click
    audit_file: Path | None,
    yes: bool,  # noqa: FBT001 - click
    output_format: str,
) -> None:
    """
    Find what is not as the records say, in both Regions.

    Exit code 0: there is none, or all of it was repaired; 1: some is left.
    """
    settings = deployment().settings
    parts = writing_parts(settings)
    if repair:
        confirmed(
            "Repair deletes app clients that carry our mark and that no record refers to. Go on?",
            yes=yes,
        )
    outcomes: list[Outcome] = []
    told = audited(audit_file if repair else None, "reconcile", settings.primary)
    with told as audit, _progress(output_format) as report:
        for drift in parts.survey.run(report, thorough=not quick):
            outcome = Outcome(drift, Result.LEFT_ALONE)
            if repair:
                outcome = parts.reconcile.repair(drift)
                audit(
                    drift.client_id, (), outcome.result, kind=drift.kind, repaired_in=drift.region
                )
            outcomes.append(outcome)
    if output_format == "json":
        output.print_json({"drift": [_document(each, repair=repair) for each in outcomes]})
    else:
        _print(outcomes, repair=repair)
    left = [each for each in outcomes if each.result in {Result.LEFT_ALONE, Result.FAILED}]
    if left:
        advice = "" if repair else " To mend what can be mended: surrogatectl reconcile --repair."
        raise Failure(f"{len(left)} findings are left.{advice}")


def _document(outcome: Outcome, *, repair: bool) -> dict[str, Any]:
    drift = outcome.drift
    document: dict[str, Any] = {
        "kind": drift.kind,
        "region": drift.region,
        "client_id": drift.client_id,
        "detail": drift.detail,
        "repairable": drift.repairable,
    }
    if repair:
        document |= {"result": outcome.result, "why": outcome.detail}
    return document


def _print(outcomes: list[Outcome], *, repair: bool) -> None:
    if not outcomes:
        click.echo("Records, app clients and secrets agree in both Regions.")
        return
    output.print_table(
        f"{len(outcomes)} findings",
        ("client ID", "kind", "Region", "repair", "detail"),
        [
            (
                each.drift.client_id or "-",
                each.drift.kind,
                each.drift.region,
                _told(each, repair=repair),
                each.drift.detail,
            )
            for each in outcomes
        ],
    )
    counts = Counter(each.drift.kind for each in outcomes)
    click.echo(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))


def _told(outcome: Outcome, *, repair: bool) -> str:
    if not repair:
        return "possible" if outcome.drift.repairable else "by hand"
    return f"{outcome.result}. {outcome.detail}".rstrip(". ")


@contextmanager
def _progress(output_format: str) -> Iterator[Report]:
    console = Console(stderr=True)
    if output_format == "json" or not console.is_terminal:
        yield _unseen
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("looking at clients", total=None)

        def report(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def _unseen(_done: int, _total: int | None) -> None:
    """Nobody watches."""
