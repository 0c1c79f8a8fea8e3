"""
Admin request parsing: validates a request before any operation.

One error reports all invalid fields of a request by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, TypeVar

from chalicelib.clients.changes import ClientUpdate
from chalicelib.clients.deletion import MAX_RECOVERY_DAYS, MIN_RECOVERY_DAYS
from chalicelib.clients.denials import MAX_CHANGED
from chalicelib.clients.enrollment import EnrollmentRequest
from chalicelib.clients.rotation import DEFAULT_OVERLAP_SECONDS, MAX_OVERLAP_SECONDS
from chalicelib.credentials import SECRET_ID, is_client_id
from chalicelib.http.request_errors import (
    BodyTooLargeError,
    InvalidFieldsError,
    InvalidJsonError,
    MalformedClientIdError,
    MalformedSecretIdError,
    NoChangeError,
)
from chalicelib.model import ClientId, Network, SecretId, Status, VersionId
from chalicelib.token.oauth import is_scope

MAX_BODY_BYTES = 65_536
MAX_NAME = 128
MAX_SCOPES = 50  # Cognito's limit per app client
MAX_CIDRS = 64
MAX_PAGE = 100
DEFAULT_AGE_SECONDS = 3_600
MAX_AGE_SECONDS = 10 * 366 * 86_400
MAX_CURSOR = 4_096
MAX_TIME = 253_402_300_799  # the end of the year 9999
_MAX_DIGITS = 9

_CURSOR = re.compile(rf"[\x20-\x7e]{{0,{MAX_CURSOR}}}")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_RESOURCE_SCOPE = re.compile(r"[^/ ]+/[^/ ]+")

_ENTITY_TAG = re.compile(r'"[\x21\x23-\x7e]{1,128}"')

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """Admin request as the gateway received it; the names of *headers* are in lower case."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DenialsRequest:
    """Clients to add to the deny list, and clients to remove from it."""

    deny: tuple[ClientId, ...]
    allow: tuple[ClientId, ...]


def parse_enrollment(request: AdminRequest, now: float) -> EnrollmentRequest:
    """
    Return the enrollment in *request*.

    Raises:
        InvalidFieldsError: If it is not valid.
        InvalidJsonError, BodyTooLargeError
    """
    fields = _Fields(request)
    enrollment = EnrollmentRequest(
        client_name=fields.required("client_name", _name) or "",
        scopes=fields.required("scope", _scopes) or (),
        allowed_cidrs=fields.optional("allowed_cidrs", _cidrs) or (),
        expires_at=fields.optional("client_secret_expires_at", _expiry(now)),
        idempotency_key=fields.header("Idempotency-Key", _idempotency_key),
    )
    fields.finish()
    return enrollment


def parse_changes(request: AdminRequest, now: float) -> ClientUpdate:
    """
    Return the client changes in *request*.

    Raises:
        InvalidFieldsError: If it is not valid.
        NoChangeError: If it has none.
        InvalidJsonError, BodyTooLargeError
    """
    fields = _Fields(request)
    changes: ClientUpdate = {}
    if (client_name := fields.optional("client_name", _name)) is not None:
        changes["client_name"] = client_name
    if (scopes := fields.optional("scope", _scopes)) is not None:
        changes["scopes"] = scopes
    if (allowed_cidrs := fields.optional("allowed_cidrs", _cidrs)) is not None:
        changes["allowed_cidrs"] = allowed_cidrs
    if fields.has("client_secret_expires_at"):
        changes["expires_at"] = fields.optional("client_secret_expires_at", _expiry(now))
    if (status := fields.optional("status", _status)) is not None:
        changes["status"] = status
    fields.finish()
    if not changes:
        raise NoChangeError
    return changes


def parse_overlap(request: AdminRequest) -> int:
    """
    Return the overlap in seconds: the remaining life of the previous secret.

    Raises:
        InvalidFieldsError, InvalidJsonError, BodyTooLargeError: If *request* is not valid.
    """
    fields = _Fields(request, body_optional=True)
    overlap = fields.optional("overlap_seconds", _whole(0, MAX_OVERLAP_SECONDS))
    fields.finish()
    return DEFAULT_OVERLAP_SECONDS if overlap is None else overlap


