"""
Domain errors, as types with data.

`OAuthError` and its subclasses are answers of the token endpoint (RFC 6749
§5.2).  `OperationError` is the base of all others.  The ports' implementations
raise subclasses of `ServiceError`, the use cases raise the rest (`clients.errors`).
`http.problems` maps them to status, slug, title and text.  No message contains a
secret, a token or an identifier of Cognito's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Self


class OAuthError(Exception):
    """
    An error response of the token endpoint.  Never thrown directly.

    *reason* is for our own log only; the caller receives nothing but *error*,
    *description* and *retry_after*, the seconds to wait, if any.
    """

    error: str
    status_code: int = 400
    description: str
    retry_after: int | None = None

    def __init__(self, description: str | None = None, *, reason: str | None = None) -> None:
        super().__init__(description or self.description)
        if description is not None:
            self.description = description
        self.reason = reason or self.error


class InvalidRequestError(OAuthError):
    """The request is malformed (RFC 6749 §5.2)."""

    error = "invalid_request"
    description = "The request is malformed."


class InvalidClientError(OAuthError):
    """
    Client authentication failed (RFC 6749 §5.2).

    Unknown, disabled, denied, expired and wrong all get this same answer.
    """

    error = "invalid_client"
    status_code = 401
    description = "Client authentication failed."


class UnsupportedGrantTypeError(OAuthError):
    """The grant type is not `client_credentials` (RFC 6749 §4.4)."""

    error = "unsupported_grant_type"
    description = "The only grant type is client_credentials."


class InvalidScopeError(OAuthError):
    """The scope is malformed or exceeds the scope granted to the client (RFC 6749 §3.3)."""

    error = "invalid_scope"
    description = "The requested scope is malformed or exceeds the scope granted to the client."


class TemporarilyUnavailableError(OAuthError):
    """
    A dependency of this Region does not answer.

    RFC 6749 lists this code for the authorization endpoint only; see ADR 3.
    """

    error = "temporarily_unavailable"
    status_code = 503
    description = "The service cannot issue a token right now. Try again later."

    def __init__(
        self, description: str | None = None, *, reason: str, retry_after: int = 5
    ) -> None:
        super().__init__(description, reason=reason)
        self.retry_after = retry_after


class TooManyRequestsError(OAuthError):
    """
    One caller causes too many requests to AWS.

    The code is the web ACL's and the gateway's for the same status; see ADR 24.
    """

    error = "temporarily_unavailable"
    status_code = 429
    description = "Too many requests. Try again later."

    def __init__(self, *, reason: str, retry_after: int) -> None:
        super().__init__(reason=reason)
        self.retry_after = retry_after


class OAuthServerError(OAuthError):
    """The service failed, and an alarm notifies its operators."""

    error = "server_error"
    status_code = 500
    description = "The service failed. Its operators have been notified."


class MethodNotAllowedError(OAuthError):
    """The request's method is not POST (RFC 6749 §3.2)."""

    error = "invalid_request"
    status_code = 405
    description = "The token endpoint takes POST only."


class OperationError(Exception):
    """
    An operation could not be carried out.  Never thrown directly.

    *left_behind* names, in words, remains that rollback could not remove.
    """

    left_behind: tuple[str, ...] = ()

    def leaving(self, remains: Sequence[str]) -> Self:
        """Return this error, with *remains* added to *left_behind*."""
        self.left_behind += tuple(remains)
        return self


class ServiceError(OperationError):
    """
    Base of all errors that the ports raise.  Never thrown directly.

    *region* is the Region of the service, "" until `concerning` sets it.
    """

    region: str = ""


@contextmanager
def concerning(region: str) -> Iterator[None]:
    """Set *region* in the ports' errors that pass through and have none."""
    try:
        yield
    except ServiceError as err:
        err.region = err.region or region
        raise


class UnknownClientError(ServiceError):
    """No record with this client ID."""


class RecordMissingError(UnknownClientError):
    """
    No current version of a record with this client ID.

    Secrets Manager has one error for a secret that does not exist and for one
    without the label `AWSCURRENT`, which may be moving.
    """


class ClientExistsError(ServiceError):
    """A record with this client ID exists already."""


class VersionConflictError(ServiceError):
    """Somebody else wrote the record since it was read."""


class StoreUnavailableError(ServiceError):
    """Secrets Manager of a Region does not answer, or throttles."""


class StoreThrottledError(StoreUnavailableError):
    """Secrets Manager of a Region throttles."""


class RecordInDoubtError(StoreUnavailableError):
    """A record that was known a moment ago is missing: deleted, or for a moment only."""


class OutcomeUnknownError(StoreUnavailableError):
    """Secrets Manager stopped answering during a write, which may have succeeded."""


class StoreRefusedError(ServiceError):
    """Secrets Manager refused the request: no permission, or a wrong request."""


class VersionsUsedUpError(StoreRefusedError):
    """A secret was written too often: Secrets Manager keeps 100 versions for a day."""

    def __str__(self) -> str:
        """Return the text for administrators."""
        return (
            "It was written 100 times within 24 hours, and Secrets Manager keeps no more versions. "
            "It can be written again when the oldest of them is a day old."
        )


class MalformedSecretError(ServiceError):
    """A secret is missing, or its content is not valid."""


class AppClientsError(ServiceError):
    """Cognito of a Region did not carry out a request.  Never thrown directly."""


class AppClientsUnreachableError(AppClientsError):
    """Cognito of a Region does not answer; the request may have been carried out."""


class AppClientsThrottledError(AppClientsError):
    """Cognito of a Region throttles; nothing was done."""


class AppClientsRefusedError(AppClientsError):
    """Cognito of a Region refused the request; nothing was done.  *code* is AWS's error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnknownAppClientError(ServiceError):
    """No app client with this ID in the Region's pool."""


class InvalidCursorError(ServiceError):
    """The cursor of a list is malformed or has expired."""


class LogUnavailableError(ServiceError):
    """A Region's log cannot be read, or not in time."""


class CallTimedOutError(ServiceError):
    """The call deadline has passed; no request was sent."""


class TokenEndpointUnavailableError(ServiceError):
    """The Region's token endpoint does not answer, throttles, or gives an invalid answer."""


class TokenNotIssuedError(TokenEndpointUnavailableError):
    """The endpoint gives no token to this one request, but counts as available."""


class AppClientRefusedError(ServiceError):
    """The Region's token endpoint refuses the app client, its secret or its scope: drift."""


class KeysUnavailableError(ServiceError):
    """An issuer does not answer with a valid set of signing keys."""


NO_ANSWER: Final = (StoreUnavailableError, CallTimedOutError)
"""Errors of Secrets Manager that leave open whether a repetition succeeds."""
