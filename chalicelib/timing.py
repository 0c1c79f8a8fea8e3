"""
How long administrators' calls may take, whatever AWS does.

A call has an answer within 20 seconds (design §5), and leaves its audit line:
the gateway gives up after 29, and Lambda ends the function before that.  An
operation is many requests to AWS, each of which may take four seconds: one to
connect, three for the answer.  So none begins after `WORK_SECONDS`.  The first
that would is refused; those after it can only be clearing up what was begun,
and have until `CLEAR_UP_SECONDS`.
"""

from __future__ import annotations

from typing import Final

from chalicelib.errors import CallTimedOutError
from chalicelib.ports import Clock, Pause

WORK_SECONDS: Final = 10.0
CLEAR_UP_SECONDS: Final = 14.0

_OPEN_SECONDS: Final = 2.0


class CallDeadline:
    """
    The time that is left to the administrators' call that is being answered.

    A process answers one at a time.  Before the first call, and in what runs on
    a schedule, there is no limit.
    """

    def __init__(self, clock: Clock) -> None:
        """Tell the time by *clock*, which need not be that of the calendar."""
        self._clock = clock
        self._began: float | None = None
        self._limit = WORK_SECONDS

    def begin(self) -> None:
        """Count from now: a call arrived."""
        self._began = self._clock()
        self._limit = WORK_SECONDS

    def require_time(self) -> None:
        """
        Make sure that there is time for one more request.

        Raises:
            CallTimedOutError: If there is not.
        """
        if self._began is not None and self._clock() - self._began >= self._limit:
            self._limit = CLEAR_UP_SECONDS
            raise CallTimedOutError

    def bounded(self, pause: Pause) -> Pause:
        """Return *pause*, which waits no longer than there is time."""

        def wait(seconds: float) -> None:
            left = seconds
            if self._began is not None:
                left = max(0.0, min(seconds, self._began + self._limit - self._clock()))
            pause(left)

        return wait


class Countdown:
    """A deadline that counts from its making."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        """Expire *seconds* from now on *clock*."""
        self._clock = clock
        self._at = clock() + seconds

    def remaining(self) -> float:
        """Return the seconds left, at least 0."""
        return max(0.0, self._at - self._clock())


class RateLimiter:
    """Keeps what waits for it from happening more than *per_second* times in a second."""

    def __init__(self, per_second: float, clock: Clock, pause: Pause) -> None:
        """Tell the time by *clock*, and wait by *pause*."""
        self._interval = 1 / per_second
        self._clock = clock
        self._pause = pause
        self._next = clock()

    def wait(self) -> None:
        """Return when it is time for the next one."""
        # A clock that was set back must not keep anybody waiting for long.
        early = min(self._next - self._clock(), self._interval)
        if early > 0:
            self._pause(early)
        self._next = self._clock() + self._interval


class CircuitBreaker:
    """
    Keeps a failing dependency from being asked again at once.

    After a failure nobody asks for a short while; so a process spends a bounded
    part of its time on waiting, and an outage does not become a stampede.
    """

    def __init__(self, clock: Clock, seconds: float = _OPEN_SECONDS) -> None:
        """Close for *seconds* after each failure."""
        self._clock = clock
        self._seconds = seconds
        self._until = float("-inf")

    @property
    def open(self) -> bool:
        """Whether the dependency may be asked."""
        # A clock that was set back must not keep it closed for longer.
        return not 0 < self._until - self._clock() <= self._seconds

    def trip(self) -> None:
        """Note a failure."""
        self._until = self._clock() + self._seconds

    def forget(self) -> None:
        """Note that the dependency answers after all."""
        self._until = float("-inf")
