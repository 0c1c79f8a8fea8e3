"""
Brings the records that were written in the secondary Region back to the primary one.

For each client, the versions that each Region has had tell who wrote after whom:

- the same version in both: nothing to do;
- the secondary's was written over the primary's current one, directly or not: that
  goes *forward* to the secondary's, under the same version ID;
- the secondary's is among the primary's: the primary is *ahead*, nothing to do;
- neither: a *split*.  Both were written, and nobody but people can tell which is
  to be kept.  Nothing is overwritten unless they say.

Before a record goes, its app client in the primary Region is made, or its deletion
finished; both are written in the secondary Region, so that the primary only ever
receives what that one has, and failback can be given up at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from chalicelib.aws.secrets_calls import CURRENT, STAGED
from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.deletion import DeletionAndRestore, is_done, is_undone
from chalicelib.clients.errors import AppClientPendingError, DeletionUnfinishedError
from chalicelib.errors import OperationError, UnknownClientError, VersionConflictError
from chalicelib.http.problems import explain
from chalicelib.model import (
    AppClient,
    ClientId,
    ClientRecord,
    Pending,
    Status,
    Versioned,
    VersionId,
)
from chalicelib.ports import AppClients, RecordStore
from chalicelib.timing import RateLimiter
from surrogatectl.regions.record_copies import Copies, StoredRecord, was_current

_PAGE: Final = 100
_ATTEMPTS: Final = 3
_MAX_VERSIONS: Final = 100  # of a secret


class Resolution(StrEnum):
    """What becomes of a client's record in the primary Region."""

    SAME = "same"
    CREATED = "created"
    FORWARD = "brought_forward"
    AHEAD = "primary_ahead"
    KEPT_PRIMARY = "kept_primary"
    KEPT_SECONDARY = "kept_secondary"
    UNFINISHED = "unfinished_enrollment"
    SPLIT = "split"
    LEFT = "left"


