"""Health of this Region: readiness to serve tokens, and takeover of the traffic."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from cachetools import TTLCache

from chalicelib.caching import LastKnownCache
from chalicelib.errors import ServiceError, StoreThrottledError, StoreUnavailableError
from chalicelib.ports import Clock, StateStore, TokenEndpoint
from chalicelib.timing import Countdown

CACHED_SECONDS = 5
_REMEMBERED_SECONDS = 86_400
_TOTAL_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Availability of the exchange's dependencies."""

    secrets_manager: bool
    token_endpoint: bool

    @property
    def ready(self) -> bool:
        """True if tokens can be served without caches."""
        return self.secrets_manager and self.token_endpoint


class Health:
    """Answers `/health/ready` and `/health/takeover`."""

    def __init__(self, state: StateStore, endpoint: TokenEndpoint, clock: Clock) -> None:
        """Check *state* and *endpoint*, each at most once in `CACHED_SECONDS`."""
        self._state = state
        self._endpoint = endpoint
        self._clock = clock
        self._lock = Lock()
        self._cached: TTLCache[None, Readiness] = TTLCache(1, CACHED_SECONDS, timer=clock)
        self._took_over: LastKnownCache[None, bool] = LastKnownCache(
            lambda _: self._read_takeover(),
            fresh=CACHED_SECONDS,
            stale=_REMEMBERED_SECONDS,
            clock=clock,
        )

    def readiness(self) -> Readiness:
        """Return whether this Region's Secrets Manager and token endpoint answer."""
        with self._lock:
            cached = self._cached.get(None)
            if cached is None:
                cached = self._cached[None] = self._check()
        return cached

    def _check(self) -> Readiness:
        deadline = Countdown(self._clock, _TOTAL_SECONDS)
        return Readiness(
            secrets_manager=self._secrets_manager(),
            token_endpoint=self._endpoint.reachable(deadline),
        )

    def _secrets_manager(self) -> bool:
        try:
            self._state.read()
        except StoreThrottledError:
            return True  # throttling is an answer
        except ServiceError:
            return False
        return True

    def took_over(self) -> bool:
        """
        Return whether this Region has taken the traffic.

        The last known answer counts for a day: traffic must not move because the
        state cannot be read.

        Raises:
            StoreUnavailableError: If this process has not read the state within a
                day, and cannot.
        """
        return self._took_over.get(None)

    def _read_takeover(self) -> bool:
        try:
            return self._state.read().value.took_over
        except ServiceError:
            # Refused, malformed or gone: no reason to move the traffic, either.
            raise StoreUnavailableError from None
