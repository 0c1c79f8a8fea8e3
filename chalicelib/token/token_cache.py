"""Cache of Cognito's tokens."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final

from chalicelib.caching import REMEMBERED
from chalicelib.model import AccessToken, ClientId
from chalicelib.ports import Clock
from chalicelib.token.request_memo import TokenKey

MARGIN_SECONDS: Final = 60
"""Shortest remaining life of an issued token."""

REFRESH_SECONDS: Final = 300
"""A new token replaces a cached one whose remaining life is below this, or below half."""

TOKENS_OF_EACH: Final = 100
"""Number of cached tokens of one client."""


@dataclass(frozen=True, slots=True)
class CachedToken:
    """A token, and the time from which a new one is requested."""

    token: AccessToken
    refresh_at: float


class TokenCache:
    """
    Cache of Cognito's tokens by client, secret, record version and scope.

    Only `Exchange` reads it, and only for a caller that was authenticated in the
    same request.  A client's new token evicts its own oldest one; another client's
    leaves only when the cache is full and the client has no other one.
    """

    def __init__(
        self, clock: Clock, remembered: int = REMEMBERED, of_each: int = TOKENS_OF_EACH
    ) -> None:
        """
        Keep at most *remembered* tokens, *of_each* client's at most that many.

        Each is kept until `MARGIN_SECONDS` before it expires.
        """
        self._clock = clock
        self._remembered = remembered
        self._of_each = of_each
        self._lock = Lock()
        # The client with the newest token is the last one, and so is its newest token.
        self._clients: OrderedDict[ClientId, dict[TokenKey, CachedToken]] = OrderedDict()
        self._count = 0

    def get(self, key: TokenKey) -> CachedToken | None:
        """Return the token of *key* if its remaining life exceeds the margin."""
        # No lock: each dictionary look-up is atomic.
        tokens = self._clients.get(key[0])
        cached = None if tokens is None else tokens.get(key)
        return None if cached is None or self._is_expired(cached) else cached

    def put(self, key: TokenKey, token: AccessToken) -> None:
        """Keep *token*."""
        client_id = key[0]
        early = min(REFRESH_SECONDS, (token.expires_at - self._clock()) / 2)
        with self._lock:
            tokens = self._clients.setdefault(client_id, {})
            self._clients.move_to_end(client_id)
            self._count += key not in tokens
            tokens.pop(key, None)
            tokens[key] = CachedToken(token, token.expires_at - early)
            self._evict(client_id)

    def _evict(self, client_id: ClientId) -> None:
        """Drop expired tokens, then *client_id*'s own, then those of the others, oldest first."""
        own = self._clients[client_id]
        for key in [key for key, cached in own.items() if self._is_expired(cached)]:
            self._drop(client_id, key)
        while self._clients and self._is_expired(self._oldest()[2]):
            self._drop(*self._oldest()[:2])
        while len(own) > self._of_each or (self._count > self._remembered and len(own) > 1):
            self._drop(client_id, next(iter(own)))
        while self._count > self._remembered:
            self._drop(*self._oldest()[:2])

    def _oldest(self) -> tuple[ClientId, TokenKey, CachedToken]:
        """Return the oldest token of the client that got no token for the longest time."""
        client_id, tokens = next(iter(self._clients.items()))
        key, cached = next(iter(tokens.items()))
        return client_id, key, cached

    def _drop(self, client_id: ClientId, key: TokenKey) -> None:
        tokens = self._clients[client_id]
        del tokens[key]
        self._count -= 1
        if not tokens:
            del self._clients[client_id]

    def _is_expired(self, cached: CachedToken) -> bool:
        return self._clock() >= cached.token.expires_at - MARGIN_SECONDS
