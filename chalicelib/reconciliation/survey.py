"""
Survey: finds the drift of both Regions from the records.

It changes nothing.  It keeps little more than each client's list entry in memory, and
reads records in batches.

While the secondary Region writes, the other one's records may be newer or older, until
failback.  So the survey then compares no replicas and no denials, and reports no
orphans, as a record in the other Region may refer to them.

A list can be minutes old (documentation of ListSecrets).  So the survey reads a
resource that a list lacks by its name before it reports it as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from chalicelib import denial_shards
from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.deletion import is_done, is_scheduled_but_alive, is_undone
from chalicelib.clients.denials import Denials
from chalicelib.clients.repository import ClientRepository
from chalicelib.credentials import loggable
from chalicelib.denial_shards import Words
from chalicelib.errors import MalformedSecretError, UnknownClientError
from chalicelib.model import (
    ClientId,
    ClientRecord,
    ClientSummary,
    RegionState,
    Replication,
    Status,
    Versioned,
    VersionId,
)
from chalicelib.ports import ManyRecordsReader, ReplicatedSecrets, StateStore, unlimited
from chalicelib.reconciliation.app_client_survey import AppClientSurvey, Records, batches, settled
from chalicelib.reconciliation.bulk_reads import (
    SECRETS_MANAGER,
    BulkReader,
    NoAnswerError,
    read_each,
)
from chalicelib.reconciliation.drift import Drift, Kind

BEHIND_SECONDS: Final = 30
"""A replica that is behind for longer is drift."""

_UNREPLICATED: Final = {
    Replication.MISSING: "There is no replica.",
    Replication.FAILED: "The replication failed; DescribeSecret shows why.",
}
_PAGE: Final = 100
_NAMED: Final = 5

Progress = Callable[[int, int | None], object]
"""Takes (listed, `None`) while clients are listed, then (surveyed, listed)."""


@dataclass(frozen=True, slots=True)
class Survey:
    """
    Survey of all clients, from the writer Region.

    *other_state* is the other Region's state, *denials* maps both Regions to theirs, and
    *replicas* reads the records there; *own_secrets* are the deployment's own that are
    replicated.
    """

    repository: ClientRepository
    app_clients: AppClientPair
    other_state: StateStore
    denials: Mapping[str, Denials]
    replicas: ManyRecordsReader
    own_secrets: ReplicatedSecrets

    def run(
        self,
        progress: Progress,
        *,
        thorough: bool = True,
        many_orphans: bool = False,
        before_each: Callable[[], object] = unlimited,
    ) -> Iterator[Drift]:
        """
        Yield each finding at once.

        Unless *thorough*, an app client in Cognito's list counts as matching its record:
        that saves two calls for each, and so an hour for ten thousand.  The last
        findings, of kind `unknown`, are parts that the survey could not read.  Above a share
        of all app clients, orphans are not repairable, except with *many_orphans*.

        It calls *before_each* before each request; an error of it ends the survey, even
        while there are no findings.
        """
        run = _Run(self, progress, before_each, thorough=thorough, many_orphans=many_orphans)
        return run.findings()


class _Run:
    """State of one survey."""

    def __init__(
        self,
        survey: Survey,
        progress: Progress,
        before_each: Callable[[], object],
        *,
        thorough: bool,
        many_orphans: bool,
    ) -> None:
        self._repository, self._records = survey.repository, survey.repository.records
        self._region, self._other = survey.app_clients.regions
        self._states = {self._region: survey.repository.state, self._other: survey.other_state}
        self._denials = survey.denials
        self._replicas = survey.replicas
        self._own_secrets = survey.own_secrets
        self._progress = progress
        self._reader = BulkReader(survey.repository, before_each)
        self._app_clients = AppClientSurvey(
            survey.app_clients,
            self._reader,
            survey.repository.clock,
            thorough=thorough,
            many_orphans=many_orphans,
        )
        self._behind: list[tuple[ClientId, VersionId]] = []
        self._behind_at = 0.0
        self._alive: set[ClientId] = set()

    def findings(self) -> Iterator[Drift]:
        """Yield all findings."""
        states: dict[str, RegionState] = {}
        yield from self._region_states(states)
        yield from self._denials_of(states)
        if self._writes(states):
            yield from self._own_replicas()
            yield from self._clients()
        else:
            # Its records may be outdated or missing.
            detail = f"{self._region} is not known to write: its clients were not looked at."
            yield Drift(Kind.UNKNOWN, self._region, None, detail, repairable=False)
        yield from self._reader.unanswered()

    def _region_states(self, states: dict[str, RegionState]) -> Iterator[Drift]:
        """Compare the Regions' states, and put them into *states*."""
        for region, store in self._states.items():
            try:
                states[region] = self._reader.read(SECRETS_MANAGER, region, store.read).value
            except MalformedSecretError as err:
                yield Drift(Kind.MALFORMED, region, None, str(err), repairable=False)
            except NoAnswerError:
                continue
        if len(states) < len(self._states):
            return
        writers = [region for region, state in states.items() if state.writer]
        if not writers or (len(writers) > 1 and not self._alone(states)):
            detail = "Both Regions claim to write." if writers else "No Region writes."
            yield Drift(Kind.WRITER, self._region, None, detail, repairable=False)

    def _denials_of(self, states: dict[str, RegionState]) -> Iterator[Drift]:
        """Compare the Regions' denials, unless a failback will."""
        if len(states) < len(self._states) or self._alone(states):
            return
        words: dict[str, Words] = {}
        for region, denials in self._denials.items():
            try:
                words[region] = self._reader.read(SECRETS_MANAGER, region, denials.words)
            except MalformedSecretError as err:
                yield Drift(Kind.MALFORMED, region, None, str(err), repairable=False)
            except NoAnswerError:
                continue
        if len(words) < len(self._denials):
            return
        counts, _ = denial_shards.settle(*words.values())
        for region, other in ((self._region, self._other), (self._other, self._region)):
            missing = denial_shards.differing(words[region], counts)
            if missing:
                said = [
                    f"{loggable(each)} ({'denied' if word.denied else 'allowed'})"
                    for each, word in sorted(missing.items())
                ]
                named = ", ".join(said[:_NAMED]) + (", …" if len(said) > _NAMED else "")
                detail = f"{len(missing)} clients, last told in {other}: {named}"
                yield Drift(Kind.DENIALS, region, None, detail, repairable=True)

    def _writes(self, states: dict[str, RegionState]) -> bool:
        """Return whether this Region is the writer; its flag may be outdated after an outage."""
        own, other = states.get(self._region), states.get(self._other)
        if own is None or not own.writer:
            return False
        return other is None or not other.writer or self._repository.outranks(own, other)

    def _alone(self, states: dict[str, RegionState]) -> bool:
        return self._repository.secondary and self._writes(states)

    def _own_replicas(self) -> Iterator[Drift]:
        if self._repository.secondary:
            return
        for name in self._own_secrets.names:
            read = partial(self._own_secrets.replication, name)
            try:
                state = self._reader.read(SECRETS_MANAGER, self._region, read)
            except (UnknownClientError, NoAnswerError):
                continue
            if state in _UNREPLICATED:
                detail = f"{name}: {_UNREPLICATED[state]}"
                yield Drift(Kind.REPLICA, self._other, None, detail, repairable=True, secret=name)

    def _clients(self) -> Iterator[Drift]:
        try:
            listed = self._list()
        except NoAnswerError:
            return
        self._app_clients.list()
        done = 0
        for batch in batches(listed):
            here = self._read(batch)
            there = None if self._repository.secondary else self._read_there(batch)
            for client_id in batch:
                if here is not None and client_id in here:
                    yield from self._client(listed[client_id], here[client_id], there)
                done += 1
                self._progress(done, len(listed))
        if not self._repository.secondary:
            yield from self._app_clients.orphans(self._read_for_orphans)
        yield from self._scheduled_but_alive()
        yield from self._still_behind()

    def _list(self) -> dict[ClientId, ClientSummary]:
        """Return the list as a whole, so that repairs of findings change none of its pages."""
        listed: dict[ClientId, ClientSummary] = {}
        cursor: str | None = None
        while True:
            read = partial(self._records.list, cursor, _PAGE)
            page = self._reader.read(SECRETS_MANAGER, self._region, read)
            listed |= {each.client_id: each for each in page.items}
            self._progress(len(listed), None)
            cursor = page.cursor
            if cursor is None:
                return listed

    def _read(self, client_ids: Sequence[ClientId]) -> Records | None:
        """Return the records, `None` if Secrets Manager does not answer."""
        read = partial(read_each, self._records, client_ids)
        try:
            return self._reader.read(SECRETS_MANAGER, self._region, read, about=len(client_ids))
        except NoAnswerError:
            return None

    def _read_for_orphans(self, client_ids: Sequence[ClientId]) -> Records | None:
        """Return the records; `None` for one that is scheduled for deletion, but alive."""
        found = self._read(client_ids)
        if found is None:
            return None
        unreadable: dict[ClientId, Versioned[ClientRecord] | None] = {}
        for client_id in client_ids:
            if client_id not in found:
                read = partial(is_scheduled_but_alive, self._records, client_id)
                try:
                    if self._reader.read(SECRETS_MANAGER, self._region, read):
                        unreadable[client_id] = None
                        self._alive.add(client_id)
                except NoAnswerError:
                    unreadable[client_id] = None
        return {**found, **unreadable}

    def _scheduled_but_alive(self) -> Iterator[Drift]:
        for client_id in sorted(self._alive):
            detail = (
                "The deletion of its record is scheduled, but the client is not deleted. "
                "Run `surrogatectl restore`, unless it is to be deleted."
            )
            yield Drift(Kind.DELETION, self._region, client_id, detail, repairable=False)

    def _read_there(self, client_ids: Sequence[ClientId]) -> Records | None:
        read = partial(read_each, self._replicas, client_ids)
        try:
            return self._reader.read(SECRETS_MANAGER, self._other, read, about=len(client_ids))
        except NoAnswerError:
            return None

    def _client(
        self,
        listed: ClientSummary,
        found: Versioned[ClientRecord] | None,
        there: Records | None,
    ) -> Iterator[Drift]:
        client_id = listed.client_id
        if found is None or found.value.client_id != client_id:
            detail = "The record cannot be read, or is not this client's."
            yield Drift(Kind.MALFORMED, self._region, client_id, detail, repairable=False)
            return
        record = found.value
        claimed = self._app_clients.claim(record)
        if record.status is Status.ENROLLING or is_undone(record):
            if settled(record.created_at, self._repository.clock()):
                detail = "An enrollment ended half-way; nobody received its secret."
                yield Drift(Kind.ENROLLMENT, self._region, client_id, detail, repairable=True)
        elif record.status is Status.DELETED:
            # Failback schedules the deletion of the secondary Region's tombstones.
            if not (self._repository.secondary and is_done(record)):
                detail = "A deletion ended half-way."
                yield Drift(Kind.DELETION, self._region, client_id, detail, repairable=True)
        else:
            yield from self._app_clients.of(record, claimed)
            if there is not None:
                yield from self._replica(found, there.get(client_id))
            if listed != ClientSummary.of(record):
                yield from self._listing(record)

    def _replica(
        self, found: Versioned[ClientRecord], replica: Versioned[ClientRecord] | None
    ) -> Iterator[Drift]:
        if replica is not None and replica.version == found.version:
            return
        client_id = found.value.client_id
        try:
            state = self._replication(client_id, found.version)
        except (UnknownClientError, NoAnswerError):
            return
        if state in {Replication.IN_PROGRESS, Replication.UNKNOWN}:
            self._behind.append((client_id, found.version))
            self._behind_at = self._repository.clock()
        else:
            yield from self._unreplicated(client_id, state)

    def _still_behind(self) -> Iterator[Drift]:
        """Check the replicas that were behind again, after `BEHIND_SECONDS`."""
        seconds = self._behind_at + BEHIND_SECONDS - self._repository.clock()
        if self._behind and seconds > 0:
            self._repository.pause(min(seconds, BEHIND_SECONDS))
        for client_id, version in self._behind:
            try:
                state = self._replication(client_id, version)
                if state is Replication.IN_PROGRESS and version != self._entry(client_id).version:
                    continue  # somebody wrote it meanwhile
            except (UnknownClientError, NoAnswerError):
                continue
            yield from self._unreplicated(client_id, state)

    def _unreplicated(self, client_id: ClientId, state: Replication) -> Iterator[Drift]:
        if state is Replication.UNKNOWN:
            unknown = "The Region does not answer: its replica was not looked at."
            yield Drift(Kind.UNKNOWN, self._other, client_id, unknown, repairable=False)
            return
        detail = _UNREPLICATED.get(state)
        if state is Replication.IN_PROGRESS:
            detail = f"The replica is behind for {BEHIND_SECONDS} s or more."
        if detail is not None:
            repairable = state in _UNREPLICATED
            yield Drift(Kind.REPLICA, self._other, client_id, detail, repairable)

    def _listing(self, record: ClientRecord) -> Iterator[Drift]:
        """Compare the current list entry; the one in the list may be old."""
        try:
            entry = self._entry(record.client_id).value
        except (UnknownClientError, NoAnswerError):
            return
        if entry != ClientSummary.of(record):
            detail = "The client's list entry differs from its record."
            yield Drift(Kind.LISTING, self._region, record.client_id, detail, repairable=True)

    def _replication(self, client_id: ClientId, version: VersionId) -> Replication:
        read = partial(self._records.replication, client_id, version)
        return self._reader.read(SECRETS_MANAGER, self._region, read)

    def _entry(self, client_id: ClientId) -> Versioned[ClientSummary]:
        read = partial(self._records.describe, client_id)
        return self._reader.read(SECRETS_MANAGER, self._region, read)
