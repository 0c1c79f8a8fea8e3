"""Cache of Cognito's tokens."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
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

UNSTAMPED_SECONDS: Final = 30
"""A new token replaces an unstamped one after this time, doubled each time in a row."""

_MOST_DOUBLINGS = 12

TOKENS_OF_EACH: Final = 100
"""Number of cached tokens of one client."""


@dataclass(frozen=True, slots=True)
class CachedToken:
    """
    A token, and the time from which a new one is requested.

    *unstamped* counts the tokens without the client's name for this key in a row.
    """

    token: AccessToken
    refresh_at: float
    unstamped: int = 0


class TokenCache:
    """
    Cache of Cognito's tokens by client, secret, record version and scope.

    Only `Exchange` reads it, and only for a caller that was authenticated in the
    same request.  A client's new token evicts its own oldest one; another client's
    leaves only when the cache is full and the client has no other one.

    Where tokens are stamped, a token without its client's name is replaced early.
    Nothing configures whether they are: until the first stamped one, a process tries
    a few times in all, and then takes the pool for one without a trigger.
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
        self._stamps = False
        self._unstamped_before = 0

    def get(self, key: TokenKey) -> CachedToken | None:
        """Return the token of *key* if its remaining life exceeds the margin."""
        # No lock: each dictionary look-up is atomic.
        tokens = self._clients.get(key[0])
        cached = None if tokens is None else tokens.get(key)
        return None if cached is None or self._is_expired(cached) else cached

    def put(self, key: TokenKey, token: AccessToken) -> None:
        """Keep *token*."""
        client_id = key[0]
        with self._lock:
            tokens = self._clients.setdefault(client_id, {})
            self._clients.move_to_end(client_id)
            self._count += key not in tokens
            tokens[key] = self._cached(token, tokens.pop(key, None))
            self._evict(client_id)

    def _cached(self, token: AccessToken, previous: CachedToken | None) -> CachedToken:
        now = self._clock()
        early = min(REFRESH_SECONDS, (token.expires_at - now) / 2)
        refresh_at = token.expires_at - early
        if token.stamped:
            self._learn_stamps(now)
            return CachedToken(token, refresh_at)
        in_a_row = 1 + (previous.unstamped if previous else 0)
        if not self._stamps:
            self._unstamped_before += 1
        doublings = (in_a_row if self._stamps else self._unstamped_before) - 1
        soon = now + UNSTAMPED_SECONDS * 2 ** min(doublings, _MOST_DOUBLINGS)
        return CachedToken(token, min(refresh_at, soon), in_a_row)

    def _learn_stamps(self, now: float) -> None:
        """At the first stamped token, have those without a name replaced soon."""
        if self._stamps:
            return
        self._stamps = True
        for tokens in self._clients.values():
            for key, cached in tokens.items():
                if not cached.token.stamped:
                    soon = min(cached.refresh_at, now + UNSTAMPED_SECONDS)
                    tokens[key] = replace(cached, refresh_at=soon, unstamped=0)

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
