"""
The token surface behind a WSGI server, as thin as an adapter can be.

With `WHICH=nothing_kept` in the environment each request finds empty caches, as the first one of a
process does.  With `WHICH=client_unknown` the caches hold the Region's state only, which all
clients share: the cost of a miss in a process that serves others.
With `WHICH=no_op` the adapter leads to a Chalice route that does nothing: the share of the time
that is not ours.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from chalice.app import Chalice

import app as composed
from benchmarks.arrangement import no_op, served
from chalicelib.caching import LastKnownCache
from chalicelib.credentials import SecretHasher
from chalicelib.http.token_routes import TokenSurface
from chalicelib.model import TokenRequest, TokenResponse
from chalicelib.token.denial_cache import DenialCache
from chalicelib.token.exchange import Exchange
from chalicelib.token.oauth import HttpRequest
from chalicelib.token.request_memo import RequestMemo
from chalicelib.token.token_cache import TokenCache

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Gateway:
    """API Gateway in front of an application: makes an event of each request."""

    def __init__(self, app: Chalice) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        answer = self._app(_event(environ), None)
        body = answer["body"].encode()
        headers = [*answer["headers"].items(), ("Content-Length", str(len(body)))]
        start_response(_STATUS[answer["statusCode"]], headers)
        return [body]


@lru_cache(64)
def _name(variable: str) -> str:
    return variable[5:].replace("_", "-")


def _event(environ: WSGIEnvironment) -> dict[str, Any]:
    headers = {_name(name): environ[name] for name in environ if name[:5] == "HTTP_"}
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


@dataclass(frozen=True, slots=True)
class Forgetful:
    """Exchange that begins each request with empty caches, or with the Region's denials only."""

    full: Exchange
    knows_denials: bool

    def exchange_repeated(self, _sent: HttpRequest) -> TokenResponse | None:
        """Recognize no request."""
        return None

    def exchange(self, request: TokenRequest, sent: HttpRequest | None = None) -> TokenResponse:
        """See `Exchange.exchange`."""
        fresh = replace(
            self.full,
            denials=self.full.denials
            if self.knows_denials
            else DenialCache(_anew(self.full.denials.shards)),
            records=_anew(self.full.records),
            hasher=SecretHasher(secrets.token_bytes),
            tokens=TokenCache(time.time),
            request_memo=RequestMemo(secrets.token_bytes),
        )
        return fresh.exchange(request, sent)


def _anew(known: LastKnownCache[Any, Any]) -> LastKnownCache[Any, Any]:
    return LastKnownCache(known._load, fresh=300, stale=900, clock=time.time)  # noqa: SLF001


def _forgetful(surface: TokenSurface, *, knows_denials: bool) -> Chalice:
    if not isinstance(surface.exchange, Exchange):
        raise TypeError
    return served(replace(surface, exchange=Forgetful(surface.exchange, knows_denials)))


def _chosen(which: str) -> Chalice:
    """Return the application behind the adapter."""
    if which == "no_op":
        return no_op()
    if which in {"nothing_kept", "client_unknown"}:
        return _forgetful(composed.surface, knows_denials=which == "client_unknown")
    return composed.app


application = Gateway(_chosen(os.environ.get("WHICH", "")))
