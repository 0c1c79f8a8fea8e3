"""The API itself, behind the verifying middleware."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from surrogate_verifier import Verifier
from surrogate_verifier.wsgi import BearerWsgi, token_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REALM = "orders"


def protected(verifier: Verifier) -> WSGIApplication:
    """Return the API behind *verifier*; only its health check is public."""
    return BearerWsgi(
        orders, verifier, realm=REALM, scopes_for=scopes_for, public_paths={"/health"}
    )


def scopes_for(method: str, _path: str) -> Collection[str]:
    """Return the scopes for a request: to read orders, or also to write them."""
    return {"demo/read"} if method in ("GET", "HEAD") else {"demo/write"}


def orders(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the client's identity."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    if path == "/health":
        return _answer(start_response, "200 OK", {"status": "ok"})
    if path != "/orders":
        return _answer(start_response, "404 Not Found", {"error": "not_found"})
    token = token_of(environ)
    who: dict[str, object] = {
        # The same in both Regions: the key for accounts, quotas and logs.
        "client_id": token.client_id,
        # These two differ by Region.
        "app_client_id": token.app_client_id,
        "issuer": token.issuer,
        "scopes": sorted(token.scopes),
    }
    if method == "POST":
        return _answer(start_response, "201 Created", who)
    return _answer(start_response, "200 OK", {**who, "orders": []})


def _answer(
    start_response: StartResponse, status: str, document: dict[str, object]
) -> Iterable[bytes]:
    body = json.dumps(document).encode()
    start_response(
        status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    )
    return [body]
