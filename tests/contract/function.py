"""
Function of a stage, wired by `app.py` from its environment: events in, answers out.

    python -m tests.contract.function < events.json

The last printed line holds the answers, every address that this process tried to connect to, and
every name that it looked up, successfully or not; the lines before it are log lines.
"""

from __future__ import annotations

import json
import socket
import sys


def main() -> None:
    events = json.load(sys.stdin)
    attempts: list[str] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        # The interpreter raises these events before the system call: no code can bypass them.
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            host, port = arguments[1][:2]
            attempts.append(f"{host}:{port}")
        elif event == "socket.getaddrinfo" and not _is_address(arguments[0]):
            attempts.append(f"{_text(arguments[0])}:{arguments[1]}")

    sys.addaudithook(watch)
    from app import app  # noqa: PLC0415 - what it reads at import is this process's environment

    answers = [app(event, None) for event in events]
    sys.stdout.write(f"\n{json.dumps({'answers': answers, 'attempts': attempts})}\n")


def _text(host: object) -> str:
    return host.decode() if isinstance(host, bytes) else str(host)


def _is_address(host: object) -> bool:
    """Return whether *host* needs no lookup: connections to addresses have their own event."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, _text(host))
        except OSError:
            continue
        return True
    return False


if __name__ == "__main__":
    main()
