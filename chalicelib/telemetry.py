"""
One JSON line per event on standard output, which Lambda hands to CloudWatch Logs.

Lines of the exchange and of the reconciliation carry CloudWatch metrics in
the embedded metric format.
The only dimensions are the Region and the outcome, both ours: nothing that an
unauthenticated caller sends becomes one.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Final, TextIO

from .ports import Clock, Emit

NAMESPACE: Final = "SurrogateCredentials"

_EXCHANGE_METRICS = [
    {
        "Namespace": NAMESPACE,
        "Dimensions": [["region"], ["region", "outcome"]],
        "Metrics": [{"Name": "exchanges"}, {"Name": "cognito_requests"}, {"Name": "drift"}],
    }
]
_RECONCILE_METRICS = [
    {
        "Namespace": NAMESPACE,
        "Dimensions": [["region"]],
        "Metrics": [{"Name": "drift_found"}],
    }
]
_DRIFT = frozenset({"drift", "pending"})


def json_lines(region: str, clock: Clock, stream: TextIO | None = None) -> Emit:
    """Return a function that writes each event as one line to *stream*."""

    def emit(event: Mapping[str, Any]) -> None:
        line: dict[str, Any] = {"region": region, "at": clock(), **event}
        if event.get("event") == "exchange":
            line["exchanges"] = 1
            line["drift"] = int(event["outcome"] in _DRIFT)
            line["_aws"] = _metrics(line, _EXCHANGE_METRICS)
        elif event.get("event") == "reconcile":
            line["drift_found"] = sum(event["drift"].values())
            line["_aws"] = _metrics(line, _RECONCILE_METRICS)
        print(json.dumps(line, separators=(",", ":")), file=stream or sys.stdout, flush=True)

    return emit


def _metrics(line: Mapping[str, Any], metrics: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Timestamp": int(line["at"] * 1000), "CloudWatchMetrics": metrics}


def crash(err: BaseException) -> dict[str, Any]:
    """
    Return what may be logged of an unexpected error: where it happened, not its text.

    The text of an error can quote the value that caused it.
    """
    frames = traceback.extract_tb(err.__traceback__)
    return {
        "event": "crash",
        "error": type(err).__name__,
        "at_code": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
