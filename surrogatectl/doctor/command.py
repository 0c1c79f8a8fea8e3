"""`doctor`: what is wrong with a live deployment, and how to mend it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Final

import click

from surrogatectl.cli import output
from surrogatectl.cli.common import deployment, output_option
from surrogatectl.cli.findings import Finding, Level
from surrogatectl.cli.operators import connect
from surrogatectl.doctor.checks import examine
from surrogatectl.doctor.context import DoctorContext
from surrogatectl.doctor.web import Internet

_COLUMNS: Final = ("", "Check", "Region", "What was found, and what to do")


@click.command("doctor")
@output_option
@click.pass_context
def doctor(context: click.Context, output_format: str) -> None:
    """
    Check the deployment in both Regions, with remedies.

    Exit code 0: nothing failed (there may be warnings); 1: something did.
    """
    found = deployment()
    findings = list(examine(DoctorContext(found.settings, found.token_urls, connect, Internet())))
    report(findings, output_format)
    context.exit(any(each.level is Level.FAILED for each in findings))


def report(findings: list[Finding], output_format: str) -> None:
    """Print what was found."""
    counted = Counter(each.level for each in findings)
    if output_format == "json":
        counts = {level.value: counted[level] for level in Level}
        output.print_json({**counts, "checks": [asdict(each) for each in findings]})
        return
    rows = [
        (
            each.level.value,
            each.check,
            each.region or "both",
            f"{each.detail} {each.remedy}".strip(),
        )
        for each in findings
    ]
    output.print_table("Checks", _COLUMNS, rows)
    click.echo(
        f"{counted[Level.FAILED]} failed, {counted[Level.WARNING]} warnings, "
        f"{counted[Level.OK]} ok."
    )
