"""The default fetcher against misbehaving servers, over real sockets and real TLS."""

from __future__ import annotations

import datetime as dt
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from surrogate_verifier import FetchError, HttpsFetch
from tests.verifier.world import private_key

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def _no_network() -> None:
    """Allow sockets: these tests need the network, and stay on this machine."""


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        lines = []
        while (line := self.rfile.readline().strip()) != b"":
            lines.append(line.decode())
        self.server.requests.append(lines)
        self.server.behave(self.wfile.write)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, behave: Callable[[Callable[[bytes], object]], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave = behave
        self.requests: list[list[str]] = []
        self.scheme = "http"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/keys/jwks.json"

    def handle_error(self, *_: object) -> None:
        """Log nothing: clients that disconnect are part of the tests."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers = []

    def serve(
        behave: Callable[[Callable[[bytes], object]], None], tls: ssl.SSLContext | None = None
    ) -> Server:
        server = Server(behave)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            server.scheme = "https"
        server.thread.start()
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


Serve = Callable[..., Server]


def answer(content: bytes) -> Callable[[Callable[[bytes], object]], None]:
    return lambda write: (write(content), None)[1]


def test_a_fetch_returns_the_body_and_sends_no_other_headers(serve: Serve) -> None:
    server = serve(answer(OK))
    assert HttpsFetch()(server.url) == b"{}"
    names = {line.partition(":")[0].lower() for line in server.requests[0][1:]}
    assert server.requests[0][0] == "GET /keys/jwks.json HTTP/1.1"
    assert names == {"host", "accept", "accept-encoding"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(serve: Serve, status: int) -> None:
    other = serve(answer(OK))
    head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(FetchError, match=str(status)):
        HttpsFetch()(serve(answer(head.encode())).url)
    assert not other.requests


@pytest.mark.parametrize("status", [201, 204, 304, 400, 403, 404, 429, 500, 503])
def test_a_status_other_than_200_is_a_failure(serve: Serve, status: int) -> None:
    with pytest.raises(FetchError, match=str(status)):
        HttpsFetch()(serve(answer(OK.replace(b"200", str(status).encode()))).url)


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,
        b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 5000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024 + b"\r\n0",
    ],
)
def test_a_body_beyond_the_limit_is_a_failure(serve: Serve, content: bytes) -> None:
    with pytest.raises(FetchError, match=r"larger than 1000 bytes|IncompleteRead"):
        HttpsFetch(max_bytes=1000)(serve(answer(content)).url)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000]
)
def test_a_malformed_answer_is_a_failure(serve: Serve, content: bytes) -> None:
    with pytest.raises(FetchError):
        HttpsFetch(seconds=2)(serve(answer(content)).url)


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n\r\n", OK[:-2].replace(b"2\r", b"99999\r")],
)
def test_an_endless_answer_times_out(serve: Serve, head: bytes) -> None:
    """Each byte arrives in time; the whole body does not."""
    stop = threading.Event()

    def drip(write: Callable[[bytes], object]) -> None:
        write(head)
        while not stop.wait(0.05):
            write(b"x" if head else b"H")

    server = serve(drip)
    began = time.monotonic()
    with pytest.raises(FetchError):
        HttpsFetch(seconds=0.5)(server.url)
    stop.set()
    assert time.monotonic() - began < 20


def test_a_refused_connection_is_a_failure() -> None:
    with pytest.raises(FetchError, match="ConnectionRefusedError"):
        HttpsFetch()("http://127.0.0.1:9/jwks.json")


# -- TLS -------------------------------------------------------------------------------------------


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """Write a self-signed certificate for *name*, and its key."""
    key: RSAPrivateKey = private_key("tls")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name[0].isdigit():
        names = [x509.IPAddress(ip_address(name))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    paths = directory / "cert.pem", directory / "key.pem"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return paths


def tls_server(serve: Serve, directory: Path, name: str) -> tuple[Server, ssl.SSLContext]:
    """Return a server for *name*, and a TLS context that trusts it."""
    cert, key = certificate(directory, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return serve(answer(OK), context), ssl.create_default_context(cafile=str(cert))


def test_a_fetch_over_tls_returns_the_body(serve: Serve, tmp_path: Path) -> None:
    server, trusting = tls_server(serve, tmp_path, "127.0.0.1")
    assert HttpsFetch(tls=trusting)(server.url) == b"{}"


def test_an_untrusted_certificate_is_refused(serve: Serve, tmp_path: Path) -> None:
    server, _ = tls_server(serve, tmp_path, "127.0.0.1")
    with pytest.raises(FetchError, match="SSLCertVerificationError"):
        HttpsFetch()(server.url)
    assert not server.requests


def test_a_certificate_for_another_name_is_refused(serve: Serve, tmp_path: Path) -> None:
    server, trusting = tls_server(serve, tmp_path, "auth.example.com")
    with pytest.raises(FetchError, match="SSLCertVerificationError"):
        HttpsFetch(tls=trusting)(server.url)
    assert not server.requests
