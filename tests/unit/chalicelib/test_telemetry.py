"""Log lines: their content, and values left out."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from chalicelib.telemetry import NAMESPACE, crash, json_lines
from tests.fakes import FakeClock

SECRET = "sgs_quoted-by-an-exception"
EVENT = {"event": "exchange", "outcome": "issued", "cognito_requests": 2, "client_id": "sgc_x"}


def emitted(*events: dict[str, Any]) -> list[dict[str, Any]]:
    stream = io.StringIO()
    emit = json_lines("us-east-1", FakeClock(1_800_000_000.25), stream)
    for event in events:
        emit(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_region_and_time() -> None:
    lines = emitted({"event": "admin", "action": "enroll", "text": "two\nlines"}, {"event": "x"})
    assert lines == [
        {
            "region": "us-east-1",
            "at": 1_800_000_000.25,
            "event": "admin",
            "action": "enroll",
            "text": "two\nlines",
        },
        {"region": "us-east-1", "at": 1_800_000_000.25, "event": "x"},
    ]


def test_events_go_to_standard_output_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    json_lines("us-east-1", FakeClock())({"event": "x"})
    assert json.loads(capsys.readouterr().out)["event"] == "x"


def test_an_exchange_carries_metrics_in_the_embedded_format() -> None:
    """CloudWatch Logs makes metrics of this format: each name and dimension is in the line."""
    (line,) = emitted(EVENT)
    assert line["_aws"]["Timestamp"] == 1_800_000_000_250
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
    assert directive["Namespace"] == NAMESPACE
    for metric in directive["Metrics"]:
        assert type(line[metric["Name"]]) is int
    for dimensions in directive["Dimensions"]:
        for dimension in dimensions:
            assert isinstance(line[dimension], str)
            assert line[dimension]
    assert {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]} == {
        "exchanges": 1,
        "cognito_requests": 2,
        "drift": 0,
    }


def test_a_repeated_exchange_event_has_the_current_time() -> None:
    """The encoded event is cached: it must hold no time and nothing of another event."""
    stream, clock = io.StringIO(), FakeClock(1_800_000_000.25)
    emit = json_lines("us-east-1", clock, stream)
    others = [{**EVENT, "client_id": "sgc_y"}, {**EVENT, "outcome": "drift"}]
    for event in (EVENT, *others, EVENT):
        emit(event)
        clock.advance(60)
    first, *between, last = map(json.loads, stream.getvalue().splitlines())
    assert last.pop("at") - first.pop("at") == 180
    assert last["_aws"].pop("Timestamp") - first["_aws"].pop("Timestamp") == 180_000
    assert first == last
    assert [line["client_id"] for line in between] == ["sgc_y", "sgc_x"]
    assert [line["outcome"] for line in between] == ["issued", "drift"]


def test_region_and_outcome_are_the_only_dimensions() -> None:
    """A dimension that a caller could choose would make a metric for each of its values."""
    (line,) = emitted(EVENT)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert {each for set_ in directive["Dimensions"] for each in set_} == {"region", "outcome"}


@pytest.mark.parametrize(
    ("outcome", "drift"),
    [("issued", 0), ("drift", 1), ("pending", 1), ("invalid_client:wrong", 0), ("state:X", 0)],
)
def test_drift_is_counted(outcome: str, drift: int) -> None:
    (line,) = emitted({**EVENT, "outcome": outcome})
    assert line["drift"] == drift


def test_a_reconciliation_carries_its_drift_counts() -> None:
    drift = {"orphans": 2, "pending": 1, "outdated": 0}
    (line,) = emitted({"event": "reconcile", "drift": drift})
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["region"]]
    assert directive["Metrics"] == [{"Name": "drift_found"}]
    assert (line["drift_found"], line["drift"]) == (3, drift)


@pytest.mark.parametrize("kind", ["admin", "crash"])
def test_other_events_carry_no_metrics(kind: str) -> None:
    (line,) = emitted({**EVENT, "event": kind})
    assert "_aws" not in line
    assert "exchanges" not in line


def _raise_quoting() -> None:
    secret = SECRET
    try:
        int(secret)
    except ValueError as err:
        raise ValueError(f"cannot read {secret}") from err


def test_a_crash_event_has_the_location_and_no_exception_text() -> None:
    with pytest.raises(ValueError, match="cannot read") as caught:
        _raise_quoting()
    event = crash(caught.value)
    assert event["event"] == "crash"
    assert event["error"] == "ValueError"
    assert event["at_code"][-1].endswith(" _raise_quoting")
    assert all(place.count(":") >= 1 for place in event["at_code"])
    assert SECRET not in json.dumps(event)
    assert emitted(event)[0]["error"] == "ValueError"


def test_a_crash_without_a_traceback_can_be_logged() -> None:
    assert crash(ValueError(SECRET)) == {"event": "crash", "error": "ValueError", "at_code": []}
