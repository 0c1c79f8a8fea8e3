"""
Repair of drift that crashes, lost answers and manual changes in the console cause.

`repair` handles one finding of the survey, and first checks that it still is drift.
It writes records by compare-and-swap, and deletes only resources of ours that are not
young (`SETTLED_SECONDS`).  So it is safe beside any other operation, after a crash,
and when repeated.

It deletes an app client to which no record refers, even if the record of its name has
a pending one, whose lost answer it may be: a new app client costs nothing, and
somebody else may have seen the old one's secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from chalicelib import denial_shards
from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.deletion import (
    MIN_RECOVERY_DAYS,
    DeletionAndRestore,
    is_scheduled_but_alive,
    is_undone,
)
from chalicelib.clients.enrollment import abandon
from chalicelib.clients.errors import ConcurrentChangeError, DeletionUnfinishedError
from chalicelib.clients.repository import ClientRepository
from chalicelib.credentials import loggable
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
    Status,
    Versioned,
)
from chalicelib.reconciliation.app_client_survey import SETTLED_SECONDS, may_refer, settled
from chalicelib.reconciliation.drift import Drift, Kind, Outcome, Result
from chalicelib.reconciliation.replicas import StandsAloneError, restore_replica
from chalicelib.reconciliation.survey import Progress, Survey
from chalicelib.timing import RateLimiter, retrying

REPAIRS_PER_SECOND: Final = 3.0
"""Cognito's quota is 5 changes of each kind in a second, for the whole account."""


_YOUNG: Final = f"less than {SETTLED_SECONDS // 60} minutes old"


class _NothingToDoError(Exception):
    """The finding is no drift any more."""


