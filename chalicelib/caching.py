"""
Caches: of values that expire, and of the last known values of an unreliable source.

The exchange reads Secrets Manager through `LastKnownCache`.  Values are fresh for
seconds, so that changes take effect.  They remain usable for minutes, so that an
outage of Secrets Manager does not become ours (design, “Freshness”).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import TTLCache

from chalicelib.errors import StoreUnavailableError, UnknownClientError
from chalicelib.ports import Clock
from chalicelib.timing import CircuitBreaker

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

REMEMBERED = 10_000
_ABSENT_REMEMBERED = 1_000


class ExpiringCache(Generic[K, V]):
    """
    A bounded cache of values, each of which expires once *over* returns true for it.

    `put` evicts the oldest value when the cache is full, and expired values from the
    oldest on.  So unused values, like the secrets of a deleted client, do not stay.
    """

    def __init__(self, over: Callable[[V], bool], remembered: int = REMEMBERED) -> None:
        """Keep at most *remembered* values."""
        self._over = over
        self._remembered = remembered
        self._lock = Lock()
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value of *key*, which may have expired."""
        # No lock: one dictionary look-up is atomic.
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep *value* as the newest one."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while self._values and (self._overflows() or self._over(self._oldest())):
                self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        """Remove the value of *key*, if any."""
        with self._lock:
            self._values.pop(key, None)

    def _overflows(self) -> bool:
        return len(self._values) > self._remembered

    def _oldest(self) -> V:
        return self._values[next(iter(self._values))]


class LastKnownCache(Generic[K, V]):
    """
    A bounded read-through cache over *load*, which may be unavailable.

    It returns a value younger than *fresh* seconds, and loads an older one again.  If
    that raises `StoreUnavailableError`, the last known value serves until it is
    *stale* seconds old.  `UnknownClientError` is cached too, but apart from the
    values, so that a flood of invented IDs evicts none.
    """

    def __init__(self, load: Callable[[K], V], *, fresh: float, stale: float, clock: Clock) -> None:
        """Cache *load*; all times are seconds on *clock*."""
        self._load = load
        self._fresh = fresh
        self._stale = stale
        self._clock = clock
        self._breaker = CircuitBreaker(clock)
        self._lock = Lock()
        self._known: ExpiringCache[K, tuple[V, float]] = ExpiringCache(
            lambda known: not self._serves(known)
        )
        self._absent: TTLCache[K, bool] = TTLCache(_ABSENT_REMEMBERED, fresh, timer=clock)

    def fresh(self, key: K) -> V | None:
        """Return the value of *key* if it is known and fresh; never load it."""
        known = self._known.get(key)
        if known is None:
            return None
        return known[0] if 0 <= self._clock() - known[1] < self._fresh else None

    def get(self, key: K, *, load: bool = True) -> V:
        """
        Return the value of *key*, not staler than allowed.

        Without *load* (no time left), only a known value counts.

        Raises:
            UnknownClientError: If there is none.
            StoreUnavailableError: If it cannot be loaded and no recent enough value is known.
            ServiceError: Any other error of *load*, even if a value is known.
        """
        now = self._clock()
        with self._lock:
            if self._absent.get(key):
                raise UnknownClientError
        known = self._known.get(key)
        if known is not None and 0 <= now - known[1] < self._fresh:
            return known[0]
        if load and self._breaker.closed:
            try:
                return self._reload(key)
            except StoreUnavailableError:
                self._breaker.trip()
        if known is not None and self._serves(known):
            return known[0]
        raise StoreUnavailableError

    def refresh(self, key: K, *, at_least: float) -> V | None:
        """
        Load *key* again unless its value is younger than *at_least* seconds.

        Return the value if it was loaded, `None` if it was young enough.

        Raises:
            StoreUnavailableError: If it cannot be loaded.
            ServiceError: Any other error of *load*.
        """
        known = self._known.get(key)
        if known is not None and 0 <= self._clock() - known[1] < at_least:
            return None
        if not self._breaker.closed:
            raise StoreUnavailableError
        try:
            return self._reload(key)
        except StoreUnavailableError:
            self._breaker.trip()
            raise

    def _reload(self, key: K) -> V:
        # The age counts from before the request, as the value may be that old.
        asked_at = self._clock()
        try:
            value = self._load(key)
        except UnknownClientError:
            self._known.drop(key)
            with self._lock:
                self._absent[key] = True
            raise
        with self._lock:
            self._absent.pop(key, None)
        self._known.put(key, (value, asked_at))
        return value

    def _serves(self, known: tuple[V, float]) -> bool:
        """Return whether *known* may still serve if the value cannot be loaded."""
        return self._clock() - known[1] < self._stale
