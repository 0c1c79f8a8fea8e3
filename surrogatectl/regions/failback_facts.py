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
_ARRIVING: Final = frozenset({"InSync", "InProgress", "Pending"})


@dataclass(slots=True)
class ClientFacts:
    """
    One client in both Regions, and the operator's choice, *keep*.

    *here* is its record in the primary Region and *there* in the secondary: a batch has read
    both, or each is read when needed.  *late*: the primary wrote before this failback.
    """

    primary: RegionRecords
    secondary: RegionRecords
    client_id: ClientId
    keep: plan.Keep | None
    here: StoredRecord | None = None
    there: StoredRecord | None = None
    late: bool = False
    primary_description: SecretDescription | None = None
    secondary_description: SecretDescription | None = None

    def look_up(self, fact: plan.Fact) -> StrEnum:
        """Return the answer to *fact*."""
        return _FACTS[fact](self)

    def secondary_secret(self) -> plan.SecondarySecret:
        """Describe the secondary's secret."""
        self.secondary_description = found = self.secondary.describe(self.client_id)
        if found is None:
            return plan.SecondarySecret.NONE
        return plan.SecondarySecret.REPLICA if found.replica_of else plan.SecondarySecret.OWN

    def secondary_record(self) -> plan.SecondaryRecord:
        """Classify the secondary's record; nobody has the secret of an unfinished enrollment."""
        if self.there is None and self.secondary_description:
            self.there = self.secondary.stored([self.client_id]).get(self.client_id)
        if self.there is None:
            return plan.SecondaryRecord.NONE
        record = self.there.record
        if record is None:
            return plan.SecondaryRecord.UNREADABLE
        if record.status is Status.ENROLLING or is_undone(record):
            return plan.SecondaryRecord.UNFINISHED
        is_deleted = record.status is Status.DELETED
        return plan.SecondaryRecord.DELETED if is_deleted else plan.SecondaryRecord.LIVE

    def primary_secret(self) -> plan.PrimarySecret:
        """Describe the primary's secret, unless a batch has read it."""
        if self.here is not None:
            return plan.PrimarySecret.PRESENT
        self.primary_description = found = self.primary.describe(self.client_id)
        if found is None:
            return plan.PrimarySecret.NONE
        is_scheduled = found.deletion_scheduled
        return plan.PrimarySecret.SCHEDULED if is_scheduled else plan.PrimarySecret.PRESENT

    def primary_record(self) -> plan.PrimaryRecord:
        """Classify the primary's record."""
        if self.here is None:
            self.here = self.primary.stored([self.client_id]).get(self.client_id)
        if self.here is None:
            raise UnknownClientError
        record = self.here.record
        if record is None or is_undone(record):
            return plan.PrimaryRecord.UNUSABLE
        if record.status is Status.ENROLLING:
            return plan.PrimaryRecord.ENROLLING
        is_deleted = record.status is Status.DELETED
        return plan.PrimaryRecord.DELETED if is_deleted else plan.PrimaryRecord.LIVE

    def versions(self) -> plan.Versions:
        """Compare the current versions."""
        here, there = self._current_versions()
        return plan.Versions.SAME if here == there else plan.Versions.DIFFERENT

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

    def held_version(self) -> plan.HeldVersion:
        """Look for the secondary's version in the primary; unless it is current, for a call."""
        here, there = self._current_versions()
        if there is None:
            return plan.HeldVersion.NO
        held = here == there or was_current(self.primary.labels(self.client_id), there)
        return plan.HeldVersion.YES if held else plan.HeldVersion.NO

    def replica(self) -> plan.Replica:
        """Return the primary's word on its replica."""
        status = self.primary_description.replica if self.primary_description else None
        if status is None:
            return plan.Replica.NONE
        return plan.Replica.ARRIVING if status in _ARRIVING else plan.Replica.OTHER

    def choice(self) -> plan.Choice:
        """Return the operator's choice as a fact."""
        return plan.Choice[self.keep.name] if self.keep else plan.Choice.NONE

    def _current_versions(self) -> tuple[VersionId | None, VersionId | None]:
        return (
            _current(self.primary_description, self.here),
            _current(self.secondary_description, self.there),
        )


def _current(described: SecretDescription | None, stored: StoredRecord | None) -> VersionId | None:
    if described is not None:
        return described.current
    return stored.version if stored is not None else None


_FACTS: Final[Mapping[plan.Fact, Callable[[ClientFacts], StrEnum]]] = {
    plan.BroughtBack: lambda _: plan.BroughtBack.NO,
    plan.Choice: ClientFacts.choice,
    plan.HeldVersion: ClientFacts.held_version,
    plan.Lineage: ClientFacts.lineage,
    plan.PrimaryRecord: ClientFacts.primary_record,
    plan.PrimarySecret: ClientFacts.primary_secret,
    plan.Replica: ClientFacts.replica,
    plan.SecondaryRecord: ClientFacts.secondary_record,
    plan.SecondarySecret: ClientFacts.secondary_secret,
    plan.Versions: ClientFacts.versions,
    plan.WriterBefore: lambda facts: plan.WriterBefore["PRIMARY" if facts.late else "SECONDARY"],
}
