"""Token surface, with events as API Gateway sends them."""

from __future__ import annotations

import io
import json
import logging
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from chalice.app import Chalice
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import (
    MalformedSecretError,
    ServiceError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
)
from chalicelib.jwks.document import EMPTY
from chalicelib.model import TokenRequest, TokenResponse, Versioned, VersionId
from chalicelib.telemetry import json_lines
from chalicelib.token.oauth import FORM
from tests.fake_keys import EAST_ISSUER, WEST_ISSUER
from tests.gateway import TOKEN, Answer, TokenApi, basic, call, event, token_app
from tests.worlds import EAST, ExchangeWorld

GRANT = ("grant_type", "client_credentials")
GOOD_BODY = "grant_type=client_credentials"
SECRET = "sgs_a-secret-that-an-exception-quotes"
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
CODES: dict[int, set[str | None]] = {
    200: {None},
    400: {"invalid_request", "invalid_scope", "unsupported_grant_type"},
    401: {"invalid_client"},
    404: {"invalid_request"},
    405: {"invalid_request"},
    429: {"temporarily_unavailable"},
    500: {"server_error"},
    503: {"temporarily_unavailable"},
}


@pytest.fixture
def api() -> TokenApi:
    return TokenApi()


def assert_well_formed(answer: Answer, *, head: bool = False) -> None:
    """Assert that *answer* is an OAuth response (RFC 6749 §5); to *head*, without its body."""
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    if head:
        assert answer.body == ""
        return
    assert answer.json.get("error") in CODES[answer.status]
    if answer.status == 200:
        assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope"}
    else:
        assert answer.json.keys() == {"error", "error_description"}
        assert DESCRIPTION.fullmatch(answer.json["error_description"])
    assert ("WWW-Authenticate" in answer.headers) is (answer.status == 401)
    assert ("Retry-After" in answer.headers) is (answer.status in {429, 503})
    assert ("Allow" in answer.headers) is (answer.status == 405)


# The event


def test_a_body_may_arrive_base64_encoded(api: TokenApi) -> None:
    assert api.post(encoded=True).status == 200
    assert api.post(("scope", "x"), encoded=True).error == "invalid_scope"


def test_a_base64_body_that_is_not_text_is_malformed(api: TokenApi) -> None:
    headers = [("Content-Type", FORM), basic(api.client.client_id, api.client.client_secret)]
    answer = api.call(headers=headers, body=b"grant_type=client_credentials&x=\xff\xfe")
    assert_well_formed(answer)
    assert answer.status == 400


@pytest.mark.parametrize("body", [None, ""])
def test_no_body_is_an_invalid_request(api: TokenApi, body: str | None) -> None:
    headers = [("Content-Type", FORM), basic(api.client.client_id, api.client.client_secret)]
    answer = api.call(headers=headers, body=body)
    assert_well_formed(answer)
    assert answer.error == "invalid_request"


def test_a_request_without_any_header_is_answered(api: TokenApi) -> None:
    answer = api.call(body=GOOD_BODY)
    assert_well_formed(answer)
    assert answer.error == "invalid_request"


@pytest.mark.parametrize("change", [str.lower, str.upper, str.swapcase])
def test_the_case_of_header_names_does_not_matter(api: TokenApi, change: Any) -> None:
    name, value = basic(api.client.client_id, api.client.client_secret)
    headers = [(change(name), value), (change("Content-Type"), FORM)]
    assert api.call(headers=headers, body=GOOD_BODY).status == 200


def test_two_authorization_headers_are_read_from_multi_value_headers(api: TokenApi) -> None:
    good = basic(api.client.client_id, api.client.client_secret)
    answer = api.form([GRANT], headers=[("AUTHORIZATION", "Basic eDp5"), good])
    assert answer.error == "invalid_request"


def test_an_event_with_single_value_headers_only_is_understood(api: TokenApi) -> None:
    headers = [("Content-Type", FORM), basic(api.client.client_id, api.client.client_secret)]
    request = event(headers=headers, body=GOOD_BODY)
    del request["multiValueHeaders"]
    assert call(api.app, request).status == 200


def test_a_get_with_a_form_is_not_allowed(api: TokenApi) -> None:
    answer = api.post(method="GET")
    assert_well_formed(answer)
    assert answer.status == 405


def test_a_get_without_anything_is_not_allowed(api: TokenApi) -> None:
    answer = api.call(method="GET")
    assert_well_formed(answer)
    assert answer.status == 405


@pytest.mark.parametrize("path", ["/", "/oauth2/tokens", "/oauth2/token/", "/.well-known/x"])
def test_an_unknown_path_gets_the_applications_error(api: TokenApi, path: str) -> None:
    answer = api.basic(path=path)
    assert_well_formed(answer)
    assert (answer.status, answer.error) == (404, "invalid_request")


