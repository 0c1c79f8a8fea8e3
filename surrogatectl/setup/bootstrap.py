"""
Secrets of a deployment before its first client: two Region states, the
deployment key, and the snapshot of both pools' signing keys.

Existing secrets stay unchanged, so a repetition is safe, and completes an
interrupted run.  A replica that failed is removed and asked for again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping

from chalicelib import record_json
from chalicelib.aws.connections import Connections
from chalicelib.aws.jwks_secret import jwks_secret_name
from chalicelib.aws.region_state import deployment_secret_name, state_secret_name
from chalicelib.composition import stores
from chalicelib.jwks import document as jwks
from chalicelib.model import RegionState
from surrogatectl.cli.configuration import ROLES, Deployment
from surrogatectl.cli.parts import operators_parts
from surrogatectl.setup import own_secrets


def initialize(deployment: Deployment) -> dict[str, str]:
    """
    Create the missing secrets; return each secret's outcome.

    The primary Region writes until a failover.
    """
    done: dict[str, str] = {}
    prefix = deployment.settings.secret_prefix
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
    done.update(_signing_keys(deployment))
    return done


def _signing_keys(deployment: Deployment) -> dict[str, str]:
    """Write the first snapshot, or a newer one; tolerate a pool that does not answer."""
    here, there = deployment.settings.primary, deployment.settings.secondary
    parts = operators_parts(deployment.settings, here=Connections(here), there=Connections(there))
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
