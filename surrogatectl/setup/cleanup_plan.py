"""
Inventory of the deployment's secrets and app clients, and their removal in a safe order.

The inventory contains the secrets `<prefix>/clients/<client ID>`, `<prefix>/region`,
`<prefix>/denials/<number>`, `<prefix>/deployment`, `<prefix>/jwks`, and others below
the prefix with the tag `surrogate:kind`; app clients named `<prefix>-<client ID>`.
Pools, other secrets and adopted app clients stay.

Each step may be repeated, and the next run completes an interrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.aws.client_records import client_secret_name
from chalicelib.aws.cognito_app_clients import PoolAppClients
from chalicelib.aws.jwks_secret import jwks_secret_name
from chalicelib.aws.region_state import (
    denials_secret_name,
    deployment_secret_name,
    state_secret_name,
)
from chalicelib.composition.admin import app_clients_of
from chalicelib.credentials import is_client_id
from chalicelib.denial_shards import SHARDS
from chalicelib.model import AppClientId, ClientId
from chalicelib.settings import RegionSettings, Settings
from chalicelib.timing import RateLimiter
from surrogatectl.cli.operators import AbsentError, Connect, NoAnswerError, call_aws

DENIALS: Final = "denials"
"""The kind of the shards of denials, in their tag."""

SECRETS_PER_SECOND: Final = 10.0  # of 50 writes
APP_CLIENTS_PER_SECOND: Final = 3.0  # of 5 deletions
_PAGE: Final = 100
_KIND: Final = "surrogate:kind"
# Replicas are removed before their primary secrets, and clients before the deployment's secrets.
_ORDER: Final = ("client", DENIALS, "state", "deployment-key", "jwks")
_GONE_POLLS: Final = 30
_POLL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class OurSecret:
    """Secret of the deployment in *region*; *replica_of* is the Region of its primary secret."""

    region: str
    name: str
    kind: str
    replica_of: str | None = None


@dataclass(frozen=True, slots=True)
class OurAppClient:
    """App client of the deployment in *region*, named after *client_id*."""

    region: str
    client_id: ClientId
    app_client_id: AppClientId = field(repr=False)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Secrets and app clients of the deployment in both Regions."""

    secrets: tuple[OurSecret, ...]
    app_clients: tuple[OurAppClient, ...]

    def __len__(self) -> int:
        """Return the number of secrets and app clients."""
        return len(self.secrets) + len(self.app_clients)


