"""Comparable times: CPU time, taken in turns, in one process on one core."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

Subject = Callable[[], object]

_NANOSECONDS = 1_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Number of rounds, and of calls in each subject's turn."""

    rounds: int
    calls: int


def pin() -> None:
    """Pin this process to one core, where the system permits it."""
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def in_turns(subjects: Mapping[str, Subject], plan: Plan) -> dict[str, list[float]]:
    """
    Return the CPU microseconds per call of each of *subjects*, one value per round.

    The order changes from round to round, so that none always follows the same one.
    """
    names = list(subjects)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        for _ in range(min(plan.calls, 50)):  # lets the interpreter specialize first
            subjects[name]()
    for number in range(plan.rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            taken[name].append(_turn(subjects[name], plan.calls))
    return taken


def _turn(subject: Subject, calls: int) -> float:
    start = time.thread_time_ns()
    for _ in range(calls):
        subject()
    return (time.thread_time_ns() - start) / calls / _NANOSECONDS


def summary(taken: Mapping[str, list[float]], base: str) -> dict[str, Any]:
    """Return each subject's median, and the median of its per-round ratios to *base*."""
    found: dict[str, Any] = {}
    for name, values in taken.items():
        ratios = [value / of for value, of in zip(values, taken[base], strict=True)]
        found[name] = {
            "median_us": round(median(values), 2),
            f"ratio_to_{base}": round(median(ratios), 3),
            "ratio_quartiles": [round(each, 3) for each in _quartiles(ratios)],
        }
    return found


def _quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4)
    return low, high
