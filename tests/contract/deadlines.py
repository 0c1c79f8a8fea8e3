"""Deadlines that no clock hurries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Always:
    """So many seconds are left whenever somebody asks."""

    seconds: float

    def remaining(self) -> float:
        return self.seconds


class Then:
    """What is left at the first look, at the second, and so on; then it is over."""

    def __init__(self, *seconds: float) -> None:
        self._left = list(seconds)

    def remaining(self) -> float:
        return self._left.pop(0) if self._left else 0.0


AMPLE = Always(30.0)
# The adapter waits 3/8 of what is left for each answer, and gives it two tries.
SHORT = Always(0.6)
