"""
Replication of secrets: an ordered queue of changes from one Region to another.

Nothing runs in the background. Changes that are due and deliverable are delivered at the next
request to Secrets Manager, and when a Region returns; between requests nobody can observe the
difference.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.replication import Replication

Secret = dict[str, Any]

DEFAULT_KEY = "alias/aws/secretsmanager"
_SUCCEEDED = "Replication succeeded"


@dataclass(frozen=True, slots=True)
class Place:
    """Location of a secret."""

    account: str
    region: str
    name: str

    def elsewhere(self, region: str) -> "Place":
        """Return the location of the same name in another Region."""
        return Place(self.account, region, self.name)


class Store:
    """MiniStack's secrets of every account and Region."""

    def __init__(self, secrets: Any, policies: Any) -> None:  # noqa: ANN401
        self._secrets = secrets
        self._policies = policies

    def get(self, place: Place) -> Secret | None:
        """Return the secret at *place*."""
        found: Secret | None = self._secrets.get_scoped(place.account, place.region, place.name)
        return found

    def put(self, place: Place, secret: Secret) -> None:
        """Store *secret* at *place*."""
        self._secrets.set_scoped(place.account, place.region, place.name, secret)

    def remove(self, place: Place) -> None:
        """Remove the secret at *place* and its resource policy."""
        secret = self._secrets.pop_scoped(place.account, place.region, place.name, None)
        if secret is not None:
            self._policies.pop_scoped(place.account, place.region, secret["ARN"], None)

    def copy_policy(self, source: Place, source_arn: str, target: Place, target_arn: str) -> None:
        """Copy the resource policy along with a replica."""
        policy = self._policies.get_scoped(source.account, source.region, source_arn)
        if policy is not None:
            self._policies.set_scoped(target.account, target.region, target_arn, policy)


@dataclass(frozen=True, slots=True)
class _Change:
    """Pending change; without a *snapshot* it deletes the replica."""

    due: float
    source: Place
    target_region: str
    snapshot: Secret | None
    creates: bool = False
    overwrites: bool = False


