"""
The drill's backend: the example that is documented, in a process of its own, never restarted.

It trusts both Regions' user pools, as those in production do, and has the keys of both
before the outage: a Region that is gone cannot be asked for them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

ROOT: Final = Path(__file__).parents[2]
_ANSWER_SECONDS = 10.0
_SERVING = "serving "
_PATH = "/orders"
_EXAMPLE: Final = "examples/protected_api"


class BackendError(Exception):
    """The backend does not start; the message says why."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The caller as the backend sees it: one name, whichever Region issued the token."""

    region: str
    scopes: frozenset[str]
    client_id: str | None


@dataclass(frozen=True, slots=True)
class Backend:
    """An API at *url* that needs a token; *regions* maps an issuer to its Region."""

    url: str
    regions: Mapping[str, str]

    def verify(self, token: str) -> Claims | None:
        """Return what the backend made of *token*, `None` if it did not let it in."""
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(
                    f"{self.url}{_PATH}",
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=_ANSWER_SECONDS,
                )
            return self._claims(answer.json()) if answer.ok else None
        except (requests.RequestException, KeyError, ValueError):
            return None

    def _claims(self, who: Mapping[str, Any]) -> Claims:
        return Claims(self.regions[who["issuer"]], frozenset(who["scopes"]), who["client_id"])


@contextmanager
def started(endpoints: Path, regions: Mapping[str, str], root: Path = ROOT) -> Iterator[Backend]:
    """
    Run the example of the checkout at *root* against the cloud of *endpoints* while the block runs.

    Raises:
        BackendError: If it does not start.
    """
    if not (root / _EXAMPLE).is_dir():
        raise BackendError(
            f"The drill's backend is {_EXAMPLE} of the project's checkout, which is not in what is "
            "installed here: run the surrogatectl of the checkout's .venv."
        )
    command = [sys.executable, "-m", "examples.protected_api", "--port=0"]
    with subprocess.Popen(  # noqa: S603 - this project's own example
        [*command, f"--endpoints={endpoints.resolve()}"],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Backend(_url(process), regions)
        finally:
            process.terminate()


def _url(process: subprocess.Popen[str]) -> str:
    said = process.stdout.readline().strip() if process.stdout else ""
    if not said.startswith(_SERVING):
        why = process.stderr.read().strip() if process.stderr else ""
        raise BackendError(f"{_EXAMPLE} does not start: {why or said}")
    return said.removeprefix(_SERVING).removesuffix(_PATH)
