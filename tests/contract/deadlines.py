"""Deadlines without a clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Always:
    """Deadline with a constant number of seconds left."""

    seconds: float

    def remaining(self) -> float:
        return self.seconds


class Then:
    """Deadline with a scripted remaining time for each call; zero after the last."""

    def __init__(self, *seconds: float) -> None:
        self._left = list(seconds)

    def remaining(self) -> float:
        return self._left.pop(0) if self._left else 0.0


AMPLE = Always(30.0)
# The adapter waits 3/8 of what is left for each answer, and gives it two tries.
SHORT = Always(0.6)
