"""The commands `failover` and `canary`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.credentials import secret_id
from chalicelib.errors import ServiceError
from chalicelib.model import ClientId, IssuedCredentials
from surrogatectl.cli import output
from surrogatectl.cli.admin_client import AdminClient
from surrogatectl.cli.audit import audit_option, audited_run
from surrogatectl.cli.common import (
    Conflict,
    Failure,
    Unavailable,
    aws_failure,
    call_admin_api,
    deployment,
    output_option,
)
from surrogatectl.cli.configuration import ROLES
from surrogatectl.cli.signals import Interrupted, shielded
from surrogatectl.regions.canary import CanaryError
from surrogatectl.regions.lease import LeaseError
from surrogatectl.regions.parts import RegionsParts
from surrogatectl.regions.state import (
    Announce,
    NotAllowedError,
    RegionStateError,
    Side,
    writes,
)
from surrogatectl.regions.way_on import way_on
from surrogatectl.setup.own_secrets import explain, replicate

# A call to the admin API ends within the function's 25 seconds.
SETTLE_SECONDS: Final = 30.0

Sides = tuple[Side, Side]

timeout_option = click.option(
    "--timeout", default=300, show_default=True, help="Seconds to wait for the name to follow."
)
settle_option = click.option(
    "--settle",
    type=click.FloatRange(0),
    default=SETTLE_SECONDS,
    show_default=True,
    help="Seconds to wait for calls to the admin API that are under way.",
)

take_over_option = click.option(
    "--take-over",
    is_flag=True,
    help="Go on although an earlier run did not give its lease back, which has ended.",
)

simple_record_option = click.option(
    "--simple-record",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="Change the name's simple record in Route 53, for a deployment without "
    "infra/routing.yaml. It needs us-east-1, and takes the record's TTL. NAME: the record's name, "
    "by default PUBLIC_URL's host.",
)


@click.command()
@click.option(
    "--to", "role", type=click.Choice(ROLES), required=True, help="The Region that takes over."
)
@click.option(
    "--force",
    is_flag=True,
    help="Do not wait, and take over whatever the checks say, and whoever else is at it.",
)
@take_over_option
@timeout_option
@settle_option
@simple_record_option
@audit_option
@output_option
def failover(  # noqa: PLR0913, PLR0917 - one argument per option
    role: str,
    force: bool,  # noqa: FBT001 - click
    take_over: bool,  # noqa: FBT001 - click
    timeout: int,
    settle: float,
    simple_record: str | None,
    audit_file: Path | None,
    output_format: str,
) -> None:
    """
    Move traffic and administrators' changes to the secondary.

    The command first checks that the Region serves the canary, and that its replicas are current.
    It needs nothing of the primary Region, and fences that Region if it answers.
    The way back is `failback`.

    Exit code 3: a check failed, or another run is under way; 4: a check could not be made, the name
    does not follow, or a signal ended the command.
    Repeating the command is safe.
    """
    parts = RegionsParts(deployment(), simple_record)
    if role == "primary":
        _to_primary(parts, output_format)
        return
    audited = audited_run(audit_file, "failover", parts.settings.secondary)
    again = "surrogatectl failover --to secondary" + " --force" * force
    with audited, region_failures(parts.sides, again):
        parts.require_record()
        outcome = parts.failover(announce(output_format), settle).fail_over(
            force=force, timeout=timeout, take_over=take_over
        )
    if output_format == "json":
        document: dict[str, Any] = {"to": role, "region": parts.settings.secondary.name}
        output.print_json(document | asdict(outcome))


def _to_primary(parts: RegionsParts, output_format: str) -> None:
    """Say that there is nothing to take back, if there is not."""
    primary, secondary = parts.sides
    with region_failures(parts.sides, "surrogatectl status"):
        state = secondary.read_state()
        found = primary.try_read()
        idle = found is not None and not found.writer and not state.writer
    if state.took_over or state.writer or idle:
        raise Conflict(
            f"{secondary.region} took over, and was written since: run `surrogatectl failback`, "
            "which brings its records back before it moves the traffic."
        )
    if output_format == "json":
        document = {"to": "primary", "region": primary.region, "already": True, "steps": {}}
        output.print_json(document)
    else:
        click.echo(f"Nothing was taken over: {primary.region} has the traffic, and writes.")


@click.command()
@click.option("--scope", required=True, help="A scope that it may ask for: demo/read.")
@click.option("--name", default="canary", show_default=True, help="The client's name.")
@output_option
def canary(scope: str, name: str, output_format: str) -> None:
    """
    Make the client that failover and failback try first.

    The canary is a client like any other; only operators can read its credential.
    The command leaves a canary that works as it is.
    Otherwise it rotates the canary's secret, or makes a new canary.
    """
    parts = RegionsParts(deployment())
    primary, secondary = parts.settings.primary.name, parts.settings.secondary
    kept = parts.canary_secrets[primary]
    try:
        issued = kept.read()
        result = "works"
        problem = parts.canary.try_out(primary) if issued else None
        if issued is None or (problem and problem.refused):
            issued, result = _renewed(issued, scope, name)
            kept.write(issued)
        elif problem:
            raise Unavailable(problem.detail)
        replicas = parts.canary_replicas
        (name,) = replicas.names
        why = explain(name, secondary.name, replicate(replicas, name, time.sleep))
        if why is not None:
            raise Unavailable(why)
    except CanaryError as err:
        raise Unavailable(f"{primary}: {err}") from None
    except (ClientError, BotoCoreError) as err:
        raise aws_failure(f"Secrets Manager in {primary}", err) from None
    except ServiceError as err:
        raise Unavailable(f"Its replica: {err}") from None
    if output_format == "json":
        output.print_json({"client_id": issued.client_id, "result": result})
    else:
        output.print_facts("Canary", [("client ID", issued.client_id), ("result", result)])


def _renewed(
    issued: IssuedCredentials | None, scope: str, name: str
) -> tuple[IssuedCredentials, str]:
    """Return a canary's new credential, of the old client if that is still there."""
    if issued is not None:
        try:
            return _credential(call_admin_api(None, _rotate(issued.client_id))), "rotated"
        except Unavailable:
            raise
        except Failure as failure:
            click.echo(f"{issued.client_id} gets no new secret: {failure.message}", err=True)
    body = {"client_name": name, "scope": scope}
    key = {"Idempotency-Key": secrets.token_urlsafe(16)}
    return _credential(
        call_admin_api(None, lambda api: api.call("POST", "/clients", body, key))
    ), "made"


