"""Possible answers of a token endpoint, or of a proxy in its place, and their handling."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.aws.token_endpoint import CognitoTokenEndpoint
from chalicelib.errors import AppClientRefusedError, TokenEndpointUnavailableError
from chalicelib.model import AccessToken
from chalicelib.ports import Deadline
from tests.contract.deadlines import AMPLE
from tests.contract.loopback import (
    Answer,
    Loopback,
    always,
    answer,
    html,
    http,
    in_turn,
    raw,
    reset,
)
from tests.contract.samples import (
    APP_CLIENT_ID,
    APP_CLIENT_SECRET,
    MAC,
    app_client,
    assert_tells_nothing,
)
from tests.fakes import FakeClock

TOKEN = "eyJraWQiOiJ0ZXN0In0.eyJzdWIiOiJ0ZXN0In0.c2lnbmF0dXJl"
GOOD = {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
REFUSALS = ["invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client"]


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(always(answer(500))) as running:
        yield running


@pytest.fixture(scope="module")
def clock() -> FakeClock:
    return FakeClock(1_800_000_000.9)


@pytest.fixture(scope="module")
def endpoint(server: Loopback, clock: FakeClock) -> CognitoTokenEndpoint:
    return CognitoTokenEndpoint(f"{server.url}/oauth2/token", clock)


def ask(endpoint: CognitoTokenEndpoint, deadline: Deadline = AMPLE) -> AccessToken:
    return endpoint.request_token(app_client(), "demo/read demo/write", {"mac": MAC}, deadline)


def requests_after(server: Loopback, endpoint: CognitoTokenEndpoint) -> int:
    """Return the number of requests of a failing attempt."""
    before = len(server.seen)
    with pytest.raises((TokenEndpointUnavailableError, AppClientRefusedError)):
        ask(endpoint)
    return len(server.seen) - before


# The request


def test_the_request_has_the_form_that_cognito_requires(
    server: Loopback, endpoint: CognitoTokenEndpoint
) -> None:
    server.choose = always(answer(200, GOOD))
    ask(endpoint)
    seen = server.seen[-1]
    assert (seen.method, seen.path) == ("POST", "/oauth2/token")
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    assert seen.headers["host"] == server.url.removeprefix("http://")
    form = seen.form
    assert json.loads(form.pop("aws_client_metadata")) == {"mac": MAC}
    assert form == {
        "grant_type": "client_credentials",
        "client_id": APP_CLIENT_ID,
        "client_secret": APP_CLIENT_SECRET,
        "scope": "demo/read demo/write",
    }


def test_credentials_are_in_the_body_only(server: Loopback, endpoint: CognitoTokenEndpoint) -> None:
    server.choose = always(answer(200, GOOD))
    ask(endpoint)
    seen = server.seen[-1]
    assert "authorization" not in seen.headers
    assert "cookie" not in seen.headers
    for value in (seen.path, *seen.headers.values()):
        assert APP_CLIENT_ID not in value


def test_no_cookie_is_sent_back(server: Loopback, endpoint: CognitoTokenEndpoint) -> None:
    server.choose = always(answer(200, GOOD, Set_Cookie="XSRF-TOKEN=abc; Path=/"))
    ask(endpoint)
    ask(endpoint)
    assert "cookie" not in server.seen[-1].headers


@given(secret=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1))
@settings(deadline=None, max_examples=40)
def test_a_secret_with_any_characters_arrives_unchanged(
    server: Loopback, endpoint: CognitoTokenEndpoint, secret: str
) -> None:
    server.choose = always(answer(200, GOOD))
    endpoint.request_token(app_client(client_secret=secret), "demo/read", {}, AMPLE)
    assert server.seen[-1].form["client_secret"] == secret


# Tokens


def test_a_token_lifetime_counts_from_the_request(
    server: Loopback, endpoint: CognitoTokenEndpoint
) -> None:
    server.choose = always(answer(200, GOOD))
    assert ask(endpoint) == AccessToken(TOKEN, 1_800_003_600)


def jwt(payload: object) -> str:
    """Return an unsigned JWT of *payload*."""
    encoded = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{encoded}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("token", "stamped"),
    [
        (jwt({"surrogate_client_id": "sgc_a"}), True),
        (jwt({"surrogate_client_id": "sgc_b"}), False),
        (jwt({"surrogate_client_id": None}), False),
        (jwt({"client_id": "app"}), False),
        (jwt({}), False),
        (jwt([]), True),
        (jwt("text"), True),
        ("opaque", True),
        ("a.bm8.b", True),
        ("a..b", True),
        pytest.param(f"a.{'W' * 60_000}.b", True, id="long"),
    ],
)
def test_a_token_is_stamped_unless_it_is_seen_to_lack_the_name(
    server: Loopback, endpoint: CognitoTokenEndpoint, token: str, *, stamped: bool
) -> None:
    server.choose = always(answer(200, GOOD | {"access_token": token}))
    named = {"surrogate_client_id": "sgc_a", "surrogate_mac": "aa"}
    found = endpoint.request_token(app_client(), "demo/read", named, AMPLE)
    assert (found.value, found.stamped) == (token, stamped)


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER"])
def test_the_token_type_is_read_in_any_case(
    server: Loopback, endpoint: CognitoTokenEndpoint, token_type: str
) -> None:
    server.choose = always(answer(200, GOOD | {"token_type": token_type}))
    assert ask(endpoint).value == TOKEN


def test_unknown_members_of_an_answer_are_ignored(
    server: Loopback, endpoint: CognitoTokenEndpoint
) -> None:
    more = {"refresh_token": "r", "error": "invalid_client", "scope": "other"}
    server.choose = always(answer(200, GOOD | more, "text/plain"))
    assert ask(endpoint).value == TOKEN


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n"),
        ("Connection: close", b"%s"),
    ],
    ids=["chunked", "until hang-up"],
)
def test_a_body_may_come_in_any_framing(
    server: Loopback, endpoint: CognitoTokenEndpoint, head: str, body: bytes
) -> None:
    content = json.dumps(GOOD).encode()
    framed = body % ((len(content), content) if b"%x" in body else content)
    server.choose = always(raw(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + framed))
    assert ask(endpoint).value == TOKEN


def test_a_compressed_body_is_read(server: Loopback, endpoint: CognitoTokenEndpoint) -> None:
    content = gzip.compress(json.dumps(GOOD).encode())
    server.choose = always(answer(200, content, Content_Encoding="gzip"))
    assert ask(endpoint).value == TOKEN


# Refusals


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("error", REFUSALS)
def test_a_refused_app_client_is_distinguished_from_an_outage(
    server: Loopback, endpoint: CognitoTokenEndpoint, status: int, error: str
) -> None:
    body = {"error": error, "error_description": f"client {APP_CLIENT_ID} {APP_CLIENT_SECRET}"}
    server.choose = always(answer(status, body))
    with pytest.raises(AppClientRefusedError) as caught:
        ask(endpoint)
    assert error in str(caught.value)
    assert_tells_nothing(caught.value)


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize(
    "error", ["invalid_request", "unsupported_grant_type", "server_error", "Invalid_Client", "", 7]
)
def test_no_other_error_blames_the_app_client(
    server: Loopback, endpoint: CognitoTokenEndpoint, status: int, error: object
) -> None:
    server.choose = always(answer(status, {"error": error}))
    with pytest.raises(TokenEndpointUnavailableError) as caught:
        ask(endpoint)
    assert_tells_nothing(caught.value)


@pytest.mark.parametrize("error", [["invalid_client"], {"invalid_client": 1}, None, True])
def test_an_error_code_that_is_no_string_counts_as_unavailable(
    server: Loopback, endpoint: CognitoTokenEndpoint, error: object
) -> None:
    server.choose = always(answer(400, {"error": error}))
    with pytest.raises(TokenEndpointUnavailableError):
        ask(endpoint)


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
def test_an_unexpected_status_is_not_a_refusal(
    server: Loopback, endpoint: CognitoTokenEndpoint, status: int
) -> None:
    server.choose = always(answer(status, {"error": "invalid_client"}))
    with pytest.raises(TokenEndpointUnavailableError):
        ask(endpoint)


def test_a_refusal_is_not_retried(server: Loopback, endpoint: CognitoTokenEndpoint) -> None:
    server.choose = always(answer(400, {"error": "invalid_client"}))
    assert requests_after(server, endpoint) == 1


# Everything else

BIG = json.dumps(GOOD | {"access_token": "t" * 70_000}).encode()
NO_TOKEN: dict[str, Answer] = {
    "429 text": answer(429, b"Rate exceeded", "text/plain"),
    "429 retry-after": answer(429, b"", Retry_After="15"),
    "500 page": html(500),
    "502 page": html(502),
    "503 retry-after": answer(503, b"", Retry_After="15"),
    "504 empty": answer(504),
    "403 page": html(403),
    "404 page": html(404),
    "200 page": html(200),
    "200 empty": answer(200),
    "201 token": answer(201, GOOD),
    "204": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "array": answer(200, [GOOD]),
    "null": answer(200, b"null"),
    "text": answer(200, "token"),
    "number": answer(200, b"3600"),
    "truncated JSON": answer(200, json.dumps(GOOD).encode()[:-1]),
    "two documents": answer(200, json.dumps(GOOD).encode() * 2),
    "not UTF-8": answer(200, b"\xff\xfe\xfd\xfc\xfb"),
    "too deep": answer(200, b"[" * 60_000),
    "too long": answer(200, BIG),
    "too long, no length": raw(b"HTTP/1.1 200 OK\r\n\r\n" + BIG),
    "too long unpacked": answer(200, gzip.compress(b" " * 10_000_000), Content_Encoding="gzip"),
    "not gzip": answer(200, json.dumps(GOOD).encode(), Content_Encoding="gzip"),
    "shorter than promised": raw(http(200, b"{}").replace(b"Length: 2", b"Length: 200")),
    "lengths that differ": raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
    ),
    "bad chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "no status": raw(b"HTTP/1.1 abc\r\n\r\n"),
    "huge header": raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
    "many headers": raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
    "hang-up": raw(b""),
    "reset": reset(),
    "reset in the body": reset(http(200, b"{}").replace(b"Length: 2", b"Length: 200")),
    "no token": answer(200, {"expires_in": 3600, "token_type": "Bearer"}),
    "empty token": answer(200, GOOD | {"access_token": ""}),
    "token that no header can hold": answer(200, GOOD | {"access_token": "a b"}),
    "token that ends a JSON string": answer(200, GOOD | {"access_token": 'a","scope":"all'}),
    "token of another type": answer(200, GOOD | {"access_token": {"value": TOKEN}}),
    "no type": answer(200, {"access_token": TOKEN, "expires_in": 3600}),
    "MAC type": answer(200, GOOD | {"token_type": "MAC"}),
    "type of another type": answer(200, GOOD | {"token_type": ["Bearer"]}),
    "no life": answer(200, {"access_token": TOKEN, "token_type": "Bearer"}),
    "life as text": answer(200, GOOD | {"expires_in": "3600"}),
    "negative life": answer(200, GOOD | {"expires_in": -1}),
    "zero life": answer(200, GOOD | {"expires_in": 0}),
    "life is true": answer(200, GOOD | {"expires_in": True}),
    "life is a fraction": answer(200, GOOD | {"expires_in": 3600.5}),
    "life is null": answer(200, GOOD | {"expires_in": None}),
    "life has 5000 digits": answer(200, json.dumps(GOOD).replace("3600", "9" * 5_000).encode()),
}


@pytest.mark.parametrize("nothing", NO_TOKEN.values(), ids=NO_TOKEN)
def test_an_answer_without_a_valid_token_counts_as_unavailable(
    server: Loopback, endpoint: CognitoTokenEndpoint, nothing: Answer
) -> None:
    server.choose = always(nothing)
    started = time.monotonic()
    with pytest.raises(TokenEndpointUnavailableError) as caught:
        ask(endpoint)
    assert time.monotonic() - started < 10, "nobody waits because a server says so"
    assert_tells_nothing(caught.value, TOKEN, str(server.port))
    server.choose = always(answer(200, GOOD))
    assert ask(endpoint).value == TOKEN, "the next request is not affected"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["access_token", "expires_in", "token_type", "error"])
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(
    status=st.sampled_from([200, 200, 201, 301, 400, 400, 401, 403, 429, 500, 503]),
    body=json_values,
)
def test_any_json_answer_raises_only_documented_errors(
    server: Loopback, endpoint: CognitoTokenEndpoint, status: int, body: Any
) -> None:
    server.choose = always(answer(status, body))
    try:
        token = ask(endpoint)
    except (TokenEndpointUnavailableError, AppClientRefusedError):
        return
    assert status == 200
    assert token.value == body["access_token"]


@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=200), status_line=st.booleans())
def test_any_bytes_raise_only_documented_errors(
    server: Loopback,
    endpoint: CognitoTokenEndpoint,
    data: bytes,
    status_line: bool,  # noqa: FBT001
) -> None:
    server.choose = always(raw((b"HTTP/1.1 200 OK\r\n" if status_line else b"") + data))
    with pytest.raises((TokenEndpointUnavailableError, AppClientRefusedError)):
        ask(endpoint)


# Redirects and retries


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    server: Loopback, endpoint: CognitoTokenEndpoint, status: int
) -> None:
    server.choose = lambda seen: (
        answer(200, GOOD)
        if seen.path == "/elsewhere"
        else answer(status, b"", Location=f"{server.url}/elsewhere")
    )
    assert requests_after(server, endpoint) == 1
    assert server.seen[-1].path == "/oauth2/token"


@pytest.mark.parametrize(
    "failing",
    [html(500), html(502), html(503), html(504), reset(), raw(b"")],
    ids=["500", "502", "503", "504", "reset", "hang-up"],
)
def test_a_transient_failure_is_retried_once(
    server: Loopback, endpoint: CognitoTokenEndpoint, failing: Answer
) -> None:
    server.choose = in_turn(failing, answer(200, GOOD))
    assert ask(endpoint).value == TOKEN
    server.choose = always(failing)
    assert requests_after(server, endpoint) == 2


@pytest.mark.parametrize(
    "failing",
    [answer(429, b"Rate exceeded", "text/plain"), html(403), html(200), answer(400, {})],
    ids=["429", "403", "200 page", "400"],
)
def test_a_permanent_failure_is_not_retried(
    server: Loopback, endpoint: CognitoTokenEndpoint, failing: Answer
) -> None:
    server.choose = always(failing)
    assert requests_after(server, endpoint) == 1


# Reachability


@pytest.mark.parametrize(
    ("said", "reachable"),
    [
        (answer(400, {"error": "invalid_request"}), True),
        (answer(405), True),
        (answer(429, b"Rate exceeded", "text/plain"), True),
        (answer(500), False),
        (html(503), False),
        (reset(), False),
        (raw(b"SSH-2.0-OpenSSH_9.9\r\n"), False),
    ],
    ids=["400", "405", "429", "500", "503", "reset", "no HTTP"],
)
def test_an_endpoint_that_answers_is_reachable(
    server: Loopback,
    endpoint: CognitoTokenEndpoint,
    said: Answer,
    reachable: bool,  # noqa: FBT001
) -> None:
    server.choose = always(said)
    assert endpoint.reachable(AMPLE) is reachable


def test_the_reachability_probe_requests_no_token(
    server: Loopback, endpoint: CognitoTokenEndpoint
) -> None:
    server.choose = always(answer(400, {"error": "invalid_request"}))
    endpoint.reachable(AMPLE)
    assert server.seen[-1].method == "POST"
    assert server.seen[-1].body == b""
    assert "authorization" not in server.seen[-1].headers
