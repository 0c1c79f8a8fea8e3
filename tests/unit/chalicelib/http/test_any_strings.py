"""
Events with any strings, halves of surrogate pairs included, at both surfaces.

JSON can hold half of a surrogate pair, which no UTF-8 can: neither a hash, nor AWS, nor
a log takes it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import InvalidCursorError
from chalicelib.model import ClientSummary, Page
from chalicelib.record_json import record_to_json
from chalicelib.telemetry import json_lines
from chalicelib.token.oauth import FORM
from tests.fakes import FakeRecordStore
from tests.gateway import basic, call, event
from tests.unit.chalicelib.clients.lifecycle_world import LifecycleWorld
from tests.unit.chalicelib.http.api_world import EXAMPLE, EXAMPLE_SECRET, ApiWorld
from tests.worlds import CALLER, EAST

HALF = "\ud800"
ADMIN = [
    ("POST", "/clients", {"client_name": "billing", "scope": "demo/read"}),
    ("GET", "/clients", None),
    ("GET", "/clients/{client_id}", None),
    ("PATCH", "/clients/{client_id}", {"client_name": "x", "allowed_cidrs": ["192.0.2.0/24"]}),
    ("DELETE", "/clients/{client_id}", None),
    ("POST", "/clients/{client_id}/restore", None),
    ("POST", "/clients/{client_id}/secrets", {"overlap_seconds": 0}),
    ("DELETE", "/clients/{client_id}/secrets/{secret_id}", None),
    ("POST", "/clients/{client_id}/app-clients", {"older_than_seconds": 0}),
    ("GET", "/denials", None),
    ("POST", "/denials", {"deny": [EXAMPLE], "allow": []}),
    ("PUT", "/denials/{client_id}", None),
    ("DELETE", "/denials/{client_id}", None),
]
PUBLIC = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
    "/health",
    "/health/ready",
]
OTHERS_QUERY = {"last_used": "true", "limit": "1", "cursor": "1", "recovery_days": "7"}


@dataclass
class Utf8Store(FakeRecordStore):
    """Store that takes only text that the wire takes, as Secrets Manager does."""

    def list(self, cursor: str | None, limit: int) -> Page[ClientSummary]:
        if cursor is not None:
            cursor.encode()
            if not cursor.isascii():
                raise InvalidCursorError
        return super().list(cursor, limit)


def new_world() -> ApiWorld:
    return ApiWorld(LifecycleWorld(store=Utf8Store()))


def token_event() -> dict[str, Any]:
    return event(
        headers=[("Content-Type", FORM), basic(EXAMPLE, EXAMPLE_SECRET), ("User-Agent", "x")],
        body="grant_type=client_credentials&scope=demo/read",
        query=[("x", "y")],
    )


def admin_event(method: str, resource: str, body: Any) -> dict[str, Any]:
    path = {"client_id": EXAMPLE, "secret_id": "aaaaaaaa"}
    named = {name: text for name, text in path.items() if f"{{{name}}}" in resource}
    return event(
        method,
        resource.format(**named),
        resource=resource,
        path_parameters=named or None,
        headers=[("Content-Type", "application/json"), ("Idempotency-Key", "x"), ("If-Match", "*")],
        body=None if body is None else json.dumps(body),
        user_arn=CALLER,
    )


def events() -> list[dict[str, Any]]:
    public = [event("GET", path, headers=[("If-None-Match", "x")]) for path in PUBLIC]
    return [token_event(), *public, *(admin_event(*each) for each in ADMIN)]


def places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where in *part* a string stands, as the keys that lead to it."""
    if isinstance(part, str):
        yield path
    elif isinstance(part, Mapping):
        for name, value in part.items():
            yield from places(value, (*path, name))
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from places(value, (*path, index))


def put(part: Any, path: tuple[Any, ...], text: str) -> None:
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = text


def assert_answered(world: ApiWorld, sent: dict[str, Any]) -> Any:
    """Assert that *sent* is no fault of ours, and left nothing that UTF-8 cannot hold."""
    seen = world.admin.events.seen
    seen.clear()
    answer = call(world.app, sent)
    assert answer.status < 500, (answer, seen)
    answer.body.encode()
    if answer.body:
        json.dumps(answer.json, ensure_ascii=False).encode()
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    emit = json_lines(EAST, world.admin.clock, stream)
    for each in seen:
        json.dumps(each, ensure_ascii=False).encode()
        emit(each)
    for record in world.admin.store.stored.values():
        record_to_json(record.value).encode()
        assert HALF not in str(record.value)
    return answer


