"""The timeline of a round, as inline SVG; colors and fonts are the page's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from surrogatectl.drill.events import Kind, Mark, Request, Round

_BIN_SECONDS: Final = 1.0
# Bottom to top.
LAYERS: Final = ("primary", "secondary", "refused", "error", "wrong")
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 8, 34, 46
_LETTER = 7  # how wide one is, about
_RADIUS = 9  # of the moments' numbers
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


def moments(of: Round) -> list[tuple[Mark, float]]:
    """Return the moments that are marked on the chart, in order: their numbers count from 1."""
    return sorted(of.marks.items(), key=lambda each: each[1])


def chart(of: Round, shape: Shape) -> str:
    """Return the chart of a round."""
    return _Chart(of, shape).svg()


def layer(request: Request, of: Round) -> str:
    """Return the layer of the chart that a request belongs to."""
    if request.kind is Kind.TOKEN:
        return "primary" if request.region == of.primary else "secondary"
    return request.kind.value


class _Chart:
    def __init__(self, of: Round, shape: Shape) -> None:
        self._round = of
        self._shape = shape
        asked, wrote = ([each.at for each in some] for some in (of.requests, of.writes))
        self._seconds = max([*asked, *wrote, *of.marks.values(), 1.0]) + 1
        self._bins: Counter[tuple[int, str]] = Counter(
            (int(each.at / _BIN_SECONDS), layer(each, of)) for each in of.requests
        )
        totals: Counter[int] = Counter()
        for (number, _), count in self._bins.items():
            totals[number] += count
        self._most = max([*totals.values(), 1]) * 1.25

    def svg(self) -> str:
        shape = self._shape
        label = (
            f"Requests over {self._seconds:.0f} seconds; {self._round.primary} is lost "
            f"({self._round.mode}), {self._round.secondary} takes over, and gives back."
        )
        parts = [
            *self._phases(),
            *self._grid(),
            *self._bars(),
            *self._writes(),
            *self._marks(),
        ]
        return (
            f'<svg class="chart {shape.name}" viewBox="0 0 {shape.width} {shape.height}" '
            f'role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
        )

    def _x(self, seconds: float) -> float:
        room = self._shape.width - _LEFT - _RIGHT
        return round(_LEFT + min(seconds, self._seconds) / self._seconds * room, 1)

    @property
    def _floor(self) -> int:
        return self._shape.height - _BOTTOM

    def _y(self, count: float) -> float:
        return round(self._floor - count / self._most * (self._floor - _TOP), 1)

    def _phases(self) -> Iterator[str]:
        marks = self._round.marks
        spans = (
            ("outage", Mark.LOST, Mark.TOOK_OVER, "outage"),
            ("standby", Mark.TOOK_OVER, Mark.RETURNED, f"{self._round.secondary} has taken over"),
        )
        for name, start, end, text in spans:
            if start in marks:
                left, right = self._x(marks[start]), self._x(marks.get(end, self._seconds))
                yield (
                    f'<rect class="phase {name}" x="{left}" y="{_TOP}" '
                    f'width="{right - left:.1f}" height="{self._floor - _TOP}"/>'
                )
                ends = min(
                    (self._x(at) for at in marks.values() if self._x(at) > left + 1), default=0
                )
                if min(right, ends) - left > _LETTER * (len(text) + 2):
                    yield f'<text x="{left + 8:.1f}" y="{_TOP + 15}">{escape(text)}</text>'

    def _grid(self) -> Iterator[str]:
        shape = self._shape
        per_second = 1 / _BIN_SECONDS
        step = _nice(self._most * per_second / 3)
        value = 0.0
        while value <= self._most * per_second:
            y = self._y(value / per_second)
            yield f'<line class="grid" x1="{_LEFT}" x2="{shape.width - _RIGHT}" y1="{y}" y2="{y}"/>'
            yield f'<text class="y" x="{_LEFT - 6}" y="{y + 4}">{value:.0f}</text>'
            value += step
        step = _nice(self._seconds / shape.labels)
        at = 0.0
        while at <= self._seconds:
            yield f'<text class="x" x="{self._x(at)}" y="{shape.height - 6}">{at:.0f} s</text>'
            at += step

    def _bars(self) -> Iterator[str]:
        width = max(1.0, self._x(_BIN_SECONDS) - self._x(0) - 0.6)
        for number in sorted({each for each, _ in self._bins}):
            below = 0
            for name in LAYERS:
                count = self._bins[number, name]
                if count:
                    top, bottom = self._y(below + count), self._y(below)
                    yield (
                        f'<rect class="{name}" x="{self._x(number * _BIN_SECONDS)}" y="{top}" '
                        f'width="{width:.1f}" height="{bottom - top:.1f}"/>'
                    )
                    below += count

    def _writes(self) -> Iterator[str]:
        y = self._floor + 14
        for write in self._round.writes:
            x = self._x(write.at)
            state = "kept" if write.kept else "lost"
            yield (
                f'<path class="write {state}" d="M{x} {y - 6}l6 6l-6 6l-6-6z">'
                f"<title>{escape(write.what)}</title></path>"
            )

    def _marks(self) -> Iterator[str]:
        last = -math.inf
        for number, (_, at) in enumerate(moments(self._round), start=1):
            x = self._x(at)
            # What happens at once is shown side by side.
            last = center = max(x, last + 2 * _RADIUS + 1)
            yield f'<line class="mark" x1="{x}" x2="{x}" y1="{_TOP - 8}" y2="{self._floor}"/>'
            yield f'<circle class="mark" cx="{center}" cy="{_RADIUS + 2}" r="{_RADIUS}"/>'
            yield f'<text class="mark" x="{center}" y="{_RADIUS + 6}">{number}</text>'


def _nice(least: float) -> float:
    return next((step for step in _STEPS if step >= least), _STEPS[-1])
