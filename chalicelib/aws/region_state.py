"""Region state, denials and deployment key in Secrets Manager."""

from __future__ import annotations

from dataclasses import dataclass, field

from chalicelib import record_json
from chalicelib.aws.secret_replicas import Connect
from chalicelib.aws.secrets_calls import CURRENT, new_version, read_batch, read_value, replace_value
from chalicelib.credentials import RandomBytes
from chalicelib.denial_shards import SHARDS
from chalicelib.errors import MalformedSecretError, UnknownClientError, VersionConflictError
from chalicelib.model import DenialShard, RegionState, Versioned, VersionId


def state_secret_name(prefix: str) -> str:
    """Return the name of the secret that holds a Region's state."""
    return f"{prefix}/region"


def denials_secret_name(prefix: str, number: int) -> str:
    """Return the name of the secret that holds shard *number* of a Region's denials."""
    return f"{prefix}/denials/{number:02}"


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
class DenialSecrets:
    """`DenialStore` on Secrets Manager."""

    client: Connect = field(repr=False)
    prefix: str
    random_bytes: RandomBytes = field(repr=False)

    def read(self, number: int) -> Versioned[DenialShard]:
        """See `DenialStore.read`."""
        try:
            return read_value(
                self.client(),
                denials_secret_name(self.prefix, number),
                record_json.denials_from_json,
            )
        except UnknownClientError:
            return self._first_edition(number)

    def read_all(self) -> dict[int, DenialShard]:
        """See `DenialStore.read_all`."""
        names = {denials_secret_name(self.prefix, number): number for number in range(SHARDS)}
        found: dict[int, DenialShard] = {}
        for value in read_batch(self.client(), names):
            # Otherwise its labels are moving: somebody writes it.
            if CURRENT in value.get("VersionStages", []):
                text = value.get("SecretString", "")
                found[names[value["Name"]]] = record_json.denials_from_json(text)
        for number in set(range(SHARDS)) - found.keys():
            found[number] = self.read(number).value
        return found

    def _first_edition(self, number: int) -> Versioned[DenialShard]:
        """Return the denials in the Region's state, until `surrogatectl init` moves them."""
        state = StateSecret(self.client, self.prefix, self.random_bytes).read()
        words = record_json.first_edition_denials(state.value)
        if words is None:
            raise MalformedSecretError(f"Shard {number} of the Region's denials is missing.")
        return Versioned(DenialShard(words), state.version)

    def replace(self, number: int, shard: DenialShard, read: VersionId) -> VersionId:
        """See `DenialStore.replace`."""
        try:
            return replace_value(
                self.client(),
                denials_secret_name(self.prefix, number),
                record_json.denials_to_json(shard),
                read,
                new_version(self.random_bytes),
            )
        except UnknownClientError:
            raise MalformedSecretError(
                f"Shard {number} of the Region's denials is missing."
            ) from None


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
