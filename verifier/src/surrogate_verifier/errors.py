"""
Why a request is refused: one class per check that can fail.

The messages are fixed texts.  Nothing of a token, and nothing that whoever sent it
could choose, is ever in one of them.
"""

from __future__ import annotations

from typing import ClassVar


class VerifierError(Exception):
    """Never raised itself: everything that this package raises on purpose."""


class ConfigurationError(VerifierError, ValueError):
    """The verifier was built with something that cannot work; the message names it."""


class RequestRefusedError(VerifierError):
    """
    Never raised itself: a request gets this error's answer instead of what it asked for.

    *status* is the HTTP status, *error* the code of RFC 6750 (None: the answer has none).
    """

    status: ClassVar[int] = 401
    error: ClassVar[str | None] = "invalid_token"
    description: ClassVar[str] = "The access token is invalid."

    def __init__(self, description: str | None = None) -> None:
        super().__init__(description or self.description)


# -- no token to look at ---------------------------------------------------------------------------


class NoTokenError(RequestRefusedError):
    """There is no bearer token; RFC 6750 §3.1 wants an answer without an error code."""

    error = None
    description = "This needs an access token."


class MalformedRequestError(RequestRefusedError):
    """The Authorization header says Bearer, and is not one bearer token."""

    status = 400
    error = "invalid_request"
    description = "The Authorization header is not one bearer token."


# -- no keys to look at it with --------------------------------------------------------------------


class KeysUnavailableError(RequestRefusedError):
    """The issuer's keys could not be had, so the token is neither good nor bad. Try again."""

    status = 503
    error = "temporarily_unavailable"
    description = "The keys to verify access tokens with are not available; try again."


# -- tokens that are refused -----------------------------------------------------------------------


class TokenError(RequestRefusedError):
    """Never raised itself: the token is not acceptable, whatever was asked for."""


class MalformedTokenError(TokenError):
    """It is not a JWS in compact form with a JSON object as payload."""

    description = "The access token is malformed."


class TokenTooLargeError(MalformedTokenError):
    """It is longer than any that the issuers make."""

    description = "The access token is too large."


class DuplicateMemberError(MalformedTokenError):
    """A member stands twice in its header or payload, so that two readers may see two things."""

    description = "The access token has a member twice."


class AlgorithmError(TokenError):
    """It is not signed with RS256."""

    description = "The access token's algorithm is not accepted."


class HeaderError(TokenError):
    """Its header wants something done that is not done here: a key from elsewhere, an extension."""

    description = "The access token's header is not accepted."


class UnknownIssuerError(TokenError):
    """It is from nobody who is trusted."""

    description = "The access token's issuer is not trusted."


class UnknownKeyError(TokenError):
    """It is signed with a key that its issuer does not have."""

    description = "The access token's key is not known."


class SignatureError(TokenError):
    """Its signature is not that of its issuer's key."""

    description = "The access token's signature is wrong."


class ClaimError(TokenError):
    """A claim that is needed is missing, or is not of its type."""

    description = "The access token lacks a claim, or has a malformed one."


class ExpiredError(TokenError):
    """It has expired."""

    description = "The access token has expired."


class NotYetValidError(TokenError):
    """It is of the future; perhaps a clock is wrong."""

    description = "The access token is not valid yet."


class TokenUseError(TokenError):
    """It is a token for something else, such as an ID token."""

    description = "The token is not of the kind that is asked for."


class ClientNameError(TokenError):
    """Its claim and the map of client names say that it is of two different clients."""

    description = "The access token's client is ambiguous."


# -- good tokens that do not suffice ---------------------------------------------------------------


class AccessError(RequestRefusedError):
    """Never raised itself: the token is good, and does not allow this."""

    status = 403
    error = "insufficient_scope"
    description = "The access token does not allow this."


class ScopeError(AccessError):
    """It lacks a scope that is needed; *scopes* are those that were."""

    description = "The access token lacks a scope."

    def __init__(self, scopes: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.scopes = scopes


class ClientError(AccessError):
    """Its client is not one of those that are allowed here, or has no name to allow it by."""

    description = "The access token's client may not do this."
