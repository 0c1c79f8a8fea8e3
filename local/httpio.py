"""
Minimal HTTP/1.1 for the local network: read a request, answer it, send one.

The asynchronous part serves `network.py`, which must see a request's bytes unchanged (their
signature depends on it) and therefore cannot use a framework. The other part is a client for the
control interfaces, which exchange small JSON documents.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

_MAX_HEAD = 65_536
_MAX_BODY = 1_048_576

# Loopback is never behind a proxy, even if the environment names one.
_opener = build_opener(ProxyHandler({}))


class BadRequestError(Exception):
    """The received bytes are no HTTP request that this module understands."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Request line and headers, with their original bytes."""

    method: str
    target: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def path(self) -> str:
        """Request target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """Query as sent, or an empty string."""
        return self.target.partition("?")[2]

    @property
    def content_length(self) -> int:
        """Declared length of the body, 0 without one."""
        declared = self.headers.get("content-length", "0")
        return int(declared) if declared.isdigit() else 0


async def read_head(reader: asyncio.StreamReader) -> RequestHead | None:
    """
    Read up to the empty line that ends the headers; None if the peer closed instead.

    Raises:
        BadRequestError: If it is no HTTP request, or too long.
    """
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as err:
        if err.partial:
            msg = "the request ended before its headers did"
            raise BadRequestError(msg) from None
        return None
    except asyncio.LimitOverrunError:
        msg = "the headers are too long"
        raise BadRequestError(msg) from None
    if len(raw) > _MAX_HEAD:
        msg = "the headers are too long"
        raise BadRequestError(msg)
    request_line, *lines = raw[:-4].decode("latin-1").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3:  # noqa: PLR2004 - method, target, version
        msg = "malformed request line"
        raise BadRequestError(msg)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return RequestHead(words[0], words[1], headers, raw)


async def read_body(reader: asyncio.StreamReader, head: RequestHead) -> bytes:
    """
    Read the body that *head* declares.

    Raises:
        BadRequestError: If it is longer than any control document or token request.
    """
    if head.content_length > _MAX_BODY:
        msg = "the body is too long"
        raise BadRequestError(msg)
    return await reader.readexactly(head.content_length) if head.content_length else b""


def json_response(document: object, status: int = 200) -> bytes:
    """Render *document* as a complete response after which the connection closes."""
    body = json.dumps(document, indent=2).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


def call_json(
    url: str, method: str = "GET", document: object = None, *, timeout: float = 5.0
) -> Any:  # noqa: ANN401 - a JSON document
    """
    Send *document* to a control interface and return its JSON answer.

    Raises:
        OSError: If nothing answers, or it answers with an error.
    """
    data = None if document is None else json.dumps(document).encode()
    request = Request(url, data=data, method=method)  # noqa: S310 - always http://127.0.0.1
    request.add_header("Content-Type", "application/json")
    try:
        with _opener.open(request, timeout=timeout) as response:
            return json.loads(response.read() or b"null")
    except HTTPError as err:
        with err:
            raise OSError(f"{method} {url}: {err.code} {err.read().decode()}") from None


def get(url: str, *, timeout: float = 10.0) -> tuple[int, str]:
    """Return the status and body of `GET url`; 0 and the reason if there is no answer."""
    try:
        with _opener.open(url, timeout=timeout) as response:
            return int(response.status), response.read().decode(errors="replace")
    except HTTPError as err:
        with err:
            return err.code, err.read().decode(errors="replace")
    except OSError as err:
        return 0, str(err)
