"""The composition of `failover` and `failback`, over AWS and the name that clients use."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final
from uuid import uuid4

import requests

from chalicelib.aws.connections import LOST_SECONDS, Connections
from chalicelib.aws.secret_replicas import NamedReplicas
from chalicelib.composition.admin import AdminParts
from chalicelib.composition.stores import replicated_secrets
from chalicelib.settings import RegionSettings, Settings
from chalicelib.timing import CircuitBreaker, RateLimiter
from surrogatectl.cli.audit import operator
from surrogatectl.cli.configuration import ROLES, Deployment
from surrogatectl.cli.operators import connect
from surrogatectl.cli.parts import operators_parts
from surrogatectl.regions.canary import CanarySecret, DirectCanary, canary_secret_name
from surrogatectl.regions.failback import Failback
from surrogatectl.regions.failback_apply import FailbackActions
from surrogatectl.regions.failback_pass import ClientDirectory, ClientPasses, Progress
from surrogatectl.regions.failover import Failover, ReplicaCheck
from surrogatectl.regions.lease import RunLease
from surrogatectl.regions.region_records import RegionRecords
from surrogatectl.regions.simple_record import (
    SimpleRecord,
    SimplyRecordedName,
    control_plane,
    host_of,
)
from surrogatectl.regions.state import Announce, Name, Side

# Of 100 BatchGetSecretValue in a second, which everything in a Region shares.
READS_PER_SECOND: Final = 20.0
# Each asks Cognito or Secrets Manager once for up to 100 clients.
LISTS_PER_SECOND: Final = 8.0
# Of 10,000 GetSecretValue and DescribeSecret in a second; two or three for a client.
LOOKS_PER_SECOND: Final = 100.0
# Of 50 writes in a second of Secrets Manager, four for a client; and of 5 of Cognito.
WRITES_PER_SECOND: Final = 4.0
_REQUEST_SECONDS: Final = 3.0


@dataclass(frozen=True)
class RegionsParts:
    """
    Both Regions of *deployment*, each with the operator's own role.

    With *simple_record* the name does not follow by itself (see the module of that name): its
    record is that of the host it says, or if that is empty, of the public URL's.
    """

    deployment: Deployment
    simple_record: str | None = None

    @property
    def settings(self) -> Settings:
        """The deployment's settings, as the primary Region sees them."""
        return self.deployment.settings

    @cached_property
    def connections(self) -> dict[str, Connections]:
        """Each Region's connections; one that is lost is given up together."""
        return {
            region.name: Connections(region, CircuitBreaker(time.time, LOST_SECONDS))
            for region in (self.settings.primary, self.settings.secondary)
        }

    @cached_property
    def primary(self) -> AdminParts:
        """The administrators' parts in the primary Region."""
        return self._parts(self.settings)

    @cached_property
    def secondary(self) -> AdminParts:
        """The administrators' parts in the secondary Region, as it is when it stands alone."""
        return self._parts(self.settings.seen_from_the_other_region())

    def _parts(self, settings: Settings) -> AdminParts:
        here, there = (self.connections[each.name] for each in (settings.own, settings.other))
        return operators_parts(settings, here=here, there=there)

    @property
    def sides(self) -> tuple[Side, Side]:
        """The primary Region and the secondary one."""
        primary, secondary = (
            Side(
                parts.repository.region,
                parts.repository.state,
                parts.denials[parts.repository.region],
            )
            for parts in (self.primary, self.secondary)
        )
        return primary, secondary

    @property
    def name(self) -> Name:
        """The name that clients use."""
        url = self.settings.public_url
        parts = (url, lambda: answering_region(url), time.monotonic, time.sleep)
        return SimplyRecordedName(*parts, self.record) if self.record else Name(*parts)

    @cached_property
    def record(self) -> SimpleRecord | None:
        """The simple record that has to be changed, if there is one."""
        if self.simple_record is None:
            return None
        regions = {each.name: each for each in (self.settings.primary, self.settings.secondary)}
        return SimpleRecord(
            self.simple_record or host_of(self.settings.public_url),
            lambda: connect("route53", control_plane(self.settings.primary)),
            lambda region: connect("apigateway", regions[region]),
        )

    def require_record(self) -> None:
        """
        Look for the simple record before anything is changed, if Route 53 answers.

        Raises:
            NotAllowedError: If there is none, or it is not a simple one.
        """
        if self.record:
            self.record.require()

    @property
    def canary_secrets(self) -> dict[str, CanarySecret]:
        """The canary's credential, as each Region has it."""
        return {
            region.name: CanarySecret(
                self.connections[region.name].admin_secrets(),
                self.settings.secret_prefix,
                region.kms_key_id,
            )
            for region in (self.settings.primary, self.settings.secondary)
        }

    @property
    def canary_replicas(self) -> NamedReplicas:
        """The replication of the canary's credential."""
        here, there = self.settings.primary, self.settings.secondary
        return replicated_secrets(
            self.connections[here.name].admin_secrets,
            self.connections[there.name].admin_secrets,
            [canary_secret_name(self.settings.secret_prefix)],
            other=there,
        )

    @property
    def canary(self) -> DirectCanary:
        """Gets the canary a token, directly from a Region's own API."""
        urls = self.deployment.token_urls
        regions = {role: self.deployment.region(role) for role in ROLES}
        return DirectCanary(
            {region.name: region for region in regions.values()},
            {regions[role].name: url for role, url in urls.items()},
            self.canary_secrets,
        )

    def failover(self, announce: Announce, settle_seconds: float) -> Failover:
        """Return the failover to the secondary Region."""
        primary, secondary = self.sides
        return Failover(
            primary,
            secondary,
            self._lease("failover", secondary, announce),
            self.name,
            self.canary.try_out,
            self._replicas().run,
            time.monotonic,
            time.sleep,
            announce,
            settle_seconds,
        )

    def failback(self, announce: Announce, progress: Progress) -> Failback:
        """Return the failback to the primary Region."""
        primary, secondary = self.sides
        here, there = self.settings.primary, self.settings.secondary
        lease = self._lease("failback", secondary, announce)
        actions = FailbackActions(
            self._records(here, there),
            self._records(there, here),
            self.secondary.app_clients,
            self.secondary.deletion,
            self.primary.deletion,
            time.sleep,
        )
        directory = ClientDirectory(
            self.primary.repository.records,
            self.secondary.repository.records,
            self.secondary.app_clients.pools[secondary.region],
            self._pace(LISTS_PER_SECOND),
        )
        clients = ClientPasses(
            (primary.region, secondary.region),
            directory,
            actions,
            self._pace(READS_PER_SECOND),
            self._pace(LOOKS_PER_SECOND),
            self._pace(WRITES_PER_SECOND),
            lease.confirm,
            progress,
        )
        return Failback(
            primary,
            secondary,
            lease,
            self.name,
            self.canary.try_out,
            clients,
            self._replicas().run,
            time.monotonic,
            time.sleep,
            announce,
        )

    def _lease(self, command: str, side: Side, announce: Announce) -> RunLease:
        holder = partial(operator, self.settings.secondary)
        return RunLease(side, command, holder, str(uuid4()), time.time, announce)

    def _replicas(self) -> ReplicaCheck:
        return ReplicaCheck(
            (self.settings.primary.name, self.settings.secondary.name),
            self.primary.repository.records,
            self.secondary.repository.records,
            self._pace(READS_PER_SECOND),
            time.sleep,
        )

    def _records(self, own: RegionSettings, other: RegionSettings) -> RegionRecords:
        return RegionRecords(
            self.connections[own.name].admin_secrets,
            other.name,
            self.settings.secret_prefix,
            own.kms_key_id,
            other.kms_key_id,
        )

    @staticmethod
    def _pace(per_second: float) -> RateLimiter:
        return RateLimiter(per_second, time.monotonic, time.sleep)


def answering_region(public_url: str) -> str | None:
    """Return the Region that answers at *public_url*, `None` if nobody does."""
    try:
        # A new connection each time: a kept one would stay where it is.
        answer = requests.get(f"{public_url}/health", timeout=_REQUEST_SECONDS)
        return str(answer.json().get("region"))
    except (requests.RequestException, ValueError):
        return None
