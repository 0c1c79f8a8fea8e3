"""The surface that administrators see; every route is signed with IAM (SigV4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chalice.app import Blueprint, IAMAuthorizer, Request, Response

from .admin_requests import parse_enrollment
from .enrollment import Enrolled, EnrollmentRequest
from .errors import ProblemError
from .model import AppClient, ClientRecord, Replication
from .ports import Clock, Emit
from .problem import problem_response
from .telemetry import crash

_ANY = ["*/*"]


@dataclass(frozen=True, slots=True)
class AdminSurface:
    """What the routes below need."""

    enroll: Callable[[EnrollmentRequest, str], Enrolled]
    clock: Clock
    emit: Emit = field(repr=False)


def admin_routes(surface: AdminSurface) -> Blueprint:
    """Return the routes of *surface*."""
    routes = Blueprint(__name__)
    iam = IAMAuthorizer()

    def guarded(view: Callable[[Request, str], Response]) -> Response:
        try:
            return view(routes.current_request, _caller(routes.current_request))
        except ProblemError as problem:
            return problem_response(problem)
        except Exception as err:  # noqa: BLE001 - no text of an error leaves this function
            surface.emit(crash(err))
            return problem_response(
                ProblemError(500, "internal", "The service failed", "The log says where.")
            )

    @routes.route("/clients", methods=["POST"], authorizer=iam, content_types=_ANY)
    def enroll() -> Response:
        """Enrol a client (field names of RFC 7591)."""

        def view(request: Request, caller: str) -> Response:
            body = request.raw_body
            asked = parse_enrollment(
                body.encode() if isinstance(body, str) else body,
                {name.lower(): value for name, value in request.headers.items()},
                surface.clock(),
            )
            enrolled = surface.enroll(asked, caller)
            return Response(
                json.dumps(_enrolled(enrolled)),
                {
                    "Content-Type": "application/json",
                    "Cache-Control": "no-store",
                    "Location": f"/clients/{enrolled.record.client_id}",
                    "ETag": f'"{enrolled.version}"',
                },
                201,
            )

        return guarded(view)

    return routes


def _caller(request: Request) -> str:
    """
    Return the caller's ARN, which only IAM authentication puts into the event.

    Raises:
        ProblemError: If there is none, whatever stands in front of this view.
    """
    arn = (request.context.get("identity") or {}).get("userArn")
    if not isinstance(arn, str) or not arn.startswith("arn:"):
        raise ProblemError(
            403, "forbidden", "Forbidden", "The request is not signed with IAM (SigV4)."
        )
    return arn


def _client(record: ClientRecord) -> dict[str, Any]:
    """Return what administrators may see of *record*: no hash, nothing of Cognito's."""
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
            region: "ready" if isinstance(half, AppClient) else "pending"
            for region, half in record.app_clients.items()
        },
    }


def _enrolled(enrolled: Enrolled) -> dict[str, Any]:
    return _client(enrolled.record) | {
        "client_secret": enrolled.issued.client_secret,
        "secret_id": enrolled.issued.secret_id,
        "replication": _replication(enrolled.replication),
    }


def _replication(replication: Replication) -> str:
    return replication.value
