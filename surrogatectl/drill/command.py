"""`drill`: lose a Region on purpose, on the local cloud, and see whether every promise is kept."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from chalicelib.settings import Settings
from surrogatectl.cli import output
from surrogatectl.cli.common import Failure, Unavailable, deployment, output_option
from surrogatectl.cli.configuration import ROLES, Deployment
from surrogatectl.drill.backend import Backend, BackendError, started
from surrogatectl.drill.cloud import VARIABLE, CloudGoneError, LocalCloud, NotTheLocalCloudError
from surrogatectl.drill.events import Round
from surrogatectl.drill.figures import Figures, Promise, figures, promises
from surrogatectl.drill.figures import document as figures_document
from surrogatectl.drill.page import Page, Part, render
from surrogatectl.drill.rehearsal import Rehearsal, Say, Stopwatch
from surrogatectl.drill.writes import Administrator

MODES: Final = ("refused", "hanging")
REPORTS: Final = Path("drill-report")


@click.command("drill")
@click.option(
    "--mode",
    "modes",
    type=click.Choice(MODES),
    multiple=True,
    help="How the Region is lost; may be repeated.  Default: refused, then hanging.",
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 50),
    default=10,
    show_default=True,
    help="Exchanges per second.",
)
@click.option(
    "--steady",
    type=click.FloatRange(0.5, 60),
    default=3,
    show_default=True,
    help="Seconds that each quiet stretch lasts.",
)
@click.option(
    "--recover-within",
    type=click.FloatRange(1, 600),
    default=30,
    show_default=True,
    help="Seconds from the failover until clients must get tokens again.",
)
@click.option(
    "--report-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=REPORTS,
    show_default=True,
    help="Where drill.json and drill.html go; those of the last drill are replaced.",
)
@output_option
@click.pass_context
def drill(  # noqa: PLR0913, PLR0917 - one argument per option
    context: click.Context,
    modes: tuple[str, ...],
    rate: float,
    steady: float,
    recover_within: float,
    report_dir: Path,
    output_format: str,
) -> None:
    """
    Rehearse the loss of a Region on the local cloud.

    Needs the local cloud: make up, then eval "$(make -s env)".  Writes a page
    that a manager can read (drill.html), and drill.json.
    Exit code 0: every promise was kept; 1: one was broken.
    """
    found = deployment()
    cloud = _local_cloud(found)
    with _reports(report_dir):
        report_dir.mkdir(parents=True, exist_ok=True)
    began = time.time()
    try:
        with _backend(found) as backend:
            rehearsal = _rehearsal(found, cloud, backend, rate, steady, recover_within)
            parts = _parts(rehearsal, modes or MODES, recover_within)
    except BackendError as err:
        raise Failure(str(err)) from None
    except CloudGoneError as err:
        raise Unavailable(str(err)) from None
    page = Page(parts, began, time.time(), cloud.time_scale, rate)
    report = document(page)
    with _reports(report_dir):
        (report_dir / "drill.json").write_text(json.dumps(report, indent=2) + "\n")
        (report_dir / "drill.html").write_text(render(page))
    if output_format == "json":
        output.print_json(report)
    else:
        _print(page, report_dir)
    context.exit(bool(report["broken"]))


def _parts(rehearsal: Rehearsal, modes: Sequence[str], recover_within: float) -> list[Part]:
    parts = []
    for mode in modes:
        rehearsal.say(f"the primary Region is going to be lost: {mode}")
        parts.append(_part(rehearsal.run_round(mode), recover_within))
        if parts[-1].round.failed:
            break  # nobody knows in what state the next one would begin
    return parts


@contextmanager
def _reports(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise Failure(f"--report-dir {directory}: {err.strerror}.") from None


def _local_cloud(found: Deployment) -> LocalCloud:
    try:
        cloud = LocalCloud.of(found, os.environ)
    except NotTheLocalCloudError as err:
        raise Failure(str(err)) from None
    if any(cloud.mode(role) != "up" for role in ROLES):
        raise Failure("A Region is down already: python -m local region ROLE up.")
    return cloud


def _backend(found: Deployment) -> AbstractContextManager[Backend]:
    settings: Settings = found.settings
    regions = {each.issuer: each.name for each in (settings.primary, settings.secondary)}
    return started(Path(os.environ[VARIABLE]), regions)


def _rehearsal(  # noqa: PLR0913, PLR0917 - what the options say
    found: Deployment,
    cloud: LocalCloud,
    backend: Backend,
    rate: float,
    steady: float,
    recover_within: float,
) -> Rehearsal:
    urls = found.token_urls

    def administrator(now: Stopwatch) -> Administrator:
        return Administrator(found, urls, now.elapsed)

    return Rehearsal(
        cloud,
        backend,
        found.settings.public_url,
        urls,
        administrator,
        rate,
        steady,
        recover_within,
        say=_progress(),
    )


def _progress() -> Say:
    return lambda line: click.echo(line, err=True)


def _part(made: Round, recover_within: float) -> Part:
    found = figures(made)
    return Part(made, found, list(promises(made, found, recover_within)))


def document(page: Page) -> dict[str, Any]:
    """Return the report as JSON."""
    every = [promise for part in page.parts for promise in part.promises]
    return {
        "began_at": int(page.began),
        "finished_at": int(page.finished),
        "time_scale": page.time_scale,
        "rate": page.rate,
        "kept": sum(1 for each in every if each.kept),
        "broken": sum(1 for each in every if not each.kept),
        "rounds": [
            {
                **part.round.document(),
                "figures": figures_document(part.figures),
                "promises": [asdict(each) for each in part.promises],
            }
            for part in page.parts
        ],
    }


def _print(page: Page, report_dir: Path) -> None:
    columns = ("", *(part.round.mode for part in page.parts))
    rows = _rows([part.figures for part in page.parts])
    output.print_table("Drill", columns, rows)
    for part in page.parts:
        for promise in part.promises:
            _print_promise(part.round.mode, promise)
    click.echo(f"For people who were not there: {report_dir / 'drill.html'}")


def _print_promise(mode: str, promise: Promise) -> None:
    verdict = "kept  " if promise.kept else "BROKEN"
    click.echo(f"{verdict} {mode}: {promise.text} ({promise.measured})")


def _rows(found: Sequence[Figures]) -> list[tuple[str, ...]]:
    def row(name: str, tell: Any) -> tuple[str, ...]:  # noqa: ANN401 - a lambda
        return (name, *(str(tell(each)) for each in found))

    def seconds(value: float | None) -> str:
        return "never" if value is None else f"{value:.1f} s"

    return [
        row("requests", lambda f: f.requests),
        row("wrong answers", lambda f: f.wrong),
        row("errors before the name moved", lambda f: f.errors_before_the_name_moved),
        row("errors in all", lambda f: f.errors),
        row("time to detect", lambda f: seconds(f.detected)),
        row("time to recover", lambda f: seconds(f.recovered)),
        row("… of it since the failover", lambda f: seconds(f.switched)),
        row("tokens verified", lambda f: f.tokens_verified),
        row("changes kept", lambda f: f"{f.writes_kept} of {f.writes_done}"),
    ]
