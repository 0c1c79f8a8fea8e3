"""
Reader of both Regions' status, in parallel; it changes nothing.

Each request has a limit of seconds and no retry, so that a Region that hangs
soon counts as one that does not answer.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.region_state import state_secret_name
from chalicelib.clients.denials import Denials
from chalicelib.composition.stores import denial_store, state_store
from chalicelib.errors import ServiceError, StoreUnavailableError
from chalicelib.model import ClientId, RegionState
from chalicelib.ports import Clock
from chalicelib.settings import RegionSettings, Settings
from surrogatectl.cli.configuration import ROLES
from surrogatectl.cli.operators import Connect
from surrogatectl.doctor.web import Web

ONE_ATTEMPT: Final = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 1},
    proxies={},
)
WEB_SECONDS: Final = 3.0
_OK: Final = 200
_UNREADY: Final = 503
_DAY: Final = 86_400
_PAGES: Final = 10


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Result of the last scheduled survey: the count of each kind of drift."""

    at: int
    kinds: Mapping[str, int]
    complete: bool


@dataclass(frozen=True, slots=True)
class RegionSeen:
    """
    Status of one Region, as far as it is readable.

    *answers*: Secrets Manager there answers.  *state* is `None` if it is unreadable,
    for the reason *problem*; *state_writes* counts its writes within a day.  *denied* is
    `None` if it is unreadable; *denial_writes* are the day's writes of its fullest shard.
    *health* is the Region that `/health` names.  *ready* maps each dependency of the
    exchange to its readiness, `None` without an answer.  *drift* is the last report there.
    """

    role: str
    name: str
    answers: bool
    state: RegionState | None = None
    problem: str = ""
    state_writes: int = 0
    denied: frozenset[ClientId] | None = None
    denial_writes: int = 0
    health: str | None = None
    ready: Mapping[str, bool] | None = None
    drift: DriftReport | None = None

    @property
    def is_ready(self) -> bool:
        """The Region's readiness to serve tokens, by its own report."""
        return self.ready is not None and all(self.ready.values())


@dataclass(frozen=True, slots=True)
class Seen:
    """Status of both Regions at the time *at*, and the Region to which the public name leads."""

    primary: RegionSeen
    secondary: RegionSeen
    name_leads_to: str | None
    at: float

    @property
    def both(self) -> tuple[RegionSeen, RegionSeen]:
        """The primary and the secondary Region."""
        return self.primary, self.secondary


