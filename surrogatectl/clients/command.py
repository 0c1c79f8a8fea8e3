"""Commands about one client, and the list of clients; all use the admin API."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from surrogatectl.cli import output
from surrogatectl.cli.admin_client import AdminApiError, AdminClient
from surrogatectl.cli.common import (
    Length,
    Unavailable,
    call_admin_api,
    client_id_argument,
    confirm,
    if_match,
    if_match_option,
    output_option,
    read_region_option,
    region_option,
    secret_file_option,
    secret_id_argument,
    yes_option,
)
from surrogatectl.cli.signals import Interrupted
from surrogatectl.clients.in_force import (
    CHANGED,
    ENROLLED,
    RESCOPED,
    RESTORED,
    ROTATED,
    ROTATED_WITHOUT_OVERLAP,
    Effect,
)
from surrogatectl.clients.waiting import Written, wait_for_both, wait_option, write

_DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])
_DAY = 86_400
_NOT_FOUND = 404


@click.command()
@click.option("--name", required=True, help="Name of the client, for people.")
@click.option("--scope", required=True, help="Scopes, separated by spaces: 'demo/read demo/write'.")
@click.option("--allow-cidr", "cidrs", multiple=True, help="Allowed source addresses; repeatable.")
@click.option("--expires", type=_DATE, help="Expiry of the client (UTC).")
@click.option(
    "--idempotency-key",
    help="After a lost answer, repeat the call with the same key within 10 minutes.",
)
@secret_file_option
@wait_option
@region_option
@output_option
def enroll(  # noqa: PLR0913, PLR0917 - one argument per option
    name: str,
    scope: str,
    cidrs: tuple[str, ...],
    expires: dt.datetime | None,
    idempotency_key: str | None,
    secret_file: Path | None,
    wait: bool,  # noqa: FBT001 - click
    role: str | None,
    output_format: str,
) -> None:
    """Enroll a client and show its secret once."""
    body: dict[str, Any] = {"client_name": name, "scope": scope}
    if cidrs:
        body["allowed_cidrs"] = list(cidrs)
    if expires:
        body["client_secret_expires_at"] = _timestamp(expires)
    key = idempotency_key or str(uuid.uuid4())
    with output.secret_file(secret_file) as file:
        try:
            written = write(
                role,
                ENROLLED,
                lambda api: api.call("POST", "/clients", body, {"Idempotency-Key": key}),
            )
        except Unavailable as unavailable:
            repeat = f"To repeat this request: --idempotency-key {key}"
            problem = unavailable.document | {"idempotency_key": key}
            raise Unavailable(f"{unavailable.message}\n{repeat}", problem) from None
        except Interrupted as err:
            # The client may be made, and nobody has its secret.
            raise Unavailable(f"{err} To repeat this request: --idempotency-key {key}") from None
        if file:
            print(written.take_secret(), file=file)
    _show_secret("Enrolled", written, secret_file, output_format)
    if wait:
        wait_for_both(written)


@click.command("list")
@click.option("--limit", type=click.IntRange(1), help="Show at most this many.  Default: all.")
@read_region_option
@output_option
def list_clients(limit: int | None, role: str | None, output_format: str) -> None:
    """List the clients."""
    clients = call_admin_api(role, lambda api: _all_clients(api, limit))
    if output_format == "json":
        output.print_json({"clients": clients})
        return
    output.print_table(
        f"{len(clients)} clients",
        ("client ID", "name", "status", "origin", "since", "expires"),
        [
            (
                client["client_id"],
                client["client_name"],
                client["status"],
                client["origin"],
                output.date(client["client_id_issued_at"]),
                output.date(client["client_secret_expires_at"], zero="never"),
            )
            for client in clients
        ],
    )


def _all_clients(api: AdminClient, limit: int | None) -> list[dict[str, Any]]:
    clients: list[dict[str, Any]] = []
    cursor: str | None = None
    while limit is None or len(clients) < limit:
        page = api.call("GET", "/clients", query={"cursor": cursor} if cursor else {})
        clients += page["clients"]
        cursor = page["cursor"]
        if not cursor:
            break
    return clients[:limit]


@click.command()
@client_id_argument
@click.option(
    "--last-used", is_flag=True, help="Show the secrets' last use, from both Regions' logs."
)
@read_region_option
@output_option
def show(client_id: str, last_used: bool, role: str | None, output_format: str) -> None:  # noqa: FBT001 - click
    """Show one client."""
    query = {"last_used": "true"} if last_used else {}
    answer = call_admin_api(role, lambda api: api.call("GET", f"/clients/{client_id}", query=query))
    _show(answer, output_format)


@click.command()
@client_id_argument
@click.option(
    "--overlap-days",
    type=Length(0, 90),
    default=7,
    show_default=True,
    help="Overlap: the days that the previous secret stays valid; 0 ends it now.",
)
@click.option(
    "--app-clients",
    is_flag=True,
    help="Start or continue a rotation of the real Cognito secrets; surrogates stay valid.",
)
@click.option(
    "--older-than-hours",
    type=Length(0, 10 * 366 * 24),
    default=1,
    show_default=True,
    help="With --app-clients: keep younger Cognito secrets.",
)
@secret_file_option
@wait_option
@if_match_option
@yes_option
@region_option
@output_option
@click.pass_context
def rotate(  # noqa: PLR0913, PLR0917 - one argument per option
    context: click.Context,
    client_id: str,
    overlap_days: float,
    app_clients: bool,  # noqa: FBT001 - click
    older_than_hours: float,
    secret_file: Path | None,
    wait: bool,  # noqa: FBT001 - click
    version: str | None,
    yes: bool,  # noqa: FBT001 - click
    role: str | None,
    output_format: str,
) -> None:
    """Rotate a client's secret and show the new one once."""
    if app_clients:
        _refuse_given(
            context, "Not with --app-clients", "overlap_days", "secret_file", "version", "wait"
        )
        _rotate_app_clients(client_id, older_than_hours, role, output_format)
        return
    _refuse_given(context, "Only with --app-clients", "older_than_hours")
    # The transmitted value decides, not the typed one.
    overlap_seconds = int(overlap_days * _DAY)
    if overlap_seconds == 0:
        confirm(f"End every other secret of {client_id} now?", yes=yes)
    body = {"overlap_seconds": overlap_seconds}
    with output.secret_file(secret_file) as file:
        try:
            written = write(
                role,
                ROTATED if overlap_seconds else ROTATED_WITHOUT_OVERLAP,
                lambda api: api.call(
                    "POST", f"/clients/{client_id}/secrets", body, if_match(version)
                ),
            )
        except Interrupted as err:
            raise Unavailable(
                f"{err} If a new secret was made, nobody has it: `surrogatectl show {client_id}` "
                "shows it, and `surrogatectl retire` ends it before the next rotation."
            ) from None
        if file:
            print(written.take_secret(), file=file)
    _show_secret("Rotated", written, secret_file, output_format)
    if wait:
        wait_for_both(written)


