"""
Domain model: frozen values without I/O.

*Client ID* and *client secret* are the surrogate's (RFC 6749); *app client*
is Cognito's.  All times are whole seconds since the epoch (UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Generic, NewType, TypeVar

from chalicelib.unknown_members import NOTHING, UnknownMembers

ClientId = NewType("ClientId", str)
"""The surrogate's ID.  An adopted client keeps the ID of its Cognito app client."""

SecretId = NewType("SecretId", str)
"""Handle of one client secret: safe to log, and no credential."""

AppClientId = NewType("AppClientId", str)
"""Cognito's ID of an app client.  A client sees it only inside its token."""

VersionId = NewType("VersionId", str)
"""Version of a secret in Secrets Manager; the basis of compare-and-swap."""

Network = IPv4Network | IPv6Network

T = TypeVar("T")


class Status(StrEnum):
    """Status of a client; only an active client gets tokens."""

    ENROLLING = "enrolling"  # reserved: nobody has its secret yet
    ACTIVE = "active"
    DISABLED = "disabled"
    DELETED = "deleted"  # a tombstone, until its Secrets Manager secret is gone


class Origin(StrEnum):
    """Origin of a client."""

    ENROLLED = "enrolled"
    ADOPTED = "adopted"


class Replication(StrEnum):
    """Replication status of a record in the other Region."""

    IN_SYNC = "in_sync"
    IN_PROGRESS = "in_progress"
    FAILED = "failed"
    MISSING = "missing"
    UNKNOWN = "unknown"  # there is a replica, and the other Region does not answer
    SUSPENDED = "suspended"  # the secondary Region writes: no replication until failback


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """A value and the version of the secret that holds it."""

    value: T
    version: VersionId


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """
    Stored part of a client secret: its hash, never the secret itself.

    At *expires_at* it stops authenticating; `None` means never.
    """

    secret_id: SecretId
    hash: str = field(repr=False)
    created_at: int
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A step at Cognito that failed, and since when; `reconcile` repeats it."""

    since: int
    reason: str


@dataclass(frozen=True, slots=True)
class RetiringSecret:
    """
    A replaced Cognito secret, to be deleted when no process can use it any more.

    At *replicated_at* the other Region was first seen to have its successor;
    `None` means not yet.
    """

    cognito_secret_id: str = field(repr=False)
    since: int
    replicated_at: int | None = None


@dataclass(frozen=True, slots=True)
class AppClient:
    """
    The Cognito app client behind a surrogate, in one Region.

    *mac* binds the surrogate's client ID to *app_client_id* (see
    `credentials.app_client_mac`).  *secret_since* is the creation time of
    *client_secret*.  *outdated* is set while the app client lacks the record's scopes.
    """

    user_pool_id: str
    app_client_id: AppClientId = field(repr=False)
    client_secret: str = field(repr=False)
    mac: str = field(repr=False)
    secret_since: int
    retiring: RetiringSecret | None = None
    outdated: Pending | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """Deletion of a client: its time, the status before it, and the recovery window in days."""

    at: int
    was: Status
    recovery_days: int


@dataclass(frozen=True, slots=True)
class EnrollmentRequestMark:
    """
    Caller and content of an enrollment request with an `Idempotency-Key`.

    *body_digest* is a SHA-256 of the validated request, *secret_id* names the
    secret that the enrollment made.  They distinguish a repeat from a request with
    another body, and from a client that was rotated since.
    """

    caller: str
    body_digest: str
    secret_id: SecretId


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """
    The record of one client, complete: a reader in either Region needs nothing
    from the other one.

    *secrets* holds the current secret first, then the previous one, if any.
    *app_clients* maps a Region's name to its app client.  An empty *allowed_cidrs*
    allows every source address.  *unknown*: members that a newer version stored.
    """

    client_id: ClientId
    client_name: str
    status: Status
    origin: Origin
    created_at: int
    secrets: tuple[StoredSecret, ...]
    scopes: tuple[str, ...]
    app_clients: Mapping[str, AppClient | Pending]
    allowed_cidrs: tuple[Network, ...] = ()
    expires_at: int | None = None
    enrollment: EnrollmentRequestMark | None = None
    deletion: Deletion | None = None
    unknown: UnknownMembers = field(default=NOTHING, repr=False)


@dataclass(frozen=True, slots=True)
class ClientSummary:
    """List entry of a client, made of its secret's tags and description without decryption."""

    client_id: ClientId
    client_name: str
    status: str
    origin: str
    created_at: int
    expires_at: int | None

    @classmethod
    def of(cls, record: ClientRecord) -> ClientSummary:
        """Return the list entry of *record*."""
        return cls(
            client_id=record.client_id,
            client_name=record.client_name,
            status=record.status,
            origin=record.origin,
            created_at=record.created_at,
            expires_at=record.expires_at,
        )


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; *cursor* leads to the next one, `None` on the last."""

    items: tuple[T, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class AppClientView:
    """
    An app client as Cognito describes it.

    *managed*: Cognito keeps its secret in Secrets Manager, exchanges it every seven days, and
    shows none here.
    """

    app_client_id: AppClientId = field(repr=False)
    name: str
    scopes: frozenset[str]
    flows: frozenset[str]
    access_token_seconds: int
    created_at: int
    client_secret: str = field(repr=False)
    managed: bool = False


@dataclass(frozen=True, slots=True)
class CognitoSecret:
    """One of an app client's secrets, without its value, which Cognito never returns again."""

    cognito_secret_id: str = field(repr=False)
    created_at: int


