"""
The warm exchange against a Chalice route that does nothing with the same event (bar 1).

The process has verified the client before and holds its token, as in nearly
every request of a busy function.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Sequence
from itertools import cycle
from statistics import median
from typing import Any

from chalice.app import Chalice

from benchmarks.arrangement import (
    Arrangement,
    Audit,
    arranged,
    no_op,
    served,
    silence,
    token_event,
)
from benchmarks.measure import Plan, in_turns, pin, summary

_OK = 200
_AUDITED = 1_000
_TRACED = 200


def run(*, quick: bool) -> dict[str, Any]:
    """Measure in this process."""
    audit = Audit()
    with arranged() as arrangement, silence():
        found = _compare(arrangement, Plan(5, 50) if quick else Plan(101, 500))
        crowds = (1, 10) if quick else (1, 10, 100, 1_000, 5_000)
        found["crowds"] = [_crowd(arrangement, audit, clients) for clients in crowds]
    found["bars"] = _bars(found, crowds[-1])
    return found


def _bars(found: dict[str, Any], most: int) -> dict[str, Any]:
    crowds = found["crowds"]
    return {
        "without_telemetry": {
            "says": "a warm exchange ÷ the no-op route",
            "at_most": 1.8,
            "found": _ratio(found, "exchange"),
        },
        "with_telemetry": {
            "says": "the same with its log line and metrics",
            "at_most": 2.5,
            "found": _ratio(found, "exchange_with_telemetry"),
        },
        "argon2": {
            "says": "argon2 verifications in warm exchanges (audit hook)",
            "at_most": 0,
            "found": max(crowd["argon2"] for crowd in crowds),
        },
        "sockets": {
            "says": "operations on sockets (audit hook), and requests that arrived",
            "at_most": 0,
            "found": max(crowd["sockets"] + crowd["requests"] for crowd in crowds),
        },
        "allocation_growth": {
            "says": f"peak allocation of one exchange, {most:,} clients ÷ 1",
            "at_most": 1.05,
            "found": round(crowds[-1]["peak_bytes"] / crowds[0]["peak_bytes"], 3),
        },
        "memory_left": {
            "says": f"memory blocks left per exchange, {most:,} clients",
            "at_most": 0.01,
            "found": crowds[-1]["blocks_left_allocated_per_exchange"],
        },
    }


def _ratio(found: dict[str, Any], subject: str) -> float:
    return float(found["subjects"][subject]["ratio_to_no_op"])


def _compare(arrangement: Arrangement, plan: Plan) -> dict[str, Any]:
    event = token_event(arrangement.client())
    nothing = no_op()
    quiet, full = served(arrangement.quiet()), served(arrangement.surface)
    for app in (quiet, full):
        _must_be_ok(app, event)
    pin()
    taken = in_turns(
        {
            "no_op": lambda: nothing(event, None),
            "exchange": lambda: quiet(event, None),
            "exchange_with_telemetry": lambda: full(event, None),
        },
        plan,
    )
    return {"subjects": summary(taken, "no_op"), "rounds": plan.rounds, "calls": plan.calls}


def _must_be_ok(app: Chalice, event: dict[str, Any]) -> None:
    answer = app(event, None)
    if answer["statusCode"] != _OK:
        raise RuntimeError(f"The exchange answered {answer['statusCode']}.")


def _crowd(arrangement: Arrangement, audit: Audit, clients: int) -> dict[str, Any]:
    """
    Return the cost of *clients* that take turns: operations, memory, time.

    The hook sees operations on sockets, but no data on an open connection: the other end counts
    the requests.
    """
    app = served(arrangement.surface)
    events = [token_event(arrangement.client(cheap=True)) for _ in range(clients)]
    asked = arrangement.region.asked()
    audit.seen.clear()
    with audit.counting():
        for event in events:
            _must_be_ok(app, event)
    if audit.seen["argon2"] != clients or arrangement.region.asked() < asked + 2 * clients:
        raise RuntimeError("First exchanges were not seen to verify, to read and to ask.")
    calls = max(_AUDITED, clients)
    _ask(app, events, calls)
    asked = arrangement.region.asked()
    audit.seen.clear()
    with audit.counting():
        _ask(app, events, calls)
    requests = arrangement.region.asked() - asked
    blocks = _allocated(app, events, calls)
    taken = in_turns({"exchange": _next_of(app, events)}, Plan(5, calls))
    return {
        "clients": clients,
        "exchanges": calls,
        "argon2": audit.seen["argon2"],
        "sockets": audit.seen["socket"],
        "requests": requests,
        "peak_bytes": _peak(app, events),
        "blocks_left_allocated_per_exchange": round(blocks / calls, 4),
        "median_us": summary(taken, "exchange")["exchange"]["median_us"],
    }


def _ask(app: Chalice, events: Sequence[dict[str, Any]], calls: int) -> None:
    turns = cycle(events)
    for _ in range(calls):
        app(next(turns), None)


def _allocated(app: Chalice, events: Sequence[dict[str, Any]], calls: int) -> int:
    before = sys.getallocatedblocks()
    _ask(app, events, calls)
    return sys.getallocatedblocks() - before


def _peak(app: Chalice, events: Sequence[dict[str, Any]]) -> float:
    """Return the peak allocation of one exchange, the median of several."""
    peaks, turns = [], cycle(events)
    tracemalloc.start()
    for _ in range(_TRACED):
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        app(next(turns), None)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    return median(peaks)


def _next_of(app: Chalice, events: Sequence[dict[str, Any]]) -> Any:  # noqa: ANN401
    turns = cycle(events)
    return lambda: app(next(turns), None)
