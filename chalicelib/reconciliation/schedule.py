"""
Scheduled work of the writer Region: key refresh, survey, rotation of Cognito secrets.

It restores replicas that are missing or failed, and reports all other drift as a metric, for an
alarm.  Then it advances the rotations that are due.  The next run continues when the time is up;
rotation comes last, as it may need more time than any run has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from chalicelib.clients.app_client_rotation import AppClientRotation
from chalicelib.clients.denials import Denials
from chalicelib.clients.repository import ClientRepository
from chalicelib.denial_shards import WRITES_A_DAY
from chalicelib.errors import OperationError, ServiceError, StoreRefusedError
from chalicelib.jwks.refresh import KeyRefresh
from chalicelib.model import AppClient, ClientId, ClientRecord, Status
from chalicelib.ports import BATCH, Emit
from chalicelib.reconciliation.bulk_reads import read_each
from chalicelib.reconciliation.drift import Drift, Kind, Outcome, Result, count_by_kind
from chalicelib.reconciliation.survey import Survey
from chalicelib.telemetry import audit_line
from chalicelib.timing import RateLimiter

ROTATIONS_PER_SECOND: Final = 0.5
"""A step of a rotation makes up to five calls to Cognito, within the account's quotas."""

SCHEDULE: Final = "schedule"
"""Caller in the audit lines of scheduled work."""

_PAGE: Final = 100
_DAY: Final = 86_400
# Longest time of a rotation step, or of one read of the survey with its retries and
# the wait for replicas.
_RESERVE_SECONDS: Final = 75.0

Remaining = Callable[[], float]
"""Returns the remaining seconds."""


class _OutOfTimeError(Exception):
    """The time is up; the next run continues."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """
    Scheduled work.

    It rotates Cognito secrets older than *rotate_after_days*, none if that is 0.  *repair*
    repairs a finding of *survey*.
    """

    repository: ClientRepository
    keys: KeyRefresh
    survey: Survey
    repair: Callable[[Drift], Outcome]
    denials: Mapping[str, Denials]
    rotation: AppClientRotation
    rotate_after_days: int
    limiter: RateLimiter
    slug_of: Callable[[OperationError], str] = field(repr=False)
    emit: Emit = field(repr=False)

    def run(self, remaining: Remaining) -> None:
        """Do the work for which *remaining* leaves time, and log it."""
        try:
            self.repository.require_writer()
        except OperationError as err:
            self.emit({"event": "upkeep", "outcome": self.slug_of(err)})
            return
        self.emit(self.keys.refresh())
        self._look_for_drift(remaining)
        self._measure_denials()
        if not self.repository.secondary:
            # A rotation cannot end before the other Region has the new secret.
            self._rotate(remaining)

    def _measure_denials(self) -> None:
        """Log how much of a day's changes each Region's denials have used up, for an alarm."""
        for region, denials in self.denials.items():
            try:
                used = denials.fullest() / WRITES_A_DAY
            except ServiceError:
                continue  # a Region that is lost, or whose denials the survey reports
            self.emit({"event": "denials", "of": region, "used_percent": round(used * 100)})

    def _look_for_drift(self, remaining: Remaining) -> None:
        def require_time() -> None:
            if remaining() < _RESERVE_SECONDS:
                raise _OutOfTimeError

        found = []
        complete = True
        try:
            drifts = self.survey.run(
                _no_progress,
                thorough=False,
                many_orphans=True,  # it deletes none
                before_each=require_time,
            )
            for drift in drifts:
                found.append(drift)  # noqa: PERF402 - findings before an early end count
        except _OutOfTimeError:
            complete = False
        counts = count_by_kind(self._left_of(found, remaining))
        self.emit({"event": "reconcile", "complete": complete, "drift": counts})

    def _left_of(self, found: Iterable[Drift], remaining: Remaining) -> Iterator[Drift]:
        """Restore replicas, as long as there is time; yield all findings that are left."""
        for drift in found:
            is_replica = drift.kind is Kind.REPLICA and drift.repairable
            if is_replica and remaining() >= _RESERVE_SECONDS:
                outcome = self.repair(drift)
                line = audit_line("reconcile", SCHEDULE, drift.client_id, None, outcome.result)
                self.emit(line | {"kind": drift.kind, "repaired_in": drift.region})
                if outcome.result in {Result.REPAIRED, Result.NOTHING_TO_DO}:
                    continue
            yield drift

    def _rotate(self, remaining: Remaining) -> None:
        if not self.rotate_after_days:
            return
        due_before = int(self.repository.clock()) - self.rotate_after_days * _DAY
        steps: Counter[str] = Counter()
        for record in self._records():
            if remaining() < _RESERVE_SECONDS:
                break
            if _needs_rotation(record, due_before):
                steps.update(self._advance(record.client_id, due_before))
        self.emit({"event": "upkeep", "outcome": "done", "steps": dict(steps)})

    def _advance(self, client_id: ClientId, due_before: int) -> list[str]:
        self.limiter.wait()
        steps: dict[str, str] = {}
        try:
            steps |= self.rotation.advance(client_id, due_before=due_before)
        except OperationError as err:
            self._audit(client_id, self.slug_of(err), steps)
            return ["failed"]
        self._audit(client_id, "done", steps)
        return list(steps.values())

    def _audit(self, client_id: ClientId, outcome: str, steps: Mapping[str, str]) -> None:
        """Log the same audit line as an administrator's call."""
        line = audit_line("rotate-app-clients", SCHEDULE, client_id, None, outcome)
        self.emit(line | {"app_clients": dict(steps)})

    def _records(self) -> Iterator[ClientRecord]:
        cursor: str | None = None
        try:
            while True:
                page = self.repository.records.list(cursor, _PAGE)
                ids = [summary.client_id for summary in page.items]
                for start in range(0, len(ids), BATCH):
                    yield from self._readable(ids[start : start + BATCH])
                cursor = page.cursor
                if cursor is None:
                    return
        except ServiceError as err:
            self.emit({"event": "upkeep", "outcome": type(err).__name__})

    def _readable(self, client_ids: Sequence[ClientId]) -> Iterator[ClientRecord]:
        """Yield the records that can be read; a refused one does not end the run."""
        try:
            records = read_each(self.repository.records, client_ids)
        except StoreRefusedError as err:
            self.emit({"event": "upkeep", "outcome": type(err).__name__})
            return
        yield from (found.value for found in records.values() if found)


def _needs_rotation(record: ClientRecord, due_before: int) -> bool:
    """Return whether an app client of *record* is due for rotation, or being rotated."""
    app_clients = [
        app_client
        for app_client in record.app_clients.values()
        if isinstance(app_client, AppClient)
    ]
    live = record.status in {Status.ACTIVE, Status.DISABLED}
    return live and any(
        app_client.retiring or app_client.secret_since < due_before for app_client in app_clients
    )


def _no_progress(_done: int, _total: int | None) -> None:
    """Report no progress."""
