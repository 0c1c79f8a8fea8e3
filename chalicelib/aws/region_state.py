"""Region state and deployment key in Secrets Manager."""

from __future__ import annotations

from dataclasses import dataclass, field

from chalicelib import record_json
from chalicelib.aws.secret_replicas import Connect
from chalicelib.aws.secrets_calls import new_version, read_value, replace_value
from chalicelib.credentials import RandomBytes
from chalicelib.errors import MalformedSecretError, UnknownClientError, VersionConflictError
from chalicelib.model import RegionState, Versioned, VersionId


def state_secret_name(prefix: str) -> str:
    """Return the name of the secret that holds a Region's state."""
    return f"{prefix}/region"


def deployment_secret_name(prefix: str) -> str:
    """Return the name of the secret that holds the deployment key."""
    return f"{prefix}/deployment"


@dataclass(frozen=True, slots=True)
class StateSecret:
    """`StateStore` on Secrets Manager."""

    client: Connect = field(repr=False)
    prefix: str
    random_bytes: RandomBytes = field(repr=False)

    def read(self) -> Versioned[RegionState]:
        """See `StateStore.read`."""
        try:
            return read_value(
                self.client(), state_secret_name(self.prefix), record_json.state_from_json
            )
        except UnknownClientError:
            raise MalformedSecretError("The Region's state is missing.") from None

    def replace(self, state: RegionState, read: VersionId) -> VersionId:
        """See `StateStore.replace`."""
        try:
            return replace_value(
                self.client(),
                state_secret_name(self.prefix),
                record_json.state_to_json(state),
                read,
                new_version(self.random_bytes),
            )
        except UnknownClientError:
            raise VersionConflictError from None


@dataclass(frozen=True, slots=True)
class DeploymentKeySecret:
    """`DeploymentKeyReader` on Secrets Manager."""

    client: Connect = field(repr=False)
    prefix: str

    def read(self) -> bytes:
        """See `DeploymentKeyReader.read`."""
        name = deployment_secret_name(self.prefix)
        try:
            return read_value(self.client(), name, record_json.deployment_key_from_json).value
        except UnknownClientError:
            raise MalformedSecretError("The deployment key is missing.") from None
