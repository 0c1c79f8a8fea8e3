"""`status`: both Regions side by side, and open problems."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import boto3
import click

from chalicelib.model import RegionState
from chalicelib.settings import RegionSettings, Settings
from surrogatectl.cli import output
from surrogatectl.cli.common import deployment, output_option
from surrogatectl.doctor.web import Internet
from surrogatectl.status.findings import attention, should_lead_to, the_writer
from surrogatectl.status.reader import ONE_ATTEMPT, WEB_SECONDS, RegionSeen, Seen, StatusReader
from surrogatectl.status.replication import ReplicationReader, ReplicationSeen

DRILL_REPORT: Final = Path("drill-report") / "drill.json"


@click.command("status")
@click.option("--quick", is_flag=True, help="Skip the comparison of the Regions' records.")
@click.option(
    "--drill-report",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DRILL_REPORT,
    show_default=True,
    help="Report of the last drill.",
)
@output_option
@click.pass_context
def status(context: click.Context, quick: bool, drill_report: Path, output_format: str) -> None:  # noqa: FBT001 - click
    """
    Show both Regions side by side, even if one is lost.

    Exit code 0: nothing needs attention; 1: the output names a problem.
    """
    found = deployment()
    settings = found.settings
    seen = StatusReader(
        settings, found.token_urls, _connect, Internet(seconds=WEB_SECONDS), time.time
    ).read()
    replication = None if quick else _replication(settings, seen)
    problems = list(attention(seen, replication, quick=quick))
    drill = last_drill(drill_report)
    if output_format == "json":
        output.print_json(document(seen, replication, drill, problems))
    else:
        _print(settings, seen, replication, drill, quick=quick)
        for problem in problems:
            click.echo(output.printable(f"! {problem}"))
        if not problems:
            click.echo("Nothing needs attention.")
    context.exit(bool(problems))


def _connect(service: str, region: RegionSettings) -> Any:  # noqa: ANN401 - one for each service
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name=region.name,
        endpoint_url=region.endpoint_url,
        config=ONE_ATTEMPT,
    )


def _replication(settings: Settings, seen: Seen) -> ReplicationSeen | None:
    writer = the_writer(seen)
    if writer is None or not all(each.answers for each in seen.both):
        return None
    regions = (settings.primary, settings.secondary)
    here = next(each for each in regions if each.name == writer.name)
    there = next(each for each in regions if each.name != writer.name)
    return ReplicationReader(settings, _connect, time.time, time.sleep).compare(here, there)


def last_drill(path: Path) -> dict[str, Any] | None:
    """Return the last drill's result from the report *path*; `None` without a report."""
    try:
        found = json.loads(path.read_text())
        return {key: found[key] for key in ("finished_at", "kept", "broken")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def document(
    seen: Seen,
    replication: ReplicationSeen | None,
    drill: dict[str, Any] | None,
    problems: list[str],
) -> dict[str, Any]:
    """Return the JSON document."""
    writer = the_writer(seen)
    lease = seen.secondary.state.lease if seen.secondary.state else None
    return {
        "name": {"leads_to": seen.name_leads_to, "should_lead_to": should_lead_to(seen)},
        "writer": writer.name if writer else None,
        "lease": asdict(lease) if lease else None,
        "regions": {each.name: _region(each) for each in seen.both},
        "replication": None
        if replication is None
        else {
            "looked_at": replication.looked_at,
            "in_sync": replication.in_sync,
            "behind": {status.value: n for status, n in replication.behind.items()},
            "complete": replication.complete,
        },
        "last_drill": drill,
        "attention": problems,
    }


def _region(seen: RegionSeen) -> dict[str, Any]:
    state, drift = seen.state, seen.drift
    return {
        "role": seen.role,
        "answers": seen.answers,
        "problem": seen.problem or None,
        "writer": state.writer if state else None,
        "epoch": state.epoch if state else None,
        "took_over": state.took_over if state else None,
        "denied": None if seen.denied is None else len(seen.denied),
        "healthy": seen.health == seen.name,
        "ready": dict(seen.ready) if seen.ready is not None else None,
        "drift": {"at": drift.at, "kinds": dict(drift.kinds), "complete": drift.complete}
        if drift
        else None,
    }


def _print(
    settings: Settings,
    seen: Seen,
    replication: ReplicationSeen | None,
    drill: dict[str, Any] | None,
    *,
    quick: bool,
) -> None:
    rows = [
        ("Region", *(f"{each.name} ({each.role})" for each in seen.both)),
        ("answers", *(_yes(each.answers) for each in seen.both)),
        ("the name leads here", *(_yes(seen.name_leads_to == each.name) for each in seen.both)),
        ("writes", *(_writes(each) for each in seen.both)),
        ("took over", *(_state(each, lambda s: _yes(s.took_over)) for each in seen.both)),
        ("function", *(_health(each) for each in seen.both)),
        ("ready", *(_ready(each) for each in seen.both)),
        ("denied clients", *(_denied(each) for each in seen.both)),
        ("drift, last reported", *(_drift(each) for each in seen.both)),
    ]
    output.print_table(settings.public_url, rows[0], rows[1:])
    click.echo(f"Replication: {_replication_text(replication, quick=quick)}")
    click.echo(f"Last drill: {_drill_text(drill)}")


def _denied(each: RegionSeen) -> str:
    return "unknown" if each.denied is None else str(len(each.denied))


def _yes(value: bool) -> str:  # noqa: FBT001 - named by its value
    return "yes" if value else "no"


def _state(seen: RegionSeen, text: Callable[[RegionState], str]) -> str:
    return text(seen.state) if seen.state else "unknown"


def _writes(seen: RegionSeen) -> str:
    if seen.state is None:
        return "unknown"
    return _yes(seen.state.writer) + (f" (epoch {seen.state.epoch})" if seen.state.epoch else "")


def _health(seen: RegionSeen) -> str:
    return "answers" if seen.health == seen.name else "does not answer"


def _ready(seen: RegionSeen) -> str:
    if seen.ready is None:
        return "unknown"
    failing = [part.replace("_", " ") for part, ok in seen.ready.items() if not ok]
    return f"no: {', '.join(failing)}" if failing else "yes"


def _drift(seen: RegionSeen) -> str:
    if seen.drift is None:
        return "no report"
    kinds = ", ".join(f"{count} {kind}" for kind, count in seen.drift.kinds.items())
    partly = "" if seen.drift.complete else ", incomplete"
    return f"{kinds or 'none'} at {output.date(seen.drift.at)}{partly}"


def _replication_text(replication: ReplicationSeen | None, *, quick: bool) -> str:
    if quick:
        return "not compared (--quick)."
    if replication is None:
        return "cannot be compared now."
    partly = "" if replication.complete else " There was no time for the others."
    return f"{replication.in_sync} of {replication.looked_at} records in sync.{partly}"


def _drill_text(drill: dict[str, Any] | None) -> str:
    if drill is None:
        return "no report. For one: surrogatectl drill."
    promises = f"{drill['kept']} promises kept, {drill['broken']} broken"
    return f"{output.date(int(drill['finished_at']))}: {promises}."
