"""
Shared port for all of "AWS": forwards each request to its Region.

On AWS a client chooses a Region's endpoint by its name. Here every name is 127.0.0.1, and for a
client with a single configured endpoint (the AWS CLI, `surrogatectl`) the request itself names its
Region: in the credential scope of its signature, in an API's or a user pool's ID, or in the ID of
the app client that requests a token.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, quote, unquote

from local.httpio import (
    BadRequestError,
    RequestHead,
    call_json,
    json_response,
    read_body,
    read_head,
)
from local.switch import RegionSwitch, Stream

_SIGNED_SCOPE = re.compile(r"Credential=[^/,]+/\d{8}/([^/]+)/[^/]+/aws4_request")
_PRESIGNED_SCOPE = re.compile(r"[^/]+/\d{8}/([^/]+)/[^/]+/aws4_request")
_EXECUTE_API = re.compile(r"/_aws/execute-api/([^/]+)/")
_POOL_PATH = re.compile(r"/([a-z]{2}(?:-[a-z]+)+-\d)_[0-9A-Za-z]+/\.well-known/")
_TOKEN_PATHS = ("/oauth2/token", "/oauth2/token/")
_CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)


def region_in_request(head: RequestHead) -> str | None:
    """Return the Region that a request names, or None if only the emulator knows it."""
    signed = _SIGNED_SCOPE.search(head.headers.get("authorization", ""))
    if signed:
        return signed[1]
    presigned = parse_qs(head.query).get("X-Amz-Credential", [""])[0]
    scope = _PRESIGNED_SCOPE.fullmatch(presigned)
    if scope:
        return scope[1]
    pool = _POOL_PATH.match(head.path)
    return pool[1] if pool else None


def app_client_id(head: RequestHead, body: bytes) -> str:
    """Return the app client ID of a token request, or an empty string."""
    scheme, _, credentials = head.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(credentials).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return unquote(decoded.partition(":")[0])
    return parse_qs(body.decode("latin-1")).get("client_id", [""])[0]


def with_connection_close(raw_head: bytes) -> bytes:
    """Return the head of a request with its `Connection` header set to `close`."""
    return _CONNECTION.sub(b"", raw_head)[:-2] + b"Connection: close\r\n\r\n"


class CloudPort:
    """Listener for requests to any Region; one request per connection, each with its own Region."""

    def __init__(
        self,
        switches: Mapping[str, RegionSwitch],
        doors: Mapping[str, int],
        admin_url: str,
        default_region: str,
    ) -> None:
        """Forward to *doors*, the emulator's port of each Region."""
        self._switches = switches
        self._doors = doors
        self._admin_url = admin_url
        self._default_region = default_region

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        client = Stream(reader, writer)
        try:
            head = await read_head(reader)
            if head is None:
                writer.close()
                return
            body = await read_body(reader, head) if head.path in _TOKEN_PATHS else b""
        except BadRequestError as err:
            writer.write(json_response({"message": str(err)}, 400))
            writer.close()
            return
        except (OSError, asyncio.IncompleteReadError):
            client.reset()
            return
        region = await self._region_of(head, body)
        first = with_connection_close(head.raw) + body
        await self._switches[region].carry(client, self._doors[region], first)

    async def _region_of(self, head: RequestHead, body: bytes) -> str:
        region = region_in_request(head)
        if region is None:
            region = await self._ask_emulator(head, body)
        if region is None or region not in self._switches:
            # None of this cloud's Regions: the default one will refuse the request.
            return self._default_region
        return region

    async def _ask_emulator(self, head: RequestHead, body: bytes) -> str | None:
        api = _EXECUTE_API.match(head.path)
        if api:
            question = f"api_id={quote(api[1])}"
        elif head.path in _TOKEN_PATHS:
            question = f"client_id={quote(app_client_id(head, body))}"
        else:
            return None
        try:
            answer = await asyncio.to_thread(
                call_json, f"{self._admin_url}/_local/owner?{question}"
            )
        except OSError:
            return None
        region = answer["region"]
        return region if isinstance(region, str) else None
