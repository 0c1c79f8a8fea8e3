"""The deployment's own secrets, without clients' records: creation and replication."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from chalicelib.aws.secret_replicas import encrypted_with
from chalicelib.model import Replication
from chalicelib.ports import Pause, ReplicatedSecrets
from chalicelib.reconciliation.replicas import StandsAloneError, restore_replica
from chalicelib.timing import polling

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

# Replication mostly takes seconds.
_ARRIVAL_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


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


class Replicated(StrEnum):
    """Result of the replication of a secret."""

    IN_SYNC = "replica"
    AGAIN = "replicated again"  # its replication had failed
    IN_PROGRESS = "in progress"
    FAILED = "failed"
    STANDS_ALONE = "stands alone"  # the other Region has a secret of that name that is no replica


def replicate(replicas: ReplicatedSecrets, name: str, pause: Pause) -> Replicated:
    """
    Replicate the secret *name*, again if that failed, and wait for it.

    Raises:
        ServiceError: If Secrets Manager refuses or does not answer.
    """
    status = partial(replicas.replication, name)
    has_failed = status() is Replication.FAILED
    try:
        restore_replica(name, replicas, status, pause)
    except StandsAloneError:
        return Replicated.STANDS_ALONE
    found = polling(
        status,
        until=lambda found: found is not Replication.IN_PROGRESS,
        pauses=_ARRIVAL_PAUSES,
        pause=pause,
    )
    if found is Replication.IN_SYNC:
        return Replicated.AGAIN if has_failed else Replicated.IN_SYNC
    if found is not Replication.FAILED:
        return Replicated.IN_PROGRESS
    return Replicated.STANDS_ALONE if replicas.stands_alone(name) else Replicated.FAILED


def explain(name: str, region: str, found: Replicated) -> str | None:
    """Return why *region* has no replica of the secret *name*, and what to do; `None` if it has."""
    texts = {
        Replicated.IN_PROGRESS: f"{name} is still on its way to {region}. Repeat this in a minute.",
        Replicated.FAILED: f"The replication of {name} to {region} failed again: `aws "
        f"secretsmanager describe-secret --secret-id {name}` shows why. Mend it, then repeat this.",
        Replicated.STANDS_ALONE: f"{region} has a secret {name} that is no replica. Nothing was "
        "removed. Compare the two, delete the wrong one, and repeat this.",
    }
    return texts.get(found)
