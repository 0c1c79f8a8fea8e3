"""
Last use of a secret, read on demand from a Region's structured log lines.

No request writes anything for it.  The search goes backwards from the newest part of
the log, and raises an error if it does not end within a few seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.credentials import loggable
from chalicelib.errors import LogUnavailableError
from chalicelib.model import ClientId, SecretId
from chalicelib.ports import Clock, LastUses

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

_HOUR: Final = 3_600
_WINDOWS: Final = (_HOUR, 24 * _HOUR, 7 * 24 * _HOUR, 30 * 24 * _HOUR)
_TOTAL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class CloudWatchUseLog:
    """`UseLog` on the log group of one Region's function."""

    client: Callable[[], CloudWatchLogsClient] = field(repr=False)
    log_group: str
    clock: Clock

    def last_uses(self, client_id: ClientId, secret_ids: Sequence[SecretId]) -> LastUses:
        """See `UseLog.last_uses`."""
        now = self.clock()
        uses: dict[SecretId, int | None] = dict.fromkeys(secret_ids)
        end = now
        for seconds in _WINDOWS:
            start = now - seconds
            for at, secret_id in self._issued(client_id, start, end, now + _TOTAL_SECONDS):
                if secret_id in uses:
                    uses[secret_id] = max(uses[secret_id] or 0, at)
            if all(uses.values()):
                break
            end = start
        return uses

    def _issued(
        self, client_id: ClientId, start: float, end: float, stop_at: float
    ) -> Iterator[tuple[int, SecretId]]:
        name = loggable(client_id)
        more: dict[str, Any] = {}
        while True:
            if self.clock() > stop_at:
                raise LogUnavailableError("The log cannot be searched in time.")
            answer = self._page(name, start, end, more)
            for event in answer["events"]:
                secret_id = _use(event.get("message", ""), name)
                if secret_id is not None:
                    yield int(event["timestamp"] / 1000), secret_id
            if not answer.get("nextToken"):
                return
            more = {"nextToken": answer["nextToken"]}

    def _page(self, name: str, start: float, end: float, more: dict[str, Any]) -> Any:  # noqa: ANN401 - botocore
        try:
            return self.client().filter_log_events(
                logGroupName=self.log_group,
                startTime=int(start * 1000),
                endTime=int(end * 1000),
                filterPattern=f'"{name}" "issued"',
                **more,
            )
        except (ClientError, BotoCoreError) as err:
            raise LogUnavailableError(type(err).__name__) from None


def _use(message: str, name: str) -> SecretId | None:
    """Return the secret of the client *name* that got a token, if *message* reports that."""
    try:
        line = json.loads(message)
        issued = line["event"] == "exchange" and line["outcome"] == "issued"
        return SecretId(line["secret_id"]) if issued and line["client_id"] == name else None
    except (ValueError, KeyError, TypeError):
        return None
