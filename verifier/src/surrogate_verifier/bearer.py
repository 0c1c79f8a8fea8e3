"""
RFC 6750: read a token from a request, and answer a refused request.

The ready middleware uses this; an error handler in another framework can use it too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .errors import (
    ConfigurationError,
    MalformedRequestError,
    NoTokenError,
    RequestRefusedError,
    ScopeError,
)

_RETRY_AFTER_SECONDS = 5
_UNAVAILABLE = 503
_REALM = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,64}")
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def token_in(authorization: str | None) -> str:
    """
    Return the token of an Authorization header.

    Raises:
        NoTokenError: If there is no token, or the header has another scheme.
        MalformedRequestError: If the header is not exactly one bearer token.
    """
    if authorization is None:
        raise NoTokenError
    scheme, _, rest = authorization.strip(" \t").partition(" ")
    if scheme.lower() != "bearer":
        raise NoTokenError
    token = rest.strip(" ")
    # A comma means two headers joined by a proxy.
    if not token or any(each in token for each in " ,\t"):
        raise MalformedRequestError
    return token


def answer_to(error: RequestRefusedError, realm: str) -> Answer:
    """Return the response to a refused request; *realm* names the protected resource."""
    document = {"error_description": str(error)}
    if error.error is not None:
        document = {"error": error.error, **document}
    body = json.dumps(document).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    if error.status == _UNAVAILABLE:
        headers.append(("Retry-After", str(_RETRY_AFTER_SECONDS)))
    else:
        headers.append(("WWW-Authenticate", _challenge(error, realm)))
    return Answer(error.status, tuple(headers), body)


def checked_realm(realm: str) -> str:
    """
    Return *realm* if it is valid in a quoted header value.

    Raises:
        ConfigurationError: If it is not.
    """
    if not _REALM.fullmatch(realm):
        raise ConfigurationError("realm: must be 1 to 64 visible characters without quotes.")
    return realm


def _challenge(error: RequestRefusedError, realm: str) -> str:
    parameters = {"realm": realm}
    if error.error is not None:
        parameters["error"] = error.error
        parameters["error_description"] = str(error)
    if isinstance(error, ScopeError):
        scopes = sorted(scope for scope in error.scopes if _SCOPE_TOKEN.fullmatch(scope))
        if scopes:
            parameters["scope"] = " ".join(scopes)
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())
