"""`refresh-jwks`: the snapshot of both pools' signing keys, now."""

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
    Ask both pools for their signing keys; store what is new.

    The scheduled function does it every 15 minutes.  A pool that does not
    answer keeps the keys that it had.
    """
    done = writing_parts(deployment().settings).key_refresh.refresh()
    outcome = done["outcome"]
    if outcome == "replica":
        raise Failure(
            "This Region writes, but holds a replica of the snapshot: after a failover, refresh "
            "it when the primary Region writes again. Until then it answers with what it has."
        )
    if outcome not in _DONE:
        raise Unavailable(f"The snapshot of keys in Secrets Manager: {outcome}.")
    if output_format == "json":
        output.print_json({name: done[name] for name in ("outcome", "failed", "age")})
        return
    click.echo(_DONE[outcome])
    for issuer, why in done["failed"].items():
        click.echo(f"Kept as they were: the keys of {issuer}. {why}")
