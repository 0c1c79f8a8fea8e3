"""What every administrators' use case shares: who may write, how records change, how it fails."""

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

# Replication mostly takes seconds; who needs to know asks again.
_REPLICATION_PAUSES: Final = (0.1, 0.4, 1.0)


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client as it stands, and how far its replica has come."""

    record: ClientRecord
    version: VersionId
    replication: Replication


@dataclass(frozen=True, slots=True)
class ClientRepository:
    """
    Reads and changes client records from *region*.

    Every change is compare-and-swap.  With an *if_match* (the version that the
    administrator saw) a change that somebody else made meanwhile is an error;
    without one, the change is made to what stands there now.

    *secondary*: this is the secondary Region.  What it writes, it writes
    because it took over, and alone: nothing is replicated, nothing is buried.
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
        Make sure that administrators' changes are made here.

        A Region that comes back from an outage still says that it writes.  So
        the other one is asked, too; if that does not answer, this one's word
        is all there is.

        Raises:
            NotTheWriterError: If they are made in the other Region.
            NoRegionWritesError: If a failover or failback is under way.
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
        raise NotTheWriterError(self.region, self.other_region)

    def outranks(self, own: RegionState, other: RegionState) -> bool:
        """Return whether, if both Regions say that they write, this one does."""
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
        Replace the record of *client_id* by what *change* makes of it.

        *change* may be called several times, with what others wrote meanwhile.  What
        changes nothing is not written, except in the secondary Region: there the
        record may be older than the one in the Region that is gone, and what an
        operator confirmed must not be undone by failback without a question.

        Raises:
            ClientNotFoundError: If there is no such record.
            PreconditionFailedError: If it is not the version that *if_match* names.
            ConcurrentChangeError: If others were quicker, again and again.
            OutcomeUnknownError, ServiceError: If Secrets Manager does not do it.
            OperationError: Whatever *change* raises.
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
        Return whether the replica of *client_id* has *version*, or how far it has come.

        Raises:
            ClientNotFoundError: If there is no such record any more.
            ServiceError: If nobody can say.
        """
        with concerning(self.region):
            # As the standby it has what is replicated to it.
            if self.secondary and self.state.read().value.writer:
                return Replication.SUSPENDED
            try:
                return self.records.replication(client_id, version)
            except UnknownClientError:
                raise ClientNotFoundError(client_id) from None

    def replicate(self, client_id: ClientId, version: VersionId) -> Replication:
        """
        Start the replication if it is not, wait for it a little, return how far it came.

        It never fails: what was written must be answered, and `reconcile`
        replicates what is not.  From the secondary Region nothing is ever
        replicated: failback copies what was written there.
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
    Return whether, of two Regions that both say that they write, the *primary* one does.

    With equal epochs it does not: the secondary one writes only if it took over.
    """
    return primary.epoch > secondary.epoch


def require_live(record: ClientRecord) -> None:
    """
    Make sure that *record* is a client's whose life has begun and not ended.

    Raises:
        ClientEnrollingError, ClientDeletedError: If it is not.
    """
    if record.status is Status.ENROLLING:
        raise ClientEnrollingError
    if record.status is Status.DELETED:
        raise ClientDeletedError
