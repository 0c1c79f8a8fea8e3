"""Answers of the authorizers to API Gateway's events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from surrogate_verifier import KeysUnavailableError
from surrogate_verifier.aws_lambda import UnauthorizedError, http_api_authorizer, rest_authorizer
from tests.verifier.world import CLIENT, World

STAGE = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/prod"
ARN = f"{STAGE}/GET/things/1"
Json = dict[str, Any]


@pytest.fixture
def world() -> World:
    return World()


def token_event(authorization: str) -> Json:
    return {"type": "TOKEN", "methodArn": ARN, "authorizationToken": authorization}


def request_event(*authorization: str, name: str = "Authorization") -> Json:
    return {
        "type": "REQUEST",
        "methodArn": ARN,
        "resource": "/things/{id}",
        "path": "/things/1",
        "httpMethod": "GET",
        "headers": {"Host": "x", **({name: authorization[-1]} if authorization else {})},
        "multiValueHeaders": {
            "Host": ["x"],
            **({name: [*authorization]} if authorization else {}),
        },
    }


def http_event(authorization: str | None) -> Json:
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": f"{STAGE}/GET/things",
        "identitySource": [authorization] if authorization else None,
        "routeKey": "GET /things",
        "headers": {"host": "x", **({"authorization": authorization} if authorization else {})},
    }


@pytest.mark.parametrize("kind", [token_event, request_event])
def test_a_rest_api_gets_a_policy_for_the_whole_stage(world: World, kind: Any) -> None:
    answer = rest_authorizer(world.verifier())(kind(f"Bearer {world.east.token()}"), None)
    assert answer["principalId"] == CLIENT
    assert answer["policyDocument"] == {
        "Version": "2012-10-17",
        "Statement": [
            {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{STAGE}/*"}
        ],
    }
    assert answer["context"] == {
        "client_id": CLIENT,
        "app_client_id": "app11",
        "issuer": world.east.issuer.url,
        "scope": "demo/read demo/write",
    }
    json.dumps(answer)


def test_header_names_are_case_insensitive(world: World) -> None:
    event = request_event(f"Bearer {world.east.token()}", name="aUTHORIZATION")
    assert rest_authorizer(world.verifier())(event, None)["principalId"] == CLIENT
    del event["multiValueHeaders"]
    assert rest_authorizer(world.verifier())(event, None)["principalId"] == CLIENT


def test_a_client_without_a_name_has_its_app_client_as_principal(world: World) -> None:
    event = token_event(f"Bearer {world.east.token(surrogate_client_id=None)}")
    answer = rest_authorizer(world.verifier())(event, None)
    assert (answer["principalId"], answer["context"]["client_id"]) == ("app11", "")


@pytest.mark.parametrize("authorization", ["", "Basic eDp5", "Bearer", "Bearer x.y.z"])
@pytest.mark.parametrize("kind", [token_event, request_event])
def test_a_rest_api_answers_401_to_an_invalid_token(
    world: World, kind: Any, authorization: str
) -> None:
    with pytest.raises(UnauthorizedError, match=r"^Unauthorized$"):
        rest_authorizer(world.verifier())(kind(authorization), None)


def test_a_rest_api_answers_401_without_a_header_or_with_two(world: World) -> None:
    authorizer = rest_authorizer(world.verifier())
    good = f"Bearer {world.east.token()}"
    for event in (request_event(), request_event(good, good), {**token_event(""), "type": "TOKEN"}):
        with pytest.raises(UnauthorizedError):
            authorizer(event, None)


def test_a_rest_api_denies_a_valid_token_with_insufficient_rights(world: World) -> None:
    event = token_event(f"Bearer {world.east.token(scope='other')}")
    answer = rest_authorizer(world.verifier(scopes={"demo/read"}))(event, None)
    (statement,) = answer["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Deny", f"{STAGE}/*")
    assert answer["context"] == {}


def test_an_http_api_gets_a_simple_answer(world: World) -> None:
    authorizer = http_api_authorizer(world.verifier(scopes={"demo/read"}))
    answer = authorizer(http_event(f"Bearer {world.west.token()}"), None)
    assert answer["isAuthorized"] is True
    assert answer["context"]["client_id"] == CLIENT
    refused = {"isAuthorized": False, "context": {}}
    for authorization in (None, "Basic eDp5", "Bearer x.y.z"):
        assert authorizer(http_event(authorization), None) == refused
    assert authorizer(http_event(f"Bearer {world.west.token(scope='x')}"), None) == refused


def test_without_keys_no_token_is_reported_as_invalid(world: World) -> None:
    world.server.down.update(world.server.documents)
    good = f"Bearer {world.east.token()}"
    with pytest.raises(KeysUnavailableError):
        rest_authorizer(world.verifier())(token_event(good), None)
    with pytest.raises(KeysUnavailableError):
        http_api_authorizer(world.verifier())(http_event(good), None)


@pytest.mark.parametrize(
    "event", [{}, {"methodArn": "*"}, {"methodArn": "arn:aws:execute-api:x"}, http_event("x")]
)
def test_an_event_of_another_kind_gets_no_policy(world: World, event: Json) -> None:
    with pytest.raises(ValueError, match="REST API"):
        rest_authorizer(world.verifier())(event, None)


@pytest.mark.parametrize("event", [{}, token_event("x"), {"version": "1.0", "routeArn": "x"}])
def test_an_http_api_with_another_payload_format_gets_no_answer(world: World, event: Json) -> None:
    with pytest.raises(ValueError, match=r"2\.0"):
        http_api_authorizer(world.verifier())(event, None)


def test_the_log_has_the_reason_and_no_part_of_the_token(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    token = world.east.token(exp=1)
    with caplog.at_level("DEBUG"), pytest.raises(UnauthorizedError):
        rest_authorizer(world.verifier())(token_event(f"Bearer {token}"), None)
    assert "ExpiredError" in caplog.text
    assert token[:12] not in caplog.text
