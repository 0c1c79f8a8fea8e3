from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from pytest_socket import enable_socket

from chalicelib.clients.errors import ClientNotFoundError, ConcurrentChangeError
from surrogatectl.cli.admin_client import AdminApiError, AdminClient
from surrogatectl.cli.common import failure


class Recorder(BaseHTTPRequestHandler):
    """Handler with a scripted answer, which records its requests."""

    answer: tuple[int, str] = (200, "{}")
    seen: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        type(self).seen.append((self.path, self.headers["Authorization"]))
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def recorder() -> Iterator[tuple[type[Recorder], str]]:
    enable_socket()
    handler = type("Handler", (Recorder,), {"seen": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))


def test_a_netrc_does_not_replace_the_signature(
    recorder: tuple[type[Recorder], str],
) -> None:
    handler, url = recorder
    AdminClient(url, "us-east-1").call("GET", "/clients", query={"limit": "1"})
    ((path, authorization),) = handler.seen
    assert path == "/clients?limit=1"
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")


def test_a_problem_is_raised_with_the_error_that_it_reports(
    recorder: tuple[type[Recorder], str],
) -> None:
    handler, url = recorder
    problem = {"type": "urn:surrogate-credentials:problem:conflict", "detail": "Again."}
    handler.answer = (409, json.dumps(problem))
    with pytest.raises(AdminApiError, match="Again") as raised:
        AdminClient(url, "us-east-1").call("GET", "/clients")
    assert raised.value.reports(ConcurrentChangeError)
    assert not raised.value.reports(ClientNotFoundError)
    assert raised.value.status == 409


def test_the_gateways_refusal_names_the_iam_policy(
    recorder: tuple[type[Recorder], str],
) -> None:
    handler, url = recorder
    document = {"type": "urn:surrogate-credentials:problem:gateway-refused", "detail": "Forbidden"}
    for body in ({"message": "Forbidden"}, document):
        handler.answer = (403, json.dumps(body))
        with pytest.raises(AdminApiError, match=r"Forbidden.*execute-api:Invoke"):
            AdminClient(url, "us-east-1").call("GET", "/clients")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize(
    "body",
    [
        {"message": "Endpoint request timed out"},
        {"error": "server_error", "error_description": "Endpoint request timed out"},
        {
            "type": "urn:surrogate-credentials:problem:gateway-failed",
            "detail": "Endpoint request timed out",
        },
    ],
)
def test_a_busy_or_failing_gateway_does_not_blame_the_iam_policy(
    recorder: tuple[type[Recorder], str], body: dict[str, str], status: int
) -> None:
    handler, url = recorder
    handler.answer = (status, json.dumps(body))
    with pytest.raises(AdminApiError, match="Endpoint request timed out") as raised:
        AdminClient(url, "us-east-1").call("GET", "/clients")
    assert "IAM" not in str(raised.value)
    assert failure(raised.value).exit_code == 4


def test_a_missing_answer_names_the_region() -> None:
    enable_socket()
    with pytest.raises(AdminApiError, match="us-west-2") as raised:
        AdminClient("http://127.0.0.1:9", "us-west-2").call("GET", "/clients")
    assert raised.value.status == 0
