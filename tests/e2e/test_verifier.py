"""Verifier and middleware, with tokens issued by the local cloud in both Regions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
import requests

from examples.protected_api import verifier_for
from local.cloud import Cloud
from surrogate_verifier import (
    ANY,
    NO_AUDIENCE,
    ScopeError,
    SignatureError,
    TokenError,
    Verifier,
    asgi,
    user_pool,
    wsgi,
)
from surrogate_verifier.aws_lambda import UnauthorizedError, http_api_authorizer, rest_authorizer
from tests.e2e.conftest import CommandLine
from tests.e2e.tokens import SECONDS, post_token

ROLES = ("primary", "secondary")
STAGE = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/prod"
Tokens = dict[str, str]


@pytest.fixture(scope="module")
def tokens(cloud: Cloud) -> Tokens:
    """Return a token of each Region, for one client."""
    answer = CommandLine(cloud)("enroll", "--name=verifier", "--scope=demo/read")
    pair = (answer["client_id"], answer["client_secret"])
    found = {}
    for role in ROLES:
        issued = post_token(cloud.endpoints[role], pair)
        assert issued.status_code == 200, issued.text
        found[role] = issued.json()["access_token"]
    return found


@pytest.fixture
def verifier(cloud: Cloud) -> Verifier:
    return verifier_for(cloud.endpoints)


def tampered(token: str) -> str:
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{'A' * len(signature)}"


@pytest.mark.parametrize("role", ROLES)
def test_a_cognito_token_is_accepted_and_names_its_client(
    cloud: Cloud, verifier: Verifier, tokens: Tokens, role: str
) -> None:
    token = verifier.verify(tokens[role])
    assert token.issuer.endswith(f"/{cloud.endpoints['user_pools'][role]}")
    assert token.app_client_id == token.claims["client_id"]
    assert token.scopes == {"demo/read"}
    with pytest.raises(ScopeError):
        token.require("demo/write")
    with pytest.raises(TokenError):
        verifier.verify(tampered(tokens[role]))


def test_a_published_key_set_is_a_snapshot_that_needs_no_network(
    cloud: Cloud, tokens: Tokens
) -> None:
    document = requests.get(
        f"{cloud.endpoints['secondary']}/.well-known/jwks.json", timeout=SECONDS
    ).json()
    verifier = Verifier.from_snapshot(
        document,
        [user_pool(cloud.endpoints["user_pools"][role]) for role in ROLES],
        token_use="access",
        audiences=NO_AUDIENCE,
        scopes={"demo/read"},
        clients=ANY,
    )
    assert {verifier.verify(tokens[role]).issuer for role in ROLES} == {
        each["iss"] for each in document["keys"]
    }


@pytest.mark.parametrize("role", ROLES)
def test_wsgi_middleware(verifier: Verifier, tokens: Tokens, role: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [wsgi.token_of(environ).issuer.encode()]

    def ask(token: str) -> tuple[str, bytes]:
        started: list[str] = []
        body = wsgi.BearerWsgi(app, verifier, realm="e2e")(
            {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": "/",
                "HTTP_AUTHORIZATION": f"Bearer {token}",
            },
            lambda status, _headers, *_: started.append(status) or (lambda _chunk: None),  # type: ignore[func-returns-value]
        )
        return started[0], b"".join(body)

    status, body = ask(tokens[role])
    assert (status, body.startswith(b"https://cognito-idp.")) == ("200 OK", True)
    assert ask(tampered(tokens[role]))[0] == "401 Unauthorized"


@pytest.mark.parametrize("role", ROLES)
def test_asgi_middleware(verifier: Verifier, tokens: Tokens, role: str) -> None:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        assert asgi.token_of(scope).scopes == {"demo/read"}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(token: str) -> int:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
        await asgi.BearerAsgi(app, verifier, realm="e2e")(scope, receive, send)
        status: int = sent[0]["status"]
        return status

    assert asyncio.run(ask(tokens[role])) == 200
    assert asyncio.run(ask(tampered(tokens[role]))) == 401


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ["TOKEN", "REQUEST"])
def test_rest_api_authorizer(verifier: Verifier, tokens: Tokens, role: str, kind: str) -> None:
    def event(token: str) -> dict[str, Any]:
        found: dict[str, Any] = {"type": kind, "methodArn": f"{STAGE}/GET/orders"}
        if kind == "TOKEN":
            return {**found, "authorizationToken": f"Bearer {token}"}
        return {**found, "headers": {"Authorization": f"Bearer {token}"}}

    authorizer = rest_authorizer(verifier)
    answer = authorizer(event(tokens[role]), None)
    (statement,) = answer["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Allow", f"{STAGE}/*")
    assert answer["context"]["scope"] == "demo/read"
    with pytest.raises(UnauthorizedError):
        authorizer(event(tampered(tokens[role])), None)


@pytest.mark.parametrize("role", ROLES)
def test_http_api_authorizer(verifier: Verifier, tokens: Tokens, role: str) -> None:
    def event(token: str) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {token}"}
        return {"version": "2.0", "routeArn": f"{STAGE}/GET/orders", "headers": headers}

    authorizer = http_api_authorizer(verifier)
    assert authorizer(event(tokens[role]), None)["isAuthorized"] is True
    assert authorizer(event(tampered(tokens[role])), None)["isAuthorized"] is False


@pytest.mark.parametrize("role", ROLES)
def test_a_token_signed_in_one_region_is_refused_under_the_others_issuer(
    verifier: Verifier, tokens: Tokens, role: str
) -> None:
    """Header and claims of one Region's token, with the signature of the other's."""
    other = ROLES[1 - ROLES.index(role)]
    mixed = f"{tokens[role].rpartition('.')[0]}.{tokens[other].rpartition('.')[2]}"
    with pytest.raises(SignatureError):
        verifier.verify(mixed)
