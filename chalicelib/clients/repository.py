"""What every administrators' use case shares: who may write, how records change, how it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from chalicelib.errors import (
    AppClientsError,
    AppClientsRefusedError,
    AppClientsThrottledError,
    MalformedSecretError,
    OutcomeUnknownError,
    OutOfTimeError,
    ProblemError,
    ServiceError,
    StoreRefusedError,
    StoreUnavailableError,
    UnknownClientError,
    VersionConflictError,
)
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

RETRY_SECONDS: Final = 5
FENCED_SECONDS: Final = 30
"""When to try again while no Region writes."""

_ATTEMPTS: Final = 4
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
            ProblemError: If they are made in the other Region, or, while a
                failover or failback is under way, in none; it says so.
        """
        with store_problems(self.region):
            own = self.state.read().value
        try:
            other = self.other_state.read().value
        except ServiceError:
            other = None
        if other is not None and other.writer and not (own.writer and self.outranks(own, other)):
            raise self._not_the_writer()
        if own.writer:
            return
        if other is not None:
            raise ProblemError(
                503,
                "no-region-writes",
                "No Region writes at the moment",
                "A failover or a failback is under way, and administrators' changes wait for it. "
                "If it was given up: `surrogatectl failback` finishes it, and "
                "`surrogatectl failback --abort` undoes it.",
                retry_after=FENCED_SECONDS,
            )
        raise self._not_the_writer()

    def outranks(self, own: RegionState, other: RegionState) -> bool:
        """Return whether, if both Regions say that they write, this one does."""
        if self.secondary:
            return not outranks(other, own)
        return outranks(own, other)

    def _not_the_writer(self) -> ProblemError:
        return ProblemError(
            409,
            "not-the-writing-region",
            "This Region does not write",
            f"{self.region} is the standby. Send the request to the admin endpoint in "
            f"{self.other_region}, which writes; or fail over to {self.region} first.",
            extensions={"region": self.region, "writing_region": self.other_region},
        )

    def find(
        self, client_id: ClientId, if_match: VersionId | None = None
    ) -> Versioned[ClientRecord]:
        """
        Return the record of *client_id*.

        Raises:
            ProblemError: If there is none (404), or *if_match* is not its version (412).
        """
        with store_problems(self.region):
            try:
                found = self.records.read(client_id)
            except UnknownClientError:
                raise unknown_client(client_id) from None
        if if_match is not None and if_match != found.version:
            raise changed_meanwhile()
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
            ProblemError: If there is no such record, or not the version that
                *if_match* names, or whatever *change* raises.
        """
        for _ in range(_ATTEMPTS):
            found = self.find(client_id, if_match)
            record = change(found.value)
            if record == found.value and not self.secondary:
                return found
            with store_problems(self.region):
                try:
                    return Versioned(record, self.records.replace(record, found.version))
                except VersionConflictError:
                    if if_match is not None:
                        raise changed_meanwhile() from None
                except UnknownClientError:
                    raise unknown_client(client_id) from None
        raise conflict()

    def replication(self, client_id: ClientId, version: VersionId) -> Replication:
        """
        Return whether the replica of *client_id* has *version*, or how far it has come.

        Raises:
            ProblemError: If nobody can say, or there is no such record any more.
        """
        with store_problems(self.region):
            # As the standby it has what is replicated to it.
            if self.secondary and self.state.read().value.writer:
                return Replication.SUSPENDED
            try:
                return self.records.replication(client_id, version)
            except UnknownClientError:
                raise unknown_client(client_id) from None

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
            for seconds in _REPLICATION_PAUSES:
                state = self.records.replication(client_id, version)
                if state is not Replication.IN_PROGRESS:
                    return state
                self.pause(seconds)
            return self.records.replication(client_id, version)
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
        ProblemError: If it is being enrolled, or was deleted.
    """
    if record.status is Status.ENROLLING:
        raise ProblemError(
            409,
            "enrolling",
            "The client is being enrolled",
            "Its enrollment has not finished. Repeat it, or run `surrogatectl reconcile`.",
        )
    if record.status is Status.DELETED:
        raise ProblemError(
            409,
            "deleted",
            "The client was deleted",
            "Restore it first, within its recovery window.",
        )


