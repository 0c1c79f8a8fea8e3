"""Timing of replication: at once, after a lag, or not while either Region is down."""

from collections.abc import Callable
from typing import Any


class Replication:
    """Reachability of the Regions, and the lag of a change between them."""

    def __init__(self) -> None:
        self.lag = 0.0
        self._down: set[str] = set()
        self._on_change: Callable[[], None] = lambda: None

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call *callback* when a Region returns or the lag changes."""
        self._on_change = callback

    def is_up(self, region: str) -> bool:
        """Return whether *region* can be reached."""
        return region not in self._down

    def set_region(self, region: str, *, up: bool) -> None:
        """Record that *region* went down or returned."""
        if up:
            self._down.discard(region)
        else:
            self._down.add(region)
        self._on_change()

    def set_lag(self, seconds: float) -> None:
        """
        Set the lag of changes between the Regions to *seconds*.

        Raises:
            ValueError: If it is negative.
        """
        if seconds < 0:
            msg = "the lag cannot be negative"
            raise ValueError(msg)
        self.lag = seconds
        self._on_change()

    def describe(self) -> dict[str, Any]:
        """Return the state as a JSON document."""
        return {"lag": self.lag, "down": sorted(self._down)}