class Keep(StrEnum):
    """Which Region's record is to be kept of a client that was written in both."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


@dataclass(frozen=True, slots=True)
class Split:
    """A client that was written in both Regions, and in what the records differ, in words."""

    client_id: ClientId
    client_name: str
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """A client that could not be brought back, and why."""

    client_id: ClientId
    why: str


class UnfinishedError(Exception):
    """Work on a client that the lost Region left undone cannot be done yet; why, in words."""


@dataclass(slots=True)
class Summary:
    """What a pass over all clients did; *splits* and *left* are for people."""

    resolutions: dict[str, int] = field(default_factory=dict)
    splits: list[Split] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    def note(self, resolution: Resolution) -> None:
        """Count one more."""
        self.resolutions[resolution.value] = self.resolutions.get(resolution.value, 0) + 1


@dataclass(frozen=True, slots=True)
class Choices:
    """What people said of clients that were written in both Regions."""

    each: Mapping[ClientId, Keep] = field(default_factory=dict)
    rest: Keep | None = None

    def of(self, client_id: ClientId) -> Keep | None:
        """Return what is to be kept of *client_id*, `None` if nobody said."""
        return self.each.get(client_id, self.rest)


@dataclass(frozen=True, slots=True)
class ClientDirectory:
    """
    Every client of either Region.

    A list can be minutes old; whoever was enrolled since has an app client that
    carries our mark.
    """

    primary: RecordStore
    secondary: RecordStore
    pool: AppClients
    reads: RateLimiter

    def list_all_clients(self) -> list[ClientId]:
        """
        Return their client IDs.

        Raises:
            ServiceError: If one of the Regions does not say.
        """
        found = dict.fromkeys((*self._listed(self.primary), *self._listed(self.secondary)))
        found |= dict.fromkeys(client_id for _, client_id in self.pool.ours(self.reads.wait))
        return list(found)

    def _listed(self, store: RecordStore) -> Iterable[ClientId]:
        cursor: str | None = None
        while True:
            self.reads.wait()
            page = store.list(cursor, _PAGE)
            yield from (each.client_id for each in page.items)
            cursor = page.cursor
            if cursor is None:
                return


@dataclass(frozen=True, slots=True)
class RecordRestorer:
    """
    Brings records back.

    *app_client_pair* and *deletion* are the secondary Region's, of *regions* (the
    primary one first); *reads* and *writes* are paces.
    """

    regions: tuple[str, str]
    primary: Copies
    secondary: Copies
    app_clients: AppClientPair
    deletion: DeletionAndRestore
    reads: RateLimiter
    writes: RateLimiter

    def batch(self, client_ids: Sequence[ClientId], choices: Choices, summary: Summary) -> None:
        """
        Bring these clients' records back, and note what became of each.

        Raises:
            ServiceError: If a Region does not answer.
        """
        self.reads.wait()
        here, there = self.primary.stored(client_ids), self.secondary.stored(client_ids)
        for client_id in client_ids:
            if client_id not in there:
                continue
            try:
                resolution = self._one(
                    client_id, here.get(client_id), there[client_id], choices, summary
                )
            except (VersionConflictError, UnknownClientError):
                summary.left.append(Left(client_id, "Somebody else writes it at this moment."))
                resolution = Resolution.LEFT
            except UnfinishedError as err:
                summary.left.append(Left(client_id, str(err)))
                resolution = Resolution.LEFT
            summary.note(resolution)

    def _one(
        self,
        client_id: ClientId,
        here: StoredRecord | None,
        there: StoredRecord,
        choices: Choices,
        summary: Summary,
    ) -> Resolution:
        resolution = self._resolution(client_id, here, there)
        if resolution is Resolution.LEFT:
            region = self.regions[1]
            summary.left.append(Left(client_id, f"Its record in {region} cannot be read."))
        elif resolution is Resolution.SPLIT:
            resolution = _CHOSEN.get(choices.of(client_id), Resolution.SPLIT)
            if resolution is Resolution.SPLIT:
                summary.splits.append(_split(self.regions, client_id, here, there))
        if resolution in {Resolution.CREATED, Resolution.FORWARD, Resolution.KEPT_SECONDARY}:
            self.writes.wait()
            self._copy(client_id, here, self._finished(client_id, there))
        elif resolution is Resolution.KEPT_PRIMARY and here is not None:
            self.writes.wait()
            self._put_behind(client_id, here, there)
        return resolution

    def _resolution(
        self, client_id: ClientId, here: StoredRecord | None, there: StoredRecord
    ) -> Resolution:
        """Return who wrote after whom."""
        if here is not None and here.version == there.version:
            return Resolution.SAME
        if there.record is None:
            return Resolution.LEFT
        if is_unfinished(there.record):
            return Resolution.UNFINISHED
        return self._order(client_id, here, there)

    def _order(
        self, client_id: ClientId, here: StoredRecord | None, there: StoredRecord
    ) -> Resolution:
        if here is None:
            # Marked for deletion, it cannot be read.
            buried = self.primary.standing(client_id)
            return Resolution.CREATED if buried is None else Resolution.SPLIT
        if self._leads_to(client_id, here.version, there):
            return Resolution.FORWARD
        if was_current(self.primary.labels(client_id), there.version):
            return Resolution.AHEAD
        record = here.record
        if record is not None and record.status is Status.ENROLLING:
            # Nobody received its secret; the same request was repeated in the other Region.
            return Resolution.KEPT_SECONDARY
        return Resolution.SPLIT

    def _leads_to(self, client_id: ClientId, version: VersionId, there: StoredRecord) -> bool:
        """Return whether *there* was written over *version*, or over what was, and so on."""
        for _ in range(_MAX_VERSIONS):
            if there.after is None:
                return False
            if there.after == version:
                return True
            before = self.secondary.version(client_id, there.after)
            if before is None:
                return False
            there = before
        return False

    def _finished(self, client_id: ClientId, there: StoredRecord) -> StoredRecord:
        """
        Do what was left of *there* when the primary Region was lost; return what it is then.

        Raises:
            UnfinishedError: If that is not possible.
        """
        record = there.record
        if record is None:
            return there
        try:
            changed = self._finish(Versioned(record, there.version))
        except (VersionConflictError, UnknownClientError):
            raise
        except OperationError as err:
            raise UnfinishedError(explain(err)) from None
        return self.secondary.stored([client_id])[client_id] if changed else there

    def _finish(self, found: Versioned[ClientRecord]) -> bool:
        """Finish *found* and its app clients; return whether there was anything to do."""
        record = found.value
        if record.status is Status.DELETED:
            if is_done(record):
                return False
            left = self.deletion.finish(found).left
            if left:
                raise DeletionUnfinishedError(left)
            return True
        pending = [
            region
            for region in self.regions
            if not isinstance(record.app_clients.get(region), AppClient)
        ]
        outdated = [
            region
            for region, app_client in record.app_clients.items()
            if isinstance(app_client, AppClient) and app_client.outdated
        ]
        if pending:
            found = self._made(found, pending)
        if outdated:
            self.app_clients.align(found, outdated)
        return bool(pending or outdated)

    def _made(
        self, found: Versioned[ClientRecord], pending: Sequence[str]
    ) -> Versioned[ClientRecord]:
        made = self.app_clients.renew(found, pending, self.app_clients.key())
        for region in pending:
            app_client = made.value.app_clients[region]
            if isinstance(app_client, Pending):
                raise AppClientPendingError(region, app_client.reason)
        return made

    def _copy(self, client_id: ClientId, here: StoredRecord | None, there: StoredRecord) -> None:
        """Make *there* the primary Region's record, in place of *here*."""
        if here is None:
            self._unearthed_or_created(client_id, there)
            return
        self.primary.stage(client_id, there)
        self.primary.move(client_id, CURRENT, to=there.version, instead_of=here.version)
        record = there.record
        if record is not None:
            self.primary.update_listing(client_id, record)

    def _unearthed_or_created(self, client_id: ClientId, there: StoredRecord) -> None:
        if self.primary.standing(client_id) is None:
            self.primary.create(client_id, there)
            return
        # It was deleted in the primary Region, and its owner wants it.
        self.primary.cancel_deletion(client_id)
        for _ in range(_ATTEMPTS):
            here = self.primary.stored([client_id]).get(client_id)
            if here is not None:
                if here.version != there.version:
                    self._copy(client_id, here, there)
                return
        raise VersionConflictError

    def _put_behind(self, client_id: ClientId, here: StoredRecord, there: StoredRecord) -> None:
        """
        Put the secondary's version behind the primary's current one.

        So the primary holds it, for people to look up; and whoever repeats this
        finds the primary ahead.
        """
        self.primary.stage(client_id, there)
        if STAGED in self.primary.labels(client_id).get(there.version, ()):
            self.primary.move(client_id, STAGED, to=here.version, instead_of=there.version)


