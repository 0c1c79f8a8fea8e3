"""Snapshot of both pools' keys in Secrets Manager, replicated like the records."""

from __future__ import annotations

from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from chalicelib.aws.secret_replicas import Connect
from chalicelib.aws.secrets_calls import ask, new_version, read_value, refused, replace_value
from chalicelib.credentials import RandomBytes
from chalicelib.errors import MalformedSecretError, UnknownClientError, VersionConflictError
from chalicelib.jwks import document as jwks
from chalicelib.jwks.document import KeySnapshot
from chalicelib.model import Versioned, VersionId


def jwks_secret_name(prefix: str) -> str:
    """Return the name of the secret that holds the snapshot."""
    return f"{prefix}/jwks"


@dataclass(frozen=True, slots=True)
class KeySetSecret:
    """`KeyStore` on Secrets Manager of *region*."""

    client: Connect = field(repr=False)
    region: str
    prefix: str
    random_bytes: RandomBytes = field(repr=False)

    def read(self) -> Versioned[KeySnapshot]:
        """See `KeyStore.read`."""
        try:
            return read_value(self.client(), jwks_secret_name(self.prefix), jwks.snapshot_from_json)
        except UnknownClientError:
            raise MalformedSecretError("The snapshot of keys is missing.") from None

    def writable(self) -> bool:
        """See `KeyStore.writable`."""
        name = jwks_secret_name(self.prefix)
        try:
            described = ask(lambda: self.client().describe_secret(SecretId=name))
        except ClientError as err:
            raise refused(err) from None
        return described.get("PrimaryRegion", self.region) == self.region

    def replace(self, snapshot: KeySnapshot, read: VersionId) -> VersionId:
        """See `KeyStore.replace`."""
        try:
            return replace_value(
                self.client(),
                jwks_secret_name(self.prefix),
                jwks.snapshot_to_json(snapshot),
                read,
                new_version(self.random_bytes),
            )
        except UnknownClientError:
            raise VersionConflictError from None