_texts = st.one_of(
    st.text(st.characters(), max_size=12),
    st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3),
    st.sampled_from(["\0", "\n", "", "ÿ", "%", "=", "{}", "[]", '"', "0", "true", FORM]),
)


@given(data=st.data())
def test_no_string_of_an_event_is_a_fault_of_ours(data: st.DataObject) -> None:
    sent = data.draw(st.sampled_from(events()))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(places(sent))))
        put(sent, place, data.draw(_texts))
    if sent["multiValueQueryStringParameters"] is None and data.draw(st.booleans()):
        name = data.draw(st.one_of(_texts, st.sampled_from(list(OTHERS_QUERY))))
        sent["multiValueQueryStringParameters"] = {name: [data.draw(_texts)]}
    sent["isBase64Encoded"] = data.draw(st.booleans())
    assert_answered(new_world(), sent)


@given(data=st.data())
def test_no_string_in_an_administrators_json_is_a_fault_of_ours(data: st.DataObject) -> None:
    method, resource, body = data.draw(st.sampled_from([each for each in ADMIN if each[2]]))
    sent: dict[str, Any] = json.loads(json.dumps(body))
    put(sent, data.draw(st.sampled_from([*places(sent), ("x",)])), data.draw(_texts))
    if data.draw(st.booleans()):
        sent[data.draw(_texts)] = data.draw(_texts)
    escaped = data.draw(st.booleans())
    world = new_world()
    request = admin_event(method, resource, {})
    request["body"] = json.dumps(sent, ensure_ascii=escaped)
    assert_answered(world, request)


@pytest.mark.parametrize("body", [HALF, f"grant_type=client_credentials&x={HALF}", "\udfff\ud800"])
def test_half_a_surrogate_pair_in_a_form_is_an_invalid_request(body: str) -> None:
    answer = assert_answered(new_world(), token_event() | {"body": body})
    assert (answer.status, answer.error) == (400, "invalid_request")


def test_a_form_that_is_not_base64_is_an_invalid_request() -> None:
    for body in ("a", HALF, "é"):
        answer = assert_answered(
            new_world(), token_event() | {"body": body, "isBase64Encoded": True}
        )
        assert (answer.status, answer.error) == (400, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        f'{{"client_name":"{HALF}","scope":"demo/read"}}',
        '{"client_name":"\\ud800","scope":"demo/read"}',
        '{"client_name":"x","scope":"demo/read","\\ud800":1}',
        '{"client_name":"x","scope":"demo/read","allowed_cidrs":["\\udfff"]}',
        '{"client_name":"x","scope":"demo/read","allowed_cidrs":[{"\\udfff":[]}]}',
    ],
)
def test_half_a_surrogate_pair_in_json_is_no_json(body: str) -> None:
    answer = assert_answered(new_world(), admin_event("POST", "/clients", {}) | {"body": body})
    assert (answer.status, answer.json["type"]) == (
        400,
        "urn:surrogate-credentials:problem:invalid-json",
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_json_in_another_encoding_is_no_json(encoding: str) -> None:
    """Python's parser would guess it."""
    raw = '{"client_name":"x","scope":"demo/read"}'.encode(encoding)
    sent = event("POST", "/clients", body=raw, user_arn=CALLER)
    answer = assert_answered(new_world(), sent)
    assert answer.json["type"] == "urn:surrogate-credentials:problem:invalid-json"


def test_a_cursor_that_the_wire_cannot_hold_is_malformed() -> None:
    for cursor in (HALF, "é", "\0"):
        sent = admin_event("GET", "/clients", None)
        sent["multiValueQueryStringParameters"] = {"cursor": [cursor]}
        answer = assert_answered(new_world(), sent)
        assert (answer.status, answer.json["errors"]) == (
            400,
            [{"field": "cursor", "detail": "is malformed"}],
        )


def test_a_caller_whose_name_is_not_text_is_forbidden() -> None:
    sent = admin_event("POST", "/clients", {"client_name": "x", "scope": "demo/read"})
    sent["requestContext"]["identity"]["userArn"] = f"arn:aws:iam::123456789012:user/{HALF}"
    assert assert_answered(new_world(), sent).status == 403
