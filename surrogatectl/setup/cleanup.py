"""`cleanup`: remove the deployment's secrets and app clients from both Regions."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import click

from chalicelib.errors import AppClientsError
from chalicelib.settings import Settings
from chalicelib.timing import RateLimiter
from surrogatectl.cli import output
from surrogatectl.cli.audit import audit_option, audited
from surrogatectl.cli.common import Failure, Unavailable, deployment, output_option
from surrogatectl.cli.operators import NoAnswerError, connect
from surrogatectl.setup.cleanup_plan import (
    APP_CLIENTS_PER_SECOND,
    SECRETS_PER_SECOND,
    Cleanup,
    Inventory,
)

_STAGES: Final = ("primary", "secondary")


@click.command("cleanup")
@click.option("--dry-run", is_flag=True, help="List the resources; remove nothing.")
@click.option("--yes", is_flag=True, help="Skip the confirmation by typing the prefix.")
@audit_option
@output_option
def cleanup(output_format: str, *, dry_run: bool, yes: bool, audit_file: Path | None) -> None:
    """
    Remove all clients and secrets of the deployment.

    The command removes secrets and app clients with the prefix: clients, Region states,
    deployment key, key set.  Pools and adopted app clients stay.  Nothing can be restored.
    It needs both Regions, and may be repeated.
    """
    settings = deployment().settings
    steps: list[str] = []
    try:
        work = Cleanup(
            settings,
            connect,
            RateLimiter(SECRETS_PER_SECOND, time.monotonic, time.sleep),
            RateLimiter(APP_CLIENTS_PER_SECOND, time.monotonic, time.sleep),
        )
        found = work.inventory()
        if output_format == "table":
            _print(found, named=dry_run)
        if not dry_run and len(found):
            _confirm(settings.secret_prefix, len(found), yes=yes)
            with audited(audit_file, "cleanup", settings.primary) as audit:
                audit(None, (), "begun", things=len(found))
                for step in work.remove(found, time.sleep):
                    click.echo(step, err=True)
                    steps.append(step)
                audit(None, (), "done", steps=len(steps))
            left = work.inventory()
            if left.app_clients:
                raise Failure(f"{len(left.app_clients)} app clients are left; run it again.")
    except NoAnswerError as err:
        raise Unavailable(f"{_done(steps)}AWS: {err}.  Run it again when both answer.") from None
    except AppClientsError as err:
        reason = str(err) or type(err).__name__
        raise Unavailable(f"{_done(steps)}Cognito: {reason}.  Run it again.") from None
    rest = remaining_steps(settings, stages(Path.cwd()))
    if output_format == "json":
        output.print_json(
            _document(found) | {"removed": steps, "dry_run": dry_run, "remaining_steps": rest}
        )
    else:
        click.echo("To remove by hand, in this order:")
        for number, line in enumerate(rest, 1):
            click.echo(f"  {number}. {line}")


def _confirm(prefix: str, count: int, *, yes: bool) -> None:
    if yes:
        return
    typed = click.prompt(
        f"{count} resources will be removed for good.  Type the prefix ({prefix}) to go on",
        default="",
        show_default=False,
        err=True,
    )
    if typed != prefix:
        raise Failure("The prefix does not match.  Nothing was removed.")


def _done(steps: list[str]) -> str:
    return f"{len(steps)} steps were done.  " if steps else ""


def _print(found: Inventory, *, named: bool) -> None:
    rows = [
        (each.region, each.kind, each.name, f"replica of {each.replica_of}" * bool(each.replica_of))
        for each in found.secrets
    ]
    rows += [(each.region, "app client", each.client_id, "") for each in found.app_clients]
    counted = Counter((region, kind) for region, kind, _, _ in rows)
    if rows and named:
        output.print_table("Resources", ("Region", "Kind", "Name", ""), rows)
    for (region, kind), count in sorted(counted.items()):
        click.echo(f"{region}: {count} {kind}")
    if not rows:
        click.echo("Neither Region has resources of this deployment.")


def _document(found: Inventory) -> dict[str, Any]:
    return {
        "secrets": [
            {
                "region": each.region,
                "name": each.name,
                "kind": each.kind,
                "replica_of": each.replica_of,
            }
            for each in found.secrets
        ],
        "app_clients": [
            {"region": each.region, "client_id": each.client_id} for each in found.app_clients
        ],
    }


def stages(project: Path) -> list[str]:
    """Return the stages that `chalice deploy` deployed from *project*; both if none is known."""
    deployed = sorted(path.stem for path in (project / ".chalice" / "deployed").glob("*.json"))
    named = [name for name in deployed if _resources(project, name)]
    return named or list(_STAGES)


def _resources(project: Path, stage: str) -> bool:
    try:
        content = json.loads((project / ".chalice" / "deployed" / f"{stage}.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(content.get("resources"))


def remaining_steps(settings: Settings, stages: list[str]) -> list[str]:
    """Return the steps that remain after this command, in their order."""
    return [
        (
            "surrogatectl cleanup, after five minutes: Secrets Manager's lists can be that old.  "
            "It should find nothing."
        ),
        "aws cloudformation delete-stack: the stack of infra/routing.yaml, with the public name.",
        *(f".venv/bin/chalice delete --stage {stage}" for stage in stages),
        (
            "aws cloudformation delete-stack: the stacks of infra/region.yaml in "
            f"{settings.secondary.name} and {settings.primary.name}.  Their pools are "
            "protected: update the stacks with UserPoolDeletionProtection=INACTIVE first."
        ),
        (
            "Resources that the stacks keep: your KMS key (schedule its deletion), the "
            "validation record of the certificate, log groups that Lambda created."
        ),
        "The operators' policy, from its role.",
    ]
