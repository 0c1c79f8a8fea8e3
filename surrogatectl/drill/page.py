"""The report that a manager can read: one page that needs nothing else, and no script."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from surrogatectl.cli.templates import environment
from surrogatectl.drill.chart import NARROW, WIDE, Plot, moments
from surrogatectl.drill.events import Mark, Round
from surrogatectl.drill.figures import Figures, Promise

CHECK_SECONDS: Final = 30
"""On AWS: three health checks, 10 seconds apart (infra/routing.yaml)."""

TTL_SECONDS: Final = 60
"""On AWS: how long resolvers keep the answer of an alias to API Gateway."""


@dataclass(frozen=True, slots=True)
class Part:
    """One round with its figures and promises."""

    round: Round
    figures: Figures
    promises: Sequence[Promise]

    @property
    def plots(self) -> tuple[Plot, ...]:
        """The chart's scales, for wide windows and for narrow ones."""
        return Plot(self.round, WIDE), Plot(self.round, NARROW)

    @property
    def moments(self) -> list[tuple[Mark, float]]:
        """The moments that the chart numbers, in their order."""
        return moments(self.round)


@dataclass(frozen=True, slots=True)
class Page:
    """A drill: its rounds, when it was, and how fast DNS ran compared with AWS."""

    parts: Sequence[Part]
    began: float
    finished: float
    time_scale: float
    rate: float

    @property
    def promises(self) -> list[Promise]:
        """The promises of all rounds."""
        return [promise for part in self.parts for promise in part.promises]


def render(page: Page) -> str:
    """Return *page* as HTML."""
    return (
        environment("surrogatectl.drill")
        .get_template("page.html.j2")
        .render(
            page=page,
            check_seconds=CHECK_SECONDS,
            ttl_seconds=TTL_SECONDS,
            date=_date,
            number=_number,
            seconds=_seconds,
        )
    )


def _date(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%-d %B %Y at %H:%M UTC")


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}\u202fs"