_CHOSEN: Final[Mapping[Keep | None, Resolution]] = {
    Keep.PRIMARY: Resolution.KEPT_PRIMARY,
    Keep.SECONDARY: Resolution.KEPT_SECONDARY,
}


def is_unfinished(record: ClientRecord) -> bool:
    """Return whether *record* is of an enrollment that has not ended: nobody has its secret."""
    return record.status is Status.ENROLLING or is_undone(record)


def _split(
    regions: tuple[str, str], client_id: ClientId, here: StoredRecord | None, there: StoredRecord
) -> Split:
    primary, secondary = regions
    ours, theirs = here.record if here else None, there.record
    if theirs is None:
        return Split(client_id, "", (f"its record in {secondary} cannot be read",))
    if ours is None:
        why = "cannot be read" if here else "is marked for deletion"
        return Split(client_id, theirs.client_name, (f"its record in {primary} {why}",))
    told = [
        f"{name}: {one} in {primary}, {other} in {secondary}"
        for name, one, other in _compared(ours, theirs)
        if one != other
    ]
    app_clients = sorted(
        region
        for region in {*ours.app_clients, *theirs.app_clients}
        if ours.app_clients.get(region) != theirs.app_clients.get(region)
    )
    if app_clients:
        told.append(f"app clients in {' and '.join(app_clients)}")
    return Split(client_id, theirs.client_name, tuple(told or ["versions only"]))


def _compared(ours: ClientRecord, theirs: ClientRecord) -> Iterable[tuple[str, str, str]]:
    for name, one, other in (
        ("status", ours.status, theirs.status),
        ("name", ours.client_name, theirs.client_name),
        ("secrets", _secrets(ours), _secrets(theirs)),
        ("scopes", " ".join(ours.scopes), " ".join(theirs.scopes)),
        ("addresses", _addresses(ours), _addresses(theirs)),
        ("expires", str(ours.expires_at or "never"), str(theirs.expires_at or "never")),
    ):
        yield name, str(one), str(other)


def _secrets(record: ClientRecord) -> str:
    return " ".join(
        secret.secret_id + (f" until {secret.expires_at}" if secret.expires_at else "")
        for secret in record.secrets
    )


def _addresses(record: ClientRecord) -> str:
    return " ".join(map(str, record.allowed_cidrs)) or "any"
