"""
`surrogatectl`: enrol clients and keep the deployment in order.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 conflict (the state
of things does not allow it), 4 unavailable (try again later).
"""

from __future__ import annotations

from collections.abc import Callable

import click
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import ServiceError

from . import cleanup, clients, configure, denials, doctor, output, status
from .adopt import adopt_command
from .app_clients import app_clients
from .attach_trigger import attach_trigger
from .bootstrap import initialise
from .common import Unavailable, aws_failure, deployment, output_option
from .configuration import ROLES
from .keys import refresh_jwks
from .reconcile import reconcile
from .traffic import TrafficError, move_traffic


@click.group()
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
    adopt_command,
    app_clients,
    attach_trigger,
    reconcile,
    refresh_jwks,
)

for command in _COMMANDS:
    main.add_command(command)


@main.command()
@output_option
def init(output_format: str) -> None:
    """Make the two Regions' states, the deployment key and the snapshot of the pools' keys."""
    try:
        done = initialise(deployment())
    except (ClientError, BotoCoreError) as err:
        raise aws_failure("Secrets Manager", err) from None
    if output_format == "json":
        output.print_json(done)
    else:
        output.print_facts("Secrets of the deployment", list(done.items()))


@main.command()
@click.option(
    "--to", "role", type=click.Choice(ROLES), required=True, help="The Region to move it to."
)
@click.option(
    "--timeout", default=300, show_default=True, help="Seconds to wait for the name to follow."
)
@output_option
def failover(role: str, timeout: int, output_format: str) -> None:
    """
    Move the traffic to a Region.

    Only the secondary Region's own state is written, so it works with the
    primary gone.  Which Region writes does not change.
    """
    found = deployment()
    try:
        steps = move_traffic(found, role, timeout, announce=_announce(output_format))
    except (ServiceError, ClientError, BotoCoreError) as err:
        raise Unavailable(f"Secrets Manager in {found.settings.secondary.name}: {err}") from None
    except TrafficError as err:
        raise Unavailable(str(err)) from None
    if output_format == "json":
        output.print_json({"to": role, "steps": steps})


def _announce(output_format: str) -> Callable[[str], None]:
    return lambda line: click.echo(line, err=output_format == "json")


if __name__ == "__main__":
    main()
