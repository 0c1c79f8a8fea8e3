"""
Replication of all records: a comparison of both Regions' lists.

A page lists the versions of 100 secrets and decrypts nothing: 10,000 clients are
200 requests.  Lists may lag by minutes, so differences are confirmed one by one,
up to a limit.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.client_records import ClientSecrets
from chalicelib.aws.secrets_calls import CURRENT
from chalicelib.composition.stores import record_store
from chalicelib.errors import ServiceError, UnknownClientError
from chalicelib.model import ClientId, Replication
from chalicelib.ports import Clock, Pause
from chalicelib.settings import RegionSettings, Settings
from chalicelib.timing import RateLimiter
from surrogatectl.cli.operators import Connect

_PAGE: Final = 100
_PAGES_PER_SECOND: Final = 8.0
_MOST_SECONDS: Final = 60.0
_MOST_CONFIRMED: Final = 100


@dataclass(frozen=True, slots=True)
class ReplicationSeen:
    """
    Number of compared records (*looked_at*), and counts of those *behind*, by status.

    *complete*: the comparison covers all records.
    """

    looked_at: int
    behind: Mapping[Replication, int]
    complete: bool

    @property
    def in_sync(self) -> int:
        """Number of records in sync."""
        return self.looked_at - sum(self.behind.values())


@dataclass(frozen=True, slots=True)
class ReplicationReader:
    """Reader of the replication from the Region that writes to the other one."""

    settings: Settings
    connect: Connect = field(repr=False)
    clock: Clock
    pause: Pause

    def compare(self, writer: RegionSettings, other: RegionSettings) -> ReplicationSeen | None:
        """Return the replication from *writer* to *other*; `None` if a Region does not answer."""
        with ThreadPoolExecutor() as pool:
            try:
                here, there = pool.map(self._versions, (writer, other))
                return self._compared(here, there, writer, other)
            except (ClientError, BotoCoreError, ServiceError):
                return None

    def _compared(
        self, here: _Versions, there: _Versions, writer: RegionSettings, other: RegionSettings
    ) -> ReplicationSeen:
        differ = [name for name, version in here.found.items() if there.found.get(name) != version]
        store = self._store(writer, other)
        behind: Counter[Replication] = Counter()
        gone = 0
        for name in differ[:_MOST_CONFIRMED]:
            client_id = ClientId(name.removeprefix(self._start))
            try:
                status = store.replication(client_id, store.describe(client_id).version)
            except UnknownClientError:
                gone += 1  # deleted since the list
                continue
            if status is not Replication.IN_SYNC:
                behind[status] += 1
        return ReplicationSeen(
            looked_at=len(here.found) - gone - len(differ[_MOST_CONFIRMED:]),
            behind=dict(behind),
            complete=here.complete and there.complete and len(differ) <= _MOST_CONFIRMED,
        )

    @property
    def _start(self) -> str:
        return f"{self.settings.secret_prefix}/clients/"

    def _store(self, writer: RegionSettings, other: RegionSettings) -> ClientSecrets:
        here, there = (self.connect("secretsmanager", each) for each in (writer, other))
        return record_store(
            lambda: here,
            lambda: there,
            own=writer,
            other=other,
            settings=self.settings,
            random_bytes=secrets.token_bytes,
        )

    def _versions(self, region: RegionSettings) -> _Versions:
        client = self.connect("secretsmanager", region)
        limiter = RateLimiter(_PAGES_PER_SECOND, self.clock, self.pause)
        ends = self.clock() + _MOST_SECONDS
        found: dict[str, str] = {}
        more: dict[str, str] = {}
        while True:
            limiter.wait()
            page = client.list_secrets(
                MaxResults=_PAGE, Filters=[{"Key": "name", "Values": [self._start]}], **more
            )
            for each in page["SecretList"]:
                found[each["Name"]] = _current(each)
            if not page.get("NextToken"):
                return _Versions(found, complete=True)
            if self.clock() > ends:
                return _Versions(found, complete=False)
            more = {"NextToken": page["NextToken"]}


@dataclass(frozen=True, slots=True)
class _Versions:
    """Current version of each listed secret."""

    found: Mapping[str, str]
    complete: bool


def _current(listed: Mapping[str, Any]) -> str:
    versions = listed.get("SecretVersionsToStages") or {}
    return next((version for version, labels in versions.items() if CURRENT in labels), "")
