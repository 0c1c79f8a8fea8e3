"""
HTTP server on 127.0.0.1 with scripted answers, even malformed ones.

    with Loopback(always(answer(503))) as server:
        ...request server.url...
    assert len(server.seen) == 2
"""

from __future__ import annotations

import json
import select
import socket
import socketserver
import ssl
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedIOBase
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Seen:
    """Request as it arrived; *connection* counts from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    connection: int

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))

    @property
    def action(self) -> str:
        """AWS operation of the request."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]


class Wire:
    """Server side of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.open = True

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def hang_up(self) -> None:
        self.open = False

    def reset(self) -> None:
        """End the connection with an RST instead of a FIN."""
        linger_for_no_time = struct.pack("ii", 1, 0)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)
        self.open = False

    def client_hangs_up(self, within: float | None = None) -> bool:
        """Wait until the client closes the connection; return whether it did."""
        readable, _, _ = select.select([self._connection], [], [], within)
        return bool(readable)


Answer = Callable[[Wire], None]
"""Action on a connection after a request has arrived."""

Choose = Callable[[Seen], Answer]
"""Function that returns the answer to a request."""


def always(answer: Answer) -> Choose:
    return lambda _seen: answer


def in_turn(*answers: Answer) -> Choose:
    """Give each answer to one request, and the last to all that follow."""
    left = list(answers)
    return lambda _seen: left.pop(0) if len(left) > 1 else left[0]


def by_action(answers: Mapping[str, Answer], otherwise: Answer) -> Choose:
    """Choose the answer by the AWS operation."""
    return lambda seen: answers.get(seen.action, otherwise)


def http(status: int, body: bytes, content_type: str = "application/json", **headers: str) -> bytes:
    """Return the bytes of a response."""
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(
    status: int, body: object = b"", content_type: str = "application/json", **headers: str
) -> Answer:
    """Return a well-formed answer; a *body* that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return raw(http(status, content, content_type, **headers), keep_alive=True)


def html(status: int) -> Answer:
    page = b"<html><body><h1>Something from a proxy in between</h1></body></html>"
    return answer(status, page, "text/html")


def raw(data: bytes, *, keep_alive: bool = False) -> Answer:
    """Send *data* unchanged."""

    def give(wire: Wire) -> None:
        wire.send(data)
        if not keep_alive:
            wire.hang_up()

    return give


def last_on_connection(data: bytes) -> Answer:
    """Announce keep-alive, and close the connection after the answer."""
    return raw(data)


def reset(after: bytes = b"") -> Answer:
    def give(wire: Wire) -> None:
        if after:
            wire.send(after)
        wire.reset()

    return give


def silence(after: bytes = b"") -> Answer:
    """Send nothing (after *after*) until the client closes the connection."""

    def give(wire: Wire) -> None:
        if after:
            wire.send(after)
        wire.client_hangs_up()
        wire.hang_up()

    return give


class Drip:
    """Slow answer: *head*, then *pieces* of one byte; *completed* if the client read it all."""

    def __init__(self, head: bytes, byte: bytes, pieces: int, every: float = 0.02) -> None:
        self._head, self._byte, self._pieces, self._every = head, byte, pieces, every
        self.completed = False

    def __call__(self, wire: Wire) -> None:
        wire.hang_up()
        wire.send(self._head)
        for _ in range(self._pieces):
            if wire.client_hangs_up(within=self._every):
                return
            wire.send(self._byte)
        self.completed = True


class Loopback:
    """Loopback server; *choose* may be replaced while it runs."""

    def __init__(self, choose: Choose, *, tls: ssl.SSLContext | None = None) -> None:
        self.choose = choose
        self.seen: list[Seen] = []
        self.connections = 0
        self._tls = tls
        self._lock = Lock()
        self._live: set[socket.socket] = set()
        self._closing = False
        self._server = _Server(self._serve)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return self.url_for(LOOPBACK)

    def url_for(self, host: str) -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        with self._lock:
            self._closing = True
            for connection in self._live:
                # Wakes the thread that serves it; that one closes it.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def _serve(self, accepted: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            number = self.connections
        # OSError: the client disconnected, or refused the certificate.
        with suppress(OSError), self._secured(accepted) as connection:
            with self._lock:
                if self._closing:
                    return
                self._live.add(connection)
            try:
                self._converse(connection, number)
            finally:
                with self._lock:
                    self._live.discard(connection)

    def _secured(self, accepted: socket.socket) -> socket.socket:
        if self._tls is None:
            return accepted
        accepted.settimeout(5)  # do not wait forever for a handshake
        connection = self._tls.wrap_socket(accepted, server_side=True)
        connection.settimeout(None)
        return connection

    def _converse(self, connection: socket.socket, number: int) -> None:
        wire = Wire(connection)
        with connection.makefile("rb") as reader:
            while wire.open and (seen := _read_request(reader, number)) is not None:
                with self._lock:
                    self.seen.append(seen)
                    chosen = self.choose(seen)
                chosen(wire)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False  # so that closing waits for them

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        super().__init__((LOOPBACK, 0), socketserver.BaseRequestHandler)
        self._serve = serve

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._serve(request)


def _read_request(reader: BufferedIOBase, connection: int) -> Seen | None:
    request_line = reader.readline().decode("latin-1").split()
    if not request_line:
        return None
    headers = {}
    while line := reader.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", "0")))
    return Seen(request_line[0], request_line[1], headers, body, connection)


def closed_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])
