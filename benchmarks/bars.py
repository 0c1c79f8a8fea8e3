"""Bars: the limits that the project sets itself, and the verdict of the last runs on each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Found = Mapping[str, Any]


def summary(found: Mapping[str, Found]) -> list[dict[str, Any]]:
    """Return one row per bar: its benchmark, text and limit, the measured value, the verdict."""
    return [
        {
            "benchmark": name,
            "bar": key,
            "says": bar["says"],
            "wanted": wanted(bar),
            "measured": bar["found"],
            "met": met(bar),
        }
        for name, result in found.items()
        for key, bar in result["bars"].items()
    ]


def met(bar: Mapping[str, Any]) -> bool:
    """Whether *bar* is met."""
    value, least, most = bar["found"], bar.get("at_least"), bar.get("at_most")
    return (least is None or value >= least) and (most is None or value <= most)


def wanted(bar: Mapping[str, Any]) -> str:
    """Return the limit of *bar* in words."""
    least, most = bar.get("at_least"), bar.get("at_most")
    if least is not None and most is not None:
        return f"{least} to {most}"
    return f"≤ {most}" if least is None else f"≥ {least}"
