"""
The actions of failback on one client: `failback_plan` decides, this performs.

Before a record goes to the primary Region, failback finishes there what the loss of that
Region left undone.  It writes that in the secondary Region first, so that the primary only ever
receives what the secondary has, and operators can give up at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from chalicelib.aws.secrets_calls import CURRENT, STAGED
from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.deletion import DeletionAndRestore, is_done
from chalicelib.clients.errors import AppClientPendingError, DeletionUnfinishedError
from chalicelib.errors import OperationError, UnknownClientError, VersionConflictError
from chalicelib.http.problems import explain
from chalicelib.model import AppClient, ClientId, ClientRecord, Pending, Status, Versioned
from chalicelib.ports import Pause
from chalicelib.timing import polling
from surrogatectl.regions.failback_facts import ClientFacts
from surrogatectl.regions.failback_plan import Action
from surrogatectl.regions.region_records import RegionRecords
from surrogatectl.regions.stored_record import StoredRecord

# A replica goes a moment after it was told to.
_FORGET_PAUSES: Final = (0.3, 1.0, 2.0, 4.0, 8.0)


class CannotApplyError(Exception):
    """An action cannot be performed; the message says why."""


@dataclass(frozen=True, slots=True)
class FailbackActions:
    """
    Performs failback's actions.

    *app_clients* and *deletion* are the secondary Region's, *deletion_here* the primary's.
    """

    primary: RegionRecords
    secondary: RegionRecords
    app_clients: AppClientPair
    deletion: DeletionAndRestore
    deletion_here: DeletionAndRestore
    pause: Pause

    def apply(self, action: Action, client: ClientFacts) -> None:
        """
        Perform *action* on *client*.

        Raises:
            CannotApplyError: If a part of it cannot be done now.
            ServiceError: If somebody else writes, or a Region does not answer.
        """
        _PERFORM[action](self, client)

    # Bringing a record back

    def create(self, client: ClientFacts) -> None:
        """Create the record in the primary Region."""
        self.primary.create(client.client_id, self._finished(client))

    def copy(self, client: ClientFacts) -> None:
        """Make the secondary's record the primary's current one."""
        self._make_current(client.client_id, _read(client.here), self._finished(client))

    def restore(self, client: ClientFacts) -> None:
        """Take the primary's record out of its deletion, since its owner wants it, and copy."""
        there = self._finished(client)
        self.primary.cancel_deletion(client.client_id)
        here = polling(
            lambda: self.primary.stored([client.client_id]).get(client.client_id),
            until=lambda here: here is not None,
            pauses=(0.0, 0.0),
            pause=self.pause,
        )
        if here is None:
            raise VersionConflictError
        if here.version != there.version:
            self._make_current(client.client_id, here, there)

    def put_behind(self, client: ClientFacts) -> None:
        """Put the secondary's version behind the primary's: people can look it up there."""
        here, there = _read(client.here), _read(client.there)
        self.primary.stage(client.client_id, there)
        if STAGED in self.primary.labels(client.client_id).get(there.version, ()):
            self.primary.move(client.client_id, STAGED, to=here.version, instead_of=there.version)

    def _make_current(self, client_id: ClientId, here: StoredRecord, there: StoredRecord) -> None:
        self.primary.stage(client_id, there)
        self.primary.move(client_id, CURRENT, to=there.version, instead_of=here.version)
        record = there.record
        if record is not None:
            self.primary.update_listing(client_id, record)

    # Work that waited for the primary Region

    def _finished(self, client: ClientFacts) -> StoredRecord:
        """Finish the secondary's record where it waited for the primary; return it then."""
        there = _read(client.there)
        record = there.record
        if record is None:
            return there
        found = Versioned(record, there.version)
        finish = self._finish_app_clients
        if record.status is Status.DELETED:
            finish = self._finish_deletion
        with _explained():
            written = finish(found)
        if not written:
            return there
        return _read(self.secondary.stored([client.client_id]).get(client.client_id))

    def _finish_deletion(self, found: Versioned[ClientRecord]) -> bool:
        if is_done(found.value):
            return False
        left = self.deletion.finish(found).left
        if left:
            raise DeletionUnfinishedError(left)
        return True

    def _finish_app_clients(self, found: Versioned[ClientRecord]) -> bool:
        app_clients = found.value.app_clients
        live = {each: it for each, it in app_clients.items() if isinstance(it, AppClient)}
        pending = [each for each in reversed(self.app_clients.regions) if each not in live]
        outdated = [each for each, app_client in live.items() if app_client.outdated]
        if pending:
            found = self.app_clients.renew(found, pending, self.app_clients.key())
            for region in pending:
                made = found.value.app_clients[region]
                if isinstance(made, Pending):
                    raise AppClientPendingError(region, made.reason)
        if outdated:
            self.app_clients.align(found, outdated)
        return bool(pending or outdated)

    # Replication

    def remove(self, client: ClientFacts) -> None:
        """Delete the secondary's secret."""
        self.secondary.delete_now(client.client_id)

    def forget_replica(self, client: ClientFacts) -> None:
        """Have the primary forget the replica that it once had, within seconds."""
        self.primary.unreplicate(client.client_id)
        described = polling(
            lambda: self.primary.describe(client.client_id),
            until=lambda described: described is None or described.replica is None,
            pauses=_FORGET_PAUSES,
            pause=self.pause,
        )
        if described is not None and described.replica is not None:
            raise CannotApplyError("Its replication: the old replica is not forgotten yet; repeat.")

    def finish_deletion(self, client: ClientFacts) -> None:
        """Finish the deletion of the primary's record."""
        here = _read(client.here)
        if here.record is not None:
            with _explained("Its replication: "):
                left = self.deletion_here.finish(Versioned(here.record, here.version)).left
            if left:
                raise CannotApplyError(f"Of its deletion: {', '.join(left)}.")

    def replicate(self, client: ClientFacts) -> None:
        """Replicate the primary's record."""
        self.primary.replicate(client.client_id, overwrite=False)

    def overwrite(self, client: ClientFacts) -> None:
        """Replicate the primary's record over the secondary's."""
        self.primary.replicate(client.client_id, overwrite=True)


@contextmanager
def _explained(about: str = "") -> Iterator[None]:
    try:
        yield
    except UnknownClientError:
        raise
    except OperationError as err:
        raise CannotApplyError(f"{about}{explain(err)}") from None


def _read(stored: StoredRecord | None) -> StoredRecord:
    if stored is None:
        raise UnknownClientError
    return stored


_PERFORM: Final[Mapping[Action, Callable[[FailbackActions, ClientFacts], None]]] = {
    Action.CREATE: FailbackActions.create,
    Action.COPY: FailbackActions.copy,
    Action.RESTORE: FailbackActions.restore,
    Action.PUT_BEHIND: FailbackActions.put_behind,
    Action.REMOVE: FailbackActions.remove,
    Action.FORGET_REPLICA: FailbackActions.forget_replica,
    Action.FINISH_DELETION: FailbackActions.finish_deletion,
    Action.REPLICATE: FailbackActions.replicate,
    Action.OVERWRITE: FailbackActions.overwrite,
}