def test_an_unregistered_method_gets_the_applications_error(api: TokenApi) -> None:
    answer = api.call(method="TRACE")
    assert_well_formed(answer)
    assert answer.error == "invalid_request"


def test_the_source_address_comes_from_the_gateway_and_not_a_header(api: TokenApi) -> None:
    seen: list[TokenRequest] = []

    def exchange(request: TokenRequest) -> TokenResponse:
        seen.append(request)
        return TokenResponse("token", 60, "demo/read")

    app = token_app(api.world, exchange=exchange)
    headers = [
        ("Content-Type", FORM),
        ("X-Forwarded-For", "198.51.100.9"),
        ("Forwarded", "for=198.51.100.9"),
        ("X-Real-IP", "198.51.100.9"),
        basic(api.client.client_id, api.client.client_secret),
    ]
    request = event(headers=headers, body=GOOD_BODY, source_ip="203.0.113.7")
    assert call(app, request).status == 200
    assert [each.source_ip for each in seen] == ["203.0.113.7"]


# A crash


class _UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


def _crash_with(error: BaseException) -> Any:
    def exchange(request: TokenRequest) -> TokenResponse:
        quoted = f"{request.client_id} sent {SECRET}"
        raise error from ValueError(quoted)

    return exchange


@dataclass
class Crashing:
    """Health of a surface in which every part fails."""

    readiness: Callable[[], Any]
    took_over: Callable[[], Any]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(f"quoting {SECRET}"),
        KeyError(SECRET),
        ServiceError(SECRET),
        UnicodeEncodeError("ascii", SECRET, 0, 1, SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
        _UnprintableError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_crash_is_a_server_error_without_the_exceptions_text(
    error: BaseException, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the answer nor the application's log nor Chalice's log quotes the exception."""
    world, ours, chalices = ExchangeWorld(), io.StringIO(), io.StringIO()
    app = token_app(
        world, exchange=_crash_with(error), emit=json_lines(EAST, world.clock, ours), name="crash"
    )
    app.log.addHandler(handler := logging.StreamHandler(chalices))
    issued = world.client()
    headers = [("Content-Type", FORM), basic(issued.client_id, issued.client_secret)]
    try:
        answer = call(app, event(headers=headers, body=GOOD_BODY))
    finally:
        app.log.removeHandler(handler)
    assert_well_formed(answer)
    assert (answer.status, answer.error) == (500, "server_error")
    (line,) = ours.getvalue().splitlines()
    assert json.loads(line)["error"] == type(error).__name__
    printed = capfd.readouterr()
    for text in [str(answer), line, chalices.getvalue(), printed.out, printed.err]:
        assert SECRET not in text
        assert issued.client_secret not in text


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/health/ready", "/health/takeover"])
def test_a_crash_of_any_route_gets_the_applications_error(
    path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The alarm on crashes counts it; Chalice's log, which would quote the text, has no entry."""
    world, chalices = ExchangeWorld(), io.StringIO()

    def crashes() -> Any:
        raise RuntimeError(SECRET)

    health = Crashing(crashes, crashes)
    app = token_app(world, health=health, jwks=crashes, name="crash-of-any-route")
    app.log.addHandler(handler := logging.StreamHandler(chalices))
    try:
        answer = call(app, event("GET", path))
    finally:
        app.log.removeHandler(handler)
    assert_well_formed(answer)
    assert (answer.status, answer.error) == (500, "server_error")
    (line,) = world.events.seen
    assert (line["event"], line["error"]) == ("crash", "RuntimeError")
    printed = capfd.readouterr()
    for text in [str(answer), str(line), chalices.getvalue(), printed.out, printed.err]:
        assert SECRET not in text


def test_an_unreadable_event_is_a_server_error(api: TokenApi) -> None:
    request = event(body=GOOD_BODY, headers=[("Content-Type", FORM)])
    del request["requestContext"]["identity"]
    answer = call(api.app, request)
    assert_well_formed(answer)
    assert answer.status == 500
    assert api.world.events.seen[-1]["event"] == "crash"


# Any input (invariant 3)

_words = st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Cs"]), max_size=24)
_header_values = st.one_of(
    _words,
    st.sampled_from([FORM, f"{FORM}; charset=utf-8", "application/json", "*/*", ""]),
    st.binary(max_size=24).map(lambda raw: f"Basic {b64encode(raw).decode()}"),
    _words.map(lambda text: f"Basic {b64encode(text.encode()).decode()}"),
    _words.map(lambda text: f"Bearer {text}"),
)
_header_names = st.one_of(
    st.sampled_from(["Authorization", "authorization", "Content-Type", "Accept", "Host"]), _words
)
_parameter_names = st.one_of(
    st.sampled_from(["grant_type", "client_id", "client_secret", "scope", "client_assertion"]),
    _words,
)
_pairs = st.lists(st.tuples(_parameter_names, _words), max_size=5)
_bodies = st.one_of(
    st.none(),
    _words,
    st.binary(max_size=48),
    _pairs.map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)),
    _words.map(lambda scope: f"{GOOD_BODY}&scope={scope}"),
    st.just(GOOD_BODY),
)
_methods = st.sampled_from(["POST"] * 12 + ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])


