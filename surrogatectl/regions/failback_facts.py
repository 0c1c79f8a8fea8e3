"""The facts about one client that `failback_plan` decides by, read when it asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chalicelib.clients.deletion import is_undone
from chalicelib.errors import UnknownClientError
from chalicelib.model import ClientId, Status, VersionId
from surrogatectl.regions import failback_plan as plan
from surrogatectl.regions.region_records import RegionRecords
from surrogatectl.regions.stored_record import SecretDescription, StoredRecord, was_current

_MAX_VERSIONS: Final = 100  # of a secret
_ON_ITS_WAY: Final = frozenset({"InSync", "InProgress", "Pending"})


@dataclass(slots=True)
class ClientFacts:
    """
    One client in both Regions, and the operator's choice, *keep*.

    *here* is its record in the primary Region and *there* in the secondary, if read.
    """

    primary: RegionRecords
    secondary: RegionRecords
    client_id: ClientId
    keep: plan.Keep | None
    here: StoredRecord | None = None
    there: StoredRecord | None = None

    def choice(self) -> plan.Choice:
        """Translate the operator's choice."""
        return plan.Choice[self.keep.name] if self.keep else plan.Choice.NONE

    def primary_record(self) -> plan.PrimaryRecord:
        """Classify the primary's record."""
        record = self.here.record if self.here else None
        if record is None or is_undone(record):
            return plan.PrimaryRecord.UNUSABLE
        if record.status is Status.ENROLLING:
            return plan.PrimaryRecord.ENROLLING
        is_deleted = record.status is Status.DELETED
        return plan.PrimaryRecord.DELETED if is_deleted else plan.PrimaryRecord.LIVE

    def secondary_record(self) -> plan.SecondaryRecord:
        """Classify the secondary's record; nobody has the secret of an unfinished enrollment."""
        if self.there is None:
            return plan.SecondaryRecord.NONE
        record = self.there.record
        if record is None:
            return plan.SecondaryRecord.UNREADABLE
        if record.status is Status.ENROLLING or is_undone(record):
            return plan.SecondaryRecord.UNFINISHED
        is_deleted = record.status is Status.DELETED
        return plan.SecondaryRecord.DELETED if is_deleted else plan.SecondaryRecord.LIVE

    def had(self, version: VersionId | None) -> plan.Held:
        """Look for *version* among those that the primary had as its current ones."""
        if version is None or not was_current(self.primary.labels(self.client_id), version):
            return plan.Held.NO
        return plan.Held.YES


@dataclass(slots=True)
class RecordFacts(ClientFacts):
    """The facts for bringing back a record, which a batch has read *here* and *there*."""

    def look_up(self, fact: plan.Fact) -> StrEnum:
        """Return the answer to *fact*."""
        return _RECORD_FACTS[fact](self)

    def versions(self) -> plan.Versions:
        """Compare the versions that the batch has read."""
        same = self.here and self.there and self.here.version == self.there.version
        return plan.Versions.SAME if same else plan.Versions.DIFFERENT

    def primary_secret(self) -> plan.PrimarySecret:
        """Return whether the primary has the secret: one scheduled for deletion is not read."""
        if self.here is not None:
            return plan.PrimarySecret.PRESENT
        found = self.primary.describe(self.client_id)
        return plan.PrimarySecret.NONE if found is None else plan.PrimarySecret.SCHEDULED

    def lineage(self) -> plan.Lineage:
        """Follow `after` from the secondary's version; each further step costs a call."""
        there = self.there
        for _ in range(_MAX_VERSIONS):
            if self.here is None or there is None or there.after is None:
                break
            if there.after == self.here.version:
                return plan.Lineage.FORWARD
            there = self.secondary.version(self.client_id, there.after)
        return plan.Lineage.ELSEWHERE

    def held(self) -> plan.Held:
        """Look for the secondary's version in the primary."""
        return self.had(self.there.version if self.there else None)


@dataclass(slots=True)
class ReplicaFacts(ClientFacts):
    """The facts for replicating a record; *late*: the primary wrote before this failback."""

    late: bool = False
    primary_description: SecretDescription | None = None
    secondary_description: SecretDescription | None = None

    def look_up(self, fact: plan.Fact) -> StrEnum:
        """Return the answer to *fact*."""
        return _REPLICA_FACTS[fact](self)

    def secondary_secret(self) -> plan.SecondarySecret:
        """Describe the secondary's secret."""
        self.secondary_description = found = self.secondary.describe(self.client_id)
        if found is None:
            return plan.SecondarySecret.NONE
        return plan.SecondarySecret.REPLICA if found.replica_of else plan.SecondarySecret.OWN

    def read_secondary_record(self) -> plan.SecondaryRecord:
        """Read and classify the secondary's record."""
        self.there = self.secondary.stored([self.client_id]).get(self.client_id)
        return self.secondary_record()

    def primary_secret(self) -> plan.PrimarySecret:
        """Describe the primary's secret."""
        self.primary_description = found = self.primary.describe(self.client_id)
        if found is None:
            return plan.PrimarySecret.NONE
        scheduled = found.deletion_scheduled
        return plan.PrimarySecret.SCHEDULED if scheduled else plan.PrimarySecret.PRESENT

    def read_primary_record(self) -> plan.PrimaryRecord:
        """Read and classify the primary's record."""
        self.here = self.primary.stored([self.client_id]).get(self.client_id)
        if self.here is None:
            raise UnknownClientError
        return self.primary_record()

    def versions(self) -> plan.Versions:
        """Compare the current versions in both descriptions."""
        here, there = self._current_versions()
        return plan.Versions.SAME if here == there else plan.Versions.DIFFERENT

    def held(self) -> plan.Held:
        """Look for the secondary's version in the primary."""
        here, there = self._current_versions()
        return plan.Held.YES if there is not None and here == there else self.had(there)

    def _current_versions(self) -> tuple[VersionId | None, VersionId | None]:
        here, there = self.primary_description, self.secondary_description
        return here.current if here else None, there.current if there else None

    def replica(self) -> plan.Replica:
        """Return the primary's word on its replica."""
        status = self.primary_description.replica if self.primary_description else None
        if status is None:
            return plan.Replica.NONE
        return plan.Replica.ON_ITS_WAY if status in _ON_ITS_WAY else plan.Replica.OTHER


_RECORD_FACTS: Final[Mapping[plan.Fact, Callable[[RecordFacts], StrEnum]]] = {
    plan.Choice: RecordFacts.choice,
    plan.Held: RecordFacts.held,
    plan.Lineage: RecordFacts.lineage,
    plan.PrimaryRecord: RecordFacts.primary_record,
    plan.PrimarySecret: RecordFacts.primary_secret,
    plan.SecondaryRecord: RecordFacts.secondary_record,
    plan.Versions: RecordFacts.versions,
}
_REPLICA_FACTS: Final[Mapping[plan.Fact, Callable[[ReplicaFacts], StrEnum]]] = {
    plan.BroughtBack: lambda _: plan.BroughtBack.NO,
    plan.Choice: ReplicaFacts.choice,
    plan.Held: ReplicaFacts.held,
    plan.PrimaryRecord: ReplicaFacts.read_primary_record,
    plan.PrimarySecret: ReplicaFacts.primary_secret,
    plan.Replica: ReplicaFacts.replica,
    plan.SecondaryRecord: ReplicaFacts.read_secondary_record,
    plan.SecondarySecret: ReplicaFacts.secondary_secret,
    plan.Start: lambda facts: plan.Start.PRIMARY if facts.late else plan.Start.SECONDARY,
    plan.Versions: ReplicaFacts.versions,
}