def parse_denials(request: AdminRequest) -> DenialsRequest:
    """
    Return the changes of this Region's deny list in *request*.

    Raises:
        InvalidFieldsError: If it is not valid.
        NoChangeError: If it has none.
        InvalidJsonError, BodyTooLargeError
    """
    fields = _Fields(request)
    denials = DenialsRequest(
        deny=fields.optional("deny", _client_ids) or (),
        allow=fields.optional("allow", _client_ids) or (),
    )
    fields.finish()
    if not denials.deny and not denials.allow:
        raise NoChangeError
    return denials


def parse_recovery_days(request: AdminRequest) -> int:
    """
    Return the recovery window in days (`recovery_days` in the query).

    Raises:
        InvalidFieldsError: If it is not valid.
    """
    return _query(
        request,
        "recovery_days",
        _number(MIN_RECOVERY_DAYS, MAX_RECOVERY_DAYS),
        default=str(MAX_RECOVERY_DAYS),
    )


def parse_older_than(request: AdminRequest) -> int:
    """
    Return the age in seconds from which a Cognito secret is due for rotation.

    The default is not 0: the Region that was rotated first must not be due again
    before the other one is rotated.

    Raises:
        InvalidFieldsError, InvalidJsonError, BodyTooLargeError: If *request* is not valid.
    """
    fields = _Fields(request, body_optional=True)
    older_than = fields.optional("older_than_seconds", _whole(0, MAX_AGE_SECONDS))
    fields.finish()
    return DEFAULT_AGE_SECONDS if older_than is None else older_than


def parse_page(request: AdminRequest) -> tuple[str | None, int]:
    """
    Return the cursor, if any, and the page size in *request*.

    Raises:
        InvalidFieldsError: If one is not valid.
    """
    cursor = _query(request, "cursor", _cursor, default="") or None
    return cursor, _query(request, "limit", _number(1, MAX_PAGE), default=str(MAX_PAGE))


def parse_flag(request: AdminRequest, name: str) -> bool:
    """
    Return whether the query has *name*=true.

    Raises:
        InvalidFieldsError: If its value is neither true nor false.
    """
    return _query(request, name, _flag, default="false")


def require_known_query(request: AdminRequest, known: Collection[str]) -> None:
    """
    Make sure that the query has only *known* parameters: a typo must not pass silently.

    Raises:
        InvalidFieldsError: If it has others.
    """
    valid = f"known are {', '.join(sorted(known))}" if known else "there is none here"
    unknown = {
        # Half of a surrogate pair has no place in an answer.
        name[:64].encode(errors="replace").decode(): f"is unknown; {valid}"
        for name in request.query
        if name not in known
    }
    if unknown:
        raise InvalidFieldsError(unknown)


def parse_client_id(request: AdminRequest) -> ClientId:
    """
    Return the client ID in the path.

    Raises:
        MalformedClientIdError: If it does not have the form of one.
    """
    text = request.path["client_id"]
    if not is_client_id(text):
        raise MalformedClientIdError
    return ClientId(text)


def parse_secret_id(request: AdminRequest) -> SecretId:
    """
    Return the secret ID in the path.

    Raises:
        MalformedSecretIdError: If it does not have the form of one.  The error does not
            quote the text, which may be the secret itself.
    """
    text = request.path["secret_id"]
    if not SECRET_ID.fullmatch(text):
        raise MalformedSecretIdError
    return SecretId(text)


def parse_if_match(request: AdminRequest) -> VersionId | None:
    """
    Return the version in If-Match, `None` if any version will do.

    Raises:
        InvalidFieldsError: If it is not one entity tag (RFC 9110 §13.1.1).
    """
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    if not _ENTITY_TAG.fullmatch(text.strip()):
        raise InvalidFieldsError({"If-Match": 'must be one entity tag, like "…", or *'})
    return VersionId(text.strip()[1:-1])


def _query(request: AdminRequest, name: str, parse: Callable[[str], T], default: str) -> T:
    try:
        return parse(request.query.get(name, default))
    except ValueError as err:
        raise InvalidFieldsError({name: str(err)}) from None


