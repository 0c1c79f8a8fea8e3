"""
Doors of the emulator: its ports, each with the requests that it accepts.

A *Region* door behaves like one Region's endpoints: it knows that Region's signatures, APIs, user
pools and app clients and no others. A *domain* door is the API Gateway custom domain of one Region.
The *admin* door is internal: any Region, and the control interface.
"""

import asyncio
import contextvars
import enum
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from local import faults as fault_rules
from local.calls import Call, CallLog, classify
from local.connections import Connections
from local.control import Control
from local.emulated import Response, module
from local.faults import Fault, FaultMode, Faults

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# MiniStack's and LocalStack's own interfaces, which a Region does not have.
_INTERNAL_PREFIXES = ("/_ministack/", "/_localstack/", "/_local/")
_INTERNAL_PATHS = ("/health",)
_FORM = "application/x-www-form-urlencoded"


class DoorKind(enum.StrEnum):
    """Purpose of a port of the emulator."""

    ADMIN = "admin"
    REGION = "region"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class Door:
    """Port of the emulator."""

    kind: DoorKind
    region: str | None = None


_current: contextvars.ContextVar[Door | None] = contextvars.ContextVar("door", default=None)


def current_region() -> str | None:
    """Return the Region of the request's door; None for the admin door and internal calls."""
    door = _current.get()
    return door.region if door else None


