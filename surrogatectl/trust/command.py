"""`trust`: the configuration that makes a backend accept both Regions' tokens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from chalicelib.token.oauth import is_scope
from surrogatectl.cli import output
from surrogatectl.cli.common import Failure, output_option
from surrogatectl.cli.configuration import ROLES, ConfigurationError, Deployment, find_deployment
from surrogatectl.setup.policies import EXAMPLE
from surrogatectl.trust.backends import BACKENDS
from surrogatectl.trust.facts import ISSUERS, SHARED, Names, Trust, TrustedPool


@click.command("trust")
@click.option(
    "--for", "backend", type=click.Choice(list(BACKENDS)), required=True, help="The backend."
)
@click.option(
    "--scope", default="", help="Scopes that a token must have, all of them; default: any will do."
)
@click.option(
    "--client-names",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The published map of client names: only the app clients in it are accepted.",
)
@click.option(
    "--keys",
    type=click.Choice([ISSUERS, SHARED]),
    help="Where keys come from: this service's own key set, and the issuers behind it (python "
    "only, and its default), or the issuers alone.",
)
@output_option
def trust(
    backend: str, scope: str, client_names: Path | None, keys: str | None, output_format: str
) -> None:
    """
    Print what makes a backend accept both Regions' tokens.

    It is made of the settings alone: no AWS credentials are needed, and nothing
    is secret in what is printed.
    """
    try:
        found = find_deployment(os.environ, Path.cwd())
    except ConfigurationError as err:
        raise Failure(str(err)) from None
    if keys is None:
        keys = SHARED if backend == "python" else ISSUERS
    if keys == SHARED and backend != "python":
        raise Failure(
            "--keys shared: only `python` looks at whose key it is; the others would take one "
            "pool's key for the other pool's token."
        )
    if scope and not is_scope(scope):
        raise Failure("--scope: must be scopes with single spaces between.")
    facts = trusted(found, tuple(dict.fromkeys(scope.split())), _names(client_names), keys)
    content = BACKENDS[backend](facts)
    if output_format == "json":
        output.print_json(
            {
                "for": backend,
                "issuers": [
                    {"issuer": pool.issuer, "jwks_uri": pool.key_set_url, "region": pool.region}
                    for pool in facts.pools
                ],
                "jwks_uri": facts.shared_key_set_url,
                "configuration": content,
            }
        )
    else:
        click.echo(content, nl=False)


def trusted(
    found: Deployment, scopes: tuple[str, ...] = (), names: Names | None = None, keys: str = ISSUERS
) -> Trust:
    """
    Return what a backend has to trust; without *names*, any client.

    Raises:
        Failure: If the settings are those that ship, or the names are of other pools.
    """
    pools = []
    for role in ROLES:
        region = found.region(role)
        if EXAMPLE in region.user_pool_id:
            raise Failure(
                f"USER_POOL_ID_{role.upper()} is the example that ships: "
                "run `surrogatectl configure` first."
            )
        pools.append(
            TrustedPool(
                role=role,
                region=region.name,
                user_pool_id=region.user_pool_id,
                issuer=region.issuer,
                key_set_url=region.jwks_url,
                app_clients=None if names is None else names.app_clients.get(region.issuer, ()),
            )
        )
    if names is not None and not any(pool.app_clients for pool in pools):
        raise Failure(f"--client-names {names.path}: has no client of this deployment's pools.")
    return Trust(tuple(pools), found.settings.public_url, scopes, keys, names)


def _names(path: Path | None) -> Names | None:
    if path is None:
        return None
    try:
        document: Any = json.loads(path.read_bytes())
        by_issuer = {issuer: dict(names) for issuer, names in document["clients"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Failure(f"--client-names {path}: is no map of client names.") from None
    everybody = {str(name) for names in by_issuer.values() for name in names.values()}
    return Names(
        str(path),
        {str(issuer): tuple(sorted(map(str, names))) for issuer, names in by_issuer.items()},
        tuple(sorted(everybody)),
    )
