"""
OAuth requests and responses of the token endpoint, as pure functions.

They are strict to RFC 6749; ADR 3 decides the questions that it leaves open.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote_plus

from chalicelib.credentials import ADOPTED_CLIENT_ID, CLIENT_ID, is_client_secret
from chalicelib.errors import (
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuthError,
    UnsupportedGrantTypeError,
)
from chalicelib.model import ClientId, TokenRequest, TokenResponse

FORM = "application/x-www-form-urlencoded"
MAX_BODY_BYTES = 8_192
REALM = "oauth2/token"
_USUAL_BODY = b"grant_type=client_credentials"

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_HEADERS = {"Content-Type": "application/json", **NO_STORE}

_encode = json.JSONEncoder().encode
_MAX_PARAMETERS = 32
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 6749 §3.3: tokens of NQCHAR, a single space between.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
# In each of these, a body of ASCII means the same as in UTF-8.
_CHARSETS = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252"}
)
# Parameters for the body or the header only, as logs record URIs (§2.3.1).
_NEVER_IN_URI = frozenset(
    {"client_id", "client_secret", "client_assertion", "access_token", "grant_type", "scope"}
)


@dataclass(slots=True)  # one is made for every request, which takes a frozen one four times as long
class HttpRequest:
    """
    Unparsed request, as the gateway received it.

    *authorization* holds the values of all `Authorization` headers, *query* the names
    of all query parameters.  *source_ip* comes from the gateway, never from a header.
    """

    content_type: str | None
    authorization: Sequence[str] = field(repr=False)
    query: Sequence[str]
    body: bytes = field(repr=False)
    source_ip: str


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Response for the gateway."""

    status_code: int
    headers: Mapping[str, str]
    body: str = field(repr=False)


def parse(request: HttpRequest) -> TokenRequest:
    """
    Return the token request in *request*; its caller is not authenticated yet.

    It refuses a secret with a wrong checksum: a typo costs no hash.

    Raises:
        OAuthError: As in RFC 6749 §5.2.
    """
    if request.query and (
        _NEVER_IN_URI.intersection(request.query) or _resembles_scope(request.query)
    ):
        raise InvalidRequestError("Parameters belong in the body, never in the URI.")
    form = _parse_form(request)
    client_id, client_secret = _client_authentication(request.authorization, form)
    grant_type = form.get("grant_type")
    if grant_type is None:
        raise InvalidRequestError("The parameter grant_type is missing.")
    if grant_type != "client_credentials":
        raise UnsupportedGrantTypeError
    scope = _parse_scope(form.get("scope"))
    if CLIENT_ID.fullmatch(client_id):
        if not is_client_secret(client_secret):
            raise InvalidClientError(reason="malformed_client_secret")
    # An adopted client's secret is Cognito's and has no checksum.
    elif not ADOPTED_CLIENT_ID.fullmatch(client_id):
        raise InvalidClientError(reason="malformed_client_id")
    return TokenRequest(ClientId(client_id), client_secret, scope, request.source_ip)


def _parse_form(request: HttpRequest) -> dict[str, str]:
    if request.content_type != FORM:
        _check_content_type(request.content_type or "")
    if request.body == _USUAL_BODY:
        return {"grant_type": "client_credentials"}
    if len(request.body) > MAX_BODY_BYTES:
        raise InvalidRequestError(f"The body exceeds {MAX_BODY_BYTES} bytes.")
    try:
        text = request.body.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidRequestError("The body is not form-encoded.") from None
    pairs = [pair for pair in text.split("&") if pair]
    if len(pairs) > _MAX_PARAMETERS:
        raise InvalidRequestError(f"There are more than {_MAX_PARAMETERS} parameters.")
    encoded = _is_encoded(text)
    form: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if encoded:
            name, value = _form_decode(name, "The body"), _form_decode(value, "The body")
        if name in form:
            raise InvalidRequestError("A parameter is repeated.")
        form[name] = value
    # RFC 6749 §3.2: parameters without a value are treated as omitted.
    form = {name: value for name, value in form.items() if value}
    if _resembles_scope(form):
        raise InvalidRequestError("The only parameter for scopes is scope.")
    return form


def _resembles_scope(names: Iterable[str]) -> bool:
    """
    Return whether one of *names* means the scope in another spelling, like `scope[]`.

    Ignored like other unknown parameters, it would widen the scope to the whole grant.
    """
    return any("scope" in name.casefold() for name in names if name != "scope")


