"""
`surrogatectl`: enrol clients and keep the deployment in order.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 conflict (try again),
4 unavailable (try again later).
"""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import ServiceError

from . import output
from .admin_client import AdminApiError, AdminClient
from .bootstrap import initialise
from .configuration import ROLES, ConfigurationError, Deployment, find_deployment
from .traffic import TrafficError, move_traffic

_CONFLICTS = frozenset({409, 412})
_UNAVAILABLE = frozenset({0, 429, 502, 503, 504})


class Failure(click.ClickException):
    """What went wrong and how to mend it."""


class Conflict(Failure):
    """Somebody else was faster; try again."""

    exit_code = 3


class Unavailable(Failure):
    """Something does not answer; try again later."""

    exit_code = 4


def _deployment() -> Deployment:
    try:
        return find_deployment(os.environ, Path.cwd())
    except ConfigurationError as err:
        raise Failure(str(err)) from None


def _call(
    deployment: Deployment,
    role: str | None,
    ask: Callable[[AdminClient], dict[str, Any]],
) -> dict[str, Any]:
    """Ask the admin API of *role*; without one, that of the Region which writes."""
    roles = [role] if role else list(ROLES)
    for each in roles:
        try:
            client = AdminClient(deployment.admin_url(each), deployment.region(each).name)
            return ask(client)
        except ConfigurationError as err:
            raise Failure(str(err)) from None
        except AdminApiError as err:
            if err.slug == "not-the-writing-region" and each != roles[-1]:
                continue
            raise _failure(err) from None
    raise AssertionError


def _failure(err: AdminApiError) -> Failure:
    message = f"{err.problem.get('title', 'It failed')}. {err}"
    if err.status in _CONFLICTS:
        return Conflict(message)
    if err.status in _UNAVAILABLE:
        return Unavailable(message)
    return Failure(message)


_REGION = click.option(
    "--region",
    "role",
    type=click.Choice(ROLES),
    help="Ask this Region's admin API.  Default: the Region that writes.",
)
_OUTPUT = click.option(
    "--output",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table for people, or one JSON document for programs.",
)


@click.group()
@click.version_option(package_name="surrogate-credentials")
def main() -> None:
    """Surrogate client credentials for Amazon Cognito in two AWS Regions."""


@main.command()
@_OUTPUT
def init(output_format: str) -> None:
    """Make the two Regions' states and the deployment key, if they are missing."""
    deployment = _deployment()
    try:
        done = initialise(deployment)
    except (ClientError, BotoCoreError) as err:
        raise Failure(f"Secrets Manager: {err}") from None
    if output_format == "json":
        output.print_json(done)
    else:
        output.print_facts("Secrets of the deployment", list(done.items()))


@main.command()
@click.option("--name", required=True, help="What people call the client.")
@click.option("--scope", required=True, help="Scopes with spaces between: 'demo/read demo/write'.")
@click.option("--allow-cidr", "cidrs", multiple=True, help="Source addresses; may be repeated.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help="When the client stops getting tokens (UTC).",
)
@click.option(
    "--idempotency-key",
    help="Repeat a call with the same key within 10 minutes if its answer got lost.",
)
@click.option(
    "--secret-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the client secret to this new file (mode 0600) instead of printing it.",
)
@_REGION
@_OUTPUT
def enroll(  # noqa: PLR0913, PLR0917 - one argument per option
    name: str,
    scope: str,
    cidrs: tuple[str, ...],
    expires: dt.datetime | None,
    idempotency_key: str | None,
    secret_file: Path | None,
    role: str | None,
    output_format: str,
) -> None:
    """Enrol a client; its secret is shown once, here."""
    body: dict[str, Any] = {"client_name": name, "scope": scope}
    if cidrs:
        body["allowed_cidrs"] = list(cidrs)
    if expires:
        at = expires.replace(tzinfo=dt.UTC)
        body["client_secret_expires_at"] = int(at.timestamp())
    key = idempotency_key or str(uuid.uuid4())
    with output.secret_file(secret_file) as file:
        try:
            answer = _call(
                _deployment(),
                role,
                lambda api: api.call("POST", "/clients", body, {"Idempotency-Key": key}),
            )
        except Unavailable as failure:
            repeat = f"To repeat this very request: --idempotency-key {key}"
            raise Unavailable(f"{failure.message}\n{repeat}") from None
        if file:
            print(answer.pop("client_secret"), file=file)
    if output_format == "json":
        output.print_json(answer)
    else:
        _print_enrolled(answer, secret_file)


def _print_enrolled(answer: dict[str, Any], secret_file: Path | None) -> None:
    facts = [
        ("client ID", answer["client_id"]),
        ("client secret", answer.get("client_secret") or f"in {secret_file}"),
        ("secret ID", answer["secret_id"]),
        ("scope", answer["scope"]),
        *((f"app client {region}", state) for region, state in answer["app_clients"].items()),
        ("replication", answer["replication"]),
    ]
    output.print_facts(f"Enrolled: {answer['client_name']}", facts)
    if not secret_file:
        click.echo("The client secret is stored nowhere and cannot be shown again.", err=True)


@main.command()
@click.option("--to", "role", type=click.Choice(ROLES), required=True)
@click.option(
    "--timeout", default=300, show_default=True, help="Seconds to wait for the name to follow."
)
@_OUTPUT
def failover(role: str, timeout: int, output_format: str) -> None:
    """
    Move the traffic to a Region.

    Only the secondary Region's own state is written, so it works with the
    primary gone.  Which Region writes does not change.
    """
    deployment = _deployment()
    try:
        steps = move_traffic(deployment, role, timeout, announce=_announce(output_format))
    except (ServiceError, ClientError, BotoCoreError) as err:
        raise Unavailable(
            f"Secrets Manager in {deployment.settings.secondary.name}: {err}"
        ) from None
    except TrafficError as err:
        raise Unavailable(str(err)) from None
    if output_format == "json":
        output.print_json({"to": role, "steps": steps})


def _announce(output_format: str) -> Callable[[str], None]:
    return lambda line: click.echo(line, err=output_format == "json")


if __name__ == "__main__":
    main()
