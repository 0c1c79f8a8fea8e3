"""`init`: create the secrets of a deployment."""

from __future__ import annotations

from pathlib import Path

import click
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import OperationError
from surrogatectl.cli import output
from surrogatectl.cli.audit import audit_option, audited
from surrogatectl.cli.common import (
    Failure,
    Unavailable,
    aws_failure,
    deployment,
    operation_failure,
    output_option,
)
from surrogatectl.setup.bootstrap import initialize, unreplicated


@click.command()
@audit_option
@output_option
def init(audit_file: Path | None, output_format: str) -> None:
    """
    Create the deployment's secrets; existing ones stay.

    A replica that failed is removed and asked for again.
    Exit code 1: a secret cannot be replicated; 4: a replica is still on its way.
    """
    found = deployment()
    try:
        with audited(audit_file, "init", found.settings.primary) as audit:
            done = initialize(found)
            made = sum("created" in each and each[0] != "0" for each in done.values())
            audit(None, (), "done", made=made)
    except (ClientError, BotoCoreError) as err:
        raise aws_failure("Secrets Manager", err) from None
    except OperationError as err:
        raise operation_failure(err) from None
    if output_format == "json":
        output.print_json(done)
    else:
        output.print_facts("Secrets of the deployment", list(done.items()))
        click.echo("After deploying both stages: surrogatectl canary --scope 'a scope of yours'.")
    missing = list(unreplicated(found, done))
    if missing:
        kind = Unavailable if all(repeatable for _, repeatable in missing) else Failure
        raise kind("\n".join(why for why, _ in missing))
