"""The standard library's server around the API: for an example, not for the internet."""

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
    timeout = 30  # a connection that says nothing does not keep a thread for ever

    def log_message(self, *_: object) -> None:
        """Keep standard error for what matters."""


class ProtectedApi:
    """The API while it runs, at *url*."""

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
        """Stop it."""
        self.close()


def serve(verifier: Verifier, port: int = 0) -> ProtectedApi:
    """
    Start the API on this machine; *port* 0 is any that is free.

    Raises:
        OSError: If the port is taken.
    """
    return ProtectedApi(verifier, port)
