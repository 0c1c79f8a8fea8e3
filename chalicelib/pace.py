"""Gentleness: no more calls in a second than a service's quota leaves to us."""

from __future__ import annotations

from chalicelib.ports import Clock, Pause


class Pace:
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
