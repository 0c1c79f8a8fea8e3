"""
Enrollment: one surrogate, two app clients, one replicated record.

After a crash at any step, a repeat of the request or `reconcile` completes or undoes
the enrollment:

1. Create the record, `enrolling`, both app clients pending: the lock on the client ID.
2. Create an app client in each Region's pool (the other Region's may stay pending).
3. Replace the record by an `active` one with the app clients (compare-and-swap).
4. Replicate the record.

Until step 3 the credentials authenticate nobody; a failure there undoes all steps.
An undone reservation is marked for deletion, as no function may delete at once; a
repeat with the same idempotency key takes it out of there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from chalicelib import credentials
from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.deletion import MIN_RECOVERY_DAYS
from chalicelib.clients.errors import (
    ConcurrentChangeError,
    EnrollmentOutcomeUnknownError,
    IdempotencyKeyReusedError,
)
from chalicelib.clients.repository import ClientRepository
from chalicelib.credentials import RandomBytes, SecretHasher
from chalicelib.errors import (
    ClientExistsError,
    OperationError,
    OutcomeUnknownError,
    ServiceError,
    UnknownClientError,
    VersionConflictError,
    concerning,
)
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientRecord,
    EnrollmentRequestMark,
    IssuedCredentials,
    Network,
    Origin,
    Pending,
    Replication,
    SecretId,
    Status,
    Versioned,
    VersionId,
)
from chalicelib.ports import OnIdentified, RecordStore, ignore

REPEAT_SECONDS: Final = 600
"""Time in which a repeat with the same idempotency key replaces the secret."""


@dataclass(frozen=True, slots=True)
class EnrollmentRequest:
    """Validated enrollment request; *idempotency_key* is `None` if not given."""

    client_name: str
    scopes: tuple[str, ...]
    allowed_cidrs: tuple[Network, ...]
    expires_at: int | None
    idempotency_key: str | None

    def mark(self, caller: str, secret_id: SecretId) -> EnrollmentRequestMark | None:
        """Return the mark that distinguishes a repeat from other requests with its key."""
        if self.idempotency_key is None:
            return None
        return EnrollmentRequestMark(caller, self._digest(), secret_id)

    def _digest(self) -> str:
        content = [
            self.client_name,
            sorted(self.scopes),
            sorted(map(str, self.allowed_cidrs)),
            self.expires_at,
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An enrolled client; *issued* holds the only copy of its secret."""

    issued: IssuedCredentials
    record: ClientRecord
    version: VersionId
    replication: Replication


