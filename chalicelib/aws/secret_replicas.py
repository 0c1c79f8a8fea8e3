"""Replicas of secrets in the other Region, by the name of the secret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from botocore.exceptions import ClientError

from chalicelib.aws.secrets_calls import ask, code, current_of, refused
from chalicelib.errors import NO_ANSWER, UnknownClientError
from chalicelib.model import Replication

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import (
        DescribeSecretResponseTypeDef,
        ReplicaRegionTypeTypeDef,
    )

Connect = Callable[[], "SecretsManagerClient"]
"""Returns an AWS client, constructed at the first call."""


class Encryption(TypedDict, total=False):
    """Argument of Secrets Manager."""

    KmsKeyId: str


def encrypted_with(kms_key: str | None) -> Encryption:
    """Return the argument for a new secret's encryption with *kms_key*, if there is one."""
    return {} if kms_key is None else {"KmsKeyId": kms_key}


def replicas_in(region: str, kms_key: str | None) -> list[ReplicaRegionTypeTypeDef]:
    """Return the argument for a secret's replica in *region*, encrypted with *kms_key*."""
    return [{"Region": region, **encrypted_with(kms_key)}]


@dataclass(frozen=True, slots=True)
class SecretReplicas:
    """
    Replicas of this Region's secrets in *other_region*.

    A replica that failed stays so until it is removed and asked for again.  Every method raises
    `UnknownClientError` if there is no such secret, `StoreUnavailableError` or
    `StoreRefusedError` if Secrets Manager fails.
    """

    here: Connect = field(repr=False)
    there: Connect = field(repr=False)
    other_region: str
    replica_kms_key: str | None = None

    def status(self, name: str) -> str | None:
        """Return the replica's status as this Region has it, `None` if there is no replica."""
        for replica in self._described(self.here, name).get("ReplicationStatus", []):
            if replica.get("Region") == self.other_region:
                return replica.get("Status", "")
        return None

    def replication(self, name: str, version: str | None) -> Replication:
        """Return whether the other Region has *version*."""
        try:
            there = ask(lambda: self.there().describe_secret(SecretId=name))
            if current_of(there) == version:
                return Replication.IN_SYNC
            otherwise = Replication.IN_PROGRESS
        except ClientError:
            otherwise = Replication.IN_PROGRESS
        except NO_ANSWER:
            otherwise = Replication.UNKNOWN
        status = self.status(name)
        if status is None:
            return Replication.MISSING
        return Replication.FAILED if status == "Failed" else otherwise

    def current(self, name: str) -> str | None:
        """Return the current version in this Region."""
        return current_of(self._described(self.here, name))

    def stands_alone(self, name: str) -> bool:
        """Return whether the other Region has a secret of that name that is no replica."""
        try:
            primary = self._described(self.there, name).get("PrimaryRegion")
        except UnknownClientError:
            return False
        return primary is None or primary == self.other_region

    def replicate(self, name: str) -> None:
        """Start the replication, unless there is one."""
        if self.status(name) is not None:
            # A second request for a replica is an error, or adds a second status.
            return
        try:
            ask(
                lambda: self.here().replicate_secret_to_regions(
                    SecretId=name,
                    AddReplicaRegions=replicas_in(self.other_region, self.replica_kms_key),
                )
            )
        except ClientError as err:
            raise refused(err) from None

    def unreplicate(self, name: str) -> None:
        """Remove the replica.  No error if there is none."""
        if self.status(name) is None:
            return
        try:
            ask(
                lambda: self.here().remove_regions_from_replication(
                    SecretId=name, RemoveReplicaRegions=[self.other_region]
                )
            )
        except ClientError as err:
            raise refused(err) from None

    @staticmethod
    def _described(connect: Connect, name: str) -> DescribeSecretResponseTypeDef:
        try:
            return ask(lambda: connect().describe_secret(SecretId=name))
        except ClientError as err:
            if code(err) == "ResourceNotFoundException":
                raise UnknownClientError from None
            raise refused(err) from None


@dataclass(frozen=True, slots=True)
class NamedReplicas:
    """`ReplicatedSecrets` on Secrets Manager, of the secrets with these *names*."""

    replicas: SecretReplicas
    names: Sequence[str]

    def replication(self, name: str) -> Replication:
        """See `ReplicatedSecrets.replication`."""
        return self.replicas.replication(name, self.replicas.current(name))

    def stands_alone(self, name: str) -> bool:
        """See `ReplicaStore.stands_alone`."""
        return self.replicas.stands_alone(name)

    def replicate(self, name: str) -> None:
        """See `ReplicaStore.replicate`."""
        self.replicas.replicate(name)

    def unreplicate(self, name: str) -> None:
        """See `ReplicaStore.unreplicate`."""
        self.replicas.unreplicate(name)
