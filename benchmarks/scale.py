"""
The administrators' side with many clients: calls and memory (bar 6).

AWS is the tests' own, in memory, with the limits of its pages and batches; the adapters and use
cases run unchanged.  Time is a number, so pauses cost none.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from chalicelib.clients.enrollment import EnrollmentRequest
from tests.aws_worlds import AwsWorld, Operators
from tests.fake_aws import Call, CarryOut
from tests.worlds import CALLER

_ENROLLMENTS = 5
_PAGE = 100


@dataclass
class Watched:
    """Counter of a world's calls, which it does not keep."""

    world: AwsWorld
    calls: Counter[str] = field(default_factory=Counter)

    def __call__(self, number: int, call: Call, carry_out: CarryOut) -> Any:  # noqa: ANN401, ARG002
        """Count *call*, and carry it out."""
        self.calls[f"{call.service}:{call.operation}"] += 1
        self.world.aws.calls.clear()
        return carry_out()

    def costs(self, work: Callable[[], object]) -> dict[str, Any]:
        """Return the number of calls that *work* makes, and its peak memory."""
        self.calls.clear()
        gc.collect()
        tracemalloc.start()
        work()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return {
            "calls": sum(self.calls.values()),
            "peak_kb": round(peak / 1024, 1),
            "by_operation": dict(sorted(self.calls.items())),
        }


def run(*, quick: bool) -> dict[str, Any]:
    """Enroll, list and reconcile at each size of one growing deployment."""
    sizes = (10, 100) if quick else (100, 1_000, 10_000)
    world = AwsWorld(strict=False)
    operators = Operators(world)
    watched = Watched(world)
    world.aws.watch(watched)
    found, number = [], 0
    for size in sizes:
        while number < size:
            _enroll(operators, number)
            number += 1
        world.clock.advance(3_600)  # lists follow, and new records have settled
        found.append(
            {
                "clients": size,
                "list": watched.costs(lambda: _list(operators)),
                "reconcile": watched.costs(lambda: _reconcile(operators, thorough=True)),
                "survey": watched.costs(lambda: _reconcile(operators, thorough=False)),
                "enroll": _one_enrollment(watched, operators, number),
            }
        )
        number += _ENROLLMENTS
    return {"sizes": found, "bars": _bars(found)}


def _enroll(operators: Operators, number: int) -> None:
    request = EnrollmentRequest(f"client {number}", ("demo/read",), (), None, None)
    operators.enroll.enroll(request, CALLER)


def _one_enrollment(watched: Watched, operators: Operators, number: int) -> dict[str, Any]:
    """Return the costs of the most expensive of several enrollments."""
    costs = [
        watched.costs(lambda next_one=number + each: _enroll(operators, next_one))  # type: ignore[misc]
        for each in range(_ENROLLMENTS)
    ]
    return max(costs, key=lambda each: int(each["calls"]))


def _list(operators: Operators) -> None:
    cursor = None
    while True:
        page = operators.clients.list(cursor, _PAGE)
        cursor = page.cursor
        if cursor is None:
            return


def _reconcile(operators: Operators, *, thorough: bool) -> None:
    drift = [*operators.survey.run(lambda *_: None, thorough=thorough)]
    if drift:
        raise RuntimeError(f"There is drift where there should be none: {drift[0].kind}.")


def _bars(found: list[dict[str, Any]]) -> dict[str, Any]:
    least, most = found[0]["clients"], found[-1]["clients"]
    return {
        "one_enrollment_calls_growth": {
            "says": f"calls of one enrollment, {most:,} clients ÷ {least:,}",
            "at_most": 1.0,
            "found": round(found[-1]["enroll"]["calls"] / found[0]["enroll"]["calls"], 3),
        },
        "one_enrollment_memory_growth": {
            "says": f"memory of one enrollment, {most:,} clients ÷ {least:,}",
            "at_most": 1.1,
            "found": round(found[-1]["enroll"]["peak_kb"] / found[0]["enroll"]["peak_kb"], 3),
        },
        **{
            f"reconcile_{what}_growth_over_clients_growth": {
                "says": f"growth of reconcile's {words} ÷ growth of clients, worst step",
                "at_most": 1.0,
                "found": _worst_growth(found, what),
            }
            for what, words in (("calls", "calls"), ("peak_kb", "memory"))
        },
    }


def _worst_growth(found: list[dict[str, Any]], what: str) -> float:
    """Return the greatest growth of *what* from size to size, over that of the clients."""
    growths = [
        (after["reconcile"][what] / before["reconcile"][what])
        / (after["clients"] / before["clients"])
        for before, after in pairwise(found)
    ]
    return float(round(max(growths), 3))
