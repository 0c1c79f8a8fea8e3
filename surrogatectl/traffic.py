"""Moves the traffic: writes the standby's state, and watches the name follow."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace

import requests

from chalicelib.aws import Connections
from chalicelib.errors import VersionConflictError
from chalicelib.secrets_store import StateSecret

from .configuration import Deployment

_ATTEMPTS = 5
_POLL_SECONDS = 0.25
_REQUEST_SECONDS = 3.0


class TrafficError(Exception):
    """The name did not follow; the message says what to look at."""


def move_traffic(
    deployment: Deployment, role: str, timeout: float, announce: Callable[[str], None]
) -> dict[str, float]:
    """
    Point the name to the Region that is *role*; return the seconds of each step.

    Repeating it is safe.

    Raises:
        TrafficError: If the name does not answer from there within *timeout* seconds.
        ServiceError: If the standby's state cannot be written.
    """
    settings = deployment.settings
    began = time.monotonic()
    _write_takeover(deployment, took_over=role == "secondary")
    steps = {"state_written": time.monotonic() - began}
    announce(f"{settings.secondary.name}: state written ({steps['state_written']:.1f} s)")
    target = deployment.region(role).name
    while _answering_region(settings.public_url) != target:
        if time.monotonic() - began > timeout:
            raise TrafficError(
                f"{settings.public_url} does not answer from {target} after {timeout:.0f} s: "
                "check the records, the health check of /health/takeover, and its answer."
            )
        time.sleep(_POLL_SECONDS)
    steps["name_follows"] = time.monotonic() - began
    announce(f"{settings.public_url}: answers from {target} ({steps['name_follows']:.1f} s)")
    return steps


def _write_takeover(deployment: Deployment, *, took_over: bool) -> None:
    settings = deployment.settings
    connections = Connections(settings.secondary)
    store = StateSecret(connections.admin_secrets, settings.secret_prefix, secrets.token_bytes)
    for _ in range(_ATTEMPTS):
        found = store.read()
        if found.value.took_over == took_over:
            return
        try:
            store.replace(replace(found.value, took_over=took_over), found.version)
        except VersionConflictError:
            continue
        return
    raise VersionConflictError


def _answering_region(public_url: str) -> str | None:
    try:
        # A new connection each time: a kept one would stay where it is.
        answer = requests.get(f"{public_url}/health", timeout=_REQUEST_SECONDS)
        return str(answer.json().get("region"))
    except (requests.RequestException, ValueError):
        return None