def _check_content_type(content_type: str) -> None:
    """Refuse *content_type* unless it is a form, in a charset that contains ASCII (ADR 3)."""
    media_type, *parameters = [part.strip() for part in content_type.lower().split(";")]
    if media_type != FORM:
        raise InvalidRequestError(f"The Content-Type must be {FORM}.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in _CHARSETS:
            raise InvalidRequestError("The charset must be UTF-8.")


def _is_encoded(text: str) -> bool:
    """Return whether decoding *text* can change it, or has to refuse it."""
    return "%" in text or "+" in text or "\0" in text


def _form_decode(text: str, where: str) -> str:
    """Decode one name or value (RFC 6749 Appendix B)."""
    if not _is_encoded(text):
        return text
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
    if bool(authorization) + ("client_secret" in form) + asserts > 1:
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
    if not (_is_vschar(client_id) and _is_vschar(client_secret)):
        raise InvalidRequestError("The client credentials have characters that none can have.")
    # Neither our secrets nor Cognito's have a space: it was a plus sign, sent by a
    # client that does not form-encode its credentials.
    return client_id, client_secret.replace(" ", "+")


def _is_vschar(text: str) -> bool:
    """Return whether *text* is visible ASCII and spaces (RFC 6749 Appendix A.1, A.2)."""
    return text.isascii() and text.isprintable()


def _parse_basic(header: str) -> tuple[str, str]:
    """Return client ID and client secret of Basic credentials (RFC 7617, RFC 6749 §2.3.1)."""
    scheme, _, encoded = header.strip(" \t").partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClientError(
            "The only Authorization scheme is Basic.", reason="unsupported_scheme"
        )
    encoded = encoded.strip(" ")
    try:
        raw = binascii.a2b_base64(encoded, strict_mode=True)
        decoded = raw.decode("utf-8")
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The Authorization header is not well-formed.") from None
    client_id, colon, client_secret = decoded.partition(":")
    # Python's strict mode accepts unused trailing bits: the encoding must be canonical.
    if not colon or binascii.b2a_base64(raw, newline=False) != encoded.encode():
        raise InvalidRequestError("The Authorization header is not well-formed.")
    if not _is_encoded(decoded):
        return client_id, client_secret
    where = "The Authorization header"
    return _form_decode(client_id, where), _form_decode(client_secret, where)


def _parse_scope(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    if not _SCOPE.fullmatch(text):
        raise InvalidScopeError
    return frozenset(text.split(" "))


def is_scope(text: str) -> bool:
    """Return whether *text* is one or more scope tokens with single spaces between."""
    return bool(_SCOPE.fullmatch(text))


def render(response: TokenResponse) -> HttpResponse:
    """Return the successful response (RFC 6749 §5.1)."""
    # A token needs no JSON escapes; searching for them takes a tenth of an exchange's time.
    body = (
        f'{{"access_token":"{response.access_token}","token_type":"Bearer",'
        f'"expires_in":{response.expires_in},"scope":{_encode(response.scope)}}}'
    )
    return HttpResponse(200, _HEADERS, body)


def render_error(error: OAuthError) -> HttpResponse:
    """Return the error response (RFC 6749 §5.2)."""
    return _error_response(error.status_code, error.error, error.description, error.retry_after)


@lru_cache(maxsize=64)  # there are few, and none depends on the content of its request
def _error_response(
    status_code: int, error: str, description: str, retry_after: int | None
) -> HttpResponse:
    headers = {**_HEADERS}
    if status_code == 401:  # noqa: PLR2004
        # Every 401 carries a challenge (RFC 9110 §15.5.2, RFC 7617).
        headers["WWW-Authenticate"] = f'Basic realm="{REALM}", charset="UTF-8"'
    if status_code == 405:  # noqa: PLR2004
        headers["Allow"] = "POST"
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    body = f'{{"error":{_encode(error)},"error_description":{_encode(description)}}}'
    return HttpResponse(status_code, headers, body)


def metadata(public_url: str) -> dict[str, object]:
    """
    Return the authorization server metadata (RFC 8414) of *public_url*.

    The tokens are Cognito's, and so is their issuer: verifiers use the pools' metadata,
    not this document.
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
