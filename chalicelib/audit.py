"""The line that each action of an administrator leaves, whichever way it was asked for (ADR 19)."""

from __future__ import annotations

from typing import Any

from chalicelib.credentials import loggable
from chalicelib.model import ClientId, SecretId


def audit_line(
    action: str,
    caller: str | None,
    client_id: ClientId | None,
    secret_id: SecretId | None,
    outcome: str,
) -> dict[str, Any]:
    """Return who did what, to which client and secret, and how it ended."""
    return {
        "event": "admin",
        "action": action,
        "caller": caller,
        "client_id": loggable(client_id) if client_id else None,
        "secret_id": secret_id,
        "outcome": outcome,
    }
