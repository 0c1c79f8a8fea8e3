"""Cache of Cognito's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chalicelib.caching import REMEMBERED, ExpiringCache
from chalicelib.model import AccessToken
from chalicelib.ports import Clock
from chalicelib.token.request_memo import TokenKey

MARGIN_SECONDS: Final = 60
"""Shortest remaining life of an issued token."""

REFRESH_SECONDS: Final = 300
"""A new token replaces a cached one whose remaining life is below this, or below half."""


@dataclass(frozen=True, slots=True)
class CachedToken:
    """A token, and the time from which a new one is requested."""

    token: AccessToken
    refresh_at: float


class TokenCache:
    """
    Cache of Cognito's tokens by client, secret, record version and scope.

    Only `Exchange` reads it, and only for a caller that was authenticated in the
    same request.
    """

    def __init__(self, clock: Clock, remembered: int = REMEMBERED) -> None:
        """Keep at most *remembered* tokens, each until `MARGIN_SECONDS` before it expires."""
        self._clock = clock
        self._tokens: ExpiringCache[TokenKey, CachedToken] = ExpiringCache(
            self._is_expired, remembered
        )

    def get(self, key: TokenKey) -> CachedToken | None:
        """Return the token of *key* if its remaining life exceeds the margin."""
        cached = self._tokens.get(key)
        return None if cached is None or self._is_expired(cached) else cached

    def put(self, key: TokenKey, token: AccessToken) -> None:
        """Keep *token*."""
        early = min(REFRESH_SECONDS, (token.expires_at - self._clock()) / 2)
        self._tokens.put(key, CachedToken(token, token.expires_at - early))

    def _is_expired(self, cached: CachedToken) -> bool:
        return self._clock() >= cached.token.expires_at - MARGIN_SECONDS
