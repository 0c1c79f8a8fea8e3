"""
Reconciliation: finds and mends what crashes, lost answers and hands in the console leave.

The survey finds, `repair` mends one finding.  It looks again first: what is no
drift any more it leaves.  It writes records by compare-and-swap, and it deletes
only what carries our mark and is not young (`SETTLED_SECONDS`); so it is safe
beside any other operation, safe to crash, and safe to repeat.

An app client that no record refers to is deleted, even if the record of its
name has one pending, of which it may be the lost answer: a new app client
costs nothing, and who else may have seen the old one's secret nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.deletion import DeletionAndRestore, is_scheduled_but_alive, is_undone
from chalicelib.clients.denials import Denials
from chalicelib.clients.errors import ConcurrentChangeError, DeletionUnfinishedError
from chalicelib.clients.repository import ClientRepository
from chalicelib.errors import (
    AppClientsUnreachableError,
    MalformedSecretError,
    OperationError,
    ServiceError,
    UnknownAppClientError,
    UnknownClientError,
    concerning,
)
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    Origin,
    Replication,
    Status,
    Versioned,
)
from chalicelib.reconciliation.app_client_survey import may_refer, settled
from chalicelib.reconciliation.drift import Drift, Kind, Outcome, Result
from chalicelib.reconciliation.survey import Progress, Survey
from chalicelib.timing import RateLimiter, retrying

REPAIRS_PER_SECOND: Final = 3.0
"""Cognito takes 5 changes of each kind in a second, from everybody."""


class _NothingToDoError(Exception):
    """Looked at again, it is no drift any more."""


class _LeftAloneError(Exception):
    """It is for people, or for later; why, in words."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """
    Surveys both Regions, and repairs what is found from the one that writes.

    *denials* maps both Regions' names to theirs; *pace* is that of the repairs;
    *explain* puts an error into words.
    """

    survey: Survey
    deletion: DeletionAndRestore
    denials: Mapping[str, Denials]
    limiter: RateLimiter
    explain: Callable[[OperationError], str]

    def run(self, progress: Progress) -> Iterator[Outcome]:
        """Survey, and repair what is found as it is found."""
        for drift in self.survey.run(progress):
            yield self.repair(drift)

    def repair(self, drift: Drift) -> Outcome:
        """
        Mend *drift*, if it still is one.

        It raises nothing: what is wrong with one finding is no reason to leave
        the others as they are.
        """
        mend = _REPAIRS.get(drift.kind)
        if mend is None or not drift.repairable:
            return Outcome(drift, Result.LEFT_ALONE, "It is not repaired automatically.")
        try:
            self.limiter.wait()
            self._require_sole_writer()
            with concerning(drift.region):
                mend(self, drift)
        except (_NothingToDoError, UnknownClientError):
            return Outcome(drift, Result.NOTHING_TO_DO)
        except _LeftAloneError as err:
            return Outcome(drift, Result.LEFT_ALONE, str(err))
        except OperationError as err:
            return Outcome(drift, Result.FAILED, self.explain(err))
        return Outcome(drift, Result.REPAIRED)

    @property
    def _repository(self) -> ClientRepository:
        return self.survey.repository

    @property
    def _app_clients(self) -> AppClientPair:
        return self.survey.app_clients

    def _require_sole_writer(self) -> None:
        """
        Make sure that this Region writes, and that the other one does not claim to.

        If that one does not answer, this one's word is all there is.
        """
        self._repository.require_writer()
        if self._repository.secondary:
            return  # the other one may not know yet that this one took over
        try:
            both = self.survey.other_state.read().value.writer
        except ServiceError:
            return
        if both:
            raise _LeftAloneError("Both Regions claim to write: settle that first.")

    def _require_both_regions_records(self) -> None:
        """Delete nothing to which a record may refer that only the other Region has."""
        if self._repository.secondary:
            raise _LeftAloneError("A record in the other Region may know it: fail back first.")

    def _settled(self, at: int) -> bool:
        return settled(at, self._repository.clock())

    def _live(self, drift: Drift) -> Versioned[ClientRecord]:
        """Return the record, of a client whose life has begun and not ended."""
        found = self._read(drift)
        if found.value.status not in {Status.ACTIVE, Status.DISABLED}:
            raise _NothingToDoError
        return found

    def _read(self, drift: Drift) -> Versioned[ClientRecord]:
        found = self._repository.records.read(_client_id(drift))
        if found.value.client_id != drift.client_id:
            raise _LeftAloneError("The record is not this client's.")
        return found

    # App clients

    def _delete_orphan(self, drift: Drift) -> None:
        self._require_both_regions_records()
        client_id, app_client_id = _client_id(drift), _app_client_id(drift)
        pool = self._app_clients.pools[drift.region]
        try:
            view = pool.describe(app_client_id)
        except UnknownAppClientError:
            raise _NothingToDoError from None
        if not pool.is_marked(view, client_id) or not self._settled(view.created_at):
            raise _LeftAloneError("It is young, or does not carry our mark any more.")
        try:
            found = self._repository.records.read(client_id)
            if may_refer(client_id, found, app_client_id):
                raise _NothingToDoError
        except UnknownClientError:
            if is_scheduled_but_alive(self._repository.records, client_id):
                raise _LeftAloneError("Its client is marked for deletion, but alive.") from None
        except MalformedSecretError:
            raise _LeftAloneError("The record that may refer to it cannot be read.") from None
        pool.delete(app_client_id)

    def _make_app_client(self, drift: Drift) -> None:
        found, region = self._live(drift), drift.region
        app_client, pool = found.value.app_clients.get(region), self._app_clients.pools[region]
        if isinstance(app_client, AppClient):
            if app_client.user_pool_id != pool.user_pool_id or found.value.origin is Origin.ADOPTED:
                raise _LeftAloneError("It is in another user pool, or its owner's.")
            try:
                pool.describe(app_client.app_client_id)
            except UnknownAppClientError:
                pass
            else:
                raise _NothingToDoError
        made = self._app_clients.renew(found, [region], self._app_clients.key()).value
        if not isinstance(made.app_clients[region], AppClient):
            raise AppClientsUnreachableError

    def _align(self, drift: Drift) -> None:
        found = self._live(drift)
        if not isinstance(found.value.app_clients.get(drift.region), AppClient):
            raise _NothingToDoError
        # What an adopted one may beyond the record is its owner's business.
        adopted = found.value.origin is Origin.ADOPTED
        self._app_clients.align(found, [drift.region], keep_more=adopted)

    def _delete_cognito_secret(self, drift: Drift) -> None:
        self._require_both_regions_records()
        found, pool = self._live(drift), self._app_clients.pools[drift.region]
        app_client = found.value.app_clients.get(drift.region)
        if not isinstance(app_client, AppClient) or app_client.retiring is not None:
            raise _NothingToDoError
        if found.value.origin is Origin.ADOPTED:
            raise _LeftAloneError("It is its owner's.")
        # The record knows one, and no rotation is under way: it is the older one.
        try:
            _, *later = pool.secrets(app_client.app_client_id)
        except UnknownAppClientError:
            raise _NothingToDoError from None
        if not later:
            raise _NothingToDoError
        if not self._settled(later[0].created_at):
            raise _LeftAloneError("It is young.")
        pool.delete_secret(app_client.app_client_id, later[0].cognito_secret_id)

    # Records

    def _undo_enrollment(self, drift: Drift) -> None:
        found = self._read(drift)
        if not (found.value.status is Status.ENROLLING or is_undone(found.value)):
            raise _NothingToDoError
        if not self._settled(found.value.created_at):
            raise _LeftAloneError("It is young.")
        # Secrets Manager deletes whatever stands there; so first make sure of
        # what that is, and that no repeat can go on with it.
        tombstone = replace(found.value, status=Status.DELETED)
        self._repository.records.replace(tombstone, found.version)
        self._repository.records.unreplicate(tombstone.client_id)
        self._repository.records.delete_now(tombstone.client_id)

    def _finish_deletion(self, drift: Drift) -> None:
        found = self._read(drift)
        if found.value.status is not Status.DELETED or is_undone(found.value):
            raise _NothingToDoError
        left = self.deletion.finish(found).left
        if left:
            raise DeletionUnfinishedError(left)

    def _replicate(self, drift: Drift) -> None:
        if self._repository.secondary:
            raise _LeftAloneError("Nothing is replicated until failback.")
        found = self._live(drift)
        state = self._repository.records.replication(found.value.client_id, found.version)
        if state is not Replication.MISSING:
            raise _NothingToDoError
        self._repository.records.replicate(found.value.client_id)

    def _update_listing(self, drift: Drift) -> None:
        records = self._repository.records

        def attempt() -> None:
            found = self._live(drift)
            records.update_listing(found.value)
            # Another writer meanwhile may have updated the listing before this did.
            if records.describe(found.value.client_id).version != found.version:
                raise ConcurrentChangeError

        retrying(attempt, on=ConcurrentChangeError, pauses=(0.0, 0.0))

    # The Regions' states

    def _deny(self, drift: Drift) -> None:
        if self._repository.secondary:
            raise _LeftAloneError("Failback brings the Regions' denials together.")
        denied = {region: denials.list() for region, denials in self.denials.items()}
        missing = frozenset[ClientId]().union(*denied.values()) - denied[drift.region]
        if not missing:
            raise _NothingToDoError
        self.denials[drift.region].change(deny=missing, allow=())


_REPAIRS: Final[Mapping[Kind, Callable[[Reconciler, Drift], None]]] = {
    Kind.ORPHAN: Reconciler._delete_orphan,  # noqa: SLF001 - the class's own table
    Kind.APP_CLIENT_GONE: Reconciler._make_app_client,  # noqa: SLF001
    Kind.PENDING: Reconciler._make_app_client,  # noqa: SLF001
    Kind.APP_CLIENT_DIFFERS: Reconciler._align,  # noqa: SLF001
    Kind.COGNITO_SECRET: Reconciler._delete_cognito_secret,  # noqa: SLF001
    Kind.ENROLLMENT: Reconciler._undo_enrollment,  # noqa: SLF001
    Kind.DELETION: Reconciler._finish_deletion,  # noqa: SLF001
    Kind.REPLICA: Reconciler._replicate,  # noqa: SLF001
    Kind.LISTING: Reconciler._update_listing,  # noqa: SLF001
    Kind.DENIALS: Reconciler._deny,  # noqa: SLF001
}


def _client_id(drift: Drift) -> ClientId:
    if drift.client_id is None:
        raise _LeftAloneError("It names no client.")
    return drift.client_id


def _app_client_id(drift: Drift) -> AppClientId:
    if drift.app_client_id is None:
        raise _LeftAloneError("It names no app client.")
    return drift.app_client_id
