"""`surrogatectl` in this process, with scripted admin APIs of two Regions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from click.testing import CliRunner, Result

from surrogatectl.cli.configuration import ROLES
from surrogatectl.main import main
from tests.stages import environment

PREFIX = "urn:surrogate-credentials:problem:"


def problem(status: int, slug: str, **members: Any) -> tuple[int, str]:
    """Return the admin API's answer with a problem document."""
    document = {"type": PREFIX + slug, "title": "Not done", "status": status, "detail": slug}
    return status, json.dumps(document | members)


def done(**members: Any) -> tuple[int, str]:
    """Return a successful answer."""
    return 200, json.dumps(members)


@dataclass
class AdminApiDouble:
    """Admin API of one Region: *answer* scripts its answers, `seen` records the requests."""

    answer: Callable[[str, str], tuple[int, str]] = lambda _method, _path: done()
    seen: list[tuple[str, str, Any]] = field(default_factory=list)
    url: str = ""

    def asked(self, method: str) -> list[Any]:
        """Return the bodies of the requests with *method*."""
        return [body for each, _, body in self.seen if each == method]


@dataclass
class TwoRegions:
    """Both Regions' admin APIs, and a command line configured for them."""

    primary: AdminApiDouble = field(default_factory=AdminApiDouble)
    secondary: AdminApiDouble = field(default_factory=AdminApiDouble)

    def run(self, *arguments: str, answer: str | None = None, **variables: str) -> Result:
        """Run a command; *answer* is its input, by default none."""
        variables = {
            **environment("primary"),
            "ADMIN_URL_PRIMARY": self.primary.url,
            "ADMIN_URL_SECONDARY": self.secondary.url,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "COLUMNS": "200",
            **variables,
        }
        return CliRunner().invoke(main, arguments, input=answer, env=variables)


@contextmanager
def two_regions() -> Iterator[TwoRegions]:
    """Serve both admin APIs on this machine."""
    regions = TwoRegions()
    servers = []
    for role in ROLES:
        double = getattr(regions, role)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(double))
        double.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
    try:
        yield regions
    finally:
        for server, thread in servers:
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(double: AdminApiDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            double.seen.append((self.command, self.path, json.loads(sent) if sent else None))
            status, text = double.answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler
