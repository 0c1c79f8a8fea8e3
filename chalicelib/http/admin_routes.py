"""
Admin surface: routes for administrators, each with IAM authentication (SigV4).

Each request leaves one audit line: caller, action, client, secret ID and outcome.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from chalice.app import Blueprint, IAMAuthorizer, Request, Response

from chalicelib.clients.app_client_rotation import AppClientRotation
from chalicelib.clients.changes import ClientService
from chalicelib.clients.deletion import DeletionAndRestore
from chalicelib.clients.denials import Denials
from chalicelib.clients.enrollment import Enrollment
from chalicelib.clients.rotation import Rotation
from chalicelib.credentials import SECRET_ID, is_client_id, loggable
from chalicelib.http import admin_requests as parse
from chalicelib.http.admin_requests import AdminRequest
from chalicelib.http.problems import INTERNAL, problem_of
from chalicelib.http.request_errors import InvalidJsonError, UnsignedRequestError
from chalicelib.model import (
    AppClient,
    ClientId,
    ClientRecord,
    ClientSummary,
    Pending,
    SecretId,
    VersionId,
)
from chalicelib.ports import Clock, Emit, LastUses
from chalicelib.telemetry import audit_line, crash
from chalicelib.timing import CallDeadline

T = TypeVar("T")

_ANY = ["*/*"]


@dataclass(frozen=True, slots=True)
class AdminSurface:
    """Dependencies of the admin routes."""

    enrollment: Enrollment
    clients: ClientService
    rotation: Rotation
    app_client_rotation: AppClientRotation
    deletion: DeletionAndRestore
    denials: Denials
    clock: Clock
    call_deadline: CallDeadline
    emit: Emit = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of a view."""

    body: Mapping[str, Any] = field(repr=False)
    status_code: int = 200
    version: VersionId | None = None
    location: str | None = None


@dataclass(slots=True)
class Audit:
    """
    Content of a request's audit line, noted as soon as it is known, for any outcome.

    *caller* is an ARN, empty until the request is known to have one.
    """

    action: str
    client_id: ClientId | None
    secret_id: SecretId | None
    caller: str = ""
    concerned: dict[str, Iterable[ClientId]] = field(default_factory=dict)

    def named(self, client_id: ClientId, secret_id: SecretId) -> None:
        """Note the client and the secret of the request."""
        self.client_id, self.secret_id = client_id, secret_id

    def line(self, outcome: str) -> dict[str, Any]:
        """Return the audit line."""
        line = audit_line(self.action, self.caller or None, self.client_id, self.secret_id, outcome)
        return line | {name: sorted(map(loggable, each)) for name, each in self.concerned.items()}


View = Callable[[AdminSurface, AdminRequest, Audit], Answer]
"""Answers a request, and notes for the audit line the IDs that the path does not have."""


def admin_routes(surface: AdminSurface) -> Blueprint:
    """Return the routes of *surface*."""
    routes = Blueprint(__name__)
    for method, path, action, view, query in _ROUTES:
        routes.route(
            path,
            methods=["GET", "HEAD"] if method == "GET" else [method],
            authorizer=IAMAuthorizer(),
            content_types=_ANY,
            name=view.__name__,
        )(_audited(surface, routes, action, view, query))
    return routes


def _audited(
    surface: AdminSurface, routes: Blueprint, action: str, view: View, query: tuple[str, ...]
) -> Callable[..., Response]:
    @wraps(view)
    def answer(**path: str) -> Response:
        surface.call_deadline.begin()
        audit = Audit(
            action,
            _well_formed(path, "client_id", is_client_id, ClientId),
            _well_formed(path, "secret_id", SECRET_ID.fullmatch, SecretId),
        )
        try:
            audit.caller = _caller(routes.current_request)
            request = _admin_request(routes.current_request, path)
            parse.require_known_query(request, query)
            answered = view(surface, request, audit)
        except Exception as err:  # noqa: BLE001 - the text of an error must not leave this function
            problem = problem_of(err)
            if problem is INTERNAL:
                surface.emit(crash(err))
            outcome = problem.slug
            response = Response(problem.body, problem.headers, problem.status)
        else:
            outcome, response = "done", _response(answered)
        surface.emit(audit.line(outcome))
        return response

    return answer


def _well_formed(
    path: Mapping[str, str], name: str, fits: Callable[[str], object], kind: Callable[[str], T]
) -> T | None:
    """Return *path*'s parameter *name* if it is well-formed; if not, it may be a secret."""
    text = path.get(name, "")
    return kind(text) if fits(text) else None


def _caller(request: Request) -> str:
    """
    Return the caller's ARN, which only IAM authentication puts into the event.

    Raises:
        UnsignedRequestError: If there is none, however the gateway is configured.
    """
    arn = (request.context.get("identity") or {}).get("userArn")
    if not isinstance(arn, str) or not arn.startswith("arn:") or not arn.isascii():
        raise UnsignedRequestError
    return arn


