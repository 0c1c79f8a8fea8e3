"""
Load generator: light beside the server, so that it measures the server and not itself.

It sends the same bytes over and over from one thread, over one or more connections at once.  A
heavier client would take the processors' caches from the server.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from tests.contract.loopback import LOOPBACK

_PATIENCE: Final = 30.0
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_CHUNK: Final = 65_536


def post(path: str, headers: dict[str, str], body: str) -> bytes:
    """Return the bytes of a POST of *body*."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {LOOPBACK}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", body]).encode("ascii")


class Caller:
    """Caller of *port*: sends *request*, over its open connection if the server kept it."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request
        self._connection: socket.socket | None = None
        self._is_kept = False
        self._sent_at = 0.0
        self.answer = b""

    def send(self) -> socket.socket:
        """Send the request; return the connection of the answer."""
        self.answer, self._sent_at = b"", time.perf_counter()
        if self._connection is None or not self._is_kept:
            self.close()
            self._connection = socket.create_connection((LOOPBACK, self._port), _PATIENCE)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sendall(self._request)
        return self._connection

    def receive(self, connection: socket.socket) -> float | None:
        """Read from *connection*; return the answer's seconds, `None` while it is incomplete."""
        chunk = connection.recv(_CHUNK)
        self.answer += chunk
        head, _, body = self.answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if chunk and (length is None or len(body) < int(length[1])):
            return None
        self._is_kept = bool(chunk) and not _CLOSES.search(head)
        return time.perf_counter() - self._sent_at

    def close(self) -> None:
        """Close the open connection, if any."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def ask(
    port: int,
    request: bytes,
    requests: int,
    *,
    connections: int,
    check: Callable[[bytes], None],
) -> list[float]:
    """
    Send *request* as often as *requests* says, over *connections* at once; return the seconds.

    *check* sees each whole answer, with its head.
    """
    callers = [Caller(port, request) for _ in range(min(connections, requests))]
    taken: list[float] = []
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for caller in callers:
            stack.callback(caller.close)
            selector.register(caller.send(), selectors.EVENT_READ, caller)
        left = requests - len(callers)
        while len(taken) < requests:
            ready = selector.select(_PATIENCE)
            if not ready:
                raise TimeoutError("The server does not answer.")
            for key, _ in ready:
                connection: Any = key.fileobj
                seconds = key.data.receive(connection)
                if seconds is None:
                    continue
                taken.append(seconds)
                check(key.data.answer)
                selector.unregister(connection)
                if left:
                    left -= 1
                    selector.register(key.data.send(), selectors.EVENT_READ, key.data)
    return taken
