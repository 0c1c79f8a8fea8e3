"""
The project's nouns: frozen values without behavior that reaches outside.

*Client ID* and *client secret* are the surrogate's (RFC 6749); *app client*
is Cognito's.  All times are whole seconds since the epoch (UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Generic, NewType, TypeVar

ClientId = NewType("ClientId", str)
"""The surrogate's ID, or, for an adopted client, the ID its holder already has."""

SecretId = NewType("SecretId", str)
"""A handle of one client secret: safe to log, useless to authenticate with."""

AppClientId = NewType("AppClientId", str)
"""Cognito's ID of an app client; never shown to a client except inside its token."""

VersionId = NewType("VersionId", str)
"""Identifies what was read from Secrets Manager; the basis of compare-and-swap."""

Network = IPv4Network | IPv6Network

T = TypeVar("T")


class Status(StrEnum):
    """Where a client is in its life; only an active one gets tokens."""

    ENROLLING = "enrolling"  # reserved: its secret was not shown yet
    ACTIVE = "active"
    DISABLED = "disabled"
    DELETED = "deleted"  # a tombstone, until its Secrets Manager secret is gone


class Origin(StrEnum):
    """How a client came to us."""

    ENROLLED = "enrolled"
    ADOPTED = "adopted"


class Replication(StrEnum):
    """How far a record's replica in the other Region has come."""

    IN_SYNC = "in_sync"
    IN_PROGRESS = "in_progress"
    FAILED = "failed"
    MISSING = "missing"
    SUSPENDED = "suspended"  # the secondary Region writes: nothing is replicated until failback


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """A value and the version under which it was read."""

    value: T
    version: VersionId


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """
    What is kept of a client secret: never the secret itself.

    *expires_at* is when it stops authenticating, `None` if it does not.
    """

    secret_id: SecretId
    hash: str = field(repr=False)
    created_at: int
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Something of Cognito's that could not be done yet; `reconcile` finishes it."""

    since: int
    reason: str


@dataclass(frozen=True, slots=True)
class RetiringSecret:
    """
    A Cognito secret that was replaced, and is deleted when nobody can be using it.

    *replicated_at* is when the other Region was first seen to have its
    successor, `None` if it was not yet.
    """

    cognito_secret_id: str = field(repr=False)
    since: int
    replicated_at: int | None = None


@dataclass(frozen=True, slots=True)
class AppClient:
    """
    The Cognito app client behind a surrogate, in one Region.

    *mac* binds the surrogate's client ID to *app_client_id* (see
    `credentials.app_client_mac`).  *secret_since* is when *client_secret* was
    made.  *outdated* says that the app client could not be given the record's
    scopes yet.
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
    """When a client was deleted, what it was before, and for how long it can be restored."""

    at: int
    was: Status
    recovery_days: int


@dataclass(frozen=True, slots=True)
class EnrollmentRequestMark:
    """
    Who asked for an enrollment with an `Idempotency-Key`, and what for.

    *body_digest* is a SHA-256 of the validated request, *secret_id* names the
    secret that the enrollment made: a repeat with another body, or of a client
    that was rotated since, is recognized.
    """

    caller: str
    body_digest: str
    secret_id: SecretId


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """
    Everything known of one client.  Whoever reads it in either Region needs
    nothing from the other one.

    *secrets* holds the current secret first, then the previous one, if any.
    *app_clients* maps a Region's name to its app client.  An empty *allowed_cidrs*
    allows every source address.
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


@dataclass(frozen=True, slots=True)
class ClientSummary:
    """What a list shows of a client, from its secret's tags: nothing is decrypted for it."""

    client_id: ClientId
    client_name: str
    status: str
    origin: str
    created_at: int
    expires_at: int | None

    @classmethod
    def of(cls, record: ClientRecord) -> ClientSummary:
        """Return what lists should show of *record*."""
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
    """Some of a list; *cursor* leads to the rest, `None` if there is none."""

    items: tuple[T, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class AppClientView:
    """An app client as Cognito describes it."""

    app_client_id: AppClientId = field(repr=False)
    name: str
    scopes: frozenset[str]
    flows: frozenset[str]
    access_token_seconds: int
    created_at: int
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CognitoSecret:
    """One of an app client's secrets; Cognito never tells its value again."""

    cognito_secret_id: str = field(repr=False)
    created_at: int


@dataclass(frozen=True, slots=True)
class RegionState:
    """
    How one Region is steered; it is not replicated.

    *writer*: administrators' changes are made here, unless the other Region
    writes by a higher *epoch* (see `outranks`).  *took_over*: this Region has
    taken the traffic (`/health/takeover`).  *allowed*: whose denial was taken
    away here while this Region stood alone; failback takes it away in the
    other one, too.
    """

    writer: bool
    took_over: bool
    denied: frozenset[ClientId] = frozenset()
    epoch: int = 0
    allowed: frozenset[ClientId] = frozenset()


@dataclass(frozen=True, slots=True)
class IssuedCredentials:
    """A client ID with its secret, which leaves the process once."""

    client_id: ClientId
    secret_id: SecretId
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A well-formed request for a token, its caller not yet authenticated."""

    client_id: ClientId
    client_secret: str = field(repr=False)
    scope: frozenset[str] | None
    source_ip: str


@dataclass(frozen=True, slots=True)
class AccessToken:
    """
    A token as Cognito issued it; *expires_at* is when it stops being valid.

    *value* is a `b64token` (RFC 6750 §2.1): it fits into a header and a JSON string as it is.
    """

    value: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """
    What a client receives (RFC 6749 §5.1).

    *access_token* is as in `AccessToken`; *expires_in* is its remaining life in seconds.
    """

    access_token: str = field(repr=False)
    expires_in: int
    scope: str
