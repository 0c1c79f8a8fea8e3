"""
What a deployment needs before its first client: two Region states and the deployment key.

Nothing that exists is changed, so this can be repeated, and finishes what a
crash left.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib import records
from chalicelib.aws import Connections
from chalicelib.model import RegionState
from chalicelib.secrets_store import deployment_secret_name, state_secret_name

from .configuration import ROLES, Deployment

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def initialise(deployment: Deployment) -> dict[str, str]:
    """
    Make what is missing; return what was done, by name.

    The primary Region is the one that writes, until a failover changes that.
    """
    done: dict[str, str] = {}
    prefix = deployment.settings.secret_prefix
    for role in ROLES:
        region = deployment.region(role)
        state = RegionState(writer=role == "primary", took_over=False)
        made = _create(
            Connections(region).admin_secrets(),
            state_secret_name(prefix),
            records.state_to_json(state),
            "state",
        )
        done[f"{region.name} {state_secret_name(prefix)}"] = "created" if made else "exists"
    done.update(_deployment_key(deployment))
    return done


def _deployment_key(deployment: Deployment) -> dict[str, str]:
    settings = deployment.settings
    name = deployment_secret_name(settings.secret_prefix)
    client = Connections(settings.primary).admin_secrets()
    key = secrets.token_bytes(records.DEPLOYMENT_KEY_BYTES)
    made = _create(client, name, records.deployment_key_to_json(key), "deployment-key")
    replicas = client.describe_secret(SecretId=name).get("ReplicationStatus", [])
    if not any(replica.get("Region") == settings.secondary.name for replica in replicas):
        client.replicate_secret_to_regions(
            SecretId=name, AddReplicaRegions=[{"Region": settings.secondary.name}]
        )
    return {
        f"{settings.primary.name} {name}": "created" if made else "exists",
        f"{settings.secondary.name} {name}": "replica",
    }


def _create(client: SecretsManagerClient, name: str, text: str, kind: str) -> bool:
    try:
        client.create_secret(
            Name=name, SecretString=text, Tags=[{"Key": "surrogate:kind", "Value": kind}]
        )
    except ClientError as err:
        if err.response["Error"]["Code"] == "ResourceExistsException":
            return False
        raise
    return True
