"""Repository of client records: writer check, reading, compare-and-swap, replication."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chalicelib.clients.errors import (
    ClientDeletedError,
    ClientEnrollingError,
    ClientNotFoundError,
    ConcurrentChangeError,
    NoRegionWritesError,
    NotTheWriterError,
    PreconditionFailedError,
)
from chalicelib.errors import ServiceError, UnknownClientError, VersionConflictError, concerning
from chalicelib.model import (
    ClientId,
    ClientRecord,
    RegionState,
    Replication,
    Status,
    Versioned,
    VersionId,
)
from chalicelib.ports import Clock, Pause, RecordStore, StateStore
from chalicelib.timing import AT_ONCE, polling, retrying

# Short: replication usually takes seconds, and administrators can read its status later.
_REPLICATION_PAUSES: Final = (0.1, 0.4, 1.0)


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client's record, its version, and its replication status."""

    record: ClientRecord
    version: VersionId
    replication: Replication


@dataclass(frozen=True, slots=True)
class ClientRepository:
    """
    Reads and changes client records from *region*.

    Every change is a compare-and-swap.  With an *if_match* (the version that the
    administrator saw), an intermediate change by somebody else is an error; without
    one, the change applies to the current version.

    *secondary*: this is the secondary Region.  It writes only after a takeover, and
    alone: it replicates nothing, and schedules no deletion.
    """

    region: str
    other_region: str
    state: StateStore
    other_state: StateStore
    records: RecordStore
    clock: Clock
    pause: Pause
    secondary: bool = False

    def require_writer(self) -> None:
        """
        Make sure that this Region is the writer.

        A Region that comes back from an outage still has its writer flag.  So this
        reads the other Region's state too; if that does not answer, this Region's own
        state decides.

        Raises:
            NotTheWriterError: If the other Region is, or is presumed to be.
            NoRegionWritesError: If neither is: a failover or failback is under way.
            ServiceError: If this Region's state cannot be read.
        """
        with concerning(self.region):
            own = self.state.read().value
        try:
            other = self.other_state.read().value
        except ServiceError:
            other = None
        if other is not None and other.writer and not (own.writer and self.outranks(own, other)):
            raise NotTheWriterError(self.region, self.other_region)
        if own.writer:
            return
        if other is not None:
            raise NoRegionWritesError
        raise NotTheWriterError(self.region, self.other_region, presumed=True)

    def outranks(self, own: RegionState, other: RegionState) -> bool:
        """Return whether this Region is the writer if both Regions have the writer flag."""
        if self.secondary:
            return not outranks(other, own)
        return outranks(own, other)

    def find(
        self, client_id: ClientId, if_match: VersionId | None = None
    ) -> Versioned[ClientRecord]:
        """
        Return the record of *client_id*.

        Raises:
            ClientNotFoundError: If there is none.
            PreconditionFailedError: If *if_match* is not its version.
            ServiceError: If it cannot be read.
        """
        with concerning(self.region):
            try:
                found = self.records.read(client_id)
            except UnknownClientError:
                raise ClientNotFoundError(client_id) from None
        if if_match is not None and if_match != found.version:
            raise PreconditionFailedError
        return found

    def update(
        self,
        client_id: ClientId,
        if_match: VersionId | None,
        change: Callable[[ClientRecord], ClientRecord],
    ) -> Versioned[ClientRecord]:
        """
        Replace the record of *client_id* by the result of *change*.

        It may call *change* several times, with the versions that others wrote
        meanwhile.  It skips the write of an unchanged record, except in the secondary
        Region: there the record may be older than the lost Region's, and failback must
        not silently undo an operator's confirmation.

        Raises:
            ClientNotFoundError: If there is no such record.
            PreconditionFailedError: If it is not the version that *if_match* names.
            ConcurrentChangeError: If others wrote first in every attempt.
            OutcomeUnknownError, ServiceError: If Secrets Manager does not do it.
            OperationError: Any error of *change*.
        """

        def attempt() -> Versioned[ClientRecord]:
            found = self.find(client_id, if_match)
            record = change(found.value)
            if record == found.value and not self.secondary:
                return found
            with concerning(self.region):
                return Versioned(record, self.records.replace(record, found.version))

        try:
            return retrying(
                attempt, on=VersionConflictError, pauses=AT_ONCE if if_match is None else ()
            )
        except VersionConflictError:
            raise (ConcurrentChangeError if if_match is None else PreconditionFailedError) from None
        except UnknownClientError:
            raise ClientNotFoundError(client_id) from None

    def replication(self, client_id: ClientId, version: VersionId) -> Replication:
        """
        Return the replication status of *version* of *client_id*.

        Raises:
            ClientNotFoundError: If there is no such record any more.
            ServiceError: If Secrets Manager in this Region does not answer.
        """
        with concerning(self.region):
            # While the secondary Region does not write, it has replicas as usual.
            if self.secondary and self.state.read().value.writer:
                return Replication.SUSPENDED
            try:
                return self.records.replication(client_id, version)
            except UnknownClientError:
                raise ClientNotFoundError(client_id) from None

    def replicate(self, client_id: ClientId, version: VersionId) -> Replication:
        """
        Start the replication if necessary, wait for it briefly, return its status.

        It raises nothing: the write succeeded and must be answered, and `reconcile`
        replicates the record later.  The secondary Region never replicates: failback
        copies its records.
        """
        if self.secondary:
            return Replication.SUSPENDED
        try:
            self.records.replicate(client_id)
            return polling(
                lambda: self.records.replication(client_id, version),
                until=lambda state: state is not Replication.IN_PROGRESS,
                pauses=_REPLICATION_PAUSES,
                pause=self.pause,
            )
        except ServiceError:
            return Replication.MISSING


def outranks(primary: RegionState, secondary: RegionState) -> bool:
    """
    Return whether *primary* is the writer if both Regions have the writer flag.

    With equal epochs it is not: the secondary Region writes only after a takeover.
    """
    return primary.epoch > secondary.epoch


def require_live(record: ClientRecord) -> None:
    """
    Make sure that *record* is neither being enrolled nor deleted.

    Raises:
        ClientEnrollingError, ClientDeletedError: If it is.
    """
    if record.status is Status.ENROLLING:
        raise ClientEnrollingError
    if record.status is Status.DELETED:
        raise ClientDeletedError
