"""
Call deadline, countdown, rate limiter, circuit breaker, retries.

`docs/architecture.md` has the table of all time limits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import local
from typing import Final, TypeVar

from chalicelib.errors import CallTimedOutError
from chalicelib.ports import Clock, Pause

WORK_SECONDS: Final = 10.0
"""No AWS request of an admin API call starts later than this, except for rollback."""

CLEAR_UP_SECONDS: Final = 14.0
"""Rollback starts no AWS request later than this."""

AT_ONCE: Final = (0.0, 0.0, 0.0)
"""Pauses of repetitions without waiting, as after a lost compare-and-swap."""

_OPEN_SECONDS: Final = 2.0

Failures = type[Exception] | tuple[type[Exception], ...]
T = TypeVar("T")


def retrying(
    call: Callable[[], T],
    *,
    on: Failures,
    pauses: Sequence[float] = AT_ONCE,
    pause: Pause | None = None,
) -> T:
    """
    Return the result of *call*; when it raises *on*, repeat it after each of *pauses*.

    Raises:
        Exception: Any error of the last attempt; of earlier ones, errors other than *on*.
    """
    for seconds in pauses:
        try:
            return call()
        except on:
            if pause is not None:
                pause(seconds)
    return call()


def polling(
    look: Callable[[], T], *, until: Callable[[T], bool], pauses: Sequence[float], pause: Pause
) -> T:
    """Return the first result of *look* that satisfies *until*, or the one after all *pauses*."""
    for seconds in pauses:
        found = look()
        if until(found):
            return found
        pause(seconds)
    return look()


class CallDeadline(local):
    """
    Time budget of one admin API call, which each thread has for itself.

    An answer is due within 20 seconds (design §5): the gateway's limit is 29, and
    Lambda ends the function before that.  An operation makes many AWS requests of up
    to four seconds each: one to connect, three for the answer.  So no request starts
    after `WORK_SECONDS`.  The first one later than that is refused, and rollback has
    until `CLEAR_UP_SECONDS`.  Before a thread's first call, and on the schedule, there
    is no limit.
    """

    def __init__(self, clock: Clock) -> None:
        """Measure time with *clock*, which may be monotonic."""
        self._clock = clock
        self._began: float | None = None
        self._limit = WORK_SECONDS

    def begin(self) -> None:
        """Start the time budget of a new call."""
        self._began = self._clock()
        self._limit = WORK_SECONDS

    def require_time(self) -> None:
        """
        Make sure that there is time for one more request.

        Raises:
            CallTimedOutError: If there is none.
        """
        if self._began is not None and self._clock() - self._began >= self._limit:
            self._limit = CLEAR_UP_SECONDS
            raise CallTimedOutError

    def bounded(self, pause: Pause) -> Pause:
        """Return *pause*, limited to the remaining time budget."""

        def wait(seconds: float) -> None:
            left = seconds
            if self._began is not None:
                left = max(0.0, min(seconds, self._began + self._limit - self._clock()))
            pause(left)

        return wait


class Countdown:
    """Deadline that starts when it is constructed."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        """Expire *seconds* from now on *clock*."""
        self._clock = clock
        self._at = clock() + seconds

    def remaining(self) -> float:
        """Return the seconds left, at least 0."""
        return max(0.0, self._at - self._clock())


class RateLimiter:
    """Client-side rate limiter: at most *per_second* calls in a second."""

    def __init__(self, per_second: float, clock: Clock, pause: Pause) -> None:
        """Measure time with *clock*, and wait with *pause*."""
        self._interval = 1 / per_second
        self._clock = clock
        self._pause = pause
        self._next = clock()

    def wait(self) -> None:
        """Return when the next call may start."""
        # A clock that was set back must not cause a long wait.
        early = min(self._next - self._clock(), self._interval)
        if early > 0:
            self._pause(early)
        self._next = self._clock() + self._interval


class CircuitBreaker:
    """
    Circuit breaker: open for a few seconds after each failure of a dependency.

    It bounds the part of its time that a process spends waiting, and keeps an
    outage from causing a flood of requests.
    """

    def __init__(self, clock: Clock, seconds: float = _OPEN_SECONDS) -> None:
        """Open for *seconds* after each failure."""
        self._clock = clock
        self._seconds = seconds
        self._until = float("-inf")

    @property
    def closed(self) -> bool:
        """True if the dependency may be called."""
        # A clock that was set back must not keep the breaker open for longer.
        return not 0 < self._until - self._clock() <= self._seconds

    def trip(self) -> None:
        """Open after a failure."""
        self._until = self._clock() + self._seconds

    def reset(self) -> None:
        """Close: the dependency answers."""
        self._until = float("-inf")