@dataclass(frozen=True, slots=True)
class Enrollment:
    """Enrolls clients, if this is the Region that writes."""

    repository: ClientRepository
    app_clients: AppClientPair
    hasher: SecretHasher
    random_bytes: RandomBytes = field(repr=False)

    def enroll(
        self, request: EnrollmentRequest, caller: str, named: OnIdentified = ignore
    ) -> Enrolled:
        """
        Enroll a client for *caller* (an ARN).

        It calls *named* with both IDs before anything is written.

        Raises:
            OperationError: If it is not possible; its *left_behind* names remains for
                `reconcile`, if any.
        """
        self.repository.require_writer()
        key = self.app_clients.key()
        self.app_clients.require_known_scopes(request.scopes)
        now = int(self.repository.clock())
        if request.idempotency_key is None:
            client_id = credentials.new_client_id(self.random_bytes)
        else:
            client_id = credentials.derived_client_id(key, caller, request.idempotency_key)
        issued = credentials.issue(client_id, self.random_bytes)
        named(client_id, issued.secret_id)
        mark = request.mark(caller, issued.secret_id)
        record = ClientRecord(
            client_id=client_id,
            client_name=request.client_name,
            status=Status.ENROLLING,
            origin=Origin.ENROLLED,
            created_at=now,
            secrets=(self.hasher.hash(issued, now=now),),
            scopes=request.scopes,
            app_clients={
                region: Pending(now, "not made yet") for region in self.app_clients.regions
            },
            allowed_cidrs=request.allowed_cidrs,
            expires_at=request.expires_at,
            enrollment=mark,
        )
        with concerning(self.repository.region):
            reserved, created = self._reserve(record)
        return self._complete(reserved, issued, key, undo_record=created)

    def _reserve(self, record: ClientRecord) -> tuple[Versioned[ClientRecord], bool]:
        """
        Return the stored reservation of *record*, and whether it is new.

        A repeat continues with the first reservation, but with the new secret.
        """
        try:
            return Versioned(record, self.repository.records.create(record)), True
        except ClientExistsError:
            pass
        try:
            found = self.repository.records.read(record.client_id)
        except UnknownClientError:
            return Versioned(record, self._recover(record)), True
        first, again = found.value.enrollment, record.enrollment
        if first is None or again is None or first.body_digest != again.body_digest:
            raise IdempotencyKeyReusedError("It was used for another request.")
        if not 0 <= record.created_at - found.value.created_at <= REPEAT_SECONDS:
            raise IdempotencyKeyReusedError(
                f"It was used more than {REPEAT_SECONDS // 60} minutes ago."
            )
        untouched = [secret.secret_id for secret in found.value.secrets] == [first.secret_id]
        if not untouched or found.value.status not in {Status.ENROLLING, Status.ACTIVE}:
            raise IdempotencyKeyReusedError("That client was changed since.")
        resumed = replace(found.value, secrets=record.secrets, enrollment=again)
        return Versioned(resumed, found.version), False

    def _recover(self, record: ClientRecord) -> VersionId:
        """Store *record* in place of an undone reservation that is marked for deletion."""
        records = self.repository.records
        try:
            # A deleted client stays where it is.
            if records.describe(record.client_id).value.status == Status.ENROLLING:
                records.cancel_deletion(record.client_id)
                found = records.read(record.client_id)
                if is_abandoned(found.value):
                    return records.replace(record, found.version)
        except UnknownClientError:
            pass
        except VersionConflictError:
            raise ConcurrentChangeError from None
        raise IdempotencyKeyReusedError("That client was deleted.")

    def _complete(
        self,
        reserved: Versioned[ClientRecord],
        issued: IssuedCredentials,
        key: bytes,
        *,
        undo_record: bool,
    ) -> Enrolled:
        made: dict[str, AppClientId] = {}
        try:
            app_clients = dict(reserved.value.app_clients)
            for region in self.app_clients.regions:
                if not isinstance(app_clients.get(region), AppClient):
                    app_clients[region] = self.app_clients.make(region, reserved.value, key, made)
            record = replace(reserved.value, status=Status.ACTIVE, app_clients=app_clients)
            with concerning(self.repository.region):
                version = self.repository.records.replace(record, reserved.version)
        except OutcomeUnknownError:
            # The record may have been written: undo nothing; `reconcile` checks it.
            raise EnrollmentOutcomeUnknownError(
                record.client_id, repeatable=record.enrollment is not None
            ) from None
        except (VersionConflictError, UnknownClientError):
            # A repeat of this request has taken the record over.
            raise self._undone(ConcurrentChangeError(), None, made) from None
        except OperationError as err:
            undo = reserved if undo_record else None
            raise self._undone(err, undo, made) from None
        return Enrolled(
            issued, record, version, self.repository.replicate(record.client_id, version)
        )

    def _undone(
        self,
        failure: OperationError,
        reserved: Versioned[ClientRecord] | None,
        made: Mapping[str, AppClientId],
    ) -> OperationError:
        """Undo this attempt; return *failure* with the remains in *left_behind*."""
        left = self.app_clients.undo(made)
        if reserved is not None:
            try:
                self._remove(reserved)
            except (VersionConflictError, UnknownClientError):
                pass  # a repeat of this request has taken it over
            except ServiceError:
                left.append(f"the record of {reserved.value.client_id} in {self.repository.region}")
        return failure.leaving(left)

    def _remove(self, reserved: Versioned[ClientRecord]) -> None:
        abandon(self.repository.records, reserved)
        self.repository.records.schedule_deletion(reserved.value.client_id, MIN_RECOVERY_DAYS)


def abandon(records: RecordStore, reserved: Versioned[ClientRecord]) -> None:
    """
    Make sure that nothing continues with a reservation, before it is marked for deletion.

    Secrets Manager marks whatever version is current.

    Raises:
        See `RecordStore.replace`.
    """
    tombstone = replace(reserved.value, status=Status.ENROLLING, enrollment=None)
    records.replace(tombstone, reserved.version)


def is_abandoned(record: ClientRecord) -> bool:
    """Return whether no repeat of an enrollment continues with *record*."""
    return record.status is Status.ENROLLING and record.enrollment is None