@dataclass(frozen=True, slots=True)
class StatusReader:
    """Reader of the status; *token_urls* maps a role to the base URL of its token API."""

    settings: Settings
    token_urls: Mapping[str, str]
    connect: Connect = field(repr=False)
    web: Web = field(repr=False)
    clock: Clock

    def read(self) -> Seen:
        """Read everything in parallel."""
        regions = dict(zip(ROLES, (self.settings.primary, self.settings.secondary), strict=True))
        with ThreadPoolExecutor() as pool:
            states = {role: pool.submit(self._state, regions[role]) for role in ROLES}
            denials = {role: pool.submit(self._denials, regions[role]) for role in ROLES}
            writes = {role: pool.submit(self._state_writes, regions[role]) for role in ROLES}
            drift = {role: pool.submit(self._drift, regions[role]) for role in ROLES}
            urls = {
                (role, path): pool.submit(self._get, role, path)
                for role in ROLES
                for path in ("/health", "/health/ready")
            }
            name = pool.submit(self.web.get, f"{self.settings.public_url}/health")
            seen = {}
            for role in ROLES:
                answers, state, problem = states[role].result()
                denied, denial_writes = denials[role].result()
                seen[role] = RegionSeen(
                    role=role,
                    name=regions[role].name,
                    answers=answers,
                    state=state,
                    problem=problem,
                    state_writes=writes[role].result(),
                    denied=denied,
                    denial_writes=denial_writes,
                    health=_region_in(urls[role, "/health"].result()),
                    ready=_readiness(urls[role, "/health/ready"].result()),
                    drift=drift[role].result(),
                )
            return Seen(seen["primary"], seen["secondary"], _region_in(name.result()), self.clock())

    def _get(self, role: str, path: str) -> tuple[int, dict[str, Any]]:
        url = self.token_urls.get(role)
        return self.web.get(url + path) if url else (0, {})

    def _state(self, region: RegionSettings) -> tuple[bool, RegionState | None, str]:
        client = self.connect("secretsmanager", region)
        store = state_store(
            lambda: client, settings=self.settings, random_bytes=secrets.token_bytes
        )
        try:
            return True, store.read().value, ""
        except StoreUnavailableError as err:
            return False, None, str(err) or "Secrets Manager does not answer."
        except ServiceError as err:
            return True, None, str(err)

    def _denials(self, region: RegionSettings) -> tuple[frozenset[ClientId] | None, int]:
        """Return whom the Region denies, and the day's writes of its fullest shard."""
        client = self.connect("secretsmanager", region)
        store = denial_store(
            lambda: client, settings=self.settings, random_bytes=secrets.token_bytes
        )
        denials = Denials(region.name, store, self.clock)
        try:
            return denials.list(), denials.fullest()
        except ServiceError:
            return None, 0

    def _state_writes(self, region: RegionSettings) -> int:
        """Return how many versions of the Region's state Secrets Manager has to keep."""
        client = self.connect("secretsmanager", region)
        name = state_secret_name(self.settings.secret_prefix)
        try:
            answer = client.list_secret_version_ids(
                SecretId=name, IncludeDeprecated=True, MaxResults=100
            )
        except (ClientError, BotoCoreError):
            return 0
        since = self.clock() - _DAY
        return sum(each["CreatedDate"].timestamp() > since for each in answer.get("Versions", []))

    def _drift(self, region: RegionSettings) -> DriftReport | None:
        """Return the last report of the scheduled survey within a day."""
        logs = self.connect("logs", region)
        found = [_last(self._lines(logs, group)) for group in _scheduled(region.log_group)]
        return max((each for each in found if each), key=lambda each: each.at, default=None)

    def _lines(self, client: Any, group: str) -> list[str]:  # noqa: ANN401 - a client
        found: list[str] = []
        more: dict[str, str] = {}
        try:
            for _ in range(_PAGES):
                page = client.filter_log_events(
                    logGroupName=group,
                    startTime=int((self.clock() - _DAY) * 1_000),
                    filterPattern='"reconcile" "complete"',
                    **more,
                )
                found += [str(each.get("message", "")) for each in page["events"]]
                if not page.get("nextToken"):
                    break
                more = {"nextToken": page["nextToken"]}
        except (ClientError, BotoCoreError):
            return []  # no such group, or no answer
        return found


def _scheduled(log_group: str) -> tuple[str, str]:
    """
    Return the possible log groups of the scheduled function, from that of the token surface.

    The function belongs to the stage with the admin surface: the combined or a split one.
    """
    stage = log_group.removesuffix("-token")
    return f"{stage}-upkeep", f"{stage}-admin-upkeep"


def _last(lines: list[str]) -> DriftReport | None:
    for line in reversed(lines):
        try:
            found = json.loads(line)
            if found["event"] == "reconcile":
                kinds = {str(kind): int(count) for kind, count in found["drift"].items() if count}
                return DriftReport(int(found["at"]), kinds, bool(found["complete"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return None


def _region_in(answer: tuple[int, dict[str, Any]]) -> str | None:
    status, content = answer
    region = content.get("region")
    return str(region) if status == _OK and region else None


def _readiness(answer: tuple[int, dict[str, Any]]) -> Mapping[str, bool] | None:
    status, content = answer
    if status not in {_OK, _UNREADY}:
        return None
    parts = {key: value for key, value in content.items() if isinstance(value, bool)}
    return parts or None