def _refuse_given(context: click.Context, why: str, *names: str) -> None:
    """
    Refuse options that would have no effect.

    Raises:
        click.UsageError: If one of *names* was given.
    """
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if parameter.name in names and given:
            raise click.UsageError(f"{why}: {parameter.opts[0]}.")


def _rotate_app_clients(
    client_id: str, older_than_hours: float, role: str | None, output_format: str
) -> None:
    body = {"older_than_seconds": int(older_than_hours * 3600)}
    answer = call_admin_api(
        role, lambda api: api.call("POST", f"/clients/{client_id}/app-clients", body)
    )
    if output_format == "json":
        output.print_json(answer)
        return
    output.print_facts(f"Cognito secrets of {client_id}", list(answer["app_clients"].items()))
    if set(answer["app_clients"].values()) == {"idle"}:
        young = "Nothing was done: both secrets are younger than --older-than-hours."
        click.echo(young, err=True)
    else:
        click.echo("Repeat this until both are finished, or leave it to the schedule.", err=True)


@click.command()
@client_id_argument
@secret_id_argument
@click.option("--force", is_flag=True, help="Retire a secret that may be in use.")
@wait_option
@if_match_option
@yes_option
@region_option
@output_option
def retire(  # noqa: PLR0913, PLR0917 - one argument per option
    client_id: str,
    secret_id: str,
    force: bool,  # noqa: FBT001 - click
    wait: bool,  # noqa: FBT001 - click
    version: str | None,
    yes: bool,  # noqa: FBT001 - click
    role: str | None,
    output_format: str,
) -> None:
    """Retire one secret of a client."""
    confirm(f"Retire the secret {secret_id} of {client_id}? That cannot be undone.", yes=yes)
    written = write(
        role,
        CHANGED,
        lambda api: api.call(
            "DELETE",
            f"/clients/{client_id}/secrets/{secret_id}",
            headers=if_match(version),
            query={"force": "true"} if force else {},
        ),
    )
    _show_written(f"Retired {secret_id}", written, output_format)
    ends = [each["expires_at"] for each in written.answer["secrets"]]
    if ends and all(ends):
        click.echo(
            f"The remaining secret ends {output.date(max(ends))} UTC. Rotate it before then, or "
            "the client gets no more tokens.",
            err=True,
        )
    if wait:
        wait_for_both(written)


