"""
Secrets of a deployment before its first client: each Region's state and denials,
the deployment key, and the snapshot of both pools' signing keys.

Existing secrets stay unchanged, so a repetition is safe, and completes an
interrupted run.  A replica that failed is removed and asked for again.  Denials of the
first edition move from the Region's state into the shards.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping

from chalicelib import record_json
from chalicelib.aws.connections import Connections
from chalicelib.aws.jwks_secret import jwks_secret_name
from chalicelib.aws.region_state import (
    denials_secret_name,
    deployment_secret_name,
    state_secret_name,
)
from chalicelib.composition import stores
from chalicelib.composition.admin import AdminParts
from chalicelib.denial_shards import SHARDS
from chalicelib.jwks import document as jwks
from chalicelib.model import RegionState
from surrogatectl.cli.configuration import ROLES, Deployment
from surrogatectl.cli.parts import operators_parts
from surrogatectl.setup import own_secrets
from surrogatectl.setup.denials import first_shards, move_denials


def initialize(deployment: Deployment) -> dict[str, str]:
    """
    Create the missing secrets; return each secret's outcome.

    The primary Region writes until a failover.
    """
    done: dict[str, str] = {}
    prefix = deployment.settings.secret_prefix
    parts = _parts(deployment)
    for role in ROLES:
        region = deployment.region(role)
        state = RegionState(writer=role == "primary", took_over=False)
        made = own_secrets.create(
            Connections(region).admin_secrets(),
            state_secret_name(prefix),
            record_json.state_to_json(state),
            "state",
            region.kms_key_id,
        )
        done[f"{region.name} {state_secret_name(prefix)}"] = "created" if made else "exists"
        done[f"{region.name} {prefix}/denials/"] = _denials(deployment, parts[role])
    key = secrets.token_bytes(record_json.DEPLOYMENT_KEY_BYTES)
    done.update(
        _replicated(
            deployment,
            deployment_secret_name(prefix),
            record_json.deployment_key_to_json(key),
            "deployment-key",
        )
    )
    done.update(
        _replicated(deployment, jwks_secret_name(prefix), jwks.snapshot_to_json(jwks.EMPTY), "jwks")
    )
    done.update(_signing_keys(parts["primary"]))
    return done


def _parts(deployment: Deployment) -> dict[str, AdminParts]:
    """Return the administrators' parts of each role's Region."""
    settings = deployment.settings
    here, there = Connections(settings.primary), Connections(settings.secondary)
    return {
        "primary": operators_parts(settings, here=here, there=there),
        "secondary": operators_parts(settings.seen_from_the_other_region(), here=there, there=here),
    }


def _denials(deployment: Deployment, parts: AdminParts) -> str:
    """Create the shards of a Region's denials, and move the first edition's into them."""
    region, state = parts.settings.own, parts.repository.state
    made = sum(
        own_secrets.create(
            parts.here.admin_secrets(),
            denials_secret_name(deployment.settings.secret_prefix, number),
            record_json.denials_to_json(shard),
            "denials",
            region.kms_key_id,
        )
        for number, shard in enumerate(first_shards(state.read().value))
    )
    moved = move_denials(parts.denials[region.name], state)
    done = f"{made} of {SHARDS} created"
    if moved is None:
        return done
    done += f", {moved.denied} denials moved"
    if moved.in_doubt:
        done += f", denied again as it was in doubt: {', '.join(moved.in_doubt)}"
    return done


def _signing_keys(parts: AdminParts) -> dict[str, str]:
    """Write the first snapshot, or a newer one; tolerate a pool that does not answer."""
    done = parts.key_refresh.refresh()
    failed = {f"keys of {issuer}": why for issuer, why in done["failed"].items()}
    return {"signing keys": str(done["outcome"]), **failed}


def _replicated(deployment: Deployment, name: str, text: str, kind: str) -> dict[str, str]:
    settings = deployment.settings
    here, there = Connections(settings.primary), Connections(settings.secondary)
    client = here.admin_secrets()
    made = own_secrets.create(client, name, text, kind, settings.primary.kms_key_id)
    replicas = stores.own_secrets(
        here.admin_secrets, there.admin_secrets, other=settings.secondary, settings=settings
    )
    replicated = own_secrets.replicate(replicas, name, time.sleep)
    return {
        f"{settings.primary.name} {name}": "created" if made else "exists",
        f"{settings.secondary.name} {name}": replicated.value,
    }


def unreplicated(deployment: Deployment, done: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """Yield why secrets of *done* are not replicated, and whether a repeat alone may help."""
    region = deployment.settings.secondary.name
    for key, outcome in done.items():
        where, _, name = key.partition(" ")
        if where == region and outcome in set(own_secrets.Replicated):
            found = own_secrets.Replicated(outcome)
            why = own_secrets.explain(name, region, found)
            if why is not None:
                yield why, found is own_secrets.Replicated.IN_PROGRESS
