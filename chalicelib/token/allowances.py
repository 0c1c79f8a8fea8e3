"""
Bounds of the requests to AWS that one caller can cause.

They are token buckets, kept by each process.  A bucket is counted for a client ID
whether or not such a client exists, so that it tells nothing about that.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import ceil
from threading import Lock
from typing import Final, Generic, TypeVar

from cachetools import LRUCache, TTLCache

from chalicelib.caching import REMEMBERED
from chalicelib.model import ClientId, VersionId
from chalicelib.ports import Clock

REREADS_AT_ONCE: Final = 5
REREADS_PER_SECOND: Final = 1.0
"""Reads that refused requests in the name of one client ID may cause."""

ALL_REREADS_AT_ONCE: Final = 50
ALL_REREADS_PER_SECOND: Final = 10.0
"""Reads that all refused requests may cause."""

TOKEN_REQUESTS_AT_ONCE: Final = 50
TOKEN_REQUESTS_PER_SECOND: Final = 0.1
"""Requests to Cognito that one client may cause."""

DRIFT_SECONDS: Final = 5
"""How long drift of one version of a record is known without another read."""

_ROUNDING: Final = 1e-3

K = TypeVar("K", bound=Hashable)


class Allowance(Generic[K]):
    """
    Token buckets by key: *at_once* requests, and another one *per_second*.

    When more than *remembered* keys are in use, the least recently used one has its
    whole allowance again.
    """

    def __init__(
        self, at_once: int, per_second: float, clock: Clock, remembered: int = REMEMBERED
    ) -> None:
        """Measure time with *clock*."""
        self._interval = 1 / per_second
        self._ahead = at_once * self._interval
        self._clock = clock
        # For each key the time at which its bucket is full again.
        self._full_at: LRUCache[K, float] = LRUCache(remembered)
        self._lock = Lock()

    def take(self, key: K) -> int:
        """Take one request of *key* and return 0, or return the seconds until there is one."""
        now = self._clock()
        latest = now + self._ahead
        with self._lock:
            # A clock that was set back must not cost more than an empty bucket.
            full_at = min(max(self._full_at.get(key, now), now), latest)
            wait = full_at + self._interval - latest - _ROUNDING
            self._full_at[key] = full_at if wait > 0 else full_at + self._interval
        return max(0, ceil(wait))


class Rereads:
    """Bounds of the reads of Secrets Manager before a refusal, by client ID and in all."""

    def __init__(self, clock: Clock) -> None:
        """Measure time with *clock*."""
        self._each: Allowance[ClientId] = Allowance(REREADS_AT_ONCE, REREADS_PER_SECOND, clock)
        self._all: Allowance[None] = Allowance(ALL_REREADS_AT_ONCE, ALL_REREADS_PER_SECOND, clock)
        self._drifted: TTLCache[tuple[ClientId, VersionId], bool] = TTLCache(
            REMEMBERED, DRIFT_SECONDS, timer=clock
        )
        self._lock = Lock()

    def take(self, client_id: ClientId) -> int:
        """Take one read for *client_id* and return 0, or return the seconds to wait."""
        return self._each.take(client_id) or self._all.take(None)

    def note_drift(self, client_id: ClientId, version: VersionId) -> None:
        """Remember that *version* was still current after Cognito had refused its app client."""
        with self._lock:
            self._drifted[client_id, version] = True

    def is_drift(self, client_id: ClientId, version: VersionId) -> bool:
        """Return whether that was found out about *version* just now."""
        with self._lock:
            return (client_id, version) in self._drifted


def token_requests(clock: Clock) -> Allowance[ClientId]:
    """Return the bound of the requests to Cognito, by client."""
    return Allowance(TOKEN_REQUESTS_AT_ONCE, TOKEN_REQUESTS_PER_SECOND, clock)
