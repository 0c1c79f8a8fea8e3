"""`deny` and `allow`: each Region's own list, written in both, shown for each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import click

from surrogatectl.cli import output
from surrogatectl.cli.admin_client import AdminApiError, AdminClient
from surrogatectl.cli.common import (
    Failure,
    Unavailable,
    client_ids_argument,
    deployment,
    failure,
    output_option,
    together,
)
from surrogatectl.cli.configuration import ROLES, ConfigurationError, Deployment

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
    Ask each Region, all at once: one that is lost must not keep the other waiting.

    Raises:
        Failure: If one did not do it; what the other one did is shown first.
    """
    found = deployment()
    roles = [role] if role else list(ROLES)
    regions = [found.region(each).name for each in roles]
    with ThreadPoolExecutor(len(roles)) as pool:
        told = list(pool.map(lambda each: _told(found, each, body), roles))
    failed = {
        region: each.failure for region, each in zip(regions, told, strict=True) if each.failure
    }
    messages = [f"{region}: {each.message}" for region, each in failed.items()]
    denied = {region: each.denied for region, each in zip(regions, told, strict=True)}
    # A replica may be on its way: unknown is who has no record in any Region that looked.
    looked = [each.unknown for each in told if each.unknown is not None]
    unknown = sorted(frozenset.intersection(*looked)) if looked else []
    if output_format == "json":
        output.print_json({"denied": denied, "failed": messages, "unknown": unknown})
    else:
        output.print_facts(
            "Denied",
            [
                (region, "unknown" if each is None else "\n".join(each) or "nobody")
                for region, each in denied.items()
            ],
        )
    for each in unknown:
        click.echo(f"There is no client {each}: a typo? It is denied all the same.", err=True)
    if failed:
        done = [region for region in regions if region not in failed]
        if body is not None and done:
            messages.append(
                f"It is done in {done[0]}. Repeat this when the other Region answers; a failback "
                "brings the lists together."
            )
        raise together(list(failed.values()), "\n".join(messages))


@dataclass(frozen=True, slots=True)
class _Told:
    """
    Whom a Region denies, `None` if nobody can say, and why it did not do what was asked.

    *unknown* are those asked about that it knows no client of; `None`: it did not look.
    """

    denied: list[str] | None
    failure: Failure | None = None
    unknown: frozenset[str] | None = None


def _told(found: Deployment, role: str, body: dict[str, Any] | None) -> _Told:
    try:
        api = AdminClient(found.admin_url(role), found.region(role).name)
    except ConfigurationError as err:
        return _Told(None, Failure(str(err)))
    try:
        answer = api.call("POST" if body else "GET", "/denials", body)
    except AdminApiError as err:
        answers = body is not None and failure(err).exit_code != Unavailable.exit_code
        return _Told(_listed(api) if answers else None, failure(err))
    unknown = frozenset(answer["unknown"]) if "unknown" in answer else None
    return _Told(answer["denied"], unknown=unknown)


def _listed(api: AdminClient) -> list[str] | None:
    """Return whom a Region denies that did not do what was asked."""
    try:
        denied: list[str] = api.call("GET", "/denials")["denied"]
    except AdminApiError:
        return None
    return denied
