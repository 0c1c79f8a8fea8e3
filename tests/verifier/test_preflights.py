"""Preflights of browsers (CORS): what the README says, with the README's own code."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from surrogate_verifier.asgi import BearerAsgi
from surrogate_verifier.wsgi import BearerWsgi
from tests.verifier.world import World

README = Path(__file__).parents[2] / "verifier" / "README.md"
ORIGIN = "https://app.example.com"
PREFLIGHT = {
    "HTTP_ORIGIN": ORIGIN,
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET",
    "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "authorization",
}

Got = tuple[int, dict[str, str]]


@pytest.fixture
def reached() -> list[str]:
    """Methods of the requests that reached the application."""
    return []


@pytest.fixture
def protected(reached: list[str]) -> BearerWsgi:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        reached.append(environ["REQUEST_METHOD"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"order"]

    return BearerWsgi(app, World().verifier(), realm="orders")


@pytest.fixture
def with_cors() -> Callable[..., Any]:
    """Return the function of the README that answers preflights."""
    (code,) = re.findall(
        r"```python\n(def with_cors.*?)\n\napplication = ", README.read_text(), re.DOTALL
    )
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - our own document
    function: Callable[..., Any] = found["with_cors"]
    return function


def ask(app: Any, method: str, **headers: str) -> Got:
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": "/orders", **headers}
    environ |= {"QUERY_STRING": "", "SCRIPT_NAME": ""}
    setup_testing_defaults(environ)
    started: list[Any] = []

    def start_response(status: str, sent: list[tuple[str, str]], *_: object) -> Any:
        started[:] = [int(status[:3]), dict(sent)]
        return lambda _chunk: None

    chunks = validator(app)(environ, start_response)
    b"".join(chunks)
    chunks.close()  # type: ignore[attr-defined]
    return started[0], started[1]


def test_the_wsgi_middleware_answers_a_preflight_with_401(
    protected: BearerWsgi, reached: list[str]
) -> None:
    status, headers = ask(protected, "OPTIONS", **PREFLIGHT)
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="orders"')
    assert reached == []


def test_the_asgi_middleware_answers_a_preflight_with_401(reached: list[str]) -> None:
    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        reached.append(scope["method"])

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    headers = [(b"origin", ORIGIN.encode()), (b"access-control-request-method", b"GET")]
    scope = {"type": "http", "method": "OPTIONS", "path": "/orders", "headers": headers}
    asyncio.run(BearerAsgi(app, World().verifier(), realm="orders")(scope, receive, send))
    assert sent[0]["status"] == 401
    assert reached == []


def test_an_options_request_with_a_token_reaches_the_application(
    protected: BearerWsgi, reached: list[str]
) -> None:
    token = World().east.token()
    assert ask(protected, "OPTIONS", HTTP_AUTHORIZATION=f"Bearer {token}")[0] == 200
    assert reached == ["OPTIONS"]


def test_a_layer_in_front_answers_preflights_and_opens_nothing_else(
    protected: BearerWsgi, reached: list[str], with_cors: Callable[..., Any]
) -> None:
    app = with_cors(protected, ORIGIN)
    status, headers = ask(app, "OPTIONS", **PREFLIGHT)
    assert (status, headers["Access-Control-Allow-Origin"]) == (204, ORIGIN)
    assert "Authorization" in headers["Access-Control-Allow-Headers"]
    for method, more in (("GET", PREFLIGHT), ("POST", {}), ("OPTIONS", {"HTTP_ORIGIN": ORIGIN})):
        status, headers = ask(app, method, **more)
        assert (status, headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)
    assert reached == []
    token = World().east.token()
    status, headers = ask(app, "GET", HTTP_ORIGIN=ORIGIN, HTTP_AUTHORIZATION=f"Bearer {token}")
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    assert reached == ["GET"]
