"""`reconcile`: find and repair drift in both Regions, with the operator's own role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from chalicelib.reconciliation.app_client_survey import MANY_ORPHANS_SHARE
from chalicelib.reconciliation.drift import Drift, Kind, Outcome, Result
from chalicelib.reconciliation.survey import Progress as Report
from surrogatectl.cli import output
from surrogatectl.cli.audit import audit_option, audited
from surrogatectl.cli.common import Failure, confirm, deployment, output_option, yes_option
from surrogatectl.cli.parts import writing_parts

_MANY_ORPHANS: Final = (
    f" More than {MANY_ORPHANS_SHARE:.0%} of the app clients with our mark have no record, and "
    "none of these was deleted: check the prefix, the user pools, the Regions, and that all "
    "records can be listed. To delete them all the same: --delete-many-orphans."
)


@click.command()
@click.option("--repair", is_flag=True, help="Repair drift as it is found.")
@click.option(
    "--quick",
    is_flag=True,
    help="Trust Cognito's lists of app clients: minutes instead of an hour for 10,000 clients.",
)
@click.option(
    "--delete-many-orphans",
    is_flag=True,
    help="With --repair: delete orphans however many they are.",
)
@audit_option
@yes_option
@output_option
def reconcile(  # noqa: PLR0913, PLR0917 - click
    repair: bool,  # noqa: FBT001 - click
    quick: bool,  # noqa: FBT001 - click
    delete_many_orphans: bool,  # noqa: FBT001 - click
    audit_file: Path | None,
    yes: bool,  # noqa: FBT001 - click
    output_format: str,
) -> None:
    """
    Find drift in both Regions; `--repair` repairs it.

    Exit code 0: no drift is left; 1: some is left.
    """
    settings = deployment().settings
    parts = writing_parts(settings)
    if repair:
        confirm(
            "Repair deletes orphans: app clients with our mark and without a record. Go on?",
            yes=yes,
        )
    outcomes: list[Outcome] = []
    recorder = audited(audit_file if repair else None, "reconcile", settings.primary)
    with recorder as audit, _progress(output_format) as report:
        for drift in parts.survey.run(report, thorough=not quick, many_orphans=delete_many_orphans):
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
        advice = "" if repair else " To repair them: surrogatectl reconcile --repair."
        if repair and any(_is_withheld(each.drift) for each in left):
            advice = _MANY_ORPHANS
        raise Failure(f"{len(left)} findings are left.{advice}")


def _is_withheld(drift: Drift) -> bool:
    return drift.kind is Kind.ORPHAN and not drift.repairable


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
                _repair_text(each, repair=repair),
                each.drift.detail,
            )
            for each in outcomes
        ],
    )
    counts = Counter(each.drift.kind for each in outcomes)
    click.echo(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))


def _repair_text(outcome: Outcome, *, repair: bool) -> str:
    if not repair:
        return "possible" if outcome.drift.repairable else "by hand"
    return f"{outcome.result}. {outcome.detail}".rstrip(". ")


@contextmanager
def _progress(output_format: str) -> Iterator[Report]:
    console = Console(stderr=True)
    if output_format == "json" or not console.is_terminal:
        yield _no_progress
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("surveying clients", total=None)

        def report(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def _no_progress(_done: int, _total: int | None) -> None:
    """Report nothing."""