@dataclass(frozen=True, slots=True)
class _Request:
    """Parts of a request that the doors examine."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: str

    @classmethod
    def from_scope(cls, scope: Scope) -> "_Request":
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        return cls(scope["method"], scope["path"], headers, scope["query_string"].decode("latin-1"))

    @property
    def params(self) -> dict[str, list[str]]:
        return parse_qs(self.query, keep_blank_values=True)


class Doors:
    """ASGI application around the emulator's."""

    def __init__(  # noqa: PLR0913 - the parts of one process, wired once
        self,
        app: App,
        doors: Mapping[int, Door],
        *,
        calls: CallLog,
        faults: Faults,
        control: Control,
        connections: Connections,
        domain_name: str,
    ) -> None:
        """Wrap the emulator's application; *doors* maps each port to its purpose."""
        self._app = app
        self._doors = doors
        self._calls = calls
        self._faults = faults
        self._control = control
        self._connections = connections
        self._domain_name = domain_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        door = self._doors[scope["server"][1]]
        _current.set(door)
        request = _Request.from_scope(scope)
        if door.kind is DoorKind.ADMIN:
            if request.path.startswith("/_local/"):
                await self._serve_control(request, receive, send)
            else:
                await self._app(scope, receive, send)
            return
        await self._serve_region(door, request, scope, receive, send)

    async def _serve_control(self, request: _Request, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        status, document = self._control.answer(request.method, request.path, request.params, body)
        await _respond(send, _json(status, document))

    async def _serve_region(
        self, door: Door, request: _Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        refusal: Response | None = None
        if door.kind is DoorKind.DOMAIN:
            api_path = self._behind_domain(request)
            if api_path is None:
                refusal = _forbidden()
            else:
                # `raw_path` stays as the caller sent it: the signature covers it.
                scope["path"] = api_path
                request = _Request(request.method, api_path, request.headers, request.query)
        service, action = classify(
            request.method, request.path, request.query, request.headers, _signed_service(request)
        )
        started = time.time()
        status = 0

        async def watching(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if service == "token":
                    message = {**message, "headers": _token_headers(message["headers"])}
            await send(message)

        fault = self._faults.strike(door.region, service, action)
        try:
            if fault is not None:
                await fault_rules.wait(fault)
            if fault is not None and fault.mode is FaultMode.RESET:
                self._connections.reset(scope["client"])
            elif fault is not None and fault.mode is not FaultMode.SLOW:
                await _body(receive)
                await _respond(watching, _fault_response(fault, service, action))
            elif refusal := refusal or self._refusal(door, request, service):
                await _body(receive)
                await _respond(watching, refusal)
            else:
                await self._app(scope, receive, watching)
        finally:
            self._calls.add(
                Call(
                    time=started,
                    door=door.kind,
                    region=door.region,
                    service=service,
                    action=action,
                    caller=_caller(request),
                    status=status,
                    fault=fault.mode if fault else None,
                )
            )

    def _behind_domain(self, request: _Request) -> str | None:
        """Return the execute-api path that the Region's base path mappings give, or None."""
        gateway = module("services.apigateway_v1")
        host = request.headers.get("host", "").partition(":")[0]
        for name in (host, self._domain_name):
            mapped = gateway.resolve_base_path_mapping(name, request.path)
            if mapped is not None:
                api_id, stage, rest = mapped
                return f"/_aws/execute-api/{api_id}/{stage}{rest}"
        return None

    def _refusal(self, door: Door, request: _Request, service: str) -> Response | None:
        """Return this Region's answer to a request that is not for it, or None."""
        if request.path.startswith(_INTERNAL_PREFIXES) or request.path in _INTERNAL_PATHS:
            return _json(404, {"message": "Not Found"})
        if service == "token":
            return _token_refusal(request)
        if service == "jwks":
            return _key_set_refusal(door, request)
        api = module("app")._parse_execute_api_url("", request.path)  # noqa: SLF001
        if api is not None and _api_region(api[0]) != door.region:
            return _forbidden()
        return _foreign_signature_refusal(door, request)


def _foreign_signature_refusal(door: Door, request: _Request) -> Response | None:
    """Refuse signatures that this Region does not know; MiniStack checks all others."""
    router = module("core.router")
    key = router.extract_access_key_id(request.headers, request.params)
    if key == "test" or key.isdigit():
        # MiniStack's stock root keys; the real ones of this cloud are random.
        message = "The security token included in the request is invalid."
        return _signature_refusal(request, "UnrecognizedClientException", message)
    signed = router.extract_signed_region(request.headers, request.params)
    if signed is not None and signed != door.region:
        message = f"Credential should be scoped to a valid region, not '{signed}'. "
        return _signature_refusal(request, "SignatureDoesNotMatch", message)
    return None


def _api_region(api_id: str) -> str | None:
    for name in ("services.apigateway_v1", "services.apigateway"):
        scope = module(name).find_api_scope(api_id)
        if scope is not None:
            region: str = scope[1]
            return region
    return None


def _key_set_refusal(door: Door, request: _Request) -> Response | None:
    """Refuse the key set of a pool that this Region does not have."""
    wanted = request.path.split("/")[1]
    pools = module("services.cognito")._user_pools  # noqa: SLF001
    if any((region, pool) == (door.region, wanted) for (_, region, pool), _ in pools.all_items()):
        return None
    return _json(404, {"message": f"User pool {wanted} does not exist."})


def _token_refusal(request: _Request) -> Response | None:
    """Refuse token requests other than POST with a form."""
    if request.method != "POST":
        status, headers, body = _json(405, {"message": "Method Not Allowed"})
        return status, {**headers, "Allow": "POST"}, body
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        return 400, {"Content-Type": "application/json"}, b'{"error":"invalid_request"}'
    return None


def _token_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Add the headers that Cognito's domain sends with every answer of the token endpoint."""
    return [
        *headers,
        (b"x-amz-cognito-request-id", str(uuid.uuid4()).encode()),
        (b"cache-control", b"no-cache, no-store, max-age=0, must-revalidate"),
        (b"pragma", b"no-cache"),
    ]


def _signed_service(request: _Request) -> str:
    signature = module("core.sigv4").parse_header_signature(request.headers)
    return "" if isinstance(signature, tuple) else str(signature.service)


def _signature_refusal(request: _Request, code: str, message: str) -> Response:
    """Answer a failed authentication in the protocol of the service."""
    service = module("core.router").detect_service(
        request.method, request.path, request.headers, request.params
    )
    failure = module("core.iam_evaluator").AuthError(code, message)
    response: Response = module("app")._credential_failure(  # noqa: SLF001
        service, "", str(uuid.uuid4()), failure, request.headers
    )
    return response


def _caller(request: _Request) -> str:
    """Return the ARN of the principal that signed the request, or an empty string."""
    key = module("core.router").extract_access_key_id(request.headers, request.params)
    if not key:
        return ""
    identity = module("core.iam_evaluator").resolve_caller_identity(key)
    return str(identity["userArn"]) if identity else "unknown"


def _json(status: int, document: object) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _forbidden() -> Response:
    """Answer as API Gateway does for a host name of no API of the Region."""
    status, headers, body = _json(403, {"message": "Forbidden"})
    return status, {**headers, "x-amzn-ErrorType": "ForbiddenException"}, body


def _fault_response(fault: Fault, service: str, action: str) -> Response:
    made = fault_rules.answer(fault, service, action)
    return made.status, {"Content-Type": made.content_type}, made.body


async def _body(receive: Receive) -> bytes:
    """
    Read the request to its end.

    An earlier answer would close the connection of a client that reuses it (RFC 9112, section 9.3),
    which AWS does not do after a refusal.
    """
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


async def _respond(send: Send, response: Response) -> None:
    status, headers, body = response
    pairs = [(name.lower().encode(), str(value).encode()) for name, value in headers.items()]
    if not any(name == b"content-length" for name, _ in pairs):
        pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
    await asyncio.sleep(0)
