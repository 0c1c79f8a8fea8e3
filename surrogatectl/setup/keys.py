"""`refresh-jwks`: refresh the snapshot of both pools' signing keys."""

from __future__ import annotations

import click

from surrogatectl.cli import output
from surrogatectl.cli.common import Failure, Unavailable, deployment, output_option
from surrogatectl.cli.parts import writing_parts

_DONE = {
    "written": "The snapshot was written.",
    "unchanged": "The snapshot has these keys already.",
}


@click.command("refresh-jwks")
@output_option
def refresh_jwks(output_format: str) -> None:
    """
    Refresh the snapshot of both pools' signing keys.

    The scheduled function does so every 15 minutes.  The snapshot keeps the keys of
    a pool that does not answer.
    """
    done = writing_parts(deployment().settings).key_refresh.refresh()
    outcome = done["outcome"]
    if outcome == "replica":
        raise Failure(
            "After a failover, the Region that writes holds only a replica of the snapshot. "
            "Refresh it when the primary Region writes again. Until then the present keys serve."
        )
    if outcome not in _DONE:
        raise Unavailable(f"The snapshot of keys in Secrets Manager: {outcome}.")
    if output_format == "json":
        output.print_json({name: done[name] for name in ("outcome", "failed", "age")})
        return
    click.echo(_DONE[outcome])
    for issuer, why in done["failed"].items():
        click.echo(f"Unchanged: the keys of {issuer}. {why}")
