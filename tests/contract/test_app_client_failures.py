"""
Possible answers of Cognito's API, or of a proxy in its place, and their handling by the adapter.

Above all: an app client is never made twice because of a lost answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.aws.cognito_app_clients import PoolAppClients
from chalicelib.errors import (
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    UnknownAppClientError,
)
from chalicelib.model import AppClientId
from tests.contract.clients import IMPATIENT, Aws
from tests.contract.loopback import (
    LOOPBACK,
    Answer,
    Loopback,
    always,
    answer,
    by_action,
    closed_port,
    html,
    http,
    raw,
    reset,
    silence,
)
from tests.contract.samples import (
    APP_CLIENT_ID,
    APP_CLIENT_SECRET,
    assert_tells_nothing,
    new_client_id,
)
from tests.worlds import EAST, EAST_POOL

CLIENT_ID = new_client_id()
APP_CLIENT = AppClientId(APP_CLIENT_ID)
MESSAGE = f"User pool client {APP_CLIENT_ID} of {EAST_POOL} and arn:aws:iam::123456789012:role/r"

Use = Callable[[PoolAppClients], object]

USES: dict[str, Use] = {
    "unknown scopes": lambda to: to.unknown_scopes(("demo/read",)),
    "create": lambda to: to.create(CLIENT_ID, ("demo/read",)),
    "delete": lambda to: to.delete(APP_CLIENT),
    "describe": lambda to: to.describe(APP_CLIENT),
    "align": lambda to: to.align(APP_CLIENT, ("demo/read",), adopted=False),
    "ours": lambda to: list(to.ours()),
    "secrets": lambda to: to.secrets(APP_CLIENT),
    "add secret": lambda to: to.add_secret(APP_CLIENT, APP_CLIENT_SECRET),
    "delete secret": lambda to: to.delete_secret(APP_CLIENT, f"{APP_CLIENT_ID}--1"),
}
OF_ONE_APP_CLIENT = ["describe", "align", "secrets", "add secret", "delete secret"]

every_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


def refusal(status: int, code: str) -> Answer:
    return answer(status, {"__type": code, "message": MESSAGE}, "application/x-amz-json-1.1")


@pytest.fixture(scope="module")
def aws() -> Aws:
    return Aws()


def adapter(aws: Aws, endpoint: str) -> PoolAppClients:
    client = aws.cognito(EAST, endpoint, IMPATIENT)
    return PoolAppClients(lambda: client, lambda: client, EAST_POOL, "surrogate", 3600)


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(always(answer(200))) as running:
        yield running


@pytest.fixture(scope="module")
def asked(server: Loopback, aws: Aws) -> PoolAppClients:
    """Return an adapter that calls *server*."""
    return adapter(aws, server.url)


@every_use
@pytest.mark.parametrize(
    "throttled",
    [
        refusal(400, "TooManyRequestsException"),
        refusal(400, "ThrottlingException"),
        refusal(400, "RequestLimitExceeded"),
        refusal(429, "TooManyRequestsException"),
        refusal(429, "Whatever"),
        html(429),
    ],
    ids=["too many", "throttling", "limit", "429", "429 else", "429 page"],
)
def test_throttling_is_distinguished_from_an_outage(
    server: Loopback, asked: PoolAppClients, use: Use, throttled: Answer
) -> None:
    server.choose = always(throttled)
    with pytest.raises(AppClientsThrottledError) as caught:
        use(asked)
    assert_tells_nothing(caught.value, EAST_POOL, CLIENT_ID, "123456789012")


NO_ANSWER = {
    "internal": refusal(500, "InternalErrorException"),
    "internal as 400": refusal(400, "InternalErrorException"),
    "unavailable": refusal(503, "ServiceUnavailableException"),
    "500 empty": answer(500),
    "502 page": html(502),
    "504 page": html(504),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "hang-up": raw(b""),
    "reset": reset(),
    "reset half-way": reset(b"HTTP/1.1 200 OK\r\nContent-"),
}
# Except after DeleteUserPoolClient, whose answer is empty: only its status counts.
NOTHING_SAID = {
    "200 array": answer(200, []),
    "200 null": answer(200, b"null"),
    "200 text": answer(200, "a text"),
    "200 not UTF-8": answer(200, b"\xff\xfe\xfd"),
    "200 too deep": answer(200, b"[" * 60_000),
    "200 empty object": answer(200, {}),
    "200 page": html(200),
    "200 empty": answer(200),
    # botocore does not check the length of a body.
    "cut off": raw(http(200, b'{"UserPool').replace(b"Length: 10", b"Length: 999")),
}


@every_use
@pytest.mark.parametrize("nothing", NO_ANSWER.values(), ids=NO_ANSWER)
def test_a_malformed_answer_counts_as_unreachable(
    server: Loopback, asked: PoolAppClients, use: Use, nothing: Answer
) -> None:
    server.choose = always(nothing)
    with pytest.raises(AppClientsUnreachableError) as caught:
        use(asked)
    assert_tells_nothing(caught.value, EAST_POOL, CLIENT_ID, "123456789012")


@pytest.mark.parametrize("use_name", sorted(set(USES) - {"delete"}))
@pytest.mark.parametrize("nothing", NOTHING_SAID.values(), ids=NOTHING_SAID)
def test_an_answer_without_content_counts_as_unreachable(
    server: Loopback, asked: PoolAppClients, use_name: str, nothing: Answer
) -> None:
    server.choose = always(nothing)
    with pytest.raises(AppClientsUnreachableError):
        USES[use_name](asked)


def test_an_app_client_without_a_secret_is_unknown(server: Loopback, asked: PoolAppClients) -> None:
    for regional in ({"ClientId": APP_CLIENT_ID}, {"ClientSecret": APP_CLIENT_SECRET}, {}):
        server.choose = always(answer(200, {"UserPoolClient": regional}))
        with pytest.raises(AppClientsUnreachableError) as caught:
            asked.create(CLIENT_ID, ())
        assert_tells_nothing(caught.value)


@pytest.mark.parametrize("use_name", ["create", "unknown scopes", "delete"])
def test_silence_counts_as_unreachable(
    server: Loopback, asked: PoolAppClients, use_name: str
) -> None:
    server.choose = always(silence())
    with pytest.raises(AppClientsUnreachableError):
        USES[use_name](asked)


@every_use
def test_a_refused_connection_counts_as_unreachable(aws: Aws, use: Use) -> None:
    with pytest.raises(AppClientsUnreachableError) as caught:
        use(adapter(aws, f"http://{LOOPBACK}:{closed_port()}"))
    assert_tells_nothing(caught.value, EAST_POOL)


@every_use
@pytest.mark.parametrize(
    "code",
    [
        "AccessDeniedException",
        "NotAuthorizedException",
        "InvalidParameterException",
        "ScopeDoesNotExistException",
        "LimitExceededException",
        "ExpiredTokenException",
    ],
)
def test_a_refusal_is_distinguished_from_an_outage(
    server: Loopback, asked: PoolAppClients, use: Use, code: str
) -> None:
    server.choose = always(refusal(400, code))
    with pytest.raises(AppClientsRefusedError) as caught:
        use(asked)
    assert caught.value.code == code
    assert_tells_nothing(caught.value, EAST_POOL, CLIENT_ID, "123456789012")


@pytest.mark.parametrize("use_name", OF_ONE_APP_CLIENT)
def test_a_missing_app_client_is_distinguished_from_a_refusal(
    server: Loopback, asked: PoolAppClients, use_name: str
) -> None:
    server.choose = always(refusal(400, "ResourceNotFoundException"))
    with pytest.raises(UnknownAppClientError) as caught:
        USES[use_name](asked)
    assert_tells_nothing(caught.value, EAST_POOL)


@pytest.mark.parametrize(
    "described",
    [{}, {"CreationDate": 1, "TokenValidityUnits": {"AccessToken": "fortnights"}}],
    ids=["without a date", "with an unknown unit"],
)
def test_an_odd_description_is_that_app_clients_and_no_outage(
    server: Loopback, asked: PoolAppClients, described: dict[str, object]
) -> None:
    """An outage would end the survey of all others, too."""
    body = {"UserPoolClient": {"ClientId": APP_CLIENT_ID, **described}}
    server.choose = always(answer(200, body, "application/x-amz-json-1.1"))
    with pytest.raises(AppClientsRefusedError) as caught:
        asked.describe(APP_CLIENT)
    assert caught.value.code == "UnusableAnswer"


# Once, or not at all


@pytest.mark.parametrize("use_name", ["create", "add secret"])
@pytest.mark.parametrize(
    "failing",
    [
        answer(500),
        html(503),
        reset(),
        raw(b""),
        refusal(400, "TooManyRequestsException"),
        html(200),
    ],
    ids=["500", "503", "reset", "hang-up", "throttled", "200 page"],
)
def test_creating_calls_are_sent_once(
    server: Loopback, aws: Aws, use_name: str, failing: Answer
) -> None:
    # Only that client may be used: the other one has no server.
    nowhere = aws.cognito(EAST, f"http://{LOOPBACK}:{closed_port()}", IMPATIENT)
    once = aws.cognito(EAST, server.url, IMPATIENT)
    clients = PoolAppClients(lambda: nowhere, lambda: once, EAST_POOL, "surrogate", 3600)
    server.choose, before = always(failing), len(server.seen)
    with pytest.raises((AppClientsUnreachableError, AppClientsThrottledError)):
        USES[use_name](clients)
    assert len(server.seen) == before + 1


def test_deleting_a_missing_app_client_succeeds(server: Loopback, asked: PoolAppClients) -> None:
    server.choose = always(refusal(400, "ResourceNotFoundException"))
    asked.delete(APP_CLIENT)


def test_a_failed_page_does_not_end_the_list(server: Loopback, asked: PoolAppClients) -> None:
    pages = iter(
        [
            answer(
                200,
                {
                    "UserPoolClients": [
                        {"ClientId": APP_CLIENT_ID, "ClientName": f"surrogate-{CLIENT_ID}"}
                    ],
                    "NextToken": "more",
                },
            ),
            answer(500),
        ]
    )
    server.choose = lambda _: next(pages)
    found = asked.ours()
    assert next(found) == (APP_CLIENT_ID, CLIENT_ID)
    with pytest.raises(AppClientsUnreachableError):
        next(found)


def test_a_failed_page_of_resource_servers_does_not_end_the_list(
    server: Loopback, asked: PoolAppClients
) -> None:
    pages = iter([answer(200, {"ResourceServers": [], "NextToken": "more"}), answer(500)])
    server.choose = lambda _: next(pages)
    with pytest.raises(AppClientsUnreachableError):
        asked.unknown_scopes(("demo/read",))


def test_alignment_writes_nothing_if_it_cannot_read(
    server: Loopback, asked: PoolAppClients
) -> None:
    before = len(server.seen)
    server.choose = by_action({"DescribeUserPoolClient": html(200)}, otherwise=answer(200, {}))
    with pytest.raises(AppClientsUnreachableError):
        asked.align(APP_CLIENT, ("demo/read",), adopted=False)
    assert [seen.action for seen in server.seen[before:]] == ["DescribeUserPoolClient"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["__type", "message", "Message", "code"]) | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(
    name=st.sampled_from(sorted(USES)),
    status=st.sampled_from([200, 200, 201, 204, 301, 400, 403, 404, 413, 500, 503]),
    body=json_values,
)
def test_any_json_answer_raises_only_documented_errors(
    server: Loopback, asked: PoolAppClients, name: str, status: int, body: Any
) -> None:
    server.choose = always(answer(status, body))
    try:
        USES[name](asked)
    except (AppClientsUnreachableError, AppClientsThrottledError, AppClientsRefusedError):
        pass
    except UnknownAppClientError:
        assert name in OF_ONE_APP_CLIENT


def test_a_secret_that_cognito_manages_is_recognized(
    server: Loopback, asked: PoolAppClients
) -> None:
    """The pinned botocore knows `ClientSecretArn`; one before 1.44.7 drops it."""
    arn = f"arn:aws:secretsmanager:{EAST}:123456789012:secret:cognito-a1b2c3"
    described = {"ClientId": APP_CLIENT, "ClientName": "billing", "CreationDate": 1_800_000_000}
    for more, managed in (({"ClientSecretArn": arn}, True), ({}, False)):
        server.choose = always(answer(200, {"UserPoolClient": {**described, **more}}))
        found = asked.describe(APP_CLIENT)
        assert (found.managed, found.client_secret) == (managed, "")
