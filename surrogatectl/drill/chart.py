"""The timeline of a round: where what is on the chart stands (templates/chart.svg.j2)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from surrogatectl.cli.templates import environment
from surrogatectl.drill.events import Kind, Mark, Request, Round, Write

# Bottom to top.
LAYERS: Final = ("primary", "secondary", "refused", "error", "wrong")
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 8, 34, 46
_LETTER = 7  # how wide one is, about
_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300)


@dataclass(frozen=True, slots=True)
class Shape:
    """Whom the chart is for: a wide window or a narrow one."""

    name: str
    width: int
    height: int
    labels: int
    """How many labels the time axis has room for."""


WIDE: Final = Shape("wide", 960, 280, 14)
NARROW: Final = Shape("narrow", 380, 270, 7)


class Phase(NamedTuple):
    """A stretch of the time axis, and how many letters are too many for it."""

    name: str
    left: float
    width: float
    letters: float


class Bar(NamedTuple):
    """The requests of one layer in one second."""

    layer: str
    x: float
    y: float
    height: float


def moments(of: Round) -> list[tuple[Mark, float]]:
    """Return the moments that are marked on the chart, in order: their numbers count from 1."""
    return sorted(of.marks.items(), key=lambda each: each[1])


def chart(of: Round, shape: Shape) -> str:
    """Return the chart of a round."""
    return (
        environment("surrogatectl.drill").get_template("chart.svg.j2").render(plot=Plot(of, shape))
    )


def layer(request: Request, of: Round) -> str:
    """Return the layer of the chart that a request belongs to."""
    if request.kind is Kind.TOKEN:
        return "primary" if request.region == of.primary else "secondary"
    return request.kind.value


class Plot:
    """The scales of a round's chart, and all that stands on it, in units of its view box."""

    left, top = _LEFT, _TOP
    radius = 9  # of the moments' numbers

    def __init__(self, of: Round, shape: Shape) -> None:
        self.round = of
        self.shape = shape
        self.right, self.floor = shape.width - _RIGHT, shape.height - _BOTTOM
        asked, wrote = ([each.at for each in some] for some in (of.requests, of.writes))
        self.seconds = max([*asked, *wrote, *of.marks.values(), 1.0]) + 1
        self._bins: Counter[tuple[int, str]] = Counter(
            (int(each.at), layer(each, of)) for each in of.requests
        )
        totals: Counter[int] = Counter()
        for (number, _), count in self._bins.items():
            totals[number] += count
        self._most = max([*totals.values(), 1]) * 1.25
        self.bar_width = max(1.0, self._x(1) - self._x(0) - 0.6)

    def _x(self, seconds: float) -> float:
        room = self.right - _LEFT
        return round(_LEFT + min(seconds, self.seconds) / self.seconds * room, 1)

    def _y(self, count: float) -> float:
        return round(self.floor - count / self._most * (self.floor - _TOP), 1)

    def phases(self) -> Iterator[Phase]:
        """Yield the outage, and how long the other Region stood in."""
        marks = self.round.marks
        for name, start, end in (
            ("outage", Mark.LOST, Mark.TOOK_OVER),
            ("standby", Mark.TOOK_OVER, Mark.RETURNED),
        ):
            if start in marks:
                left, right = self._x(marks[start]), self._x(marks.get(end, self.seconds))
                ends = min(
                    (self._x(at) for at in marks.values() if self._x(at) > left + 1), default=0
                )
                letters = (min(right, ends) - left) / _LETTER - 2
                yield Phase(name, left, right - left, letters)

    def lines(self) -> Iterator[tuple[int, float]]:
        """Yield the numbers of requests per second that have a line, and its height."""
        for value in _steps(self._most, self._most / 3):
            yield value, self._y(value)

    def ticks(self) -> Iterator[tuple[int, float]]:
        """Yield the seconds that have a label, and where."""
        for at in _steps(self.seconds, self.seconds / self.shape.labels):
            yield at, self._x(at)

    def bars(self) -> Iterator[Bar]:
        """Yield what was answered in each second, from the floor up."""
        for number in sorted({each for each, _ in self._bins}):
            below = 0
            for name in LAYERS:
                count = self._bins[number, name]
                if count:
                    top, bottom = self._y(below + count), self._y(below)
                    yield Bar(name, self._x(number), top, bottom - top)
                    below += count

    def writes(self) -> Iterator[tuple[Write, float]]:
        """Yield the administrators' changes, and where each stands."""
        for write in self.round.writes:
            yield write, self._x(write.at)

    def marks(self) -> Iterator[tuple[float, float]]:
        """Yield where each moment is, and where its number: side by side what happens at once."""
        last = -math.inf
        for _, at in moments(self.round):
            x = self._x(at)
            last = center = max(x, last + 2 * self.radius + 1)
            yield x, center


def _steps(end: float, least: float) -> range:
    """Return round numbers from 0 to *end*, at *least* so far from each other."""
    step = next((step for step in _STEPS if step >= least), _STEPS[-1])
    return range(0, int(end) + 1, step)
