"""
`adopt`: clients around app clients that exist already.

Unlike what concerns one client, it works with the operator's own AWS role.
Exit codes: 0 every row is adopted, by this run or before; 1 some are refused.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import click

from chalicelib.errors import OperationError
from chalicelib.settings import Settings
from surrogatectl.adopt import sources
from surrogatectl.adopt.columns import Rows
from surrogatectl.adopt.csv_rows import from_csv
from surrogatectl.adopt.examine import Examination
from surrogatectl.adopt.file import CredentialsFileError, credentials_file
from surrogatectl.adopt.json_rows import from_json
from surrogatectl.adopt.parts import Parts, adoption_parts, dynamodb
from surrogatectl.adopt.plan import Terms
from surrogatectl.adopt.report import WARNING, print_report, progress_bar, summary
from surrogatectl.adopt.rows import Outcome, SourceError, Standing
from surrogatectl.adopt.text_files import decode
from surrogatectl.cli.audit import audit_option, audited
from surrogatectl.cli.common import (
    Failure,
    confirm,
    deployment,
    operation_failure,
    output_option,
    yes_option,
)
from surrogatectl.cli.configuration import ROLES

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("adopt")
@click.option("--table", help="The DynamoDB table that holds the pairs of app clients.")
@click.option("--table-region", help="The table's Region.  Default: the primary one.")
@click.option("--csv", "csv_file", type=_file, help="A CSV file with the table's columns.")
@click.option(
    "--json",
    "json_file",
    type=_file,
    help="A JSON file with the table's columns: an array, a whole scan, or an export to S3.",
)
@click.option("--primary-client-id", help="One pair: the app client in the primary Region.")
@click.option("--secondary-client-id", help="One pair: the app client in the secondary Region.")
@click.option(
    "--secrets-from",
    type=click.File("rb"),
    help="One pair: a file (- for standard input) with the primary app client's secret on the "
    "first line and the secondary's on the second.  Default: they are asked for.",
)
@click.option(
    "--keep-credentials",
    is_flag=True,
    help="The primary app client's ID and secret go on working, in both Regions.",
)
@click.option(
    "--credentials-file",
    "new_credentials",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where new credentials go: a new file (mode 0600), or that of the run to go on with.",
)
@click.option(
    "--accept-scope-differences",
    is_flag=True,
    help="Where two app clients' scopes differ, grant those that both have. The app clients keep "
    "the others, which no token gets through here.",
)
@click.option("--dry-run", is_flag=True, help="Look at everything, write nothing.")
@audit_option
@yes_option
@output_option
@click.pass_context
def adopt_command(  # noqa: PLR0913, PLR0917 - one argument per option
    context: click.Context,
    table: str | None,
    table_region: str | None,
    csv_file: Path | None,
    json_file: Path | None,
    primary_client_id: str | None,
    secondary_client_id: str | None,
    secrets_from: BinaryIO | None,
    keep_credentials: bool,  # noqa: FBT001 - as click passes it
    new_credentials: Path | None,
    accept_scope_differences: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    audit_file: Path | None,
    yes: bool,  # noqa: FBT001
    output_format: str,
) -> None:
    """
    Import existing Cognito app clients as clients.

    The columns are primaryClientId, primaryClientSecret, secondaryClientId and
    secondaryClientSecret (or …ID).  Begin with --dry-run.  Repeating it is
    safe: what is adopted already stays as it is.
    """
    source = _Source(
        table,
        table_region,
        csv_file,
        json_file,
        primary_client_id,
        secondary_client_id,
        secrets_from,
    )
    source.require_one()
    if keep_credentials and new_credentials:
        raise click.UsageError("With --keep-credentials there are no new ones for a file.")
    if not (keep_credentials or new_credentials or dry_run):
        raise click.UsageError("Name a --credentials-file, or --keep-credentials.")
    piped = secrets_from is not None and secrets_from is getattr(sys.stdin, "buffer", None)
    if piped and not (yes or dry_run):
        raise click.UsageError("With --secrets-from - there is nobody to confirm: give --yes.")
    order: dict[str, int] = {}
    try:
        settings = deployment().settings
        terms = Terms(keep_credentials, accept_scope_differences)
        rows = _noted(source.rows(settings), order)
        if dry_run:
            outcomes = _examined(adoption_parts(settings, terms), rows).outcomes
            if not (keep_credentials or new_credentials):
                click.echo(
                    "Note: without --dry-run, name a --credentials-file, or --keep-credentials.",
                    err=True,
                )
        else:
            with audited(audit_file, "adopt", settings.primary) as audit:
                parts = adoption_parts(settings, terms, audit)
                outcomes = _adopted(parts, rows, new_credentials, yes=yes)
    except OperationError as err:
        raise operation_failure(err) from None
    except (SourceError, CredentialsFileError) as err:
        raise Failure(str(err)) from None
    outcomes.sort(key=lambda outcome: order[outcome.where])
    print_report(outcomes, output_format, dry_run=dry_run)
    context.exit(any(outcome.standing is Standing.REFUSED for outcome in outcomes))


def _examined(parts: Parts, rows: Rows) -> Examination:
    with progress_bar() as progress:
        return parts.examine.examine(rows, progress)


def _adopted(parts: Parts, rows: Rows, path: Path | None, *, yes: bool) -> list[Outcome]:
    """Examine *rows*, ask, and adopt; new credentials go to *path*, `None` if they are kept."""
    # Opened first: a file that cannot be written is known before anything happens.
    with credentials_file(path) if path else nullcontext() as file:
        examined = _examined(parts, rows)
        if examined.adoptable:
            click.echo(f"Found: {summary(examined.outcomes)}.\n{WARNING}", err=True)
            confirm(f"Adopt {len(examined.adoptable)} clients?", yes=yes)
        with progress_bar() as progress:
            return parts.adopt.adopt(examined, file, progress)


def _noted(rows: Rows, order: dict[str, int]) -> Rows:
    """Yield *rows*, and note in which order they came."""
    for row in rows:
        order[row.where] = len(order)
        yield row


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the options say that the rows are."""

    table: str | None
    table_region: str | None
    csv: Path | None
    json: Path | None
    primary: str | None
    secondary: str | None
    secrets: BinaryIO | None = field(repr=False)

    def require_one(self) -> None:
        """
        Make sure that there is one source, and that it is whole.

        Raises:
            click.UsageError: If there is not.
        """
        given = (self.table, self.csv, self.json, self.primary or self.secondary or self.secrets)
        if sum(each is not None for each in given) != 1:
            raise click.UsageError("Name one source: --table, --csv, --json, or a pair of IDs.")
        if given[-1] is not None and not (self.primary and self.secondary):
            raise click.UsageError("A pair needs --primary-client-id and --secondary-client-id.")
        if self.table_region and not self.table:
            raise click.UsageError("--table-region goes with --table.")

    def rows(self, settings: Settings) -> Rows:
        """Return the rows."""
        if self.table:
            return sources.from_table(dynamodb(settings, self.table_region).scan, self.table)
        if self.csv:
            return from_csv(self.csv)
        if self.json:
            return from_json(self.json)
        secrets = decode(self.secrets.read(), "--secrets-from") if self.secrets else _asked_for()
        return iter((sources.one_pair(self.primary or "", self.secondary or "", secrets),))


def _asked_for() -> str:
    return "\n".join(
        click.prompt(f"Secret of the {role} app client", hide_input=True, err=True)
        for role in ROLES
    )
