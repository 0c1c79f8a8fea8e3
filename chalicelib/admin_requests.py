"""
What administrators send, checked before anything happens.

Everything that is wrong with a request is told in one answer that names the
fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any, TypeVar

from .enrollment import EnrollmentRequest
from .errors import ProblemError
from .model import Network
from .oauth import is_scope

MAX_BODY_BYTES = 65_536
MAX_NAME = 128
MAX_SCOPES = 50  # Cognito's limit per app client
MAX_CIDRS = 64

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_RESOURCE_SCOPE = re.compile(r"[^/ ]+/[^/ ]+")

T = TypeVar("T")


def parse_enrollment(body: bytes, headers: Mapping[str, str], now: float) -> EnrollmentRequest:
    """
    Return the enrolment that *body* and *headers* ask for.

    Raises:
        ProblemError: If they do not; it names every field that is wrong.
    """
    fields = _Fields(_json_object(body), dict(headers))
    request = EnrollmentRequest(
        client_name=fields.required("client_name", _name) or "",
        scopes=fields.required("scope", _scopes) or (),
        allowed_cidrs=fields.optional("allowed_cidrs", _cidrs) or (),
        expires_at=fields.optional("client_secret_expires_at", _expiry(now)),
        idempotency_key=fields.header("Idempotency-Key", _idempotency_key),
    )
    fields.finish()
    return request


class _Fields:
    """Reads the members of a request one by one, and gathers what is wrong."""

    def __init__(self, content: dict[str, Any], headers: dict[str, str]) -> None:
        self._content = content
        self._headers = headers
        self._known: set[str] = set()
        self._wrong: dict[str, str] = {}

    def required(self, name: str, parse: Callable[[Any], T]) -> T | None:
        """Return what *name* holds; note it if that is missing or wrong."""
        if self._content.get(name) is None:
            self._known.add(name)
            self._wrong[name] = "is required"
            return None
        return self.optional(name, parse)

    def optional(self, name: str, parse: Callable[[Any], T]) -> T | None:
        """Return what *name* holds, `None` if nothing; note it if that is wrong."""
        self._known.add(name)
        value = self._content.get(name)
        return None if value is None else self._parsed(name, value, parse)

    def header(self, name: str, parse: Callable[[str], T]) -> T | None:
        """Return what the header *name* holds, `None` if it is not there."""
        value = self._headers.get(name.lower())
        return None if value is None else self._parsed(name, value, parse)

    def _parsed(self, name: str, value: Any, parse: Callable[[Any], T]) -> T | None:  # noqa: ANN401
        try:
            return parse(value)
        except ValueError as err:
            self._wrong[name] = str(err)
            return None

    def finish(self) -> None:
        """Raise what is wrong, unknown members included: a typo must not pass silently."""
        for name in self._content.keys() - self._known:
            self._wrong[name[:64]] = f"is unknown; known are {', '.join(sorted(self._known))}"
        if self._wrong:
            raise ProblemError(
                400,
                "invalid-request",
                "The request is not valid",
                "; ".join(f"{name} {detail}" for name, detail in sorted(self._wrong.items())) + ".",
                fields=self._wrong,
            )


def _json_object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY_BYTES:
        raise ProblemError(
            413, "too-large", "The body is too large", f"It exceeds {MAX_BODY_BYTES} bytes."
        )
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ProblemError(
            400, "invalid-json", "The body is not a JSON object", "Send a JSON object in UTF-8."
        )
    return content


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME:
        raise ValueError(f"must be text of 1 to {MAX_NAME} characters")
    if not value.isprintable():
        raise ValueError("must have printable characters only")
    return value.strip()


def _scopes(value: object) -> tuple[str, ...]:
    if not isinstance(value, str) or not is_scope(value):
        raise ValueError("must be scopes with single spaces between, like 'demo/read demo/write'")
    scopes = tuple(dict.fromkeys(value.split(" ")))
    if len(scopes) > MAX_SCOPES:
        raise ValueError(f"must have at most {MAX_SCOPES} scopes")
    for scope in scopes:
        if not _RESOURCE_SCOPE.fullmatch(scope):
            raise ValueError(
                f"has {scope}, which is not of the form <resource server>/<scope name>"
            )
    return scopes


def _cidrs(value: object) -> tuple[Network, ...]:
    if not isinstance(value, list) or len(value) > MAX_CIDRS:
        raise ValueError(f"must be a list of at most {MAX_CIDRS} CIDR blocks")
    networks: list[Network] = []
    for item in value:
        try:
            networks.append(ip_network(item if isinstance(item, str) else ""))
        except ValueError as err:
            reason = str(err) if isinstance(item, str) else "not text"
            raise ValueError(f"has an entry that is no CIDR block: {reason[:128]}") from None
    return tuple(dict.fromkeys(networks))


def _expiry(now: float) -> Callable[[Any], int | None]:
    def parse(value: object) -> int | None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError("must be whole seconds since the epoch, or 0 for never")  # noqa: TRY004
        if value == 0:
            return None
        if value <= now:
            raise ValueError("must lie in the future, or be 0 for never")
        return value

    return parse


def _idempotency_key(value: str) -> str:
    if not _IDEMPOTENCY_KEY.fullmatch(value):
        raise ValueError("must be 1 to 255 visible ASCII characters")
    return value
