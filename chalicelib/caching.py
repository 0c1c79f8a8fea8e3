"""
Caches: of values that expire, and of the last known values of an unreliable source.

The exchange reads Secrets Manager through `LastKnownCache`.  Values are fresh for
seconds, so that changes take effect.  They remain usable for minutes, so that an
outage of Secrets Manager does not become ours (design, “Freshness”).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Final, Generic, TypeVar

from cachetools import TTLCache

from chalicelib.errors import (
    RecordInDoubtError,
    RecordMissingError,
    StoreUnavailableError,
    UnknownClientError,
)
from chalicelib.ports import Clock
from chalicelib.timing import CircuitBreaker

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

REMEMBERED = 10_000
_ABSENT_REMEMBERED = 1_000

MISSING_SECONDS: Final = 5
"""How long a value that was known before may be missing before it counts as deleted."""


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


@dataclass(frozen=True, slots=True)
class Reading(Generic[V]):
    """A value, `None` if there is none, and whether the source was read for this very call."""

    value: V | None
    just_read: bool


@dataclass(slots=True)
class _Known(Generic[V]):
    """A value, the time before it was read, and the time since which it is missing."""

    value: V
    read_at: float
    missing_at: float | None = None


class LastKnownCache(Generic[K, V]):
    """
    A bounded read-through cache over *load*, which may be unavailable.

    It returns a value younger than *fresh* seconds, and loads an older one again.  If
    that raises `StoreUnavailableError`, the last known value serves until it is
    *stale* seconds old.  `UnknownClientError` is cached too, but apart from the
    values, so that a flood of invented IDs evicts none.

    `RecordMissingError` leaves a known value in doubt for `MISSING_SECONDS`.
    Meanwhile it serves until it is that much older than *fresh*, so that the value
    of a deleted client does not live on.
    """

    def __init__(self, load: Callable[[K], V], *, fresh: float, stale: float, clock: Clock) -> None:
        """Cache *load*; all times are seconds on *clock*."""
        self._load = load
        self._fresh = fresh
        self._stale = stale
        self._clock = clock
        self._breaker = CircuitBreaker(clock)
        self._lock = Lock()
        self._known: ExpiringCache[K, _Known[V]] = ExpiringCache(
            lambda known: not self._younger(known, stale)
        )
        self._absent: TTLCache[K, bool] = TTLCache(_ABSENT_REMEMBERED, fresh, timer=clock)

    def fresh(self, key: K) -> V | None:
        """Return the value of *key* if it is known and fresh; never load it."""
        known = self._known.get(key)
        return known.value if known is not None and self._is_fresh(known) else None

    def get(self, key: K, *, load: bool = True) -> V:
        """
        Return the value of *key*, not staler than allowed.

        Without *load* (no time left), only a known value counts.

        Raises:
            UnknownClientError: If there is none.
            StoreUnavailableError: If it cannot be loaded and no recent enough value is known.
            ServiceError: Any other error of *load*, even if a value is known.
        """
        value = self.look(key, load=load).value
        if value is None:
            raise UnknownClientError
        return value

    def look(self, key: K, *, load: bool = True) -> Reading[V]:
        """
        Return the value of *key*, as `get` does, or that there is none.

        Raises:
            StoreUnavailableError, ServiceError: As `get`.
        """
        known = self._known.get(key)
        if known is not None and self._is_fresh(known):
            return Reading(known.value, just_read=False)
        with self._lock:
            if self._absent.get(key):
                return Reading(None, just_read=False)
        serves_for = self._stale
        if load and self._breaker.closed:
            try:
                return Reading(self.reload(key), just_read=True)
            except UnknownClientError:
                return Reading(None, just_read=True)
            except RecordInDoubtError:
                serves_for = min(self._stale, self._fresh + MISSING_SECONDS)
            except StoreUnavailableError:
                pass
        if known is not None and self._younger(known, serves_for):
            return Reading(known.value, just_read=False)
        raise StoreUnavailableError

    def reload(self, key: K) -> V:
        """
        Load *key*, however fresh its value is.

        Raises:
            UnknownClientError: If there is none.
            RecordInDoubtError: If it is missing, and was known a moment ago.
            StoreUnavailableError: If it cannot be loaded.
            ServiceError: Any other error of *load*.
        """
        if not self._breaker.closed:
            raise StoreUnavailableError
        # The age counts from before the request, as the value may be that old.
        asked_at = self._clock()
        try:
            value = self._load(key)
        except RecordMissingError:
            if self._is_in_doubt(key):
                raise RecordInDoubtError from None
            self._forget(key)
            raise
        except UnknownClientError:
            self._forget(key)
            raise
        except StoreUnavailableError:
            self._breaker.trip()
            raise
        with self._lock:
            self._absent.pop(key, None)
        self._known.put(key, _Known(value, asked_at))
        return value

    def _is_in_doubt(self, key: K) -> bool:
        """Return whether *key*, missing now, may be missing for a moment only."""
        known, now = self._known.get(key), self._clock()
        if known is None or not self._younger(known, self._stale):
            return False
        if known.missing_at is None:
            known.missing_at = now
        return 0 <= now - known.missing_at < MISSING_SECONDS

    def _forget(self, key: K) -> None:
        self._known.drop(key)
        with self._lock:
            self._absent[key] = True

    def _is_fresh(self, known: _Known[V]) -> bool:
        # A clock that was set back makes no value fresher.
        return 0 <= self._clock() - known.read_at < self._fresh

    def _younger(self, known: _Known[V], seconds: float) -> bool:
        return self._clock() - known.read_at < seconds
