from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.aws.use_log import CloudWatchUseLog
from chalicelib.credentials import loggable
from chalicelib.errors import LogUnavailableError
from chalicelib.model import ClientId, SecretId
from tests.fakes import FakeClock

CLIENT = ClientId("sgc_" + "a" * 26)
ADOPTED = ClientId("1example23456789")
ONE, TWO = SecretId("aaaaaaaa"), SecretId("bbbbbbbb")


class FakeLogs:
    """`FilterLogEvents` of CloudWatch Logs, with pages of two events."""

    def __init__(self) -> None:
        self.events: list[tuple[float, str]] = []
        self.windows: list[tuple[float, float]] = []
        self.failure: Exception | None = None
        self.empty_pages = 0
        self.on_page: Callable[[], None] = lambda: None

    def line(self, at: float, **changes: Any) -> None:
        line = {
            "event": "exchange",
            "outcome": "issued",
            "client_id": CLIENT,
            "secret_id": ONE,
        } | changes
        self.events.append((at, json.dumps(line)))

    def filter_log_events(
        self,
        *,
        logGroupName: str,
        startTime: int,
        endTime: int,
        filterPattern: str,
        nextToken: str = "0",
    ) -> dict[str, Any]:
        self.on_page()
        if self.failure:
            raise self.failure
        if self.empty_pages:
            self.empty_pages -= 1
            return {"events": [], "nextToken": nextToken}
        self.windows.append((startTime / 1000, endTime / 1000))
        terms = filterPattern.replace('"', "").split()
        found = [
            {"timestamp": int(at * 1000), "message": message}
            for at, message in self.events
            if startTime <= at * 1000 <= endTime and all(term in message for term in terms)
        ]
        start = int(nextToken)
        answer: dict[str, Any] = {"events": found[start : start + 2]}
        if start + 2 < len(found):
            answer["nextToken"] = str(start + 2)
        return answer


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def logs() -> FakeLogs:
    return FakeLogs()


@pytest.fixture
def use_log(logs: FakeLogs, clock: FakeClock) -> CloudWatchUseLog:
    return CloudWatchUseLog(lambda: logs, "/aws/lambda/x", clock)  # type: ignore[arg-type, return-value]


def test_each_secret_has_its_last_use(
    use_log: CloudWatchUseLog, logs: FakeLogs, clock: FakeClock
) -> None:
    for ago in (50, 40, 30, 20):
        logs.line(clock() - ago)
    logs.line(clock() - 10 * 86_400, secret_id=TWO)
    assert use_log.last_uses(CLIENT, [ONE, TWO]) == {
        ONE: clock() - 20,
        TWO: clock() - 10 * 86_400,
    }


def test_an_unused_secret_has_no_last_use(use_log: CloudWatchUseLog, logs: FakeLogs) -> None:
    assert use_log.last_uses(CLIENT, [ONE]) == {ONE: None}


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "invalid_client:wrong issued"},
        {"event": "admin"},
        {"client_id": "sgc_" + "b" * 26, "note": CLIENT},
        {"secret_id": "cccccccc"},
    ],
)
def test_only_tokens_of_that_client_and_secret_count(
    use_log: CloudWatchUseLog, logs: FakeLogs, clock: FakeClock, changes: dict[str, str]
) -> None:
    logs.line(clock() - 5, **changes)
    assert use_log.last_uses(CLIENT, [ONE]) == {ONE: None}


def test_foreign_log_lines_are_skipped(
    use_log: CloudWatchUseLog, logs: FakeLogs, clock: FakeClock
) -> None:
    for text in (f"{CLIENT} issued", f'["{CLIENT}", "issued"]', f'{{"x": "{CLIENT} issued"}}'):
        logs.events.append((clock() - 5, text))
    assert use_log.last_uses(CLIENT, [ONE]) == {ONE: None}


def test_an_adopted_client_is_found_by_its_handle(
    use_log: CloudWatchUseLog, logs: FakeLogs, clock: FakeClock
) -> None:
    logs.line(clock() - 5, client_id=loggable(ADOPTED))
    assert use_log.last_uses(ADOPTED, [ONE]) == {ONE: clock() - 5}


def test_a_recent_use_is_found_in_the_newest_window(
    use_log: CloudWatchUseLog, logs: FakeLogs, clock: FakeClock
) -> None:
    logs.line(clock() - 5)
    use_log.last_uses(CLIENT, [ONE])
    assert len(logs.windows) == 1


def test_the_windows_have_no_gap(
    use_log: CloudWatchUseLog, logs: FakeLogs, clock: FakeClock
) -> None:
    use_log.last_uses(CLIENT, [ONE])
    ends = [end for _, end in logs.windows]
    starts = [start for start, _ in logs.windows]
    assert ends == [clock(), *starts[:-1]]
    assert clock() - starts[-1] == 30 * 86_400


def test_empty_pages_are_followed(
    use_log: CloudWatchUseLog, logs: FakeLogs, clock: FakeClock
) -> None:
    logs.line(clock() - 5)
    logs.empty_pages = 3
    assert use_log.last_uses(CLIENT, [ONE]) == {ONE: clock() - 5}


def test_a_search_that_takes_too_long_is_unknown_not_unused(
    use_log: CloudWatchUseLog, logs: FakeLogs, clock: FakeClock
) -> None:
    logs.empty_pages = 1_000
    logs.on_page = lambda: clock.advance(1)
    with pytest.raises(LogUnavailableError):
        use_log.last_uses(CLIENT, [ONE])


@pytest.mark.parametrize(
    "failure",
    [
        EndpointConnectionError(endpoint_url="x"),
        ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "FilterLogEvents"),
        ClientError({"Error": {"Code": "AccessDeniedException"}}, "FilterLogEvents"),
    ],
)
def test_a_log_that_cannot_be_read_is_unknown(
    use_log: CloudWatchUseLog, logs: FakeLogs, failure: Exception
) -> None:
    logs.failure = failure
    with pytest.raises(LogUnavailableError):
        use_log.last_uses(CLIENT, [ONE])
