"""`deny` and `allow`: each Region's own list, written in both, shown for each."""

from __future__ import annotations

from typing import Any

import click

from . import output
from .admin_client import AdminApiError, AdminClient
from .common import Unavailable, client_ids_argument, deployment, failure, output_option
from .configuration import ROLES, ConfigurationError

_only = click.option(
    "--region", "role", type=click.Choice(ROLES), help="Only in this Region.  Default: in both."
)


@click.command()
@client_ids_argument
@_only
@output_option
def deny(client_ids: tuple[str, ...], role: str | None, output_format: str) -> None:
    """Deny clients every token, within a minute, whatever their records say."""
    _change({"deny": list(client_ids)}, role, output_format)


@click.command()
@client_ids_argument
@_only
@output_option
def allow(client_ids: tuple[str, ...], role: str | None, output_format: str) -> None:
    """Take the denial of clients away."""
    _change({"allow": list(client_ids)}, role, output_format)


@click.command()
@_only
@output_option
def denials(role: str | None, output_format: str) -> None:
    """Show whom each Region denies."""
    _change(None, role, output_format)


def _change(body: dict[str, Any] | None, role: str | None, output_format: str) -> None:
    """
    Ask each Region; one that fails does not keep the other from being asked.

    Raises:
        Unavailable: If one did not answer; what the other one did is shown first.
    """
    found = deployment()
    denied: dict[str, list[str] | None] = {}
    failed: list[str] = []
    for each in [role] if role else ROLES:
        region = found.region(each).name
        try:
            api = AdminClient(found.admin_url(each), region)
            answer = api.call("POST" if body else "GET", "/denials", body)
            denied[region] = answer["denied"]
        except (AdminApiError, ConfigurationError) as err:
            denied[region] = None
            told = failure(err) if isinstance(err, AdminApiError) else err
            failed.append(f"{region}: {told}")
    if output_format == "json":
        output.print_json({"denied": denied, "failed": failed})
    else:
        output.print_facts(
            "Denied",
            [
                (region, "unknown" if each is None else "\n".join(each) or "nobody")
                for region, each in denied.items()
            ],
        )
    if failed:
        raise Unavailable("\n".join(failed))


COMMANDS = (deny, allow, denials)
