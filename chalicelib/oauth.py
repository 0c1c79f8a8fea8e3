"""
The token endpoint's language: requests in, responses out.  Pure.

Strict to RFC 6749; what the standard leaves open is decided in ADR 3.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from .credentials import CLIENT_ID, is_client_id, is_client_secret
from .errors import (
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuthError,
    TemporarilyUnavailableError,
    UnsupportedGrantTypeError,
)
from .model import ClientId, TokenRequest, TokenResponse

FORM = "application/x-www-form-urlencoded"
MAX_BODY_BYTES = 8_192
REALM = "oauth2/token"

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

_MAX_PARAMETERS = 32
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 6749 Appendix A.1, A.2.
_VSCHAR = re.compile(r"[\x20-\x7e]*")
# RFC 6749 §3.3: tokens of NQCHAR, a single space between.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
# What may only stand in the body or the header; a URI ends up in logs (§2.3.1).
_NEVER_IN_URI = frozenset(
    {"client_id", "client_secret", "client_assertion", "access_token", "grant_type", "scope"}
)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """
    What the gateway received, before anything was made of it.

    *authorization* holds the values of all `Authorization` headers, *query*
    the names of all query parameters.  *source_ip* is the gateway's own word,
    never a header's.
    """

    content_type: str | None
    authorization: Sequence[str] = field(repr=False)
    query: Sequence[str]
    body: bytes = field(repr=False)
    source_ip: str


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What is sent back."""

    status_code: int
    headers: Mapping[str, str]
    body: str = field(repr=False)


def parse(request: HttpRequest) -> TokenRequest:
    """
    Return the token request that *request* carries, its caller not authenticated.

    A secret whose checksum is wrong is refused here: a typo costs no hash.

    Raises:
        OAuthError: As RFC 6749 §5.2 says.
    """
    if _NEVER_IN_URI.intersection(request.query):
        raise InvalidRequestError("Parameters belong in the body, never in the URI.")
    form = _parse_form(request)
    client_id, client_secret = _client_authentication(request.authorization, form)
    grant_type = form.get("grant_type")
    if grant_type is None:
        raise InvalidRequestError("The parameter grant_type is missing.")
    if grant_type != "client_credentials":
        raise UnsupportedGrantTypeError
    scope = _parse_scope(form.get("scope"))
    if not is_client_id(client_id):
        raise InvalidClientError(reason="malformed_client_id")
    # An adopted client's secret is Cognito's and has no checksum.
    if CLIENT_ID.fullmatch(client_id) and not is_client_secret(client_secret):
        raise InvalidClientError(reason="malformed_client_secret")
    return TokenRequest(ClientId(client_id), client_secret, scope, request.source_ip)


