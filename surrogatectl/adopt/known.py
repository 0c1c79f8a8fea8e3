"""
What the records know of the app clients that rows name.

All records are read, in batches, because a record under any client ID may refer
to one of them; only what refers is kept.  A list can lag behind by minutes, so
the client IDs that the rows would get are looked up by name as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from chalicelib.clients.repository import ClientRepository
from chalicelib.credentials import loggable
from chalicelib.errors import (
    InvalidCursorError,
    StoreUnavailableError,
    UnknownClientError,
    concerning,
)
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    Status,
    Versioned,
)
from chalicelib.ports import BATCH, RecordStore
from surrogatectl.adopt.rows import Candidate, Known, RefusedError

_PAGE: Final = 100

DELETED: Final = (
    "It was adopted, and the client was deleted: bring it back with `surrogatectl restore`, or "
    "wait until its recovery window is over."
)

Progress = Callable[[str, int, int | None], None]
"""Is told what is being done, how many are done, and of how many, if that is known."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The records that refer to app clients of the candidates, or have their client IDs."""

    by_app_client: dict[AppClientId, Known] = field(default_factory=dict, repr=False)
    by_client: dict[ClientId, Known | None] = field(default_factory=dict, repr=False)

    def owner(self, candidate: Candidate) -> Known | None:
        """
        Return the client that *candidate* became already, `None` if it can become one.

        Raises:
            RefusedError: If it cannot: what it would become is something else.
        """
        by_name = self.by_client.get(candidate.client_id)
        if by_name is None and candidate.client_id in self.by_client:
            raise RefusedError("There is a record of it already, which is malformed.")
        known = self.by_app_client.get(candidate.primary) or by_name
        if known is not None and known.deleted:
            raise RefusedError(DELETED)
        if known is not None and candidate.primary not in known.app_client_ids:
            raise RefusedError("It was adopted, and its client has another app client by now.")
        other = self.by_app_client.get(candidate.secondary)
        if known is None and other is not None:
            raise RefusedError(
                f"Its secondary app client is the client {loggable(other.client_id)}'s already."
            )
        return known

    def note(
        self,
        client_id: ClientId,
        found: Versioned[ClientRecord] | None,
        wanted: AbstractSet[AppClientId],
        named: AbstractSet[ClientId],
    ) -> None:
        """Keep what is *wanted* or *named* of a record; `None` stands for a malformed one."""
        known = None if found is None else _known(found)
        if client_id in named:
            self.by_client[client_id] = known
        if known is not None:
            for app_client_id in known.app_client_ids & wanted:
                self.by_app_client[app_client_id] = known


def gather_knowledge(
    repository: ClientRepository, candidates: Sequence[Candidate], progress: Progress
) -> Knowledge:
    """
    Read all records; return what they know of *candidates*.

    Raises:
        ServiceError: If they cannot be read.
    """
    knowledge = Knowledge()
    if not candidates:
        return knowledge
    wanted = {each for one in candidates for each in (one.primary, one.secondary)}
    named = {candidate.client_id for candidate in candidates}
    seen: set[ClientId] = set()
    done = 0
    with concerning(repository.region):
        for client_ids in _batches(repository.records, named, seen):
            for client_id, found in repository.records.read_many(client_ids).items():
                knowledge.note(client_id, found, wanted, named)
            done += len(client_ids)
            progress("reading records", done, None)
    return knowledge


def require_not_scheduled(records: RecordStore, client_id: ClientId) -> None:
    """
    Make sure that no record of *client_id*, which cannot be read, is marked for deletion.

    Raises:
        RefusedError: If one is: there can be no other of its name.
        StoreUnavailableError, StoreRefusedError
    """
    try:
        records.describe(client_id)
    except UnknownClientError:
        return
    raise RefusedError(DELETED)


def _batches(
    records: RecordStore, named: AbstractSet[ClientId], seen: set[ClientId]
) -> Iterator[Sequence[ClientId]]:
    """Yield all listed client IDs, then those of *named* that no list had, in batches."""
    cursor: str | None = None
    while True:
        try:
            page = records.list(cursor, _PAGE)
        except InvalidCursorError:
            # It took too long between two pages; the next run will do.
            raise StoreUnavailableError from None
        client_ids = [summary.client_id for summary in page.items]
        seen.update(client_ids)
        yield from _slices(client_ids)
        cursor = page.cursor
        if cursor is None:
            break
    yield from _slices(sorted(named - seen))


def _slices(client_ids: Sequence[ClientId]) -> Iterator[Sequence[ClientId]]:
    return (client_ids[start : start + BATCH] for start in range(0, len(client_ids), BATCH))


def _known(found: Versioned[ClientRecord]) -> Known:
    record = found.value
    return Known(
        client_id=record.client_id,
        client_name=record.client_name,
        deleted=record.status is Status.DELETED,
        secret_ids=tuple(secret.secret_id for secret in record.secrets),
        app_client_ids=frozenset(
            app_client.app_client_id
            for app_client in record.app_clients.values()
            if isinstance(app_client, AppClient)
        ),
        version=found.version,
    )
