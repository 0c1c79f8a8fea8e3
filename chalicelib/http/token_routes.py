"""Token surface: token endpoint, metadata, key set and health, for clients and verifiers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Protocol

from chalice.app import Blueprint, Request, Response

from chalicelib.errors import (
    InvalidRequestError,
    MethodNotAllowedError,
    OAuthError,
    OAuthServerError,
    ServiceError,
    TemporarilyUnavailableError,
)
from chalicelib.jwks.document import KeyDocument
from chalicelib.model import TokenRequest, TokenResponse
from chalicelib.ports import Emit
from chalicelib.telemetry import crash
from chalicelib.token import oauth
from chalicelib.token.health import Health

View = Callable[[], Response]

_METHODS = ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
_READ = ["GET", "HEAD"]
_ANY: list[str] = []
_JSON = {"Content-Type": "application/json"}
_LENGTH = len("authorization")
_CONFLICT = 409
_UNAVAILABLE = 503
_NOT_MODIFIED = 304
# A key that a pool adds is in the snapshot within a quarter of an hour.
_JWKS_CACHING = {"Cache-Control": "public, max-age=300"}


class TokenExchange(Protocol):
    """See `exchange.Exchange`."""

    def exchange_repeated(self, sent: oauth.HttpRequest) -> TokenResponse | None:
        """See `Exchange.exchange_repeated`."""

    def exchange(
        self, request: TokenRequest, sent: oauth.HttpRequest | None = None
    ) -> TokenResponse:
        """See `Exchange.exchange`."""


@dataclass(frozen=True, slots=True)
class TokenSurface:
    """Dependencies of the token routes."""

    exchange: TokenExchange
    health: Health
    jwks: Callable[[], KeyDocument]
    region: str
    public_url: str
    emit: Emit = field(repr=False)


def token_routes(surface: TokenSurface) -> Blueprint:
    """Return the routes of *surface*."""
    routes = Blueprint(__name__)
    metadata = json.dumps(oauth.metadata(surface.public_url))

    def route(path: str, methods: list[str]) -> Callable[[View], View]:
        """Register a view for any media type, as Chalice's own refusal is no OAuth error."""
        return lambda view: routes.route(path, methods=methods, content_types=_ANY)(
            _guarded(view, surface.emit)
        )

    # For every method: API Gateway's and Chalice's own refusals are no OAuth errors.
    @route("/oauth2/token", _METHODS)
    def token() -> Response:
        """RFC 6749 §3.2."""
        return _response(_answer(surface, routes.current_request))

    @route("/.well-known/oauth-authorization-server", _READ)
    def authorization_server() -> Response:
        """RFC 8414 §3."""
        return Response(metadata, {**_JSON, "Cache-Control": "public, max-age=3600"})

    @route("/.well-known/jwks.json", _READ)
    def jwks() -> Response:
        """RFC 7517 §5: the keys of both Regions' pools; `iss` names the issuer of each."""
        return _keys(surface, routes.current_request)

    @route("/health", _READ)
    def health() -> Response:
        """Answer 200 while the function runs; no dependency is checked."""
        return _health(200, {"status": "ok", "region": surface.region})

    @route("/health/ready", _READ)
    def ready() -> Response:
        """Answer 200 if the dependencies of this Region's exchange answer."""
        readiness = surface.health.readiness()
        return _health(
            200 if readiness.ready else _UNAVAILABLE,
            {
                "status": "ready" if readiness.ready else "not ready",
                "secrets_manager": readiness.secrets_manager,
                "token_endpoint": readiness.token_endpoint,
            },
        )

    @route("/health/takeover", _READ)
    def takeover() -> Response:
        """
        Answer 200 only if this Region has taken the traffic over; the routing depends on it.

        For Route 53 every other status is the same.  "No" is the normal answer of a
        standby, so it is no server error; not to know is one.
        """
        try:
            took_over = surface.health.took_over()
        except ServiceError:
            return _health(_UNAVAILABLE, {"took_over": None})
        return _health(200 if took_over else _CONFLICT, {"took_over": took_over})

    return routes


def _guarded(view: View, emit: Emit) -> View:
    """Answer and log a crash of *view*; Chalice would log the error's text."""

    @wraps(view)
    def guarded() -> Response:
        try:
            return view()
        except Exception as err:  # noqa: BLE001 - every failure gets an OAuth error
            emit(crash(err))
            return _response(oauth.render_error(OAuthServerError()))

    return guarded


def _response(answer: oauth.HttpResponse) -> Response:
    return Response(answer.body, dict(answer.headers), answer.status_code)


def _health(status_code: int, body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), {**_JSON, **oauth.NO_STORE}, status_code)


def _keys(surface: TokenSurface, request: Request) -> Response:
    try:
        found = surface.jwks()
    except ServiceError as err:
        surface.emit({"event": "jwks", "outcome": f"unavailable:{type(err).__name__}"})
        unavailable = TemporarilyUnavailableError(
            "The keys cannot be read right now. Try again later.", reason="jwks"
        )
        return _response(oauth.render_error(unavailable))
    headers: dict[str, Any] = {**_JWKS_CACHING, "ETag": found.etag}
    if _has(request, found.etag):
        return Response("", headers, _NOT_MODIFIED)
    return Response(found.body, {**_JSON, **headers})


def _has(request: Request, etag: str) -> bool:
    """Return whether the caller has the version *etag* (RFC 9110 §13.1.2: weak comparison)."""
    known = str(request.headers.get("if-none-match") or "")
    return etag in {each.strip().removeprefix("W/") for each in known.split(",")}


def _answer(surface: TokenSurface, request: Request) -> oauth.HttpResponse:
    try:
        if request.method != "POST":
            raise MethodNotAllowedError
        sent = _http_request(request)
        response = surface.exchange.exchange_repeated(sent)
        if response is not None:
            return oauth.render(response)
        token_request = oauth.parse(sent)
    except OAuthError as error:
        surface.emit({"event": "exchange", "outcome": error.reason, "cognito_requests": 0})
        return oauth.render_error(error)
    try:
        return oauth.render(surface.exchange.exchange(token_request, sent))
    except OAuthError as error:
        return oauth.render_error(error)


def _http_request(request: Request) -> oauth.HttpRequest:
    headers = request.headers
    try:
        body = request.raw_body
    except ValueError:  # half of a surrogate pair, or not base64
        raise InvalidRequestError("The body is not form-encoded.") from None
    many = request.to_original_event().get("multiValueHeaders") or {}
    authorization: list[str] = []
    for name in many:
        if len(name) == _LENGTH and name.lower() == "authorization":
            authorization += many[name]
    if not authorization and "authorization" in headers:
        authorization = [headers["authorization"]]
    return oauth.HttpRequest(
        content_type=headers.get("content-type"),
        authorization=authorization,
        query=list(request.query_params or {}),
        body=body.encode() if isinstance(body, str) else body,
        source_ip=request.context["identity"]["sourceIp"],
    )
