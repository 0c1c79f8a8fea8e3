"""RFC 6750 to the letter, the same through WSGI and ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate_verifier import (
    ConfigurationError,
    MalformedRequestError,
    NoTokenError,
    Verifier,
    asgi,
    token_in,
    wsgi,
)
from tests.verifier.world import CLIENT, World

REALM = "test"


@dataclass(frozen=True)
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.body)
        return found


Ask = Callable[..., Got]


def scopes_for(method: str, _path: str) -> set[str]:
    return {"demo/write"} if method == "POST" else set()


def through_wsgi(
    verifier: Verifier, *authorization: str, method: str = "GET", path: str = "/things"
) -> Got:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        who = wsgi.token_of(environ).client_id if path != "/health" else "anybody"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [] if method == "HEAD" else [(who or "").encode()]

    protected = wsgi.BearerWsgi(
        app, verifier, realm=REALM, scopes_for=scopes_for, public_paths={"/health"}
    )
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "/api" if not path else "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
    }
    setup_testing_defaults(environ)
    if authorization:
        environ["HTTP_AUTHORIZATION"] = ",".join(authorization)  # as wsgiref joins them
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        started[:] = [int(status[:3]), dict(headers)]
        return lambda _chunk: None

    chunks = validator(protected)(environ, start_response)
    body = b"".join(chunks)
    chunks.close()  # type: ignore[attr-defined]
    return Got(started[0], started[1], body)


def through_asgi(
    verifier: Verifier, *authorization: str, method: str = "GET", path: str = "/things"
) -> Got:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        who = asgi.token_of(scope).client_id if path != "/health" else "anybody"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": (who or "").encode()})

    protected = asgi.BearerAsgi(
        app, verifier, realm=REALM, scopes_for=scopes_for, public_paths={"/health"}
    )
    headers = [(b"authorization", value.encode("latin-1")) for value in authorization]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    sent = asyncio.run(drive(protected, scope))
    return Got(
        sent[0]["status"],
        {name.decode().title(): value.decode() for name, value in sent[0]["headers"]},
        sent[1]["body"],
    )


async def drive(app: Any, scope: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


@pytest.fixture(params=[through_wsgi, through_asgi], ids=["wsgi", "asgi"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


def header(got: Got, name: str) -> str | None:
    return {key.lower(): value for key, value in got.headers.items()}.get(name.lower())


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def verifier(world: World) -> Verifier:
    return world.verifier(scopes={"demo/read"})


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_valid_token_is_passed_to_the_application(
    world: World, verifier: Verifier, ask: Ask, scheme: str
) -> None:
    got = ask(verifier, f"{scheme} {world.east.token()}")
    assert (got.status, got.body) == (200, CLIENT.encode())


@pytest.mark.parametrize("authorization", [(), ("Basic eDp5",), ("",), ("Bearerx y",)])
def test_without_a_token_the_challenge_has_no_error_code(
    verifier: Verifier, ask: Ask, authorization: tuple[str, ...]
) -> None:
    got = ask(verifier, *authorization)
    assert got.status == 401
    assert header(got, "WWW-Authenticate") == 'Bearer realm="test"'
    assert "error" not in got.document
    assert header(got, "Cache-Control") == "no-store"


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b"])
def test_a_malformed_bearer_token_is_an_invalid_request(
    verifier: Verifier, ask: Ask, authorization: str
) -> None:
    got = ask(verifier, authorization)
    assert (got.status, got.document["error"]) == (400, "invalid_request")


def test_two_tokens_are_an_invalid_request(world: World, verifier: Verifier, ask: Ask) -> None:
    got = ask(verifier, *[f"Bearer {world.east.token()}"] * 2)
    assert (got.status, got.document["error"]) == (400, "invalid_request")


def test_a_refused_token_is_an_invalid_token(world: World, verifier: Verifier, ask: Ask) -> None:
    got = ask(verifier, f"Bearer {world.east.token(exp=1)}")
    assert (got.status, got.document["error"]) == (401, "invalid_token")
    assert header(got, "WWW-Authenticate") == (
        'Bearer realm="test", error="invalid_token", '
        'error_description="The access token has expired."'
    )


def test_too_little_scope_is_forbidden_and_named(
    world: World, verifier: Verifier, ask: Ask
) -> None:
    got = ask(verifier, f"Bearer {world.east.token(scope='demo/other')}")
    assert (got.status, got.document["error"]) == (403, "insufficient_scope")
    assert 'scope="demo/read"' in (header(got, "WWW-Authenticate") or "")


def test_a_method_may_require_more_scopes(world: World, verifier: Verifier, ask: Ask) -> None:
    reading = f"Bearer {world.east.token(scope='demo/read')}"
    assert ask(verifier, reading).status == 200
    got = ask(verifier, reading, method="POST")
    assert got.status == 403
    assert 'scope="demo/write"' in (header(got, "WWW-Authenticate") or "")
    assert ask(verifier, f"Bearer {world.east.token()}", method="POST").status == 200


def test_a_client_that_is_not_allowed_is_forbidden(world: World, ask: Ask) -> None:
    got = ask(world.verifier(clients={"sgc_other"}), f"Bearer {world.east.token()}")
    assert (got.status, got.document["error"]) == (403, "insufficient_scope")


def test_without_keys_the_answer_is_a_503_with_retry_after(
    world: World, verifier: Verifier, ask: Ask
) -> None:
    world.server.down.update(world.server.documents)
    got = ask(verifier, f"Bearer {world.east.token()}")
    assert (got.status, got.document["error"]) == (503, "temporarily_unavailable")
    assert header(got, "Retry-After") == "5"
    assert header(got, "WWW-Authenticate") is None


def test_head_gets_no_body(verifier: Verifier, ask: Ask) -> None:
    got = ask(verifier, method="HEAD")
    assert (got.status, got.body) == (401, b"")


def test_a_public_path_needs_no_token_and_no_other_path_is_public(
    verifier: Verifier, ask: Ask
) -> None:
    assert ask(verifier, path="/health").body == b"anybody"
    for path in ("/health/", "/health/x", "/HEALTH", "//health", "/things", ""):
        assert ask(verifier, path=path).status == 401


def test_no_answer_has_a_part_of_the_token(world: World, verifier: Verifier, ask: Ask) -> None:
    token = world.east.token(exp=1)
    got = ask(verifier, f"Bearer {token}")
    text = f"{got.headers}{got.body!r}"
    assert not [part for part in token.split(".") if part[:10] in text]


@pytest.mark.parametrize("realm", ["", 'a"b', "a\r\nb", "ü", "a\\b"])
def test_a_realm_that_breaks_the_header_is_refused(verifier: Verifier, realm: str) -> None:
    for middleware in (wsgi.BearerWsgi, asgi.BearerAsgi):
        with pytest.raises(ConfigurationError, match="realm"):
            middleware(None, verifier, realm=realm)  # type: ignore[arg-type]


@given(text=st.text())
def test_any_authorization_header_yields_a_token_or_an_error(text: str) -> None:
    try:
        token = token_in(text)
    except (NoTokenError, MalformedRequestError):
        return
    assert token
    assert text.lower().lstrip(" \t").startswith("bearer ")


# -- other ASGI connection types -------------------------------------------------------------------


async def never(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError


def protected(verifier: Verifier, app: Any = never) -> asgi.BearerAsgi:
    return asgi.BearerAsgi(app, verifier, realm=REALM)


def websocket(*authorization: bytes, **more: Any) -> dict[str, Any]:
    headers = [(b"Authorization", value) for value in authorization]
    return {"type": "websocket", "path": "/ws", "headers": headers, **more}


def test_a_websocket_without_a_token_is_closed(verifier: Verifier) -> None:
    sent = asyncio.run(drive(protected(verifier), websocket()))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_websocket_without_a_token_gets_the_response_if_the_server_supports_it(
    verifier: Verifier,
) -> None:
    scope = websocket(extensions={"websocket.http.response": {}})
    sent = asyncio.run(drive(protected(verifier), scope))
    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 401


def test_a_websocket_with_a_token_is_accepted(world: World, verifier: Verifier) -> None:
    seen = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(asgi.token_of(scope).client_id)

    token = f"Bearer {world.west.token()}".encode()
    asyncio.run(drive(protected(verifier, app), websocket(token)))
    assert seen == [CLIENT]


def test_a_websocket_is_not_treated_as_a_get(world: World, verifier: Verifier) -> None:
    asked: list[tuple[str, str]] = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("It lacks a scope.")

    def scopes_of(method: str, path: str) -> set[str]:
        asked.append((method, path))
        return {"demo/read"} if method == "GET" else {"demo/write"}

    token = f"Bearer {world.west.token(scope='demo/read')}".encode()
    behind = asgi.BearerAsgi(app, verifier, realm=REALM, scopes_for=scopes_of)
    sent = asyncio.run(drive(behind, websocket(token)))
    assert asked == [("WEBSOCKET", "/ws")]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_lifespan_events_reach_the_application(verifier: Verifier) -> None:
    seen = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(drive(protected(verifier, app), {"type": "lifespan"}))
    assert seen == ["lifespan"]


def test_an_unknown_scope_type_is_refused(verifier: Verifier) -> None:
    with pytest.raises(NotImplementedError, match="gopher"):
        asyncio.run(drive(protected(verifier), {"type": "gopher"}))


def test_fetching_keys_does_not_block_the_event_loop(world: World) -> None:
    loop_went_on = asyncio.Event()

    async def story() -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()

        def fetch(url: str) -> bytes:
            # Answers only after the loop has run another task.
            asyncio.run_coroutine_threadsafe(mark(), loop).result(30)
            return world.server(url)

        async def mark() -> None:
            loop_went_on.set()

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        headers = [(b"authorization", f"Bearer {world.east.token()}".encode())]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
        return await drive(protected(world.verifier(fetch=fetch), app), scope)

    assert asyncio.run(story())[0]["status"] == 200
    assert loop_went_on.is_set()
