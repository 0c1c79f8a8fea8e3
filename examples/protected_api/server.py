"""Server around the API, from the standard library: for an example, not for the internet."""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from surrogate_verifier import Verifier

from .api import protected


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False


class _QuietHandler(WSGIRequestHandler):
    timeout = 30  # a silent connection does not block a thread forever

    def log_message(self, *_: object) -> None:
        """Log nothing: standard error is for errors."""


class ProtectedApi:
    """The running API at *url*."""

    def __init__(self, verifier: Verifier, port: int) -> None:
        self._server = make_server(
            "127.0.0.1", port, protected(verifier), _Server, handler_class=_QuietHandler
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="protected-api", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Return the API itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self.close()


def serve(verifier: Verifier, port: int = 0) -> ProtectedApi:
    """
    Start the API on this machine; *port* 0 means any free port.

    Raises:
        OSError: If the port is taken.
    """
    return ProtectedApi(verifier, port)
