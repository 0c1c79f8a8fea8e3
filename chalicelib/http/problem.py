"""Problem documents (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TYPE_PREFIX = "urn:surrogate-credentials:problem:"


@dataclass(frozen=True, slots=True)
class Problem:
    """
    A problem that an administrator can act on.

    *slug* identifies its type; *fields* maps a request field to its fault;
    *extensions* are further members of the document.
    """

    status: int
    slug: str
    title: str
    detail: str
    fields: Mapping[str, str] = field(default_factory=dict)
    retry_after: int | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """Members of the document."""
        document: dict[str, Any] = {
            "type": TYPE_PREFIX + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.fields:
            document["errors"] = [
                {"field": name, "detail": detail} for name, detail in self.fields.items()
            ]
        return {**document, **self.extensions}

    @property
    def body(self) -> str:
        """JSON text of the document."""
        return json.dumps(self.document)

    @property
    def headers(self) -> dict[str, str | list[str]]:
        """Headers of the response with the document as its body."""
        headers: dict[str, str | list[str]] = {
            "Content-Type": "application/problem+json",
            "Cache-Control": "no-store",
        }
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return headers
