"""
Log lines: one JSON line per event on standard output, from there to CloudWatch Logs.

Lines of the exchange and of the reconciliation contain CloudWatch metrics in the
embedded metric format.  The only dimensions are the Region and the outcome: no
input of an unauthenticated caller becomes one.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TextIO

from chalicelib.caching import REMEMBERED
from chalicelib.credentials import loggable
from chalicelib.model import ClientId, SecretId
from chalicelib.ports import Clock, Emit

NAMESPACE: Final = "SurrogateCredentials"

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode

# Encoded once, as they are the same in every line.
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
    """Return a function that writes each event as one line to *stream*, or standard output."""
    head = f'{{"region":{_encode(region)},"at":'

    def emit(event: Mapping[str, Any]) -> None:
        at = str(int(clock() * 1000))
        if event.get("event") == "exchange":
            rest = f"{_exchange(tuple(event.items()))}{at}}}}}"
        else:
            rest = _rest(event, at)
        # Looked up each time, as the runtime may have replaced it.
        out = stream or sys.stdout
        out.write(f"{head}{at[:-3]}.{at[-3:]},{rest}\n")
        out.flush()

    return emit


@lru_cache(REMEMBERED)  # a client's next event mostly equals its last one
def _exchange(items: tuple[tuple[str, Any], ...]) -> str:
    """Return the line of an exchange, from its event up to the timestamp of its metrics."""
    event = dict(items)
    counted = f'"exchanges":1,"drift":{int(event["outcome"] in _DRIFT)}'
    about = f'{{"CloudWatchMetrics":{_EXCHANGE_METRICS},"Timestamp":'
    return f'{_encode(event)[1:-1]},{counted},"_aws":{about}'


def _rest(event: Mapping[str, Any], at: str) -> str:
    """Return the rest of the line of any other event; *at* in milliseconds."""
    members = _encode(event)[1:]
    if event.get("event") != "reconcile":
        return members
    counted = f'"drift_found":{sum(event["drift"].values())}'
    about = f'{{"Timestamp":{at},"CloudWatchMetrics":{_RECONCILE_METRICS}}}'
    return f'{members[:-1]},{counted},"_aws":{about}}}'


def crash(err: BaseException) -> dict[str, Any]:
    """
    Return the log event of an unexpected error: its type and place, not its text.

    The text of an error can quote a secret value that caused it.
    """
    frames = traceback.extract_tb(err.__traceback__)
    return {
        "event": "crash",
        "error": type(err).__name__,
        "at_code": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def audit_line(
    action: str,
    caller: str | None,
    client_id: ClientId | None,
    secret_id: SecretId | None,
    outcome: str,
) -> dict[str, Any]:
    """Return the audit line of an administrative action: caller, client, secret and outcome."""
    return {
        "event": "admin",
        "action": action,
        "caller": caller,
        "client_id": loggable(client_id) if client_id else None,
        "secret_id": secret_id,
        "outcome": outcome,
    }
