"""
Adopts what was examined, so that a crash at any point loses nothing:

1. newly issued credentials go into the credentials file, onto the disk;
2. the record is created, complete and active: the lock, and the moment from
   which the client is adopted;
3. its replication starts.

A next run takes the credentials of step 1 from the file, and repeats step 3.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from chalicelib.clients.app_clients import AppClientPair
from chalicelib.credentials import RandomBytes, SecretHasher, issue, secret_id
from chalicelib.errors import (
    ClientExistsError,
    MalformedSecretError,
    ServiceError,
    StoreRefusedError,
    StoreUnavailableError,
    UnknownClientError,
)
from chalicelib.model import (
    ClientId,
    ClientRecord,
    IssuedCredentials,
    Replication,
    VersionId,
)
from surrogatectl.adopt import plan
from surrogatectl.adopt.examine import Already, Examination
from surrogatectl.adopt.file import CredentialsFile, CredentialsFileError
from surrogatectl.adopt.known import Progress, require_not_scheduled
from surrogatectl.adopt.rows import Adoptable, Outcome, RefusedError, Standing
from surrogatectl.cli.audit import Audit, unaudited

_CREATE_PAUSES: Final = (0.0, 1.0, 3.0)
_REPLICATION_PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 4.0)

_VOID_LINE: Final = "Its line in the credentials file is void: the client has another secret."


class _LostError(RefusedError):
    """Somebody else created the record."""


class _StopError(Exception):
    """A failure that every further client would meet; the text says which."""


class _DeniedError(_StopError):
    """Secrets Manager refused to create the record."""


@dataclass(slots=True)
class _Replica:
    version: VersionId
    state: Replication


@dataclass(frozen=True, slots=True)
class Adopter:
    """
    Makes clients of the app clients that were examined.

    *regions* are the primary Region's name and the secondary's; *audit* is
    told of every client that was tried.
    """

    app_clients: AppClientPair
    hasher: SecretHasher
    random_bytes: RandomBytes = field(repr=False)
    regions: tuple[str, str]
    audit: Audit = unaudited

    def adopt(
        self, examined: Examination, file: CredentialsFile | None, progress: Progress
    ) -> list[Outcome]:
        """
        Adopt what can be; return what became of every row.

        New credentials are issued into *file*; without one, clients keep theirs.

        Raises:
            OperationError: If this is not the writing Region, or the deployment
                key cannot be read.
        """
        self.app_clients.repository.require_writer()
        key = self.app_clients.key()
        outcomes = list(examined.refused)
        replicas: dict[ClientId, _Replica] = {}
        for already in examined.already:
            known = already.known
            # An earlier run may have ended before this.
            replicas[known.client_id] = _Replica(known.version, self._replicate(known.client_id))
            outcomes += _with_void_line(already, file)
        stopped = ""
        for number, adoptable in enumerate(examined.adoptable, start=1):
            reason = stopped and f"It was not tried. {stopped}"
            if not stopped:
                try:
                    version = self._adopt(adoptable, key, file)
                    state = self._replicate(adoptable.client_id)
                    replicas[adoptable.client_id] = _Replica(version, state)
                except _StopError as err:
                    reason = stopped = str(err)
                except RefusedError as err:
                    reason = str(err)
                if reason:
                    self.audit(adoptable.client_id, (), "stopped" if stopped else "refused")
            standing = Standing.REFUSED if reason else Standing.ADOPTED
            outcomes += adoptable.outcomes(standing, reason)
            progress("adopting", number, len(examined.adoptable))
        self._settle(replicas, progress)
        return [
            replace(each, replication=replicas[each.client_id].state)
            if each.client_id in replicas
            else each
            for each in outcomes
        ]

    def _adopt(self, adoptable: Adoptable, key: bytes, file: CredentialsFile | None) -> VersionId:
        now = int(self.app_clients.repository.clock())
        issued, added = _kept(adoptable), False
        if file is not None:
            issued, added = self._issued(adoptable, file)
        first = adoptable.rows[0]
        app_clients = {
            region: plan.app_client(
                pair, adoptable.client_id, self.app_clients.pools[region].user_pool_id, key, now
            )
            for region, pair in zip(self.regions, (first.primary, first.secondary), strict=True)
        }
        secrets = tuple(self.hasher.hash(each, now=now) for each in issued)
        try:
            version = self._create(plan.record(adoptable, secrets, app_clients, now))
        except (_LostError, _DeniedError):
            if file is not None and added:
                file.take_back()
            raise
        self.audit(adoptable.client_id, [each.secret_id for each in secrets], "done")
        return version

    def _issued(
        self, adoptable: Adoptable, file: CredentialsFile
    ) -> tuple[tuple[IssuedCredentials], bool]:
        """Return credentials that are in *file*, and whether they are new there."""
        found = file.find(adoptable.client_id)
        if found is not None:
            return (found,), False
        issued = issue(adoptable.client_id, self.random_bytes)
        try:
            file.add(issued, adoptable)
        except CredentialsFileError as err:
            raise _StopError(str(err)) from None
        return (issued,), True

    def _create(self, record: ClientRecord) -> VersionId:
        """Create *record*; if nobody can say whether that was done, look and try again."""
        repository, tried = self.app_clients.repository, False
        for seconds in _CREATE_PAUSES:
            repository.pause(seconds)
            try:
                return repository.records.create(record)
            except StoreRefusedError as err:
                why = f"{err}. Check the role's policy and the key."
                if tried:
                    # An earlier try may have arrived: its line in the file must stay.
                    why += " Run this again: whether it was adopted is unknown."
                    raise _StopError(why) from None
                raise _DeniedError(why) from None
            except (ClientExistsError, StoreUnavailableError):
                version = self._found(record)
            if version is not None:
                return version
            tried = True
        raise _StopError(
            f"Secrets Manager in {repository.region} does not answer; whether it was adopted is "
            "unknown. Run this again."
        )

    def _found(self, record: ClientRecord) -> VersionId | None:
        """
        Return the version of *record* if it is there after all.

        Raises:
            RefusedError: If something else is in its place.
        """
        repository = self.app_clients.repository
        try:
            found = repository.records.read(record.client_id)
        except UnknownClientError:
            with suppress(StoreUnavailableError, StoreRefusedError):
                require_not_scheduled(repository.records, record.client_id)
            return None
        except StoreUnavailableError:
            return None
        except (StoreRefusedError, MalformedSecretError) as err:
            # It may be this one: its line in the file must stay.
            raise RefusedError(f"There is a record of it that cannot be read: {err}") from None
        if found.value.secrets != record.secrets:
            raise _LostError("Another run adopted it at the same time.")
        return found.version

    def _replicate(self, client_id: ClientId) -> Replication:
        if self.app_clients.repository.secondary:
            return Replication.SUSPENDED
        try:
            self.app_clients.repository.records.replicate(client_id)
        except ServiceError:
            return Replication.MISSING  # `reconcile` replicates what is not
        return Replication.IN_PROGRESS

    def _settle(self, replicas: dict[ClientId, _Replica], progress: Progress) -> None:
        """Wait a little until the replicas are there; all have been asked for before."""
        repository = self.app_clients.repository
        for seconds in _REPLICATION_PAUSES:
            waiting = [
                (client_id, replica)
                for client_id, replica in replicas.items()
                if replica.state is Replication.IN_PROGRESS
            ]
            if not waiting:
                return
            repository.pause(seconds)
            for number, (client_id, replica) in enumerate(waiting, start=1):
                try:
                    replica.state = repository.records.replication(client_id, replica.version)
                except ServiceError:
                    continue  # nobody can say; it was asked for
                progress("waiting for replicas", number, len(waiting))


def _kept(adoptable: Adoptable) -> tuple[IssuedCredentials, ...]:
    """Return what its holder has today: one secret, or the current and the previous one."""
    held = dict.fromkeys(row.primary.client_secret for row in adoptable.rows)
    return tuple(
        IssuedCredentials(adoptable.client_id, secret_id(secret), secret) for secret in held
    )


def _with_void_line(already: Already, file: CredentialsFile | None) -> list[Outcome]:
    line = file.find(already.known.client_id) if file else None
    if line is None or line.secret_id in already.known.secret_ids:
        return list(already.outcomes)
    return [replace(each, reason=_VOID_LINE) for each in already.outcomes]
