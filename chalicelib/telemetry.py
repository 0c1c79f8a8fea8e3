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

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode

# Encoded once: they are the same in every line.
_EXCHANGE_METRICS: Final = _encode(
    [
        {
            "Namespace": NAMESPACE,
            "Dimensions": [["region"], ["region", "outcome"]],
            "Metrics": [{"Name": "exchanges"}, {"Name": "cognito_requests"}, {"Name": "drift"}],
        }
    ]
)
_RECONCILE_METRICS: Final = _encode(
    [
        {
            "Namespace": NAMESPACE,
            "Dimensions": [["region"]],
            "Metrics": [{"Name": "drift_found"}],
        }
    ]
)
_DRIFT = frozenset({"drift", "pending"})


def json_lines(region: str, clock: Clock, stream: TextIO | None = None) -> Emit:
    """Return a function that writes each event as one line to *stream*."""

    def emit(event: Mapping[str, Any]) -> None:
        at = clock()
        line = _encode({"region": region, "at": at, **event})
        if event.get("event") == "exchange":
            counted = f'"exchanges":1,"drift":{int(event["outcome"] in _DRIFT)}'
            line = _with_metrics(line, counted, at, _EXCHANGE_METRICS)
        elif event.get("event") == "reconcile":
            counted = f'"drift_found":{sum(event["drift"].values())}'
            line = _with_metrics(line, counted, at, _RECONCILE_METRICS)
        out = stream or sys.stdout
        out.write(line + "\n")
        out.flush()

    return emit


def _with_metrics(line: str, counted: str, at: float, metrics: str) -> str:
    """Add *counted* to the JSON object *line*, and what makes CloudWatch count it."""
    about = f'{{"Timestamp":{int(at * 1000)},"CloudWatchMetrics":{metrics}}}'
    return f'{line[:-1]},{counted},"_aws":{about}}}'


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
