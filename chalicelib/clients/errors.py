"""Errors of administrators' operations, as types with data; `http.problems` has their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chalicelib.errors import OperationError
from chalicelib.model import ClientId, SecretId


@dataclass(eq=False)
class NotTheWriterError(OperationError):
    """
    *region* does not write; *writing_region* takes administrators' changes.

    *presumed*: the other Region did not answer, so whether it writes is not known.
    """

    region: str
    writing_region: str
    presumed: bool = False


class NoRegionWritesError(OperationError):
    """A failover or a failback is under way: no Region takes changes."""


@dataclass(eq=False)
class ClientNotFoundError(OperationError):
    """There is no such client."""

    client_id: ClientId


@dataclass(eq=False)
class ClientGoneError(OperationError):
    """There is no such client to restore."""

    client_id: ClientId


class ClientEnrollingError(OperationError):
    """The client's enrollment has not finished."""


class ClientDeletedError(OperationError):
    """The client was deleted, and can perhaps be restored."""


class PreconditionFailedError(OperationError):
    """The client is not the version that If-Match names (RFC 9110 §13.1.1)."""


class ConcurrentChangeError(OperationError):
    """A compare-and-swap lost to other writers; nothing was changed."""


@dataclass(eq=False)
class EnrollmentOutcomeUnknownError(OperationError):
    """It is unknown whether *client_id* was enrolled; *repeatable*: it has an Idempotency-Key."""

    client_id: ClientId
    repeatable: bool


@dataclass(eq=False)
class IdempotencyKeyReusedError(OperationError):
    """An Idempotency-Key was used before, and not for a repeat of this request; *why* not."""

    why: str


@dataclass(eq=False)
class UnknownScopeError(OperationError):
    """The user pool in *region* does not define *scopes*."""

    region: str
    scopes: Sequence[str]


@dataclass(eq=False)
class NewSecretRefusedError(OperationError):
    """A new Cognito secret gets no token in *region*."""

    region: str


@dataclass(eq=False)
class TwoCognitoSecretsError(OperationError):
    """An adopted app client in *region* has a second secret, which belongs to its owner."""

    region: str


@dataclass(eq=False)
class NoCognitoSecretError(OperationError):
    """Cognito lists no secret of the app client in *region*."""

    region: str


@dataclass(eq=False)
class UnknownSecretError(OperationError):
    """The client has no such secret."""

    secret_id: SecretId


class OnlySecretError(OperationError):
    """The client has no other secret."""


@dataclass(eq=False)
class SecretInUseError(OperationError):
    """
    A secret may be in use; *why* is the evidence, in words.

    *last_used* maps each Region to its secrets' last uses, `None` if unknown.
    """

    why: str
    last_used: Mapping[str, Mapping[SecretId, int | None] | None]


@dataclass(eq=False)
class TwoSecretsLiveError(OperationError):
    """The client already has two live secrets, the most that it may have."""

    secret_ids: Sequence[SecretId]


@dataclass(eq=False)
class DenialsFullError(OperationError):
    """The deny list of *region* takes no more words until *until*, `None` if it is too long."""

    region: str
    until: int | None


@dataclass(eq=False)
class AppClientPendingError(OperationError):
    """An app client in *region* could not be made; *reason* is in words."""

    region: str
    reason: str


@dataclass(eq=False)
class DeletionUnfinishedError(OperationError):
    """Parts of a client could not be deleted yet; *left* names them in words."""

    left: Sequence[str]
