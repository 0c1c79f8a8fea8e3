"""
Possible answers of Secrets Manager, or of a proxy in its place, and their handling by the adapters.

Every method raises only the errors that its port documents.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.aws.client_records import ClientSecrets, ClientSecretsReader
from chalicelib.aws.region_state import DeploymentKeySecret, StateSecret
from chalicelib.errors import (
    ClientExistsError,
    InvalidCursorError,
    MalformedSecretError,
    OutcomeUnknownError,
    ServiceError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
    UnknownClientError,
    VersionConflictError,
    VersionsUsedUpError,
)
from chalicelib.model import RegionState, VersionId
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
from tests.contract.samples import assert_tells_nothing, new_client_id, record
from tests.worlds import EAST, WEST

CLIENT_ID = new_client_id()
VERSION = VersionId("11111111-1111-4111-8111-111111111111")
ARN = f"arn:aws:secretsmanager:{EAST}:123456789012:secret:surrogate/clients/{CLIENT_ID}-AbCdEf"
# AWS's messages name values that the application's errors must not.
MESSAGE = f"User: arn:aws:iam::123456789012:role/r is not authorized on resource: {ARN}"


@dataclass(frozen=True, slots=True)
class Adapters:
    """All adapters of Secrets Manager, over one client."""

    store: ClientSecrets
    reader: ClientSecretsReader
    state: StateSecret
    key: DeploymentKeySecret


Use = Callable[[Adapters], object]

USES: dict[str, Use] = {
    "read": lambda to: to.store.read(CLIENT_ID),
    "exchange's read": lambda to: to.reader.read(CLIENT_ID),
    "create": lambda to: to.store.create(record(client_id=CLIENT_ID)),
    "replace": lambda to: to.store.replace(record(client_id=CLIENT_ID), VERSION),
    "replicate": lambda to: to.store.replicate(CLIENT_ID),
    "replication": lambda to: to.store.replication(CLIENT_ID, VERSION),
    "list": lambda to: to.store.list(None, 10),
    "read many": lambda to: to.store.read_many([CLIENT_ID]),
    "describe": lambda to: to.store.describe(CLIENT_ID),
    "update_listing": lambda to: to.store.update_listing(record(client_id=CLIENT_ID)),
    "unreplicate": lambda to: to.store.unreplicate(CLIENT_ID),
    "schedule_deletion": lambda to: to.store.schedule_deletion(CLIENT_ID, 7),
    "cancel_deletion": lambda to: to.store.cancel_deletion(CLIENT_ID),
    "state": lambda to: to.state.read(),
    "replace state": lambda to: to.state.replace(
        RegionState(writer=True, took_over=False), VERSION
    ),
    "key": lambda to: to.key.read(),
}

# Errors that the ports document beside StoreUnavailableError and StoreRefusedError.
DOCUMENTED: dict[str, tuple[type[ServiceError], ...]] = {
    "read": (UnknownClientError, MalformedSecretError),
    "exchange's read": (UnknownClientError, MalformedSecretError),
    "create": (ClientExistsError,),
    "replace": (VersionConflictError, UnknownClientError),
    "replicate": (UnknownClientError,),
    "replication": (UnknownClientError,),
    "list": (InvalidCursorError,),
    "describe": (UnknownClientError,),
    "update_listing": (UnknownClientError,),
    "unreplicate": (UnknownClientError,),
    "cancel_deletion": (UnknownClientError,),
    "state": (MalformedSecretError,),
    "replace state": (VersionConflictError,),
    "key": (MalformedSecretError,),
}

every_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


def refusal(status: int, code: str) -> Answer:
    return answer(status, {"__type": code, "message": MESSAGE}, "application/x-amz-json-1.1")


@pytest.fixture(scope="module")
def aws() -> Aws:
    return Aws()


def adapters(aws: Aws, endpoint: str) -> Adapters:
    client = aws.secrets(EAST, endpoint, IMPATIENT)
    prefix, random_bytes = "surrogate", secrets.token_bytes
    return Adapters(
        ClientSecrets(lambda: client, lambda: client, WEST, prefix, random_bytes),
        ClientSecretsReader(lambda: client, prefix),
        StateSecret(lambda: client, prefix, random_bytes),
        DeploymentKeySecret(lambda: client, prefix),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(always(answer(200))) as running:
        yield running


@pytest.fixture(scope="module")
def asked(server: Loopback, aws: Aws) -> Adapters:
    """Return adapters that call *server*."""
    return adapters(aws, server.url)


@every_use
@pytest.mark.parametrize(
    "throttled",
    [
        refusal(400, "ThrottlingException"),
        refusal(400, "TooManyRequestsException"),
        refusal(400, "RequestLimitExceeded"),
        refusal(429, "Whatever"),
        html(429),
        answer(429),
    ],
    ids=["throttling", "too many", "limit", "429", "429 page", "429 empty"],
)
def test_throttling_is_distinguished_from_an_outage(
    server: Loopback, asked: Adapters, use: Use, throttled: Answer
) -> None:
    server.choose = always(throttled)
    with pytest.raises(StoreThrottledError) as caught:
        use(asked)
    assert_tells_nothing(caught.value, CLIENT_ID, "123456789012")


NO_ANSWER = {
    "internal": refusal(500, "InternalServiceError"),
    "internal as 400": refusal(400, "InternalServiceError"),
    "unavailable": refusal(503, "ServiceUnavailableException"),
    "500 empty": answer(500),
    "502 page": html(502),
    "503 page": html(503),
    "504 page": html(504),
    "200 array": answer(200, []),
    "200 null": answer(200, b"null"),
    "200 text": answer(200, "a text"),
    "200 not UTF-8": answer(200, b"\xff\xfe\xfd"),
    "200 too deep": answer(200, b"[" * 60_000),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "hang-up": raw(b""),
    "reset": reset(),
    "reset half-way": reset(b"HTTP/1.1 200 OK\r\nContent-"),
}
# Except for immediate deletion: AWS does not document an answer for a missing secret.
NOTHING_SAID = {
    "200 page": html(200),
    "200 empty": answer(200),
    "200 empty object": answer(200, {}),
    # botocore does not check the length of a body.
    "cut off": raw(http(200, b'{"ARN": "a').replace(b"Length: 10", b"Length: 999")),
}


def assert_unavailable(use: Use, asked: Adapters) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        use(asked)
    assert not isinstance(caught.value, StoreThrottledError)
    assert_tells_nothing(caught.value, CLIENT_ID, "123456789012")


@every_use
@pytest.mark.parametrize("nothing", NO_ANSWER.values(), ids=NO_ANSWER)
def test_a_malformed_answer_counts_as_unavailable(
    server: Loopback, asked: Adapters, use: Use, nothing: Answer
) -> None:
    server.choose = always(nothing)
    assert_unavailable(use, asked)


@pytest.mark.parametrize("use_name", sorted(USES))
@pytest.mark.parametrize("nothing", NOTHING_SAID.values(), ids=NOTHING_SAID)
def test_an_answer_without_content_counts_as_unavailable(
    server: Loopback, asked: Adapters, use_name: str, nothing: Answer
) -> None:
    server.choose = always(nothing)
    assert_unavailable(USES[use_name], asked)


@pytest.mark.parametrize("use_name", ["read", "create", "replace", "list", "state", "key"])
def test_silence_counts_as_unavailable(asked: Adapters, server: Loopback, use_name: str) -> None:
    server.choose = always(silence())
    with pytest.raises(StoreUnavailableError) as caught:
        USES[use_name](asked)
    assert_tells_nothing(caught.value, CLIENT_ID)


@every_use
def test_a_refused_connection_counts_as_unavailable(aws: Aws, use: Use) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        use(adapters(aws, f"http://{LOOPBACK}:{closed_port()}"))
    assert_tells_nothing(caught.value, CLIENT_ID)


@every_use
@pytest.mark.parametrize(
    "code",
    [
        "AccessDeniedException",
        "UnrecognizedClientException",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "DecryptionFailure",
        "EncryptionFailure",
        "LimitExceededException",
        "PreconditionNotMetException",
        "ValidationException",
    ],
)
def test_a_refusal_is_distinguished_from_an_outage(
    server: Loopback, asked: Adapters, use: Use, code: str
) -> None:
    server.choose = always(refusal(400, code))
    with pytest.raises(StoreRefusedError) as caught:
        use(asked)
    if isinstance(caught.value, VersionsUsedUpError):
        assert code == "LimitExceededException"
    else:
        assert code in str(caught.value)
    assert_tells_nothing(caught.value, CLIENT_ID, "123456789012")


# Half-way through a replacement

every_failure = pytest.mark.parametrize(
    "nothing",
    [*NO_ANSWER.values(), *NOTHING_SAID.values()],
    ids=[*NO_ANSWER, *NOTHING_SAID],
)
OK = answer(200, {"ARN": ARN, "Name": "n", "VersionId": VERSION})
LOST = answer(503)


def described(current: str) -> Answer:
    return answer(200, {"ARN": ARN, "Name": "n", "VersionIdsToStages": {current: ["AWSCURRENT"]}})


@every_failure
def test_a_replacement_counts_only_once_it_is_confirmed(
    server: Loopback, asked: Adapters, nothing: Answer
) -> None:
    server.choose = by_action(
        {"PutSecretValue": OK, "DescribeSecret": described(VERSION)}, otherwise=nothing
    )
    # A call that was not refused by throttling may still arrive.
    with pytest.raises((OutcomeUnknownError, StoreThrottledError)):
        asked.state.replace(RegionState(writer=True, took_over=False), VERSION)


@every_failure
def test_a_replacement_without_confirmation_has_an_unknown_outcome(
    server: Loopback, asked: Adapters, nothing: Answer
) -> None:
    server.choose = by_action({"PutSecretValue": OK}, otherwise=nothing)
    with pytest.raises(OutcomeUnknownError):
        asked.state.replace(RegionState(writer=True, took_over=False), VERSION)


def test_a_replacement_whose_verification_is_forbidden_has_an_unknown_outcome(
    server: Loopback, asked: Adapters
) -> None:
    denied = refusal(400, "AccessDeniedException")
    server.choose = by_action({"PutSecretValue": OK, "DescribeSecret": denied}, otherwise=LOST)
    with pytest.raises(OutcomeUnknownError):
        asked.state.replace(RegionState(writer=True, took_over=False), VERSION)


def test_a_move_that_is_refused_replaces_nothing(server: Loopback, asked: Adapters) -> None:
    denied = refusal(400, "AccessDeniedException")
    server.choose = by_action(
        {"PutSecretValue": OK, "DescribeSecret": described(VERSION)}, otherwise=denied
    )
    with pytest.raises(StoreRefusedError):
        asked.state.replace(RegionState(writer=True, took_over=False), VERSION)


def test_throttling_of_one_record_throttles_read_many(server: Loopback, asked: Adapters) -> None:
    failure = {"SecretId": ARN, "ErrorCode": "ThrottlingException", "Message": MESSAGE}
    server.choose = always(answer(200, {"SecretValues": [], "Errors": [failure]}))
    with pytest.raises(StoreThrottledError) as caught:
        asked.store.read_many([CLIENT_ID])
    assert_tells_nothing(caught.value, CLIENT_ID)


def test_an_outage_for_one_record_fails_read_many(server: Loopback, asked: Adapters) -> None:
    failure = {"SecretId": ARN, "ErrorCode": "InternalServiceError", "Message": MESSAGE}
    server.choose = always(answer(200, {"SecretValues": [], "Errors": [failure]}))
    with pytest.raises(StoreUnavailableError):
        asked.store.read_many([CLIENT_ID])


def test_a_refusal_of_one_record_refuses_read_many(server: Loopback, asked: Adapters) -> None:
    failure = {"SecretId": ARN, "ErrorCode": "AccessDeniedException", "Message": MESSAGE}
    server.choose = always(answer(200, {"SecretValues": [], "Errors": [failure]}))
    with pytest.raises(StoreRefusedError) as caught:
        asked.store.read_many([CLIENT_ID])
    assert_tells_nothing(caught.value, CLIENT_ID)


# Any other answer

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            # The members of errors, of any type.  AWS's answers with 200 have the
            # documented type, or come from another server altogether.
            st.sampled_from(["__type", "message", "Message", "code", "Errors"])
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(
    name=st.sampled_from(sorted(USES)),
    status=st.sampled_from([200, 200, 200, 201, 204, 301, 400, 403, 404, 413, 500, 503]),
    body=json_values,
)
def test_any_json_answer_raises_only_documented_errors(
    server: Loopback, asked: Adapters, name: str, status: int, body: Any
) -> None:
    server.choose = always(answer(status, body))
    with suppress(StoreUnavailableError, StoreRefusedError, *DOCUMENTED.get(name, ())):
        USES[name](asked)