def _parse_form(request: HttpRequest) -> dict[str, str]:
    media_type, *parameters = [
        part.strip() for part in (request.content_type or "").lower().split(";")
    ]
    if media_type != FORM:
        raise InvalidRequestError(f"The Content-Type must be {FORM}.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') != "utf-8":
            raise InvalidRequestError("The charset must be UTF-8.")
    if len(request.body) > MAX_BODY_BYTES:
        raise InvalidRequestError(f"The body exceeds {MAX_BODY_BYTES} bytes.")
    try:
        text = request.body.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidRequestError("The body is not form-encoded.") from None
    pairs = [pair for pair in text.split("&") if pair]
    if len(pairs) > _MAX_PARAMETERS:
        raise InvalidRequestError(f"There are more than {_MAX_PARAMETERS} parameters.")
    form: dict[str, str] = {}
    for pair in pairs:
        encoded_name, _, encoded_value = pair.partition("=")
        name = _form_decode(encoded_name, "The body")
        if name in form:
            raise InvalidRequestError("A parameter is repeated.")
        form[name] = _form_decode(encoded_value, "The body")
    # RFC 6749 §3.2: parameters without a value are treated as omitted.
    return {name: value for name, value in form.items() if value}


def _form_decode(text: str, where: str) -> str:
    """Decode one name or value (RFC 6749 Appendix B)."""
    if _PERCENT.search(text):
        raise InvalidRequestError(f"{where} has an invalid percent-escape.")
    try:
        decoded = unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{where} is not UTF-8.") from None
    if "\0" in decoded:
        raise InvalidRequestError(f"{where} has a NUL character.")
    return decoded


def _client_authentication(
    authorization: Sequence[str], form: Mapping[str, str]
) -> tuple[str, str]:
    """Return client ID and client secret, from one place only (RFC 6749 §2.3)."""
    if len(authorization) > 1:
        raise InvalidRequestError("There is more than one Authorization header.")
    asserts = "client_assertion" in form or "client_assertion_type" in form
    if sum([bool(authorization), "client_secret" in form, asserts]) > 1:
        raise InvalidRequestError("There is more than one method of client authentication.")
    if authorization:
        client_id, client_secret = _parse_basic(authorization[0])
        if form.get("client_id", client_id) != client_id:
            raise InvalidRequestError("The client_id of body and Authorization header differ.")
    else:
        if asserts:
            raise InvalidClientError(
                "Client assertions are not supported.", reason="unsupported_method"
            )
        if "client_id" not in form or "client_secret" not in form:
            raise InvalidClientError(
                "The request has no client credentials.", reason="no_credentials"
            )
        client_id, client_secret = form["client_id"], form["client_secret"]
    if not _VSCHAR.fullmatch(client_id) or not _VSCHAR.fullmatch(client_secret):
        raise InvalidRequestError("The client credentials have characters that none can have.")
    # Neither our secrets nor Cognito's have a space: one that arrives was a
    # plus sign, sent by a client that does not form-encode what it should.
    return client_id, client_secret.replace(" ", "+")


def _parse_basic(header: str) -> tuple[str, str]:
    """Return the two halves of Basic credentials (RFC 7617, RFC 6749 §2.3.1)."""
    scheme, _, encoded = header.strip(" \t").partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClientError(
            "The only Authorization scheme is Basic.", reason="unsupported_scheme"
        )
    encoded = encoded.strip(" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
        decoded = raw.decode("utf-8")
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The Authorization header is not well-formed.") from None
    client_id, colon, client_secret = decoded.partition(":")
    # Python lets superfluous padding pass even when it validates.
    if not colon or base64.b64encode(raw).decode() != encoded:
        raise InvalidRequestError("The Authorization header is not well-formed.")
    where = "The Authorization header"
    return _form_decode(client_id, where), _form_decode(client_secret, where)


def _parse_scope(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    if not _SCOPE.fullmatch(text):
        raise InvalidScopeError
    return frozenset(text.split(" "))


def is_scope(text: str) -> bool:
    """Whether *text* is one or more scope tokens with single spaces between."""
    return bool(_SCOPE.fullmatch(text))


def render(response: TokenResponse) -> HttpResponse:
    """Return the successful response (RFC 6749 §5.1)."""
    body = json.dumps(
        {
            "access_token": response.access_token,
            "token_type": "Bearer",
            "expires_in": response.expires_in,
            "scope": response.scope,
        },
        separators=(",", ":"),
    )
    return HttpResponse(200, {"Content-Type": "application/json", **NO_STORE}, body)


def render_error(error: OAuthError) -> HttpResponse:
    """Return the error response (RFC 6749 §5.2)."""
    headers = {"Content-Type": "application/json", **NO_STORE}
    if error.status_code == 401:  # noqa: PLR2004
        # Every 401 carries a challenge (RFC 9110 §15.5.2, RFC 7617).
        headers["WWW-Authenticate"] = f'Basic realm="{REALM}", charset="UTF-8"'
    if error.status_code == 405:  # noqa: PLR2004
        headers["Allow"] = "POST"
    if isinstance(error, TemporarilyUnavailableError):
        headers["Retry-After"] = str(error.retry_after)
    body = json.dumps(
        {"error": error.error, "error_description": error.description}, separators=(",", ":")
    )
    return HttpResponse(error.status_code, headers, body)


def metadata(public_url: str) -> dict[str, object]:
    """
    Return the authorization server metadata (RFC 8414) of *public_url*.

    The tokens are Cognito's and name Cognito as their issuer: validate them
    against the pools, not against this document.
    """
    return {
        "issuer": public_url,
        "token_endpoint": f"{public_url}/oauth2/token",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "grant_types_supported": ["client_credentials"],
        # REQUIRED (§2), yet without an authorization endpoint there is no
        # response type; §3.2 forbids an empty array.  See ADR 3.
        "response_types_supported": ["none"],
    }
