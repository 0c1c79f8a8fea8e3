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

    *slug* names its kind; *fields* maps a request field to its fault;
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
        """The members of the document."""
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
        """The document as it is sent."""
        return json.dumps(self.document)

    @property
    def headers(self) -> dict[str, str | list[str]]:
        """The headers of the response that carries it."""
        headers: dict[str, str | list[str]] = {
            "Content-Type": "application/problem+json",
            "Cache-Control": "no-store",
        }
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return headers