def _admin_request(request: Request, path: Mapping[str, str]) -> AdminRequest:
    """
    Return *request*, unparsed.

    Raises:
        InvalidJsonError: If its body has half of a surrogate pair, or is not base64.
    """
    try:
        body = request.raw_body
    except ValueError:
        raise InvalidJsonError from None
    return AdminRequest(
        path=path,
        query=dict(request.query_params or {}),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body.encode() if isinstance(body, str) else body,
    )


def _response(answer: Answer) -> Response:
    headers: dict[str, str | list[str]] = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
    }
    body = dict(answer.body)
    if answer.version is not None:
        headers["ETag"] = f'"{answer.version}"'
        body["version"] = answer.version
    if answer.location is not None:
        headers["Location"] = answer.location
    return Response(json.dumps(body), headers, answer.status_code)


def enroll(surface: AdminSurface, request: AdminRequest, audit: Audit) -> Answer:
    """Enroll a client (field names of RFC 7591)."""
    asked = parse.parse_enrollment(request, surface.clock())
    enrolled = surface.enrollment.enroll(asked, audit.caller, audit.named)
    return Answer(
        _client(enrolled.record)
        | {
            "client_secret": enrolled.issued.client_secret,
            "secret_id": enrolled.issued.secret_id,
            "replication": enrolled.replication,
        },
        201,
        enrolled.version,
        f"/clients/{enrolled.record.client_id}",
    )


def list_clients(surface: AdminSurface, request: AdminRequest, _audit: Audit) -> Answer:
    """List clients, a page at a time."""
    page = surface.clients.list(*parse.parse_page(request))
    clients = [_summary(summary) for summary in page.items]
    return Answer({"clients": clients, "cursor": page.cursor})


def show_client(surface: AdminSurface, request: AdminRequest, _audit: Audit) -> Answer:
    """Show a client; with `last_used=true` also the last use of its secrets."""
    shown = surface.clients.show(parse.parse_client_id(request))
    body = _client(shown.record) | {"replication": shown.replication}
    if parse.parse_flag(request, "last_used"):
        body["last_used"] = _last_used(surface.rotation.last_uses(shown.record))
    return Answer(body, version=shown.version)


def change_client(surface: AdminSurface, request: AdminRequest, _audit: Audit) -> Answer:
    """Change a client's name, scopes, addresses, expiry or status."""
    client_id = parse.parse_client_id(request)
    changes = parse.parse_changes(request, surface.clock())
    changed = surface.clients.change(client_id, changes, parse.parse_if_match(request))
    return Answer(
        _client(changed.record) | {"replication": changed.replication}, version=changed.version
    )


def delete_client(surface: AdminSurface, request: AdminRequest, _audit: Audit) -> Answer:
    """Delete a client; it can be restored for `recovery_days`."""
    deleted = surface.deletion.delete(
        parse.parse_client_id(request),
        parse.parse_recovery_days(request),
        parse.parse_if_match(request),
    )
    deletion = deleted.record.deletion
    return Answer(
        {
            "client_id": deleted.record.client_id,
            "status": deleted.record.status,
            "deleted_at": deletion and deletion.at,
            "recovery_days": deletion and deletion.recovery_days,
            "left": list(deleted.left),
        },
        202 if deleted.left else 200,
    )


def restore_client(surface: AdminSurface, request: AdminRequest, _audit: Audit) -> Answer:
    """Restore a deleted client."""
    restored = surface.deletion.restore(parse.parse_client_id(request))
    return Answer(
        _client(restored.record) | {"replication": restored.replication}, version=restored.version
    )


def rotate_secret(surface: AdminSurface, request: AdminRequest, audit: Audit) -> Answer:
    """Rotate a client's secret; the previous one stays valid for `overlap_seconds`."""
    rotated = surface.rotation.rotate(
        parse.parse_client_id(request),
        parse.parse_overlap(request),
        parse.parse_if_match(request),
        audit.named,
    )
    return Answer(
        _client(rotated.record)
        | {
            "client_secret": rotated.issued.client_secret,
            "secret_id": rotated.issued.secret_id,
            "replication": rotated.replication,
        },
        201,
        rotated.version,
    )


def retire_secret(surface: AdminSurface, request: AdminRequest, _audit: Audit) -> Answer:
    """Retire one secret; `force=true` even without evidence that it is unused."""
    retired = surface.rotation.retire(
        parse.parse_client_id(request),
        parse.parse_secret_id(request),
        force=parse.parse_flag(request, "force"),
        if_match=parse.parse_if_match(request),
    )
    return Answer(
        _client(retired.record) | {"replication": retired.replication}, version=retired.version
    )


