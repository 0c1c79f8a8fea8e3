"""The command `failback`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from chalicelib.model import ClientId
from surrogatectl.cli import output
from surrogatectl.cli.audit import audit_option, audited_run
from surrogatectl.cli.common import Unavailable, deployment, output_option
from surrogatectl.regions.failback import Outcome, SplitsError, Timeouts
from surrogatectl.regions.failback_pass import Progress
from surrogatectl.regions.failback_plan import Choices, Keep
from surrogatectl.regions.failback_summary import Split
from surrogatectl.regions.failover_command import (
    announce,
    region_failures,
    settle_option,
    simple_record_option,
    take_over_option,
    timeout_option,
)
from surrogatectl.regions.parts import RegionsParts

# The TTL of the records in infra/routing.yaml, and as much again for resolvers that round it up.
_TTL_SECONDS: Final = 120.0
_KEEP = re.compile(r"(?P<client_id>[^=\s]+)=(?P<keep>primary|secondary)")


class _KeepChoice(click.ParamType[tuple[ClientId, Keep]]):
    name = "CLIENT=primary|secondary"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[ClientId, Keep]:
        found = _KEEP.fullmatch(value)
        if found is None:
            self.fail("must be a client ID, =, and primary or secondary.", param, ctx)
        return ClientId(found["client_id"]), Keep(found["keep"])


@click.command()
@click.option(
    "--keep",
    "kept",
    multiple=True,
    type=_KeepChoice(),
    help="The record to keep of a client that was written in both Regions; repeatable.",
)
@click.option(
    "--keep-all",
    type=click.Choice([each.value for each in Keep]),
    help="The record to keep of all other clients that were written in both Regions.",
)
@click.option(
    "--abort",
    is_flag=True,
    help="Give up: let the secondary Region write again, which still has the traffic.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Go on without the canary, and without clients that cannot be brought back.",
)
@take_over_option
@click.option(
    "--ttl",
    type=click.FloatRange(0),
    default=_TTL_SECONDS,
    show_default=True,
    help="Seconds until resolvers have forgotten the old answer.",
)
@timeout_option
@settle_option
@simple_record_option
@audit_option
@output_option
def failback(  # noqa: PLR0913, PLR0917 - one argument per option
    kept: tuple[tuple[ClientId, Keep], ...],
    keep_all: str | None,
    abort: bool,  # noqa: FBT001 - click
    force: bool,  # noqa: FBT001 - click
    take_over: bool,  # noqa: FBT001 - click
    ttl: float,
    timeout: int,
    settle: float,
    simple_record: str | None,
    audit_file: Path | None,
    output_format: str,
) -> None:
    """
    Bring traffic and administrators' changes back.

    The command first brings back the secondary Region's changes, while that Region goes on.
    It never overwrites a client that was written in both Regions: it shows the client and stops
    until you choose a record.

    Exit code 3: choose a record, mend something, or another run is under way; 4: something does
    not answer, or a signal ended the command.
    Repeating the command is safe: it goes on where it stopped.
    """
    parts = RegionsParts(deployment(), simple_record)
    audited = audited_run(audit_file, "failback", parts.settings.primary)
    failures = region_failures(parts.sides, "surrogatectl failback")
    with audited, _progress(output_format) as report, failures:
        parts.require_record()
        command = parts.failback(announce(output_format), report)
        if abort:
            done = command.abort(take_over=take_over)
            _abort(parts.settings.secondary.name, output_format, done=done)
            return
        choices = Choices(dict(kept), Keep(keep_all) if keep_all else None)
        try:
            outcome = command.fail_back(
                choices, Timeouts(settle, ttl, timeout), force=force, take_over=take_over
            )
        except SplitsError as err:
            _print_splits(err.splits, output_format)
            raise
    _print(parts.settings.primary.name, outcome, output_format)
    if outcome.left:
        raise Unavailable(f"{len(outcome.left)} clients are left; repeat `surrogatectl failback`.")


def _abort(region: str, output_format: str, *, done: bool) -> None:
    if output_format == "json":
        output.print_json({"region": region, "aborted": done})
    else:
        click.echo(f"{region} writes again." if done else "There is no failback under way.")


def _print_splits(splits: tuple[Split, ...], output_format: str) -> None:
    if output_format == "json":
        output.print_json({"splits": [asdict(each) for each in splits]})
        return
    output.print_table(
        f"{len(splits)} clients were written in both Regions",
        ("client ID", "name", "differs in"),
        [(each.client_id, each.client_name, "\n".join(each.differs)) for each in splits],
    )


def _print(region: str, outcome: Outcome, output_format: str) -> None:
    if output_format == "json":
        document: dict[str, Any] = {"region": region, "splits": [], **asdict(outcome)}
        output.print_json(document)
        return
    facts = [(step, f"{seconds:.1f} s") for step, seconds in outcome.steps.items()]
    facts += [(what, str(count)) for what, count in sorted(outcome.counts.items())]
    facts += [("clients", str(outcome.clients)), ("replicas", outcome.replicas.detail)]
    facts += [(each.client_id, each.why) for each in outcome.left]
    output.print_facts(f"{region} has the traffic, and writes", facts)


@contextmanager
def _progress(output_format: str) -> Iterator[Progress]:
    console = Console(stderr=True)
    if output_format == "json" or not console.is_terminal:
        yield lambda _what, _done, _all: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, every: bar.update(
            task, description=what, completed=done, total=every
        )