@contextmanager
def store_problems(region: str) -> Iterator[None]:
    """Turn what Secrets Manager's adapters raise into problems that name *region*."""
    try:
        yield
    except OutOfTimeError:
        raise out_of_time(region) from None
    except OutcomeUnknownError:
        raise ProblemError(
            503,
            "outcome-unknown",
            "Secrets Manager stopped answering half-way",
            f"Whether the change was made in {region} is unknown. Read the client and see.",
            retry_after=RETRY_SECONDS,
        ) from None
    except StoreUnavailableError:
        raise ProblemError(
            503,
            "store-unavailable",
            "Secrets Manager does not answer",
            f"Secrets Manager in {region} does not answer or throttles. Try again.",
            retry_after=RETRY_SECONDS,
        ) from None
    except StoreRefusedError as err:
        raise ProblemError(
            500,
            "store-refused",
            "Secrets Manager refuses",
            f"In {region}: {err}. Check the role's policy and the key.",
        ) from None
    except MalformedSecretError as err:
        raise ProblemError(
            500,
            "malformed-secret",
            "A stored secret is missing or malformed",
            f"In {region}: {err} If this is a new deployment, run `surrogatectl init`.",
        ) from None


def out_of_time(region: str) -> ProblemError:
    """Return the problem of a call that ended before AWS had done all that it takes."""
    return ProblemError(
        503,
        "out-of-time",
        "There was no time left",
        f"AWS answers too slowly, at the end in {region}; the call was given up so that it has "
        "an answer. Read the client and see, then repeat it.",
        retry_after=RETRY_SECONDS,
    )


def unknown_client(client_id: ClientId) -> ProblemError:
    """Return the problem of a client that does not exist."""
    return ProblemError(
        404,
        "unknown-client",
        "Unknown client",
        f"There is no client {client_id}.",
        fields={"client_id": "unknown"},
    )


def conflict() -> ProblemError:
    """Return the problem of a write that lost against others."""
    return ProblemError(
        409,
        "conflict",
        "Somebody else changed it at the same time",
        "Nothing was changed by this request. Repeat it.",
        retry_after=1,
    )


def changed_meanwhile() -> ProblemError:
    """Return the problem of a write whose If-Match does not hold (RFC 9110 §13.1.1)."""
    return ProblemError(
        412,
        "changed-meanwhile",
        "Somebody else changed it meanwhile",
        "The client is not the version that If-Match names. Nothing was changed by this "
        "request. Read the client again, and repeat.",
        fields={"If-Match": "not the current version"},
    )


def app_client_gone(region: str) -> ProblemError:
    """Return the problem of a record that refers to no app client any more."""
    return ProblemError(
        409,
        "app-client-gone",
        "The app client is gone",
        f"There is no such app client in {region} any more. Run `surrogatectl reconcile`.",
    )


def cognito_problem(region: str, err: AppClientsError) -> ProblemError:
    """Return the problem that Cognito of *region* raised."""
    if isinstance(err, OutOfTimeError):
        return out_of_time(region)
    if isinstance(err, AppClientsThrottledError):
        return ProblemError(
            429,
            "cognito-throttled",
            "Cognito asks to slow down",
            f"Cognito in {region} throttles. Try again, more slowly.",
            retry_after=RETRY_SECONDS,
        )
    if isinstance(err, AppClientsRefusedError):
        if err.code == "LimitExceededException":
            detail = f"The user pool in {region} is full: raise its quota of app clients."
        else:
            detail = f"The user pool in {region} answered {err.code}."
        return ProblemError(502, "cognito-refused", "Cognito refuses", detail)
    return ProblemError(
        503,
        "cognito-unavailable",
        "Cognito does not answer",
        f"Cognito in {region} does not answer. Try again.",
        retry_after=RETRY_SECONDS,
    )
