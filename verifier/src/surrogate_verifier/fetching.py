"""Fetch of a key set over https: bounded in time and size, only from the given URL."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Fetch = Callable[[str], bytes]


class FetchError(Exception):
    """A key set could not be fetched; the message has the reason and is for operators only."""


@dataclass(frozen=True, slots=True)
class HttpsFetch:
    """
    Default fetcher: one GET, no redirects, no proxy from the environment, no credentials.

    *seconds* bounds each step of connecting, and then the whole rest of the fetch; *max_bytes*
    bounds the body.  *tls* defaults to the system's trust store.
    """

    seconds: float = 3.0
    max_bytes: int = 262_144
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def __call__(self, url: str) -> bytes:
        """
        Return the body at *url*.

        Raises:
            FetchError: If the body is missing, too large or too late.
        """
        parts = urlsplit(url)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                parts.netloc, timeout=self.seconds, context=self.tls
            )
        else:  # loopback only: `checked_url` allows no other http URL
            connection = http.client.HTTPConnection(parts.netloc, timeout=self.seconds)
        try:
            connection.connect()
            with _ended_after(self.seconds, connection.sock):
                return self._get(connection, parts.path or "/")
        except (OSError, http.client.HTTPException) as err:
            raise FetchError(f"{url}: {type(err).__name__}") from None
        except FetchError as err:
            raise FetchError(f"{url}: {err}") from None
        finally:
            connection.close()

    def _get(self, connection: http.client.HTTPConnection, path: str) -> bytes:
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise FetchError(f"answered {response.status}")
        body = response.read(self.max_bytes + 1)
        if len(body) > self.max_bytes:
            raise FetchError(f"is larger than {self.max_bytes} bytes")
        return body


@contextlib.contextmanager
def _ended_after(seconds: float, connected: socket.socket) -> Iterator[None]:
    """
    Shut *connected* down when the time is over.

    A socket's own timeout restarts with every byte, so that a slow sender could go on forever.

    Raises:
        FetchError: If the time ran out.
    """
    ended = threading.Event()

    def end() -> None:
        ended.set()
        with contextlib.suppress(OSError):
            # Not SSLSocket's method: that one also removes the TLS state under the reader.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if ended.is_set():
        # A truncated body can look complete.
        raise FetchError(f"took longer than {seconds:g} s")
