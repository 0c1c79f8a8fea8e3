"""
Values that are fresh for a while, and the last known ones for a while longer.

What the exchange reads from Secrets Manager goes through `LastKnownCache`: fresh
for seconds, so that a change takes hold; kept for minutes, so that an outage
of Secrets Manager does not become ours (design, “Freshness”).
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
    A bounded memory of values, each until it is *over*.

    They leave it from its old end: the oldest one when it is full, and those
    that are over whenever a value comes.  So what nobody asks for any more,
    the secrets of a client that is gone, does not stay.
    """

    def __init__(self, over: Callable[[V], bool], remembered: int = REMEMBERED) -> None:
        """Keep at most *remembered* values."""
        self._over = over
        self._remembered = remembered
        self._lock = Lock()
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value of *key*, which may be over."""
        # No lock: one look into a dictionary is never cut in two.
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep *value* as the youngest one."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while self._values and (self._overflows() or self._over(self._oldest())):
                self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        """Keep nothing for *key*."""
        with self._lock:
            self._values.pop(key, None)

    def _overflows(self) -> bool:
        return len(self._values) > self._remembered

    def _oldest(self) -> V:
        return self._values[next(iter(self._values))]


class LastKnownCache(Generic[K, V]):
    """
    A bounded read-through cache over *load*, which may be unavailable.

    A value younger than *fresh* seconds is returned as it is.  An older one is
    loaded again; if that raises `StoreUnavailableError`, the last known value
    serves until it is *stale* seconds old.  `UnknownClientError` is remembered
    too, apart from the values, so that no flood of invented IDs evicts one.
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
        """Return the value of *key* if it is known and fresh; ask nobody."""
        known = self._known.get(key)
        if known is None:
            return None
        return known[0] if 0 <= self._clock() - known[1] < self._fresh else None

    def get(self, key: K, *, load: bool = True) -> V:
        """
        Return the value of *key*, not staler than allowed.

        Without *load*, for who has no time left, only what is known counts.

        Raises:
            UnknownClientError: If there is none.
            StoreUnavailableError: If it cannot be loaded and nothing recent
                enough is known.
            ServiceError: Whatever else *load* raises; nothing stands in for that.
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
        Load *key* again unless that happened less than *at_least* seconds ago.

        Return the value if it was loaded, `None` if it was not due.

        Raises:
            StoreUnavailableError: If it cannot be loaded.
            ServiceError: Whatever else *load* raises.
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
        # The age counts from before the request: what is read may be that old.
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
        """Return whether *known* may still stand in for what cannot be loaded."""
        return self._clock() - known[1] < self._stale
