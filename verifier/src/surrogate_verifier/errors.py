"""
Errors of the verifier: one class per check that can fail.

The messages are fixed texts.  They never contain any part of a token or any other
text that the sender can choose.
"""

from __future__ import annotations

from typing import ClassVar


class VerifierError(Exception):
    """Base class of all errors of this package; never raised itself."""


class ConfigurationError(VerifierError, ValueError):
    """An argument of the verifier is invalid; the message names it."""


class RequestRefusedError(VerifierError):
    """
    Base class of errors that refuse a request; never raised itself.

    *status* is the HTTP status, *error* the code of RFC 6750 (None: the response has none).
    """

    status: ClassVar[int] = 401
    error: ClassVar[str | None] = "invalid_token"
    description: ClassVar[str] = "The access token is invalid."

    def __init__(self, description: str | None = None) -> None:
        super().__init__(description or self.description)


# -- no token --------------------------------------------------------------------------------------


class NoTokenError(RequestRefusedError):
    """No bearer token; RFC 6750 §3.1 wants a response without an error code."""

    error = None
    description = "This needs an access token."


class MalformedRequestError(RequestRefusedError):
    """An Authorization header of the scheme Bearer that is not exactly one token."""

    status = 400
    error = "invalid_request"
    description = "The Authorization header is not one bearer token."


# -- no keys ---------------------------------------------------------------------------------------


class KeysUnavailableError(RequestRefusedError):
    """The issuer's keys are unavailable, so the token is neither valid nor invalid. Try again."""

    status = 503
    error = "temporarily_unavailable"
    description = "The keys to verify access tokens with are not available; try again."


# -- invalid tokens --------------------------------------------------------------------------------


class TokenError(RequestRefusedError):
    """Base class of errors for invalid tokens; never raised itself."""


class MalformedTokenError(TokenError):
    """The token is not a JWS in compact form with a JSON object as payload."""

    description = "The access token is malformed."


class TokenTooLargeError(MalformedTokenError):
    """The token is longer than any that the issuers make."""

    description = "The access token is too large."


class DuplicateMemberError(MalformedTokenError):
    """The header or payload has a member twice, which two parsers may read differently."""

    description = "The access token has a member twice."


class AlgorithmError(TokenError):
    """The token is not signed with RS256."""

    description = "The access token's algorithm is not accepted."


class HeaderError(TokenError):
    """The header asks for an unsupported feature: a key from elsewhere, an extension."""

    description = "The access token's header is not accepted."


class UnknownIssuerError(TokenError):
    """The issuer is not trusted."""

    description = "The access token's issuer is not trusted."


class UnknownKeyError(TokenError):
    """The token names a key that its issuer does not have."""

    description = "The access token's key is not known."


class SignatureError(TokenError):
    """The signature was not made with the issuer's key."""

    description = "The access token's signature is wrong."


class ClaimError(TokenError):
    """A required claim is missing or has the wrong type."""

    description = "The access token lacks a claim, or has a malformed one."


class ExpiredError(TokenError):
    """The token has expired."""

    description = "The access token has expired."


class NotYetValidError(TokenError):
    """The token is not valid yet; perhaps a clock is wrong."""

    description = "The access token is not valid yet."


class TokenUseError(TokenError):
    """The token is of another kind, such as an ID token."""

    description = "The token is not of the kind that is asked for."


class AudienceError(TokenError):
    """The token is for another audience, or for one where none is expected."""

    description = "The access token is not for this audience."


class ClientNameError(TokenError):
    """The claim and the map of client names name different clients."""

    description = "The access token's client is ambiguous."


# -- valid tokens with insufficient rights ---------------------------------------------------------


class AccessError(RequestRefusedError):
    """Base class of errors for valid tokens with insufficient rights; never raised itself."""

    status = 403
    error = "insufficient_scope"
    description = "The access token does not allow this."


class ScopeError(AccessError):
    """The token lacks a required scope; *scopes* are all that were required."""

    description = "The access token lacks a scope."

    def __init__(self, scopes: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.scopes = scopes


class ClientError(AccessError):
    """The client is not allowed, or has no name that could be allowed."""

    description = "The access token's client may not do this."
