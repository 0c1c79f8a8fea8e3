"""
The only thing that a drill breaks: the local cloud, through its network's control interface.

A drill takes a whole Region away.  On AWS nothing can do that, and nothing here
pretends to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from surrogatectl.cli.configuration import Deployment

_SECONDS = 10.0
_LOOPBACK = "127.0.0.1"
VARIABLE = "LOCAL_CLOUD"


class NotTheLocalCloudError(Exception):
    """The deployment is not the local cloud, or that does not run; the message says which."""


class CloudGoneError(Exception):
    """The local cloud does not answer (any more)."""


@dataclass(frozen=True, slots=True)
class LocalCloud:
    """The local cloud: *control* controls its network, *regions* maps a role to a Region."""

    control: str
    regions: Mapping[str, str]
    time_scale: float

    @classmethod
    def of(cls, deployment: Deployment, environ: Mapping[str, str]) -> LocalCloud:
        """
        Return the local cloud that *deployment* is.

        Raises:
            NotTheLocalCloudError: If it is something else.
        """
        endpoints = {
            role: deployment.region(role).endpoint_url for role in ("primary", "secondary")
        }
        if not all(_is_here(url) for url in (*endpoints.values(), deployment.settings.public_url)):
            raise NotTheLocalCloudError(
                "This deployment is not the local cloud. A drill takes a Region away, which can be "
                'done only there: make up, then eval "$(make -s env)". On AWS, rehearse the '
                "commands of docs/runbook.md at a quiet hour."
            )
        try:
            found: dict[str, Any] = json.loads(Path(environ[VARIABLE]).read_text())
            if found["region_endpoints"] != endpoints:
                raise NotTheLocalCloudError(f"{VARIABLE} is of another cloud than the environment.")
            cloud = cls(found["network_control"], found["regions"], float(found["time_scale"]))
            cloud._ask("GET", "status")
        except (KeyError, OSError, ValueError, CloudGoneError):
            raise NotTheLocalCloudError(
                "The local cloud does not run, or the environment is of another one: "
                'make up, then eval "$(make -s env)".'
            ) from None
        return cloud

    def lose(self, role: str, mode: str) -> None:
        """Take the Region of *role* away: `refused` or `hanging`."""
        self._ask("PUT", f"regions/{self.regions[role]}", {"mode": mode})

    def give_back(self, role: str) -> None:
        """Bring the Region of *role* back."""
        self.lose(role, "up")

    def mode(self, role: str) -> str:
        """Return what the network makes of the Region of *role*."""
        return str(self._ask("GET", "status")["regions"][self.regions[role]]["mode"])

    def _ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        try:
            with requests.Session() as session:
                session.trust_env = False
                url = f"{self.control}/{path}"
                answer = session.request(method, url, json=body, timeout=_SECONDS)
            answer.raise_for_status()
            return answer.json()
        except (requests.RequestException, ValueError) as err:
            raise CloudGoneError(
                f"The local cloud does not answer any more ({type(err).__name__}): make up."
            ) from None


def _is_here(url: str | None) -> bool:
    return url is not None and urlsplit(url).hostname == _LOOPBACK