@click.command()
@client_id_argument
@click.option("--name", help="New name, for people.")
@click.option("--scope", help="New list of scopes, separated by spaces.")
@click.option("--allow-cidr", "cidrs", multiple=True, help="New source addresses; repeatable.")
@click.option("--any-address", is_flag=True, help="Allow every source address.")
@click.option("--expires", type=_DATE, help="New expiry (UTC).")
@click.option("--never-expires", is_flag=True, help="Remove the expiry.")
@wait_option
@if_match_option
@region_option
@output_option
def update(  # noqa: PLR0913, PLR0917 - one argument per option
    client_id: str,
    name: str | None,
    scope: str | None,
    cidrs: tuple[str, ...],
    any_address: bool,  # noqa: FBT001 - click
    expires: dt.datetime | None,
    never_expires: bool,  # noqa: FBT001 - click
    wait: bool,  # noqa: FBT001 - click
    version: str | None,
    role: str | None,
    output_format: str,
) -> None:
    """Change a client's name, scopes, addresses or expiry."""
    if cidrs and any_address:
        raise click.UsageError("--allow-cidr and --any-address exclude each other.")
    if expires and never_expires:
        raise click.UsageError("--expires and --never-expires exclude each other.")
    body: dict[str, Any] = {}
    if name is not None:
        body["client_name"] = name
    if scope is not None:
        body["scope"] = scope
    if cidrs or any_address:
        body["allowed_cidrs"] = list(cidrs)
    if expires or never_expires:
        body["client_secret_expires_at"] = _timestamp(expires) if expires else 0
    if not body:
        raise click.UsageError("Nothing to change was given; see --help.")
    effect = CHANGED if scope is None else RESCOPED
    written = _change(client_id, effect, body, version, role, output_format)
    if wait:
        wait_for_both(written)


@click.command()
@client_id_argument
@wait_option
@if_match_option
@region_option
@output_option
def disable(
    client_id: str,
    wait: bool,  # noqa: FBT001 - click
    version: str | None,
    role: str | None,
    output_format: str,
) -> None:
    """Disable a client in both Regions until it is enabled."""
    body = {"status": "disabled"}
    written = _change(client_id, CHANGED, body, version, role, output_format)
    if wait:
        wait_for_both(written)


@click.command()
@client_id_argument
@wait_option
@if_match_option
@region_option
@output_option
def enable(
    client_id: str,
    wait: bool,  # noqa: FBT001 - click
    version: str | None,
    role: str | None,
    output_format: str,
) -> None:
    """Enable a disabled client."""
    body = {"status": "active"}
    written = _change(client_id, CHANGED, body, version, role, output_format)
    if wait:
        wait_for_both(written)


def _change(  # noqa: PLR0913, PLR0917 - one argument per option
    client_id: str,
    effect: Effect,
    body: Mapping[str, Any],
    version: str | None,
    role: str | None,
    output_format: str,
) -> Written:
    written = write(
        role,
        effect,
        lambda api: api.call("PATCH", f"/clients/{client_id}", body, if_match(version)),
    )
    _show_written("Changed", written, output_format)
    return written