class _LeftAloneError(Exception):
    """The finding is left to an operator or a later run; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """
    Surveys both Regions, and repairs drift from the writer Region.

    *limiter* limits the rate of repairs; *explain* returns the text of an error.
    """

    survey: Survey
    deletion: DeletionAndRestore
    limiter: RateLimiter
    explain: Callable[[OperationError], str]

    def run(self, progress: Progress) -> Iterator[Outcome]:
        """Survey, and repair each finding at once."""
        for drift in self.survey.run(progress):
            yield self.repair(drift)

    def repair(self, drift: Drift) -> Outcome:
        """
        Repair *drift*, if it still is drift.

        It raises no domain error: a failure of one repair must not prevent the others.
        """
        repair = _REPAIRS.get(drift.kind)
        if repair is None or not drift.repairable:
            return Outcome(drift, Result.LEFT_ALONE, "It is not repaired automatically.")
        try:
            self.limiter.wait()
            self._require_sole_writer()
            with concerning(drift.region):
                detail = repair(self, drift)
        except (_NothingToDoError, UnknownClientError):
            return Outcome(drift, Result.NOTHING_TO_DO)
        except _LeftAloneError as err:
            return Outcome(drift, Result.LEFT_ALONE, str(err))
        except OperationError as err:
            return Outcome(drift, Result.FAILED, self.explain(err))
        return Outcome(drift, Result.REPAIRED, detail or "")

    @property
    def _repository(self) -> ClientRepository:
        return self.survey.repository

    @property
    def _app_clients(self) -> AppClientPair:
        return self.survey.app_clients

    def _require_sole_writer(self) -> None:
        """
        Make sure that this Region is the writer, and the only one with the writer flag.

        A failover or failback under way has both Regions for itself; the secondary Region's
        state has its lease.  If the other Region does not answer, this one's own state decides.
        """
        self._repository.require_writer()
        secondary = self._repository.secondary
        try:
            state = (self._repository.state if secondary else self.survey.other_state).read().value
        except ServiceError:
            return
        if state.lease is not None and self._repository.clock() < state.lease.until:
            told = f"A {state.lease.command} of {state.lease.holder} is under way."
            raise _LeftAloneError(told)
        # After an outage, the primary Region may still have its writer flag.
        if state.writer and not secondary:
            raise _LeftAloneError("Both Regions claim to write. Correct that first.")

    def _require_both_regions_records(self) -> None:
        """Refuse a deletion if a record that only the other Region has may refer to it."""
        if self._repository.secondary:
            raise _LeftAloneError("A record in the other Region may refer to it. Fail back first.")

    def _settled(self, at: int) -> bool:
        return settled(at, self._repository.clock())

    def _live(self, drift: Drift) -> Versioned[ClientRecord]:
        """Return the record of a client that is active or disabled."""
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
            raise _LeftAloneError(f"It is {_YOUNG}, or does not carry our mark any more.")
        try:
            found = self._repository.records.read(client_id)
            if may_refer(client_id, found, app_client_id):
                raise _NothingToDoError
        except UnknownClientError:
            if is_scheduled_but_alive(self._repository.records, client_id):
                raise _LeftAloneError("Its client is not deleted, but scheduled to be.") from None
        except MalformedSecretError:
            raise _LeftAloneError("The record that may refer to it cannot be read.") from None
        pool.delete(app_client_id)

    def _make_app_client(self, drift: Drift) -> None:
        found, region = self._live(drift), drift.region
        app_client, pool = found.value.app_clients.get(region), self._app_clients.pools[region]
        if isinstance(app_client, AppClient):
            if app_client.user_pool_id != pool.user_pool_id or found.value.origin is Origin.ADOPTED:
                raise _LeftAloneError("It is in another user pool, or adopted.")
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
        # The further scopes of an adopted app client belong to its owner.
        adopted = found.value.origin is Origin.ADOPTED
        self._app_clients.align(found, [drift.region], keep_more=adopted)

    def _delete_cognito_secret(self, drift: Drift) -> None:
        self._require_both_regions_records()
        found, pool = self._live(drift), self._app_clients.pools[drift.region]
        app_client = found.value.app_clients.get(drift.region)
        if not isinstance(app_client, AppClient) or app_client.retiring is not None:
            raise _NothingToDoError
        if found.value.origin is Origin.ADOPTED:
            raise _LeftAloneError("It belongs to the owner of the adopted app client.")
        # Without a rotation in progress, the record's secret is the older one.
        try:
            later = pool.secrets(app_client.app_client_id)[1:]
        except UnknownAppClientError:
            raise _NothingToDoError from None
        if not later:
            raise _NothingToDoError
        if not self._settled(later[0].created_at):
            raise _LeftAloneError(f"It is {_YOUNG}.")
        pool.delete_secret(app_client.app_client_id, later[0].cognito_secret_id)

    # Records

    def _undo_enrollment(self, drift: Drift) -> None:
        found = self._read(drift)
        if not (found.value.status is Status.ENROLLING or is_undone(found.value)):
            raise _NothingToDoError
        if not self._settled(found.value.created_at):
            raise _LeftAloneError(f"It is {_YOUNG}.")
        records, client_id = self._repository.records, found.value.client_id
        abandon(records, found)
        records.unreplicate(client_id)
        records.schedule_deletion(client_id, MIN_RECOVERY_DAYS)

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
        try:
            restored = self._restore_replica(drift)
        except StandsAloneError:
            advice = (
                "Run `surrogatectl failback`, which brings the two together."
                if drift.secret is None
                else "Compare the two, delete the wrong one, and run `surrogatectl init`."
            )
            told = f"{drift.region} has a secret of its own in its place. {advice}"
            raise _LeftAloneError(told) from None
        if not restored:
            raise _NothingToDoError

    def _restore_replica(self, drift: Drift) -> bool:
        pause = self._repository.pause
        if drift.secret is not None:
            own = self.survey.own_secrets
            return restore_replica(drift.secret, own, partial(own.replication, drift.secret), pause)
        found, records = self._live(drift), self._repository.records
        status = partial(records.replication, found.value.client_id, found.version)
        return restore_replica(found.value.client_id, records, status, pause)

    def _update_listing(self, drift: Drift) -> None:
        records = self._repository.records

        def attempt() -> None:
            found = self._live(drift)
            records.update_listing(found.value)
            # Another writer may have updated the listing in between.
            if records.describe(found.value.client_id).version != found.version:
                raise ConcurrentChangeError

        retrying(attempt, on=ConcurrentChangeError, pauses=(0.0, 0.0))

    # Denials

    def _settle_denials(self, drift: Drift) -> str | None:
        if self._repository.secondary:
            raise _LeftAloneError("Failback merges the Regions' denials.")
        words = {region: denials.words() for region, denials in self.survey.denials.items()}
        counts, doubtful = denial_shards.settle(*words.values())
        missing = denial_shards.differing(words[drift.region], counts)
        if not missing:
            raise _NothingToDoError
        self.survey.denials[drift.region].adopt(missing)
        in_doubt = sorted(map(loggable, doubtful & missing.keys()))
        if not in_doubt:
            return None
        return f"Told contrary things at the same time, so denied: {', '.join(in_doubt)}."


_REPAIRS: Final[Mapping[Kind, Callable[[Reconciler, Drift], str | None]]] = {
    Kind.ORPHAN: Reconciler._delete_orphan,  # noqa: SLF001 - the class's own table
    Kind.APP_CLIENT_GONE: Reconciler._make_app_client,  # noqa: SLF001
    Kind.PENDING: Reconciler._make_app_client,  # noqa: SLF001
    Kind.APP_CLIENT_DIFFERS: Reconciler._align,  # noqa: SLF001
    Kind.COGNITO_SECRET: Reconciler._delete_cognito_secret,  # noqa: SLF001
    Kind.ENROLLMENT: Reconciler._undo_enrollment,  # noqa: SLF001
    Kind.DELETION: Reconciler._finish_deletion,  # noqa: SLF001
    Kind.REPLICA: Reconciler._replicate,  # noqa: SLF001
    Kind.LISTING: Reconciler._update_listing,  # noqa: SLF001
    Kind.DENIALS: Reconciler._settle_denials,  # noqa: SLF001
}


def _client_id(drift: Drift) -> ClientId:
    if drift.client_id is None:
        raise _LeftAloneError("The finding has no client ID.")
    return drift.client_id


def _app_client_id(drift: Drift) -> AppClientId:
    if drift.app_client_id is None:
        raise _LeftAloneError("The finding has no app client ID.")
    return drift.app_client_id
