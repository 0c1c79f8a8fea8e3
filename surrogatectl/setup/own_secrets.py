"""The deployment's own secrets, without clients' records: creation and replication."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from chalicelib.aws.client_records import encrypted_with, replicas_in
from chalicelib.settings import RegionSettings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def create(
    client: SecretsManagerClient, name: str, text: str, kind: str, kms_key: str | None
) -> bool:
    """
    Create the secret *name*, unless it exists; return whether it is new.

    Raises:
        ClientError, BotoCoreError: If Secrets Manager refuses or does not answer.
    """
    try:
        client.create_secret(
            Name=name,
            SecretString=text,
            Tags=[{"Key": "surrogate:kind", "Value": kind}],
            **encrypted_with(kms_key),
        )
    except ClientError as err:
        if err.response.get("Error", {}).get("Code") == "ResourceExistsException":
            return False
        raise
    return True


def replicate(client: SecretsManagerClient, name: str, other: RegionSettings) -> None:
    """
    Start the replication of the secret *name* to the *other* Region, unless it is replicated.

    Raises:
        ClientError, BotoCoreError: If Secrets Manager refuses or does not answer.
    """
    rows = client.describe_secret(SecretId=name).get("ReplicationStatus", [])
    if not any(row.get("Region") == other.name for row in rows):
        client.replicate_secret_to_regions(
            SecretId=name, AddReplicaRegions=replicas_in(other.name, other.kms_key_id)
        )
