"""
`surrogatectl`: the command groups.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 conflict (the state
of things does not allow it), 4 unavailable (try again later), 5 done, but not in
force in both Regions yet (`--wait`).
"""

from __future__ import annotations

import click

from surrogatectl.adopt.command import adopt_command
from surrogatectl.cli.common import Commands
from surrogatectl.clients.app_clients import app_clients
from surrogatectl.clients.command import (
    delete,
    disable,
    enable,
    enroll,
    list_clients,
    restore,
    retire,
    rotate,
    show,
    update,
)
from surrogatectl.clients.denials import allow, denials, deny
from surrogatectl.clients.reconcile import reconcile
from surrogatectl.doctor.command import doctor
from surrogatectl.drill.command import drill
from surrogatectl.regions.failback_command import failback
from surrogatectl.regions.failover_command import canary, failover
from surrogatectl.setup.attach_trigger import attach_trigger
from surrogatectl.setup.cleanup import cleanup
from surrogatectl.setup.configure import configure
from surrogatectl.setup.init import init
from surrogatectl.setup.keys import refresh_jwks
from surrogatectl.status.command import status
from surrogatectl.trust.command import trust


@click.group(cls=Commands)
@click.version_option(package_name="surrogate-credentials")
def main() -> None:
    """Surrogate client credentials for Amazon Cognito in two AWS Regions."""


main.add_section(
    "Clients",
    enroll,
    list_clients,
    show,
    update,
    rotate,
    retire,
    disable,
    enable,
    deny,
    allow,
    denials,
    delete,
    restore,
    adopt_command,
)
main.add_section("Regions", status, failover, failback, canary, drill)
main.add_section(
    "Deployment", configure, init, doctor, reconcile, attach_trigger, refresh_jwks, cleanup
)
main.add_section("Backends", trust, app_clients)


if __name__ == "__main__":
    main()
