"""An administrator's changes around an outage, and whether both Regions keep them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import requests

from chalicelib import credentials
from chalicelib.model import ClientId
from surrogatectl.cli.admin_client import AdminApiError, AdminClient
from surrogatectl.cli.configuration import ROLES, Deployment
from surrogatectl.drill.events import When, Write
from surrogatectl.drill.load import ANSWER_SECONDS, Credential, Now

SCOPE: Final = "demo/read"
"""Scope of the drill's clients, which the local pools offer."""

_NAME = "drill"
_KEPT_SECONDS = 30.0
_OK, _INVALID = 200, 401

Check = Callable[[], bool]


@dataclass
class Administrator:
    """Makes changes over the admin API, and remembers how to see each of them."""

    deployment: Deployment
    token_urls: Mapping[str, str]
    now: Now
    made: list[str] = field(default_factory=list)
    _writes: list[tuple[Write, Check]] = field(default_factory=list)

    def enroll(self, role: str, when: When, what: str = "enroll a client") -> Credential | None:
        """Enroll a client in the Region of *role*; `None` if that is refused."""
        found: list[Credential] = []

        def change() -> Check:
            found.append(self._enrolled(role))
            pair = (found[0].client_id, found[0].client_secret)
            return lambda: self._everywhere(pair, _OK)

        self._note(when, what, change)
        return found[0] if found else None

    def rotate(self, role: str, when: When, client: Credential) -> None:
        """Give *client* a second secret: both have to work."""

        def change() -> Check:
            answer = self._api(role).call("POST", f"/clients/{client.client_id}/secrets", {})
            new = (client.client_id, str(answer["client_secret"]))
            old = (client.client_id, client.client_secret)
            return lambda: self._everywhere(new, _OK) and self._everywhere(old, _OK)

        self._note(when, "rotate a client's secret", change)

    def disable(self, role: str, when: When, client: Credential) -> None:
        """Disable *client*: it has to be refused."""

        def change() -> Check:
            self._api(role).call("PATCH", f"/clients/{client.client_id}", {"status": "disabled"})
            return lambda: self._everywhere((client.client_id, client.client_secret), _INVALID)

        self._note(when, "disable a client", change)

    def prepare(self, count: int) -> list[Credential]:
        """
        Enroll the clients that a round needs, before it begins.

        Raises:
            AdminApiError: If one cannot be enrolled.
        """
        return [self._enrolled("primary") for _ in range(count)]

    def looked_at(self) -> list[Write]:
        """Return the changes, each with whether both Regions show it now, or soon."""
        ends = time.monotonic() + _KEPT_SECONDS
        return [
            replace(write, kept=write.done and _soon(check, ends)) for write, check in self._writes
        ]

    def clean_up(self) -> list[str]:
        """Delete the drill's clients; return those that could not be."""
        left = []
        for client_id in self.made:
            try:
                self._api("primary").call("DELETE", f"/clients/{client_id}")
            except AdminApiError:
                left.append(client_id)
        return left

    def _note(self, when: When, what: str, change: Callable[[], Check]) -> None:
        at = self.now()
        try:
            check = change()
        except AdminApiError as err:
            self._writes.append((Write(at, when, what, done=False, detail=str(err)), _never))
        else:
            self._writes.append((Write(at, when, what, done=True), check))

    def _enrolled(self, role: str) -> Credential:
        body = {"client_name": _NAME, "scope": SCOPE}
        answer: dict[str, Any] = self._api(role).call("POST", "/clients", body)
        client_id = str(answer["client_id"])
        self.made.append(client_id)
        wrong = credentials.issue(ClientId(client_id), secrets.token_bytes).client_secret
        return Credential(client_id, str(answer["client_secret"]), wrong, SCOPE)

    def _api(self, role: str) -> AdminClient:
        return AdminClient(self.deployment.admin_url(role), self.deployment.region(role).name)

    def _everywhere(self, pair: tuple[str, str], status: int) -> bool:
        return all(_status(self.token_urls[role], pair) == status for role in ROLES)


def _status(base_url: str, pair: tuple[str, str]) -> int:
    try:
        with requests.Session() as session:
            session.trust_env = False
            return session.post(
                f"{base_url}/oauth2/token",
                auth=pair,
                data={"grant_type": "client_credentials", "scope": SCOPE},
                timeout=ANSWER_SECONDS,
            ).status_code
    except requests.RequestException:
        return 0


def _soon(check: Check, ends: float) -> bool:
    while not check():
        if time.monotonic() > ends:
            return False
        time.sleep(0.5)
    return True


def _never() -> bool:
    return False