@cache
def _fuzzed() -> TokenApi:
    """Return one world for all examples, whose answers must not depend on each other."""
    return TokenApi()


@given(
    method=_methods,
    headers=st.lists(st.tuples(_header_names, _header_values), max_size=4),
    body=_bodies,
    query=_pairs,
    encoded=st.booleans(),
    source_ip=st.one_of(st.ip_addresses().map(str), _words),
    as_a_form=st.booleans(),
    as_the_client=st.booleans(),
)
def test_any_request_gets_a_well_formed_oauth_response(
    method: str,
    headers: list[tuple[str, str]],
    body: str | bytes | None,
    query: list[tuple[str, str]],
    *,
    encoded: bool,
    source_ip: str,
    as_a_form: bool,
    as_the_client: bool,
) -> None:
    api = _fuzzed()
    if as_a_form:
        headers = [pair for pair in headers if pair[0].lower() != "content-type"]
        headers.append(("Content-Type", FORM))
        query = []
    if as_the_client:
        headers = [pair for pair in headers if pair[0].lower() != "authorization"]
        headers.append(basic(api.client.client_id, api.client.client_secret))
    answer = api.call(
        method=method,
        headers=headers,
        body=body,
        query=query,
        encoded=encoded,
        source_ip=source_ip,
    )
    assert_well_formed(answer, head=method == "HEAD")
    assert answer.status != 500, api.world.events.seen[-1]
    for secret in (api.client.client_secret, "east-secret", "east-app"):
        assert secret not in str(answer)


_canaries = st.text("qxzQXZ789", min_size=8, max_size=16).map(lambda text: f"~{text}~")


@given(
    canary=_canaries,
    place=st.sampled_from(
        ["client_id", "client_secret", "scope", "grant_type", "other", "header", "type", "query"]
    ),
    method=_methods,
)
def test_no_part_of_a_request_is_echoed(canary: str, place: str, method: str) -> None:
    api = _fuzzed()
    form = [GRANT, ("client_id", api.client.client_id)]
    form.append(("client_secret", api.client.client_secret))
    changed = dict(form) | ({place: canary} if place not in {"header", "type", "query"} else {})
    answer = api.form(
        list(changed.items()),
        method=method,
        headers=[("Authorization", f"Basic {canary}")] if place == "header" else [],
        content_type=canary if place == "type" else FORM,
        query=[("scope", canary)] if place == "query" else [],
    )
    assert_well_formed(answer, head=method == "HEAD")
    assert canary not in str(answer)
    # Nor is it logged, where it could be a secret in the wrong field.
    if place != "client_id":
        assert canary not in str(api.world.events.seen[-1])


# Events of requests that never became an exchange


def test_a_malformed_request_leaves_one_event_without_input(api: TokenApi) -> None:
    api.form("x=%zz")
    assert api.world.events.seen == [
        {"event": "exchange", "outcome": "invalid_request", "cognito_requests": 0}
    ]


def test_every_answer_leaves_exactly_one_event(api: TokenApi) -> None:
    api.basic()
    api.basic(method="GET")
    api.basic(("scope", "x"))
    api.form([GRANT])
    assert api.world.events.outcomes == [
        "issued",
        "invalid_request",
        "invalid_scope",
        "no_credentials",
    ]


# Metadata and health


def get(app: Chalice, path: str) -> Answer:
    return call(app, event("GET", path))


def test_the_metadata_may_be_cached(api: TokenApi) -> None:
    answer = get(api.app, "/.well-known/oauth-authorization-server")
    assert answer.headers["Cache-Control"] == "public, max-age=3600"


JWKS = "/.well-known/jwks.json"


def test_the_keys_of_both_pools_are_published_each_with_its_issuer(api: TokenApi) -> None:
    answer = get(api.app, JWKS)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert {(each["kid"], each["iss"]) for each in answer.json["keys"]} == {
        ("east", EAST_ISSUER),
        ("west", WEST_ISSUER),
    }