class _Fields:
    """Reads the members of a request one by one, and collects their faults."""

    def __init__(self, request: AdminRequest, *, body_optional: bool = False) -> None:
        empty = body_optional and not request.body.strip()
        self._content = {} if empty else _json_object(request.body)
        self._headers = request.headers
        self._known: set[str] = set()
        self._wrong: dict[str, str] = {}

    def has(self, name: str) -> bool:
        """Return whether the body has the member *name*, which is known from now on."""
        self._known.add(name)
        return name in self._content

    def required(self, name: str, parse: Callable[[Any], T]) -> T | None:
        """Return the value of the member *name*; note a fault if it is missing or invalid."""
        if self._content.get(name) is None:
            self._known.add(name)
            self._wrong[name] = "is required"
            return None
        return self.optional(name, parse)

    def optional(self, name: str, parse: Callable[[Any], T]) -> T | None:
        """Return the value of the member *name*, if any; note a fault if it is invalid."""
        self._known.add(name)
        value = self._content.get(name)
        return None if value is None else self._parsed(name, value, parse)

    def header(self, name: str, parse: Callable[[str], T]) -> T | None:
        """Return the value of the header *name*, if any; note a fault if it is invalid."""
        value = self._headers.get(name.lower())
        return None if value is None else self._parsed(name, value, parse)

    def _parsed(self, name: str, value: Any, parse: Callable[[Any], T]) -> T | None:  # noqa: ANN401
        try:
            return parse(value)
        except ValueError as err:
            self._wrong[name] = str(err)
            return None

    def finish(self) -> None:
        """Raise all faults; unknown members are faults, as a typo must not pass silently."""
        for name in self._content.keys() - self._known:
            self._wrong[name[:64]] = f"is unknown; known are {', '.join(sorted(self._known))}"
        if self._wrong:
            raise InvalidFieldsError(self._wrong)


def _json_object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLargeError(MAX_BODY_BYTES)
    try:
        # Decoded here, as the parser would guess another encoding.
        content = json.loads(body.decode())
        # Half of a surrogate pair can stand in JSON only, neither in AWS nor in an answer.
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InvalidJsonError
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
            networks.append(_network(item))
        except ValueError as err:
            raise ValueError(f"has an entry that is no CIDR block: {str(err)[:128]}") from None
    return tuple(dict.fromkeys(networks))


def _network(item: object) -> Network:
    if not isinstance(item, str):
        raise ValueError("not text")  # noqa: TRY004 - collected like other faults
    if "%" in item:
        raise ValueError("a zone means nothing here")
    return ip_network(item)


def _expiry(now: float) -> Callable[[Any], int | None]:
    def parse(value: object) -> int | None:
        seconds = _integer(value)
        if seconds is None:
            raise ValueError("must be whole seconds since the epoch, or 0 for never")
        if seconds == 0:
            return None
        if seconds <= now:
            raise ValueError("must lie in the future, or be 0 for never")
        if seconds > MAX_TIME:
            raise ValueError("must not lie after the year 9999, or be 0 for never")
        return seconds

    return parse


def _integer(value: object) -> int | None:
    """Return *value* as a whole number, `None` if it is none; as in JSON Schema, 6e1 is one."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _idempotency_key(value: str) -> str:
    if not _IDEMPOTENCY_KEY.fullmatch(value):
        raise ValueError("must be 1 to 255 visible ASCII characters")
    return value


def _status(value: object) -> Status:
    # A tuple, not a set: *value* may not be hashable.
    if value not in (Status.ACTIVE, Status.DISABLED):
        raise ValueError("must be active or disabled")
    return Status(str(value))


def _whole(least: int, most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        number = _integer(value)
        if number is None or not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return parse


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
        if not digits or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _client_ids(value: object) -> tuple[ClientId, ...]:
    if not isinstance(value, list) or len(value) > MAX_CHANGED:
        raise ValueError(f"must be a list of at most {MAX_CHANGED} client IDs")
    if not all(isinstance(item, str) and is_client_id(item) for item in value):
        raise ValueError("has an entry that is no client ID")
    return tuple(dict.fromkeys(ClientId(item) for item in value))


def _cursor(text: str) -> str:
    if not _CURSOR.fullmatch(text):
        raise ValueError("is malformed")
    return text


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text == "true"