def rotate_app_clients(surface: AdminSurface, request: AdminRequest, _audit: Audit) -> Answer:
    """Start the rotation of the real Cognito secrets, or advance it as far as possible."""
    client_id = parse.parse_client_id(request)
    older_than = parse.parse_older_than(request)
    due_before = int(surface.clock()) - older_than + 1
    steps = surface.app_client_rotation.advance(client_id, due_before=due_before)
    return Answer({"client_id": client_id, "app_clients": dict(steps)})


def list_denials(surface: AdminSurface, _request: AdminRequest, _audit: Audit) -> Answer:
    """List the clients that this Region denies."""
    return _denials(surface, surface.denials.list())


def change_denials(surface: AdminSurface, request: AdminRequest, audit: Audit) -> Answer:
    """Deny clients in this Region, and allow others again."""
    asked = parse.parse_denials(request)
    audit.concerned = {"denied": asked.deny, "allowed": asked.allow}
    denied = surface.denials.change(asked.deny, asked.allow)
    return _denials(surface, denied, asked.deny)


def deny_client(surface: AdminSurface, request: AdminRequest, _audit: Audit) -> Answer:
    """Deny one client in this Region."""
    deny = [parse.parse_client_id(request)]
    return _denials(surface, surface.denials.change(deny, []), deny)


def allow_client(surface: AdminSurface, request: AdminRequest, _audit: Audit) -> Answer:
    """Remove one client from this Region's deny list."""
    return _denials(surface, surface.denials.change([], [parse.parse_client_id(request)]))


def _denials(
    surface: AdminSurface, denied: Iterable[ClientId], asked: Sequence[ClientId] = ()
) -> Answer:
    # Unknown clients are denied too: their record may be unreadable, or not replicated yet.
    unknown = {"unknown": sorted(surface.clients.unknown(asked))} if asked else {}
    return Answer({"region": surface.denials.region, "denied": sorted(denied)} | unknown)


_ROUTES: tuple[tuple[str, str, str, View, tuple[str, ...]], ...] = (
    # method, path, action in the audit, view, parameters of the query
    ("POST", "/clients", "enroll", enroll, ()),
    ("GET", "/clients", "list", list_clients, ("cursor", "limit")),
    ("GET", "/clients/{client_id}", "show", show_client, ("last_used",)),
    ("PATCH", "/clients/{client_id}", "change", change_client, ()),
    ("DELETE", "/clients/{client_id}", "delete", delete_client, ("recovery_days",)),
    ("POST", "/clients/{client_id}/restore", "restore", restore_client, ()),
    ("POST", "/clients/{client_id}/secrets", "rotate", rotate_secret, ()),
    ("DELETE", "/clients/{client_id}/secrets/{secret_id}", "retire", retire_secret, ("force",)),
    ("POST", "/clients/{client_id}/app-clients", "rotate-app-clients", rotate_app_clients, ()),
    ("GET", "/denials", "list-denials", list_denials, ()),
    ("POST", "/denials", "change-denials", change_denials, ()),
    ("PUT", "/denials/{client_id}", "deny", deny_client, ()),
    ("DELETE", "/denials/{client_id}", "allow", allow_client, ()),
)


def _client(record: ClientRecord) -> dict[str, Any]:
    """Return the JSON members of *record*, without hashes and anything of Cognito's."""
    return {
        "client_id": record.client_id,
        "client_id_issued_at": record.created_at,
        "client_name": record.client_name,
        "client_secret_expires_at": record.expires_at or 0,
        "grant_types": ["client_credentials"],
        "scope": " ".join(record.scopes),
        "status": record.status,
        "origin": record.origin,
        "allowed_cidrs": [str(network) for network in record.allowed_cidrs],
        "secrets": [
            {
                "secret_id": secret.secret_id,
                "created_at": secret.created_at,
                "expires_at": secret.expires_at or 0,
            }
            for secret in record.secrets
        ],
        "app_clients": {
            region: _app_client(app_client) for region, app_client in record.app_clients.items()
        },
    }


def _app_client(app_client: AppClient | Pending) -> str:
    if isinstance(app_client, Pending):
        return "pending"
    if app_client.outdated:
        return "outdated"
    return "rotating" if app_client.retiring else "ready"


def _summary(summary: ClientSummary) -> dict[str, Any]:
    return {
        "client_id": summary.client_id,
        "client_id_issued_at": summary.created_at,
        "client_name": summary.client_name,
        "client_secret_expires_at": summary.expires_at or 0,
        "status": summary.status,
        "origin": summary.origin,
    }


def _last_used(uses: Mapping[str, LastUses | None]) -> dict[str, Any]:
    return {region: "unknown" if last is None else dict(last) for region, last in uses.items()}