def _rotate(client_id: ClientId) -> Callable[[AdminClient], dict[str, Any]]:
    path, at_once = f"/clients/{client_id}/secrets", {"overlap_seconds": 0}
    return lambda api: api.call("POST", path, at_once)


def _credential(answer: dict[str, Any]) -> IssuedCredentials:
    client_secret = answer["client_secret"]
    return IssuedCredentials(
        ClientId(answer["client_id"]), secret_id(client_secret), client_secret=client_secret
    )


@contextmanager
def region_failures(sides: Sides, again: str) -> Iterator[None]:
    """
    Turn failures of Regions, and signals, into failures with the exit codes that fit.

    They say which Region writes where that is in doubt; *again* is the command that goes on.
    """
    try:
        yield
    except LeaseError as err:
        raise Conflict(str(err)) from None
    except NotAllowedError as err:
        raise Conflict(_stopped(str(err), sides)) from None
    except (RegionStateError, ServiceError, ClientError, BotoCoreError) as err:
        raise Unavailable(_stopped(str(err) or type(err).__name__, sides)) from None
    except Interrupted as err:
        _, told = _way_on(sides)
        raise Unavailable(f"{err} {told} To go on where this stopped: {again}.") from None


def _stopped(told: str, sides: Sides) -> str:
    """Return *told*, and the way on if no Region is known to write."""
    in_doubt, way = _way_on(sides)
    return f"{told} {way}" if in_doubt else told


def _way_on(sides: Sides) -> tuple[bool, str]:
    """Return whether the standby's state leaves open which Region writes, and the way on."""
    with shielded():
        here, there = (each.try_read() for each in sides)
    primary, secondary = sides
    in_doubt = there is not None and writes(here, there) is None
    return in_doubt, way_on((primary.region, secondary.region), here, there)


def announce(output_format: str) -> Announce:
    """
    Return what tells people what was done, beside the document for programs.

    A terminal or pipe that was closed is no reason to stop half-way.
    """

    def tell(line: str) -> None:
        with suppress(OSError):
            click.echo(output.printable(line), err=output_format == "json")

    return tell
