"""Table of problems: maps the type of an error to status, slug, title and text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any, Final, TypeVar

from chalicelib.clients.errors import (
    AppClientPendingError,
    ClientDeletedError,
    ClientEnrollingError,
    ClientGoneError,
    ClientNotFoundError,
    ConcurrentChangeError,
    DeletionUnfinishedError,
    DenialsFullError,
    EnrollmentOutcomeUnknownError,
    IdempotencyKeyReusedError,
    NewSecretRefusedError,
    NoCognitoSecretError,
    NoRegionWritesError,
    NotTheWriterError,
    OnlySecretError,
    PreconditionFailedError,
    SecretInUseError,
    TwoCognitoSecretsError,
    TwoSecretsLiveError,
    UnknownScopeError,
    UnknownSecretError,
)
from chalicelib.errors import (
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    CallTimedOutError,
    InvalidCursorError,
    MalformedSecretError,
    OperationError,
    OutcomeUnknownError,
    StoreRefusedError,
    StoreUnavailableError,
    UnknownAppClientError,
    VersionConflictError,
    VersionsUsedUpError,
)
from chalicelib.http.problem import TYPE_PREFIX, Problem
from chalicelib.http.request_errors import (
    BodyTooLargeError,
    InvalidFieldsError,
    InvalidJsonError,
    MalformedClientIdError,
    MalformedSecretIdError,
    NoChangeError,
    UnsignedRequestError,
)

E = TypeVar("E", bound=OperationError)

RETRY_SECONDS: Final = 5
FENCED_SECONDS: Final = 30
"""Retry-After while no Region writes."""


@dataclass(frozen=True, slots=True)
class _Kind:
    status: int
    slug: str
    title: str
    text: Callable[[Any], str]
    fields: Callable[[Any], Mapping[str, str]]
    retry_after: int | None
    extensions: Callable[[Any], Mapping[str, Any]]


def _nothing(_: object) -> Mapping[str, Any]:
    return {}


KINDS: Final[dict[type[OperationError], _Kind]] = {}


def _problem(  # noqa: PLR0913 - one argument per column of the table
    error: type[E],
    status: int,
    slug: str,
    title: str,
    text: Callable[[E], str],
    *,
    fields: Callable[[E], Mapping[str, str]] = _nothing,
    retry_after: int | None = None,
    extensions: Callable[[E], Mapping[str, Any]] = _nothing,
) -> None:
    KINDS[error] = _Kind(status, slug, title, text, fields, retry_after, extensions)


# fmt: off

# Requests

_problem(
    UnsignedRequestError, 403, "forbidden", "Forbidden",
    lambda _: "The request is not signed with IAM (SigV4).",
)
_problem(
    InvalidFieldsError, 400, "invalid-request", "The request is not valid",
    lambda e: "; ".join(f"{name} {why}" for name, why in sorted(e.fields.items())) + ".",
    fields=lambda e: e.fields,
)
_problem(
    NoChangeError, 400, "invalid-request", "The request is not valid",
    lambda _: "The request changes nothing.",
)
_problem(
    InvalidJsonError, 400, "invalid-json", "The body is not a JSON object",
    lambda _: "Send a JSON object in UTF-8.",
)
_problem(
    BodyTooLargeError, 413, "too-large", "The body is too large",
    lambda e: f"The body exceeds {e.limit} bytes.",
)
_problem(
    MalformedClientIdError, 404, "unknown-client", "Unknown client",
    lambda _: "The client ID in the path is malformed.",
    fields=lambda _: {"client_id": "malformed"},
)
_problem(
    MalformedSecretIdError, 404, "unknown-secret", "Unknown secret",
    lambda _: "The secret ID in the path is malformed.",
    fields=lambda _: {"secret_id": "malformed"},
)
_problem(
    InvalidCursorError, 400, "invalid-cursor", "The cursor is not valid",
    lambda _: "The cursor is malformed or has expired. Start the list again without a cursor.",
    fields=lambda _: {"cursor": "malformed or expired"},
)

# Which Region writes

_problem(
    NotTheWriterError, 409, "not-the-writing-region", "This Region does not write",
    lambda e: f"{e.region} does not write. Whether {e.writing_region} does is not known: its state "
    "cannot be read. Send the request there; if it stays lost, see docs/runbook.md."
    if e.presumed
    else f"{e.region} is the standby. Send the request to the admin endpoint in "
    f"{e.writing_region}, which writes; or fail over to {e.region} first.",
    extensions=lambda e: {"region": e.region, "writing_region": e.writing_region},
)
_problem(
    NoRegionWritesError, 503, "no-region-writes", "No Region writes at the moment",
    lambda _: "A failover or a failback is under way, and administrators' changes wait for it. "
    "If it has stopped: `surrogatectl failback` finishes it, and "
    "`surrogatectl failback --abort` undoes it.",
    retry_after=FENCED_SECONDS,
)

# Clients

_problem(
    ClientNotFoundError, 404, "unknown-client", "Unknown client",
    lambda e: f"There is no client {e.client_id}.",
    fields=lambda _: {"client_id": "unknown"},
)
_problem(
    ClientGoneError, 404, "gone", "The client is gone",
    lambda e: f"There is no client {e.client_id} that could be restored. Enroll a new one.",
    fields=lambda _: {"client_id": "gone"},
)
_problem(
    ClientEnrollingError, 409, "enrolling", "The client is being enrolled",
    lambda _: "Its enrollment has not finished. Repeat it, or run `surrogatectl reconcile`.",
)
_problem(
    ClientDeletedError, 409, "deleted", "The client was deleted",
    lambda _: "Restore it first, within its recovery window.",
)
_problem(
    PreconditionFailedError, 412, "changed-meanwhile", "Somebody else changed it meanwhile",
    lambda _: "The client is not the version that If-Match names. Nothing was changed by this "
    "request. Read the client again, and repeat.",
    fields=lambda _: {"If-Match": "not the current version"},
)
for _error in (ConcurrentChangeError, VersionConflictError):
    _problem(
        _error, 409, "conflict", "Somebody else changed it at the same time",
        lambda _: "Nothing was changed by this request. Repeat it.",
        retry_after=1,
    )
_problem(
    IdempotencyKeyReusedError, 409, "idempotency-key-reused",
    "The Idempotency-Key was used before",
    lambda e: f"{e.why} Use a new key for a new client.",
    fields=lambda _: {"Idempotency-Key": "used before"},
)
_problem(
    EnrollmentOutcomeUnknownError, 503, "outcome-unknown",
    "Secrets Manager stopped answering half-way",
    lambda e: f"It is unknown whether {e.client_id} was enrolled; nobody received its secret. "
    + ("Repeat the request with the same Idempotency-Key within 10 minutes, or r"
       if e.repeatable else "R")
    + "un `surrogatectl reconcile`.",
    retry_after=RETRY_SECONDS,
    extensions=lambda e: {"client_id": e.client_id},
)
_problem(
    DeletionUnfinishedError, 503, "left", "Not all is deleted",
    lambda e: f"Not deleted yet: {', '.join(e.left)}.",
)

# Client secrets and denials

_problem(
    UnknownSecretError, 404, "unknown-secret", "Unknown secret",
    lambda e: f"The client has no secret {e.secret_id}.",
    fields=lambda _: {"secret_id": "unknown"},
)
_problem(
    OnlySecretError, 409, "only-secret", "The client has no other secret",
    lambda _: "Rotate the secret first; or disable or delete the client.",
)
_problem(
    SecretInUseError, 409, "secret-in-use", "The secret may be in use",
    lambda e: f"{e.why} To retire it anyway, use force.",
    extensions=lambda e: {
        "last_used": {
            region: "unknown" if uses is None else dict(uses)
            for region, uses in e.last_used.items()
        }
    },
)
_problem(
    TwoSecretsLiveError, 409, "two-secrets-live", "The client has two live secrets",
    lambda e: "A client has at most two. Retire one of them first: "
    f"{' or '.join(e.secret_ids)}.",
    extensions=lambda e: {"secret_ids": list(e.secret_ids)},
)
_problem(
    DenialsFullError, 409, "denials-full", "The list of denials is full",
    lambda e: (
        f"{e.region} takes no more denials: " + (
            "the list is too long. Allow clients that were disabled or deleted since. "
            if e.until is None else
            "it was changed too often within a day. It can be changed again from "
            f"{formatdate(e.until, usegmt=True)} on. "
        ) + "Disable these clients instead (`surrogatectl disable`)."
    ),
    extensions=lambda e: {} if e.until is None else {"until": e.until},
)

# Cognito

_problem(
    UnknownScopeError, 400, "unknown-scope", "Unknown scope",
    lambda e: f"The user pool in {e.region} defines no {', '.join(e.scopes)}.",
    fields=lambda e: {"scope": f"not defined in {e.region}: {' '.join(e.scopes)}"},
)
_problem(
    UnknownAppClientError, 409, "app-client-gone", "The app client is gone",
    lambda e: f"There is no such app client in {e.region} any more. Run `surrogatectl reconcile`.",
)
_problem(
    AppClientsThrottledError, 429, "cognito-throttled", "Cognito asks to slow down",
    lambda e: f"Cognito in {e.region} throttles. Try again, more slowly.",
    retry_after=RETRY_SECONDS,
)
_problem(
    AppClientsRefusedError, 502, "cognito-refused", "Cognito refuses",
    lambda e: f"The user pool in {e.region} is full: raise its quota of app clients."
    if e.code == "LimitExceededException"
    else f"The user pool in {e.region} answered {e.code}.",
)
_problem(
    AppClientsUnreachableError, 503, "cognito-unavailable", "Cognito does not answer",
    lambda e: f"Cognito in {e.region} does not answer. Try again.",
    retry_after=RETRY_SECONDS,
)
_problem(
    NewSecretRefusedError, 503, "new-secret-refused", "The new Cognito secret gets no token",
    lambda e: f"The token endpoint in {e.region} does not accept it. The old one stays in use.",
    retry_after=60,
)
_problem(
    TwoCognitoSecretsError, 409, "two-cognito-secrets", "The app client has two secrets",
    lambda e: f"The record does not know one of them (in {e.region}), and the app client was "
    "adopted. Delete the unused secret in Cognito.",
)
_problem(
    NoCognitoSecretError, 409, "no-cognito-secret", "The app client has no secret",
    lambda e: f"Cognito lists no secret of it in {e.region}, so there is none to rotate. The "
    "client's secret stays as it is.",
)
_problem(
    AppClientPendingError, 503, "pending", "Pending",
    lambda e: f"The app client in {e.region} could not be made: {e.reason}.",
)

# Secrets Manager

_problem(
    CallTimedOutError, 503, "out-of-time", "There was no time left",
    lambda e: f"AWS answers too slowly, most recently in {e.region}, so the call was ended early. "
    "Read the client to see what was done, then repeat the call.",
    retry_after=RETRY_SECONDS,
)
_problem(
    OutcomeUnknownError, 503, "outcome-unknown", "Secrets Manager stopped answering half-way",
    lambda e: f"It is unknown whether the change was made in {e.region}. Read the client to see.",
    retry_after=RETRY_SECONDS,
)
_problem(
    StoreUnavailableError, 503, "store-unavailable", "Secrets Manager does not answer",
    lambda e: f"Secrets Manager in {e.region} does not answer or throttles. Try again.",
    retry_after=RETRY_SECONDS,
)
_problem(
    VersionsUsedUpError, 409, "versions-used-up", "It was written too often within a day",
    lambda e: f"In {e.region}: {e} Nothing was changed. To stop a client now all the same, "
    "deny it: `surrogatectl deny`.",
)
_problem(
    StoreRefusedError, 500, "store-refused", "Secrets Manager refuses",
    lambda e: f"In {e.region}: {e}. Check the role's policy and the key.",
)
_problem(
    MalformedSecretError, 500, "malformed-secret", "A stored secret is missing or malformed",
    lambda e: f"In {e.region}: {e} If this is a new deployment, run `surrogatectl init`.",
)

# fmt: on

INTERNAL: Final = Problem(500, "internal", "The service failed", "The log has the details.")


def problem_of(error: BaseException) -> Problem:
    """Return *error* as a problem; `INTERNAL` if its type is not in the table."""
    kind = _kind_of(error)
    if kind is None or not isinstance(error, OperationError):
        return INTERNAL
    problem = Problem(
        kind.status,
        kind.slug,
        kind.title,
        kind.text(error),
        kind.fields(error),
        kind.retry_after,
        kind.extensions(error),
    )
    left = list(error.left_behind)
    if not left:
        return problem
    return replace(
        problem,
        detail=f"{problem.detail} Left for `surrogatectl reconcile`: {', '.join(left)}.",
        extensions={**problem.extensions, "left_behind": left},
    )


def slug_of(error: OperationError) -> str:
    """Return the slug of *error*, for logs."""
    return problem_of(error).slug


def explain(error: OperationError) -> str:
    """Return the text of *error* for administrators."""
    return problem_of(error).detail if _kind_of(error) else str(error) or type(error).__name__


def reports(problem_type: str, error: type[OperationError]) -> bool:
    """Return whether *problem_type* is the `type` of documents about *error*."""
    return problem_type == TYPE_PREFIX + KINDS[error].slug


def _kind_of(error: BaseException) -> _Kind | None:
    return next((KINDS[each] for each in type(error).__mro__ if each in KINDS), None)