class Cleanup:
    """Inventory and removal, with the operator's own role."""

    def __init__(
        self, settings: Settings, connect: Connect, secrets: RateLimiter, cognito: RateLimiter
    ) -> None:
        """Limit calls to Secrets Manager with *secrets*, calls to Cognito with *cognito*."""
        self._prefix = settings.secret_prefix
        self._single = {
            state_secret_name(self._prefix): "state",
            deployment_secret_name(self._prefix): "deployment-key",
            jwks_secret_name(self._prefix): "jwks",
            **{denials_secret_name(self._prefix, n): DENIALS for n in range(SHARDS)},
        }
        self._regions = {each.name: each for each in (settings.primary, settings.secondary)}
        self._stores = {name: connect("secretsmanager", r) for name, r in self._regions.items()}
        self._pools = {name: self._pool(settings, connect, r) for name, r in self._regions.items()}
        self._secrets_limiter = secrets
        self._cognito_limiter = cognito

    @staticmethod
    def _pool(settings: Settings, connect: Connect, region: RegionSettings) -> PoolAppClients:
        client = connect("cognito-idp", region)
        return app_clients_of(
            client=lambda: client, once=lambda: client, region=region, settings=settings
        )

    def inventory(self) -> Inventory:
        """
        Return the inventory of both Regions.

        Raises:
            NoAnswerError, AppClientsError: If a Region refuses or does not answer.
        """
        secrets = [each for region in self._regions for each in self._list(region)]
        app_clients = [
            OurAppClient(region, client_id, app_client_id)
            for region, pool in self._pools.items()
            for app_client_id, client_id in pool.ours(self._cognito_limiter.wait)
        ]
        return Inventory(tuple(secrets), tuple(app_clients))

    def _list(self, region: str) -> Iterator[OurSecret]:
        more: dict[str, str] = {}
        while True:
            self._secrets_limiter.wait()
            page = call_aws(
                lambda more=more: self._stores[region].list_secrets(  # type: ignore[misc]
                    MaxResults=_PAGE,
                    IncludePlannedDeletion=True,
                    Filters=[{"Key": "name", "Values": [f"{self._prefix}/"]}],
                    **more,
                )
            )
            for entry in page["SecretList"]:
                kind = self._kind(entry)
                if kind is not None:
                    primary = entry.get("PrimaryRegion") or region
                    replica_of = primary if primary != region else None
                    yield OurSecret(region, entry["Name"], kind, replica_of)
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def _kind(self, entry: Mapping[str, Any]) -> str | None:
        """Return the kind of a listed secret; `None` for a secret of others."""
        name = entry["Name"]
        # The filter ignores case; our prefix does not.
        if not name.startswith(f"{self._prefix}/"):
            return None
        start = client_secret_name(self._prefix, ClientId(""))
        if name.startswith(start):
            return "client" if is_client_id(name.removeprefix(start)) else None
        if name in self._single:
            return self._single[name]
        tags = {tag.get("Key"): tag.get("Value") for tag in entry.get("Tags", [])}
        return tags.get(_KIND)

    def remove(self, found: Inventory, pause: Callable[[float], object]) -> Iterator[str]:
        """
        Remove the *found* resources; yield a message for each step.

        Raises:
            NoAnswerError, AppClientsError: If a step fails; a repetition completes the removal.
        """
        own = sorted((each for each in found.secrets if each.replica_of is None), key=_order)
        for secret in own:
            if self._unreplicate(secret):
                yield f"{secret.region}: replica of {secret.name} removed"
        # A primary secret cannot be deleted while the removal of a replica is in progress.
        self._await_gone((each for each in found.secrets if each.replica_of), pause)
        for secret in own:
            self._secrets_limiter.wait()
            self._delete(secret)
            yield f"{secret.region}: {secret.name} deleted"
        for app_client in found.app_clients:
            self._cognito_limiter.wait()
            self._pools[app_client.region].delete(app_client.app_client_id)
            yield f"{app_client.region}: app client of {app_client.client_id} deleted"
        self._await_gone(own, pause)

    def _unreplicate(self, secret: OurSecret) -> bool:
        store = self._stores[secret.region]
        self._secrets_limiter.wait()
        try:
            described = call_aws(lambda: store.describe_secret(SecretId=secret.name))
            regions = [each["Region"] for each in described.get("ReplicationStatus", [])]
            if not regions:
                return False
            call_aws(
                lambda: store.remove_regions_from_replication(
                    SecretId=secret.name, RemoveReplicaRegions=regions
                )
            )
        except AbsentError:
            return False
        return True

    def _delete(self, secret: OurSecret) -> None:
        try:
            call_aws(
                lambda: self._stores[secret.region].delete_secret(
                    SecretId=secret.name, ForceDeleteWithoutRecovery=True
                )
            )
        except AbsentError:
            return

    def _await_gone(self, secrets: Iterable[OurSecret], pause: Callable[[float], object]) -> None:
        """
        Wait until *secrets* are gone; describe each, since lists are minutes late.

        Raises:
            NoAnswerError: If one remains.
        """
        left = list(secrets)
        for _ in range(_GONE_POLLS):
            left = [each for each in left if self._exists(each)]
            if not left:
                return
            pause(_POLL_SECONDS)
        raise NoAnswerError(f"{left[0].name} is still there in {left[0].region}")

    def _exists(self, secret: OurSecret) -> bool:
        self._secrets_limiter.wait()
        try:
            call_aws(lambda: self._stores[secret.region].describe_secret(SecretId=secret.name))
        except AbsentError:
            return False
        return True


def _order(secret: OurSecret) -> tuple[int, str]:
    known = secret.kind in _ORDER
    return (_ORDER.index(secret.kind) if known else len(_ORDER)), secret.name