@pytest.mark.parametrize("known", ["{}", "W/{}", '"another", {}', "{},{}"])
def test_a_matching_etag_gets_304(api: TokenApi, known: str) -> None:
    etag = get(api.app, JWKS).headers["ETag"]
    known = known.replace("{}", etag)
    answer = call(api.app, event("GET", JWKS, headers=[("If-None-Match", known)]))
    assert (answer.status, answer.body) == (304, "")
    assert answer.headers["ETag"] == etag
    assert answer.headers["Cache-Control"] == "public, max-age=300"


@pytest.mark.parametrize("known", ['"another"', "", "W/", '"'])
def test_another_etag_gets_the_keys(api: TokenApi, known: str) -> None:
    answer = call(api.app, event("GET", JWKS, headers=[("If-None-Match", known)]))
    assert answer.status == 200


def test_the_keys_are_read_once_and_outlive_secrets_manager_by_a_day(api: TokenApi) -> None:
    for _ in range(3):
        assert get(api.app, JWKS).status == 200
    assert api.world.keys.calls == ["read"]
    api.world.keys.failures["read"] = [StoreUnavailableError("text")] * 100
    api.world.clock.advance(86_399)
    assert get(api.app, JWKS).status == 200
    api.world.clock.advance(1)
    assert get(api.app, JWKS).status == 503


@pytest.mark.parametrize(
    "failure",
    [StoreUnavailableError("text"), StoreRefusedError("text"), MalformedSecretError("text")],
)
def test_without_keys_the_answer_is_503_and_leaves_an_event(
    api: TokenApi, failure: ServiceError
) -> None:
    api.world.keys.failures["read"] = [failure]
    answer = get(api.app, JWKS)
    assert_well_formed(answer)
    assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert "keys" in answer.json["error_description"]
    (outcome,) = api.world.events.outcomes
    assert outcome in {f"unavailable:{type(failure).__name__}", "unavailable:StoreUnavailableError"}


def test_a_snapshot_without_keys_is_not_published(api: TokenApi) -> None:
    """A verifier would accept an empty set as the current keys."""
    api.world.keys.stored = Versioned(EMPTY, VersionId("1"))
    assert get(api.app, JWKS).status == 503


def test_health_calls_nothing(api: TokenApi) -> None:
    answer = get(api.app, "/health")
    assert (answer.status, answer.json) == (200, {"status": "ok", "region": EAST})
    assert answer.headers["Cache-Control"] == "no-store"
    assert not api.world.state.calls
    assert not api.world.endpoint.calls


def test_readiness_lists_parts_that_answer(api: TokenApi) -> None:
    answer = get(api.app, "/health/ready")
    assert answer.status == 200
    assert answer.json == {"status": "ready", "secrets_manager": True, "token_endpoint": True}
    assert answer.headers["Cache-Control"] == "no-store"


def test_readiness_lists_parts_that_do_not_answer(api: TokenApi) -> None:
    api.world.state.failures["read"] = [StoreUnavailableError("text")]
    answer = get(api.app, "/health/ready")
    assert answer.status == 503
    assert answer.json == {"status": "not ready", "secrets_manager": False, "token_endpoint": True}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("took_over", "status"), [(False, 409), (True, 200)])
def test_takeover_is_200_only_after_a_takeover_of_this_region(
    api: TokenApi, *, took_over: bool, status: int
) -> None:
    api.world.update_state(took_over=took_over)
    answer = get(api.app, "/health/takeover")
    assert (answer.status, answer.json["took_over"]) == (status, took_over)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "failure",
    [
        StoreUnavailableError("text"),
        StoreThrottledError("text"),
        StoreRefusedError("text"),
        MalformedSecretError("text"),
    ],
)
def test_takeover_is_503_with_a_state_that_was_never_readable(
    api: TokenApi, failure: Exception
) -> None:
    api.world.update_state(took_over=True)
    api.world.state.failures["read"] = [failure]
    answer = get(api.app, "/health/takeover")
    assert (answer.status, answer.json) == (503, {"took_over": None})


def test_no_get_request_to_a_healthy_standby_is_a_server_error(api: TokenApi) -> None:
    """Or probes keep the alarm on 5xx answers burning."""
    api.world.update_state(writer=False, took_over=False)
    paths = [path for path, methods in api.app.routes.items() if "GET" in methods]
    assert len(paths) > 5
    for path in paths:
        assert get(api.app, path).status < 500, path


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_methods_other_than_get_get_the_applications_error(api: TokenApi, method: str) -> None:
    answer = call(api.app, event(method, "/health"))
    assert_well_formed(answer)
    assert (answer.error, answer.headers["Allow"]) == ("invalid_request", "GET, HEAD")


def test_the_token_path_is_registered_for_the_tables_methods(api: TokenApi) -> None:
    assert TOKEN in api.app.routes
    assert {"/health", "/health/ready", "/health/takeover"} <= api.app.routes.keys()
