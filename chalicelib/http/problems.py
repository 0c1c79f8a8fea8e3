"""Problem documents of the administrators' surface (RFC 9457)."""

from __future__ import annotations

import json
from typing import Any

from chalice.app import Response

from chalicelib.errors import ProblemError

TYPE_PREFIX = "urn:surrogate-credentials:problem:"


def problem_response(problem: ProblemError) -> Response:
    """Return *problem* as a response."""
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.slug,
        "title": problem.title,
        "status": problem.status_code,
        "detail": problem.detail,
    }
    if problem.fields:
        document["errors"] = [
            {"field": name, "detail": detail} for name, detail in problem.fields.items()
        ]
    headers: dict[str, str | list[str]] = {
        "Content-Type": "application/problem+json",
        "Cache-Control": "no-store",
    }
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return Response(json.dumps(document | problem.extensions), headers, problem.status_code)
