"""When replication happens: at once, after a lag, or not while either Region is away."""

from collections.abc import Callable
from typing import Any


class Replication:
    """Which Regions can be reached, and how long a change takes from one to the other."""

    def __init__(self) -> None:
        self.lag = 0.0
        self._down: set[str] = set()
        self._on_change: Callable[[], None] = lambda: None

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have *callback* called when a Region returns or the lag changes."""
        self._on_change = callback

    def is_up(self, region: str) -> bool:
        """Return whether *region* can be reached."""
        return region not in self._down

    def set_region(self, region: str, *, up: bool) -> None:
        """Note that *region* went away or returned."""
        if up:
            self._down.discard(region)
        else:
            self._down.add(region)
        self._on_change()

    def set_lag(self, seconds: float) -> None:
        """
        Have changes take *seconds* from one Region to the other.

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
