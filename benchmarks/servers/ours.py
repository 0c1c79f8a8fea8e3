"""
The token surface behind a WSGI server, as thin as an adapter can be.

With `NOTHING_KEPT` in the environment each request finds empty caches: the cost of a miss.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chalice.app import Chalice

import app as composed
from chalicelib.answers import speak_for
from chalicelib.credentials import SecretHasher
from chalicelib.exchange import Exchange, TokenCache
from chalicelib.freshness import LastKnown
from chalicelib.recognition import Recognition
from chalicelib.token_api import TokenSurface, token_routes

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# The line of each exchange, written and flushed as ever.
sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the process's life
_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Gateway:
    """API Gateway in front of an application: what comes in becomes an event."""

    def __init__(self, app: Chalice) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        answer = self._app(_event(environ), None)
        body = answer["body"].encode()
        headers = [*answer["headers"].items(), ("Content-Length", str(len(body)))]
        start_response(_STATUS[answer["statusCode"]], headers)
        return [body]


def _event(environ: WSGIEnvironment) -> dict[str, Any]:
    headers = {
        name[5:].replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    headers["Content-Type"] = environ.get("CONTENT_TYPE", "")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": path,
            "httpMethod": method,
            "identity": {"sourceIp": environ["REMOTE_ADDR"]},
        },
        "body": environ["wsgi.input"].read(length).decode() if length else None,
        "isBase64Encoded": False,
    }


class ForgetfulGateway(Gateway):
    """Answers each request from nothing, over the connections that there are."""

    def __init__(self, surface: TokenSurface) -> None:
        self._surface = surface

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        exchange = self._surface.exchange
        if not isinstance(exchange, Exchange):
            raise TypeError
        fresh = replace(
            exchange,
            states=_anew(exchange.states),
            records=_anew(exchange.records),
            hasher=SecretHasher(secrets.token_bytes),
            tokens=TokenCache(time.time),
            recognition=Recognition(secrets.token_bytes),
        )
        app = Chalice(app_name="forgetful", configure_logs=False)
        speak_for(app)
        app.register_blueprint(token_routes(replace(self._surface, exchange=fresh)))
        return Gateway(app)(environ, start_response)


def _anew(known: LastKnown[Any, Any]) -> LastKnown[Any, Any]:
    return LastKnown(known._load, fresh=300, stale=900, clock=time.time)  # noqa: SLF001


application = (
    ForgetfulGateway(composed.token_surface())
    if "NOTHING_KEPT" in os.environ
    else Gateway(composed.app)
)
