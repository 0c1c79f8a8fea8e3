"""`deny`, `allow` and `denials`: each Region's own deny list."""

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
from surrogatectl.clients.in_force import IN_FORCE, denial_seconds

_region_option = click.option(
    "--region", "role", type=click.Choice(ROLES), help="Use this Region only.  Default: both."
)


@click.command()
@client_ids_argument
@_region_option
@output_option
def deny(client_ids: tuple[str, ...], role: str | None, output_format: str) -> None:
    """Deny clients all tokens within a minute (kill switch)."""
    _change({"deny": list(client_ids)}, role, output_format)


@click.command()
@client_ids_argument
@_region_option
@output_option
def allow(client_ids: tuple[str, ...], role: str | None, output_format: str) -> None:
    """Remove clients from the deny list, within a minute."""
    _change({"allow": list(client_ids)}, role, output_format)


@click.command()
@_region_option
@output_option
def denials(role: str | None, output_format: str) -> None:
    """Show each Region's deny list."""
    _change(None, role, output_format)


def _change(body: dict[str, Any] | None, role: str | None, output_format: str) -> None:
    """
    Call all Regions at once, so that a lost one does not delay the other.

    Raises:
        Failure: If one fails; the other one's result is printed first.
    """
    found = deployment()
    roles = [role] if role else list(ROLES)
    regions = [found.region(each).name for each in roles]
    with ThreadPoolExecutor(len(roles)) as pool:
        answers = list(pool.map(lambda each: _answer(found, each, body), roles))
    failed = {
        region: each.failure for region, each in zip(regions, answers, strict=True) if each.failure
    }
    messages = [f"{region}: {each.message}" for region, each in failed.items()]
    denied = {region: each.denied for region, each in zip(regions, answers, strict=True)}
    # Replication may be in progress: an unknown client has no record in any Region that checked.
    checked = [each.unknown for each in answers if each.unknown is not None]
    unknown = sorted(frozenset.intersection(*checked)) if checked else []
    done = [region for region in regions if region not in failed]
    seconds = denial_seconds(found.settings)
    if output_format == "json":
        document = {"denied": denied, "failed": messages, "unknown": unknown}
        if body is not None:
            document[IN_FORCE] = {region: seconds if region in done else None for region in regions}
        output.print_json(document)
    else:
        facts = [
            (region, "unknown" if each is None else "\n".join(each) or "nobody")
            for region, each in denied.items()
        ]
        if body is not None:
            facts += [(f"in force in {region}", f"within {seconds} s") for region in done]
        output.print_facts("Denied", facts)
    for each in unknown:
        click.echo(f"There is no client {each}: a typo? It is denied anyway.", err=True)
    if failed:
        if body is not None and done:
            messages.append(
                f"It is done in {done[0]}. Repeat this when the other Region answers. A failback "
                "merges the lists."
            )
        raise together(list(failed.values()), "\n".join(messages))


@dataclass(frozen=True, slots=True)
class _Answer:
    """
    Answer of a Region: its denials, `None` if they are unknown, and its failure.

    *unknown* are the given clients without a record there; `None` if the Region did not check.
    """

    denied: list[str] | None
    failure: Failure | None = None
    unknown: frozenset[str] | None = None


def _answer(found: Deployment, role: str, body: dict[str, Any] | None) -> _Answer:
    try:
        api = AdminClient(found.admin_url(role), found.region(role).name)
    except ConfigurationError as err:
        return _Answer(None, Failure(str(err)))
    try:
        answer = api.call("POST" if body else "GET", "/denials", body)
    except AdminApiError as err:
        answers = body is not None and failure(err).exit_code != Unavailable.exit_code
        return _Answer(_listed(api) if answers else None, failure(err))
    unknown = frozenset(answer["unknown"]) if "unknown" in answer else None
    return _Answer(answer["denied"], unknown=unknown)


def _listed(api: AdminClient) -> list[str] | None:
    """Return the denials of a Region that refused the change."""
    try:
        denied: list[str] = api.call("GET", "/denials")["denied"]
    except AdminApiError:
        return None
    return denied
