"""Stores in Secrets Manager, below the deployment's prefix."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.aws.client_records import ClientSecrets, ClientSecretsReader
from chalicelib.aws.jwks_secret import KeySetSecret, jwks_secret_name
from chalicelib.aws.region_state import (
    DenialSecrets,
    DeploymentKeySecret,
    StateSecret,
    deployment_secret_name,
)
from chalicelib.aws.secret_replicas import Connect, NamedReplicas, SecretReplicas
from chalicelib.credentials import RandomBytes
from chalicelib.settings import RegionSettings, Settings


def state_store(client: Connect, *, settings: Settings, random_bytes: RandomBytes) -> StateSecret:
    """Return the store of the Region state in the Region that *client* connects to."""
    return StateSecret(client=client, prefix=settings.secret_prefix, random_bytes=random_bytes)


def denial_store(
    client: Connect, *, settings: Settings, random_bytes: RandomBytes
) -> DenialSecrets:
    """Return the store of the Region's denials in the Region that *client* connects to."""
    return DenialSecrets(client=client, prefix=settings.secret_prefix, random_bytes=random_bytes)


def deployment_key(client: Connect, *, settings: Settings) -> DeploymentKeySecret:
    """Return the store of the deployment key in the Region that *client* connects to."""
    return DeploymentKeySecret(client=client, prefix=settings.secret_prefix)


def record_reader(client: Connect, *, settings: Settings) -> ClientSecretsReader:
    """Return a reader of the client records in the Region that *client* connects to."""
    return ClientSecretsReader(client=client, prefix=settings.secret_prefix)


def record_store(  # noqa: PLR0913 - both Regions' clients and settings
    here: Connect,
    there: Connect,
    *,
    own: RegionSettings,
    other: RegionSettings,
    settings: Settings,
    random_bytes: RandomBytes,
    promotes: bool = False,
) -> ClientSecrets:
    """Return the store of *own*'s client records, with replicas in *other*."""
    return ClientSecrets(
        here=here,
        there=there,
        other_region=other.name,
        prefix=settings.secret_prefix,
        random_bytes=random_bytes,
        promotes=promotes,
        kms_key=own.kms_key_id,
        replica_kms_key=other.kms_key_id,
    )


def key_set(
    client: Connect, *, region: RegionSettings, settings: Settings, random_bytes: RandomBytes
) -> KeySetSecret:
    """Return the store of the snapshot of both pools' keys in *region*."""
    return KeySetSecret(
        client=client,
        region=region.name,
        prefix=settings.secret_prefix,
        random_bytes=random_bytes,
    )


def own_secrets(
    here: Connect, there: Connect, *, other: RegionSettings, settings: Settings
) -> NamedReplicas:
    """Return the deployment's own secrets that are replicated to *other*."""
    prefix = settings.secret_prefix
    names = (deployment_secret_name(prefix), jwks_secret_name(prefix))
    return replicated_secrets(here, there, names, other=other)


def replicated_secrets(
    here: Connect, there: Connect, names: Sequence[str], *, other: RegionSettings
) -> NamedReplicas:
    """Return the replicas of the secrets with these *names* in *other*."""
    return NamedReplicas(SecretReplicas(here, there, other.name, other.kms_key_id), names)
