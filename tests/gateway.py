"""
API Gateway's events for the function, and the function's responses.

The format is that of a REST API's proxy integration (payload format 1.0), which
Chalice deploys.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from chalice.app import Chalice

from chalicelib.http.application import CredentialsApp
from chalicelib.http.token_routes import TokenSurface, token_routes
from chalicelib.model import IssuedCredentials, TokenRequest, TokenResponse
from chalicelib.ports import Emit
from chalicelib.token.oauth import FORM, HttpRequest
from tests.worlds import EAST, ExchangeWorld

TOKEN = "/oauth2/token"
PUBLIC_URL = "https://auth.example.com"
SOURCE_IP = "192.0.2.1"

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """Response of the function to API Gateway."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


def event(
    method: str = "POST",
    path: str = TOKEN,
    *,
    headers: Headers = (),
    body: str | bytes | None = None,
    query: Sequence[tuple[str, str]] = (),
    encoded: bool = False,
    source_ip: str = SOURCE_IP,
    user_arn: str | None = None,
    path_parameters: dict[str, str] | None = None,
    resource: str | None = None,
) -> dict[str, Any]:
    """
    Return the event of a request.

    With *encoded*, or for a *body* that is no text, the body is base64-encoded.
    Without headers or without a query, API Gateway sends `None`.
    """
    if isinstance(body, bytes) or encoded:
        raw = body.encode() if isinstance(body, str) else body or b""
        body, encoded = base64.b64encode(raw).decode(), True
    many_headers: dict[str, list[str]] = {}
    for name, value in headers:
        many_headers.setdefault(name, []).append(value)
    many_query: dict[str, list[str]] = {}
    for name, value in query:
        many_query.setdefault(name, []).append(value)
    return {
        "resource": resource or path,
        "path": path,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in many_headers.items()} or None,
        "multiValueHeaders": many_headers or None,
        "queryStringParameters": {name: values[-1] for name, values in many_query.items()} or None,
        "multiValueQueryStringParameters": many_query or None,
        "pathParameters": path_parameters,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "abc123",
            "resourcePath": resource or path,
            "httpMethod": method,
            "extendedRequestId": "AbCdEfGhIjKlMnO=",
            "requestTime": "22/Nov/2026:12:00:00 +0000",
            "path": f"/api{path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "api",
            "domainPrefix": "auth",
            "requestTimeEpoch": 1_800_000_000_000,
            "requestId": "00000000-0000-4000-8000-000000000000",
            "identity": {
                "cognitoIdentityPoolId": None,
                "accountId": None,
                "caller": None,
                "sourceIp": source_ip,
                "accessKey": None,
                "userArn": user_arn,
                "userAgent": "tests",
                "user": None,
            },
            "domainName": "auth.example.com",
            "apiId": "a1b2c3d4e5",
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def call(app: Chalice, request: dict[str, Any]) -> Answer:
    """Invoke *app* as Lambda does: JSON in, JSON out."""
    returned = json.loads(json.dumps(app(json.loads(json.dumps(request)), None)))
    assert not returned["multiValueHeaders"]
    assert not returned.get("isBase64Encoded")
    return Answer(returned["statusCode"], returned["headers"], returned["body"])


def basic(client_id: str, client_secret: str, scheme: str = "Basic") -> tuple[str, str]:
    """Return the header of HTTP Basic authentication."""
    encoded = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    return "Authorization", f"{scheme} {encoded}"


class InFull:
    """Request memo that matches no request; a function exchanges each."""

    def __init__(self, exchange: Callable[[TokenRequest], TokenResponse]) -> None:
        self._exchange = exchange

    def exchange_repeated(self, sent: HttpRequest) -> None:
        return None

    def exchange(self, request: TokenRequest, sent: HttpRequest | None = None) -> TokenResponse:
        return self._exchange(request)


def token_app(
    world: ExchangeWorld,
    *,
    exchange: Any = None,
    health: Any = None,
    jwks: Any = None,
    emit: Emit | None = None,
    name: str = "test",
) -> Chalice:
    """Return the token surface over *world*, wired as `app.py` does it."""
    surface = TokenSurface(
        exchange=InFull(exchange) if exchange else world.exchange,
        health=health or world.health,
        jwks=jwks or world.jwks,
        region=EAST,
        public_url=PUBLIC_URL,
        emit=emit or world.events,
    )
    app = CredentialsApp(app_name=name, emit=surface.emit, configure_logs=False)
    app.register_blueprint(token_routes(surface))
    return app


class TokenApi:
    """The token surface of a world, with one active client."""

    def __init__(self, world: ExchangeWorld | None = None) -> None:
        self.world = world or ExchangeWorld()
        self.app = token_app(self.world)
        self.client: IssuedCredentials = self.world.client()

    def call(self, **request: Any) -> Answer:
        """Send a request unchanged."""
        return call(self.app, event(**request))

    def form(
        self,
        parameters: Sequence[tuple[str, str]] | str = (("grant_type", "client_credentials"),),
        *,
        headers: Headers = (),
        content_type: str | None = FORM,
        **request: Any,
    ) -> Answer:
        """Send a form, or a body that claims to be one."""
        if content_type is not None:
            headers = [*headers, ("Content-Type", content_type)]
        body = parameters if isinstance(parameters, str) else urlencode(parameters)
        return self.call(headers=headers, body=body, **request)

    def basic(self, *parameters: tuple[str, str], **request: Any) -> Answer:
        """Send a form of the client's, authenticated with HTTP Basic."""
        return self.form(
            [("grant_type", "client_credentials"), *parameters],
            headers=[basic(self.client.client_id, self.client.client_secret)],
            **request,
        )

    def post(self, *parameters: tuple[str, str], **request: Any) -> Answer:
        """Send a form of the client's, authenticated in the body."""
        return self.form(
            [
                ("grant_type", "client_credentials"),
                ("client_id", self.client.client_id),
                ("client_secret", self.client.client_secret),
                *parameters,
            ],
            **request,
        )

    @property
    def hashed(self) -> int:
        """Number of argon2 verifications."""
        return len(self.world.argon2.verified)