@dataclass(frozen=True, slots=True)
class Lease:
    """
    The lease of a failover or failback: one run at a time steers the Regions.

    *holder* is the operator, *run_id* random.  After *until* the lease has ended, and was
    not given back.
    """

    command: str
    holder: str
    since: int
    until: int
    run_id: str


@dataclass(frozen=True, slots=True)
class RegionState:
    """
    State of one Region: how it is steered; it is not replicated.

    *writer*: administrators' changes are made here, unless the other Region
    writes with a higher *epoch* (see `outranks`).  *took_over*: this Region has
    taken the traffic (`/health/takeover`).  *lease*: the run that steers the Regions;
    in the secondary Region's state only.  *unknown* are further stored members, which
    a rewrite keeps.

    Nothing that happens often is stored here: Secrets Manager keeps 100 versions of a
    secret in a day, and this one must always be writable.
    """

    writer: bool
    took_over: bool
    epoch: int = 0
    lease: Lease | None = None
    unknown: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Word:
    """An administrator's word on one client in one Region: *denied* or not, said at *at*."""

    denied: bool
    at: int


@dataclass(frozen=True, slots=True)
class DenialShard:
    """
    One of the secrets that hold a Region's denials; they are not replicated.

    *written* are the times of the shard's writes within a day, oldest first.
    *overflow*: later words on its clients are in the next shard.  *unknown* are further
    stored members, which a rewrite keeps.
    """

    words: Mapping[ClientId, Word] = field(default_factory=dict)
    written: tuple[int, ...] = ()
    overflow: bool = False
    unknown: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class IssuedCredentials:
    """A client ID with its secret, which leaves the process once only."""

    client_id: ClientId
    secret_id: SecretId
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A well-formed token request; its caller is not authenticated yet."""

    client_id: ClientId
    client_secret: str = field(repr=False)
    scope: frozenset[str] | None
    source_ip: str


@dataclass(frozen=True, slots=True)
class AccessToken:
    """
    An access token from Cognito, valid until *expires_at*.

    *value* is a `b64token` (RFC 6750 §2.1): it needs no escape in a header or in JSON.
    *stamped* is false if it is known to lack the claim that names the surrogate.
    """

    value: str = field(repr=False)
    expires_at: int
    stamped: bool = True


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """
    Successful token response (RFC 6749 §5.1).

    *access_token* is as in `AccessToken`; *expires_in* is its remaining life in seconds.
    """

    access_token: str = field(repr=False)
    expires_in: int
    scope: str
