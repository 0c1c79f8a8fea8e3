"""ASGI middleware: Starlette, FastAPI, Django, on an asyncio event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from .bearer import answer_to, checked_realm, token_in
from .errors import MalformedRequestError, RequestRefusedError
from .token import VerifiedToken
from .verifier import Verifier

TOKEN: Final = "surrogate_verifier.token"  # noqa: S105 - where to find it

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION = 1008
_WEBSOCKET = "WEBSOCKET"


class BearerAsgi:
    """
    ASGI middleware that passes requests and WebSockets to *app* only with an accepted token.

    The arguments are those of `BearerWsgi`; for a WebSocket, *scopes_for* gets the method
    `WEBSOCKET`.  The event loop never waits for a key set: a thread fetches it.
    """

    def __init__(
        self,
        app: App,
        verifier: Verifier,
        *,
        realm: str,
        scopes_for: Callable[[str, str], Collection[str]] | None = None,
        public_paths: Collection[str] = (),
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._realm = checked_realm(realm)
        self._scopes_for = scopes_for
        self._public_paths = frozenset(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            # An unknown connection type cannot be protected.
            raise NotImplementedError(f"ASGI scope {scope['type']!r}")
        scope.pop(TOKEN, None)
        if scope["path"] not in self._public_paths:
            try:
                scope[TOKEN] = await self._verified(scope)
            except RequestRefusedError as err:
                await self._refuse(err, scope, send)
                return
        await self._app(scope, receive, send)

    async def _verified(self, scope: Scope) -> VerifiedToken:
        text = token_in(_authorization(scope))
        token = self._verifier.verify_at_once(text)
        if token is None:
            token = await asyncio.to_thread(self._verifier.verify, text)
        if self._scopes_for is not None:
            method = scope["method"] if scope["type"] == "http" else _WEBSOCKET
            token.require(*self._scopes_for(method, scope["path"]))
        return token

    async def _refuse(self, error: RequestRefusedError, scope: Scope, send: Send) -> None:
        answer = answer_to(error, self._realm)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        body = b"" if scope.get("method") == "HEAD" else answer.body
        prefix = "http"
        if scope["type"] == "websocket":
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                return
            prefix = "websocket.http"
        await send(
            {"type": f"{prefix}.response.start", "status": answer.status, "headers": headers}
        )
        await send({"type": f"{prefix}.response.body", "body": body})


def _authorization(scope: Scope) -> str | None:
    found = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    if len(found) > 1:
        raise MalformedRequestError
    return found[0].decode("latin-1") if found else None


def token_of(scope: Scope) -> VerifiedToken:
    """
    Return the verified token of the request.

    Raises:
        KeyError: If the path is public, so that no token was read.
    """
    token: VerifiedToken = scope[TOKEN]
    return token