class Replicator:
    """Delivery of changes from primary secrets to their replicas."""

    def __init__(
        self,
        store: Store,
        replication: Replication,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._replication = replication
        self._clock = clock
        self._queue: list[_Change] = []

    def start(self, source: Place, region: str, key: str | None, *, overwrite: bool) -> None:
        """
        Start replication of the secret at *source* to *region*.

        A replica that failed stays so until it is removed: nothing tries it again.
        """
        secret = self._primary(source)
        rows = secret["ReplicationStatus"]
        if any((row["Region"], row["Status"]) == (region, "Failed") for row in rows):
            return
        rows[:] = [row for row in rows if row["Region"] != region]
        rows.append({"Region": region, "KmsKeyId": key or DEFAULT_KEY, "Status": "InProgress"})
        self._enqueue(source, region, secret, creates=True, overwrites=overwrite)

    def update(self, source: Place) -> None:
        """Queue the current state of the secret at *source* for every Region that has a replica."""
        secret = self._primary(source)
        for row in secret["ReplicationStatus"]:
            region = row["Region"]
            if self._is_linked(secret, source.elsewhere(region)) or self._pending(source, region):
                row["Status"] = "InProgress"
                row.pop("StatusMessage", None)
                self._enqueue(source, region, secret)
        self.deliver()

    def stop(self, source: Place, region: str) -> None:
        """Stop replicating to *region* and delete the replica there."""
        self._unlist(source, region)
        now = self._clock()
        self._queue.append(_Change(now, source, region, None))

    def detach(self, replica_place: Place) -> None:
        """Make the replica at *replica_place* a standalone secret; its primary loses it."""
        replica = self._store.get(replica_place)
        if replica is None:
            return
        source = replica_place.elsewhere(replica["_PrimaryRegion"])
        self._unlist(source, replica_place.region)
        del replica["_PrimarySecretArn"], replica["_PrimaryRegion"]
        replica["ReplicationStatus"] = []

    def deliver(self) -> None:
        """Deliver due changes, in order, between Regions that are both reachable."""
        blocked: set[tuple[Place, str]] = set()
        waiting: list[_Change] = []
        now = self._clock()
        for change in self._queue:
            path = (change.source, change.target_region)
            reachable = self._replication.is_up(change.source.region) and self._replication.is_up(
                change.target_region
            )
            if path in blocked or change.due > now or not reachable:
                blocked.add(path)
                waiting.append(change)
            else:
                self._apply(change)
        self._queue = waiting
        for change in waiting:
            self._report(change, "InProgress", None)

    def _apply(self, change: _Change) -> None:
        source, target = change.source, change.source.elsewhere(change.target_region)
        present = self._store.get(target)
        if change.snapshot is None:
            if present is not None and present.get("_PrimaryRegion") == source.region:
                self._store.remove(target)
            return
        if change.creates and present is not None and not change.overwrites:
            message = (
                f"Replication failed: Secret name simple/{source.name} already exists in region "
                f"{target.region}."
            )
            self._report(change, "Failed", message)
            return
        if not change.creates and not self._is_linked(change.snapshot, target):
            return
        self._write(change, target, present)
        self._report(change, "InSync", _SUCCEEDED)

    def _write(self, change: _Change, target: Place, present: Secret | None) -> None:
        """Write the replica, over the *present* secret if there is one."""
        source, snapshot = change.source, change.snapshot
        if snapshot is None:
            return
        row = self._row(change)
        if change.creates and present is not None:
            if present.get("_PrimaryRegion"):
                self._unlist(
                    target.elsewhere(present["_PrimaryRegion"]), target.region, keep=source
                )
            self._store.remove(target)
        replica = copy.deepcopy(snapshot)
        replica["ARN"] = replica["ARN"].replace(f":{source.region}:", f":{target.region}:", 1)
        replica["ReplicationStatus"] = []
        replica["_PrimarySecretArn"] = snapshot["ARN"]
        replica["_PrimaryRegion"] = source.region
        replica["KmsKeyId"] = row["KmsKeyId"] if row and row["KmsKeyId"] != DEFAULT_KEY else None
        # Each Region records its own last access of a secret.
        replica["LastAccessedDate"] = present.get("LastAccessedDate") if present else None
        self._store.put(target, replica)
        self._store.copy_policy(source, snapshot["ARN"], target, replica["ARN"])

    def _enqueue(
        self,
        source: Place,
        region: str,
        secret: Secret,
        *,
        creates: bool = False,
        overwrites: bool = False,
    ) -> None:
        due = self._clock() + self._replication.lag
        snapshot = copy.deepcopy(secret)
        self._queue.append(_Change(due, source, region, snapshot, creates, overwrites))

    def _unlist(self, source: Place, region: str, *, keep: Place | None = None) -> None:
        """Forget that the secret at *source* has a replica in *region*, unless it is *keep*."""
        primary = self._store.get(source)
        if primary is None or source == keep:
            return
        rows = primary["ReplicationStatus"]
        rows[:] = [row for row in rows if row["Region"] != region]
        self._queue = [
            change
            for change in self._queue
            if (change.source, change.target_region) != (source, region)
        ]

    def _report(self, change: _Change, status: str, message: str | None) -> None:
        row = self._row(change)
        if row is None:
            return
        row["Status"] = status
        row.pop("StatusMessage", None)
        if message is not None:
            row["StatusMessage"] = message

    def _row(self, change: _Change) -> dict[str, Any] | None:
        primary = self._store.get(change.source)
        rows = primary["ReplicationStatus"] if primary else []
        return next((row for row in rows if row["Region"] == change.target_region), None)

    def _is_linked(self, secret: Secret, target: Place) -> bool:
        replica = self._store.get(target)
        return replica is not None and replica.get("_PrimarySecretArn") == secret["ARN"]

    def _pending(self, source: Place, region: str) -> bool:
        return any(
            (change.source, change.target_region) == (source, region) for change in self._queue
        )

    def _primary(self, source: Place) -> Secret:
        secret = self._store.get(source)
        if secret is None:
            raise LookupError(source.name)
        return secret