@click.command()
@client_id_argument
@click.option(
    "--recovery-days",
    type=click.IntRange(7, 30),
    default=30,
    show_default=True,
    help="Recovery window, in which `restore` brings the client back.",
)
@if_match_option
@yes_option
@region_option
@output_option
def delete(  # noqa: PLR0913, PLR0917 - one argument per option
    client_id: str,
    recovery_days: int,
    version: str | None,
    yes: bool,  # noqa: FBT001 - click
    role: str | None,
    output_format: str,
) -> None:
    """Delete a client and its app clients in both Regions."""
    confirm(f"Delete {client_id}? It can be restored for {recovery_days} days.", yes=yes)
    written = write(
        role,
        CHANGED,
        lambda api: api.call(
            "DELETE",
            f"/clients/{client_id}",
            headers=if_match(version),
            query={"recovery_days": str(recovery_days)},
        ),
    )
    if output_format == "json":
        output.print_json(written.document)
        return
    output.print_facts(
        f"Deleted: {client_id}",
        [
            ("can be restored for", f"{written.answer['recovery_days']} days"),
            ("left for reconcile", ", ".join(written.answer["left"]) or "nothing"),
            *written.change.facts,
        ],
    )


@click.command()
@client_id_argument
@wait_option
@region_option
@output_option
def restore(
    client_id: str,
    wait: bool,  # noqa: FBT001 - click
    role: str | None,
    output_format: str,
) -> None:
    """Restore a deleted client, with new app clients."""
    path = f"/clients/{client_id}"
    there = call_admin_api(role, lambda api: _is_there(api, path))
    # For an existing client, this completes an interrupted restoration, if any.
    written = write(role, RESTORED, lambda api: api.call("POST", f"{path}/restore"))
    _show_written("It was not deleted" if there else "Restored", written, output_format)
    if wait:
        wait_for_both(written)


def _is_there(api: AdminClient, path: str) -> bool:
    try:
        api.call("GET", path)
    except AdminApiError as err:
        if err.status == _NOT_FOUND:
            return False
        raise
    return True


def _show_secret(done: str, written: Written, secret_file: Path | None, output_format: str) -> None:
    if output_format == "json":
        output.print_json(written.document)
        return
    answer = written.answer
    facts = [
        ("client ID", answer["client_id"]),
        ("client secret", answer.get("client_secret") or f"in {secret_file}"),
        ("secret ID", answer["secret_id"]),
    ]
    title = f"{done}: {answer['client_name']}"
    output.print_facts(title, [*facts, *_facts(answer), *written.change.facts])
    if not secret_file:
        click.echo("The client secret is not stored. It cannot be shown again.", err=True)


def _show_written(done: str, written: Written, output_format: str) -> None:
    if output_format == "json":
        output.print_json(written.document)
        return
    answer = written.answer
    facts = [("client ID", answer["client_id"]), *_facts(answer), *written.change.facts]
    output.print_facts(f"{done}: {answer['client_name']}", facts)


def _show(answer: Mapping[str, Any], output_format: str) -> None:
    if output_format == "json":
        output.print_json(answer)
    else:
        facts = [("client ID", answer["client_id"]), *_facts(answer)]
        output.print_facts(answer["client_name"], facts)


def _facts(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("status", answer["status"]),
        ("scope", answer["scope"]),
        ("source addresses", ", ".join(answer["allowed_cidrs"]) or "any"),
        ("expires", output.date(answer["client_secret_expires_at"], zero="never")),
    ]
    for number, secret in enumerate(answer["secrets"]):
        kind = "current secret" if number == 0 else "previous secret"
        ends = output.date(secret["expires_at"], zero="never")
        facts.append((kind, f"{secret['secret_id']}, ends {ends}"))
    facts += [(f"app client {region}", state) for region, state in answer["app_clients"].items()]
    if "replication" in answer:
        facts.append(("replication", answer["replication"]))
    for region, uses in answer.get("last_used", {}).items():
        facts.append((f"last used {region}", _uses(uses)))
    if "version" in answer:
        facts.append(("version", answer["version"]))
    return facts


def _uses(uses: str | Mapping[str, int | None]) -> str:
    if isinstance(uses, str):
        return uses
    return ", ".join(
        f"{secret_id}: {output.date(at or 0, zero='never seen')}" for secret_id, at in uses.items()
    )


def _timestamp(moment: dt.datetime) -> int:
    return int(moment.replace(tzinfo=dt.UTC).timestamp())
