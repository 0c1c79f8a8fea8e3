"""
What `status` sees of a deployment, both Regions at once; it changes nothing.

Every question has a limit of seconds and no second try, so that a Region that
hangs is shown as one that does not answer before anybody loses patience.
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

from chalicelib.composition.stores import state_store
from chalicelib.errors import ServiceError, StoreUnavailableError
from chalicelib.model import RegionState
from chalicelib.ports import Clock
from chalicelib.settings import RegionSettings, Settings
from surrogatectl.cli.configuration import ROLES
from surrogatectl.cli.operators import Connect
from surrogatectl.doctor.web import Web

IMPATIENT: Final = Config(
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
    """What the last scheduled look for drift found: how much of each kind."""

    at: int
    kinds: Mapping[str, int]
    complete: bool


@dataclass(frozen=True, slots=True)
class RegionSeen:
    """
    One Region, as far as it could be seen.

    *answers*: whether Secrets Manager there does.  *state* is `None` if it could
    not be read, for the reason *problem*.  *health* is the Region in whose name
    `/health` answers.  *ready* maps what the exchange depends on to whether it
    answers, `None` if nobody says.  *drift* is what was last reported there.
    """

    role: str
    name: str
    answers: bool
    state: RegionState | None = None
    problem: str = ""
    health: str | None = None
    ready: Mapping[str, bool] | None = None
    drift: DriftReport | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it says that it can serve tokens."""
        return self.ready is not None and all(self.ready.values())


@dataclass(frozen=True, slots=True)
class Seen:
    """Both Regions, and the Region in whose name the public name answers."""

    primary: RegionSeen
    secondary: RegionSeen
    name_leads_to: str | None

    @property
    def both(self) -> tuple[RegionSeen, RegionSeen]:
        """The primary and the secondary Region."""
        return self.primary, self.secondary


@dataclass(frozen=True, slots=True)
class StatusReader:
    """What `status` looks with; *token_urls* maps a role to the base URL of its token API."""

    settings: Settings
    token_urls: Mapping[str, str]
    connect: Connect = field(repr=False)
    web: Web = field(repr=False)
    clock: Clock

    def read(self) -> Seen:
        """Look at everything at once."""
        regions = dict(zip(ROLES, (self.settings.primary, self.settings.secondary), strict=True))
        with ThreadPoolExecutor() as pool:
            steered = {role: pool.submit(self._steered, regions[role]) for role in ROLES}
            drift = {role: pool.submit(self._drift, regions[role]) for role in ROLES}
            urls = {
                (role, path): pool.submit(self._get, role, path)
                for role in ROLES
                for path in ("/health", "/health/ready")
            }
            name = pool.submit(self.web.get, f"{self.settings.public_url}/health")
            seen = {}
            for role in ROLES:
                answers, state, problem = steered[role].result()
                seen[role] = RegionSeen(
                    role=role,
                    name=regions[role].name,
                    answers=answers,
                    state=state,
                    problem=problem,
                    health=_region_in(urls[role, "/health"].result()),
                    ready=_readiness(urls[role, "/health/ready"].result()),
                    drift=drift[role].result(),
                )
            return Seen(seen["primary"], seen["secondary"], _region_in(name.result()))

    def _get(self, role: str, path: str) -> tuple[int, dict[str, Any]]:
        url = self.token_urls.get(role)
        return self.web.get(url + path) if url else (0, {})

    def _steered(self, region: RegionSettings) -> tuple[bool, RegionState | None, str]:
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

    def _drift(self, region: RegionSettings) -> DriftReport | None:
        """Return the last report of the scheduled look for drift, of the last day."""
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
            return []  # there is no such group, or nobody says
        return found


def _scheduled(log_group: str) -> tuple[str, str]:
    """
    Return the log groups of the scheduled function, beside that of the token surface.

    It belongs to the stage that serves administrators: the same one, or its other half.
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
