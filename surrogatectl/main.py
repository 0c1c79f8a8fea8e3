"""
`surrogatectl`: enroll clients and keep the deployment in order.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 conflict (the state
of things does not allow it), 4 unavailable (try again later).
"""

from __future__ import annotations

from pathlib import Path

import click
from botocore.exceptions import BotoCoreError, ClientError

from surrogatectl.adopt.command import adopt_command
from surrogatectl.cli import output
from surrogatectl.cli.audit import audit_option, audited
from surrogatectl.cli.common import Commands, aws_failure, deployment, output_option
from surrogatectl.clients import command as clients
from surrogatectl.clients import denials
from surrogatectl.clients.app_clients import app_clients
from surrogatectl.clients.reconcile import reconcile
from surrogatectl.doctor import command as doctor
from surrogatectl.drill import command as drill
from surrogatectl.regions import failback_command
from surrogatectl.regions import failover_command as regions
from surrogatectl.setup import cleanup, configure
from surrogatectl.setup.attach_trigger import attach_trigger
from surrogatectl.setup.bootstrap import initialize
from surrogatectl.setup.keys import refresh_jwks
from surrogatectl.status import command as status
from surrogatectl.trust import command as trust


@click.group(cls=Commands)
@click.version_option(package_name="surrogate-credentials")
def main() -> None:
    """Surrogate client credentials for Amazon Cognito in two AWS Regions."""


_COMMANDS = (
    *clients.COMMANDS,
    *denials.COMMANDS,
    *configure.COMMANDS,
    *doctor.COMMANDS,
    *cleanup.COMMANDS,
    *status.COMMANDS,
    *drill.COMMANDS,
    *regions.COMMANDS,
    *failback_command.COMMANDS,
    *trust.COMMANDS,
    adopt_command,
    app_clients,
    attach_trigger,
    reconcile,
    refresh_jwks,
)

for command in _COMMANDS:
    main.add_command(command)


@main.command()
@audit_option
@output_option
def init(audit_file: Path | None, output_format: str) -> None:
    """Make the two Regions' states, the deployment key and the snapshot of the pools' keys."""
    found = deployment()
    try:
        with audited(audit_file, "init", found.settings.primary) as audit:
            done = initialize(found)
            audit(None, (), "done", made=sum(each == "created" for each in done.values()))
    except (ClientError, BotoCoreError) as err:
        raise aws_failure("Secrets Manager", err) from None
    if output_format == "json":
        output.print_json(done)
    else:
        output.print_facts("Secrets of the deployment", list(done.items()))
        click.echo("When both stages are deployed: surrogatectl canary --scope 'a scope of yours'.")


if __name__ == "__main__":
    main()
