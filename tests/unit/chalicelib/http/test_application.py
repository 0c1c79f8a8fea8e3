"""Replacement of Chalice's built-in error responses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from chalice.app import (
    BadRequestError,
    ChaliceViewError,
    ForbiddenError,
    Response,
    UnauthorizedError,
)
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.http.application import CredentialsApp
from tests.fakes import Events
from tests.gateway import Answer, call, event

SECRET = "a-secret-that-chalice-would-quote"


def answer(
    view: Callable[[], Any], path: str, *, method: str = "GET", content_type: str | None = None
) -> Answer:
    """Return the answer of an app with *view* at *path*."""
    app = CredentialsApp(app_name="answers", emit=Events(), configure_logs=False)
    app.route(path, methods=["GET", "POST"])(view)
    headers = [("Content-Type", content_type)] if content_type else []
    return call(app, event(method, path, headers=headers, body="{}"))


def assert_oauth(found: Answer, status: int, error: str) -> None:
    assert (found.status, found.error) == (status, error)
    assert found.json.keys() == {"error", "error_description"}
    assert found.headers["Content-Type"] == "application/json"
    assert found.headers["Cache-Control"] == "no-store"


def assert_problem(found: Answer, status: int, slug: str) -> None:
    assert (found.status, found.json["status"]) == (status, status)
    assert found.json["type"] == f"urn:surrogate-credentials:problem:{slug}"
    assert found.json.keys() == {"type", "title", "status", "detail"}
    assert found.headers["Content-Type"] == "application/problem+json"
    assert found.headers["Cache-Control"] == "no-store"


def _fine() -> Response:
    return Response('{"Code": "ours"}', {"Content-Type": "application/json", "X": "y"}, 418)


def _crash() -> None:
    raise RuntimeError(SECRET)


@pytest.mark.parametrize("accept", [None, "image/png", "application/octet-stream", "*/*"])
def test_every_answer_is_text_for_any_accept_header(accept: str | None) -> None:
    """Chalice would refuse or encode binary media types; the gateway has none configured."""
    app = CredentialsApp(app_name="answers", emit=Events(), configure_logs=False)
    app.route("/anything", methods=["GET"])(_fine)
    headers = [("Accept", accept)] if accept else []
    found = call(app, event("GET", "/anything", headers=headers))
    assert (found.status, found.body) == (418, '{"Code": "ours"}')
    assert app.api.binary_types == []


def test_a_views_own_error_response_is_unchanged() -> None:
    found = answer(_fine, "/anything")
    assert (found.status, found.body, found.headers["X"]) == (418, '{"Code": "ours"}', "y")


def test_a_body_other_than_chalices_error_is_unchanged() -> None:
    assert answer(lambda: {"code": 1}, "/anything").json == {"code": 1}
    assert answer(lambda: ["Code"], "/anything").json == ["Code"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_unsupported_method_is_answered_with_the_allowed_methods(method: str) -> None:
    found = answer(_fine, "/anything", method=method)
    assert_oauth(found, 405, "invalid_request")
    assert found.headers["Allow"] == "GET, POST"
    found = answer(_fine, "/clients", method=method)
    assert_problem(found, 405, "method-not-allowed")
    assert found.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize("path", ["/nothing", "/nothing/at/all"])
def test_an_unknown_path_is_not_found(path: str) -> None:
    app = CredentialsApp(app_name="answers", emit=Events(), configure_logs=False)
    found = call(app, event("GET", path))
    assert_oauth(found, 404, "invalid_request")
    assert "Allow" not in found.headers
    assert_problem(call(app, event("GET", "/clients" + path)), 404, "not-found")
    assert_problem(call(app, event("GET", "/denials" + path)), 404, "not-found")


def test_an_unsupported_media_type_gets_the_applications_error() -> None:
    found = answer(_fine, "/anything", method="POST", content_type=f"text/{SECRET}")
    assert_oauth(found, 415, "invalid_request")
    assert SECRET not in str(found)
    found = answer(_fine, "/clients", method="POST", content_type=f"text/{SECRET}")
    assert_problem(found, 415, "unsupported-media-type")
    assert SECRET not in str(found)


def test_a_crashing_view_gets_the_applications_error() -> None:
    found = answer(_crash, "/anything")
    assert_oauth(found, 500, "server_error")
    assert SECRET not in str(found)
    found = answer(_crash, "/denials")
    assert_problem(found, 500, "internal-server-error")
    assert SECRET not in str(found)


@pytest.mark.parametrize("kind", [BadRequestError, UnauthorizedError, ForbiddenError])
def test_chalice_exceptions_get_the_applications_error_without_their_text(
    kind: type[ChaliceViewError],
) -> None:
    def view() -> None:
        raise kind(SECRET)

    found = answer(view, "/anything")
    assert found.json.keys() == {"error", "error_description"}
    assert SECRET not in str(found)
    found = answer(view, "/clients")
    assert found.headers["Content-Type"] == "application/problem+json"
    assert SECRET not in str(found)


# Events that are no requests

WARM_UPS: list[tuple[Any, str | None]] = [
    ({}, None),
    ({"source": "serverless-plugin-warmup"}, "serverless-plugin-warmup"),
    ({"warmer": True, "concurrency": 3}, None),
    (
        {
            "version": "0",
            "source": "aws.events",
            "detail-type": "Scheduled Event",
            "resources": ["arn:aws:events:us-east-1:123456789012:rule/warm"],
            "detail": {},
        },
        "aws.events",
    ),
    ({"source": ["x"]}, None),
    ({"source": f"{SECRET} {SECRET}"}, None),
    ({"source": "\ud800"}, None),
    ({"requestContext": None}, None),
    ([], None),
    (None, None),
    ("warm", None),
    (1, None),
]


def _deaf() -> tuple[CredentialsApp, Events]:
    events = Events()
    return CredentialsApp(app_name="answers", emit=events, configure_logs=False), events


@pytest.mark.parametrize(("sent", "source"), WARM_UPS)
def test_an_event_that_keeps_the_function_warm_is_logged_and_gets_204(
    sent: Any, source: str | None
) -> None:
    app, events = _deaf()
    found = call(app, sent)
    assert (found.status, found.body, found.headers) == (204, "", {})
    assert events.seen == [{"event": "not_a_request", "source": source}]


@pytest.mark.parametrize(
    "context",
    [
        {"http": {"method": "POST", "path": "/oauth2/token"}, "apiId": "a1b2c3d4e5"},
        {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/x/1"}},
        {"routeKey": "$default", "connectionId": "x"},
        {"resourcePath": "/oauth2/token"},
        {"resourcePath": None, "httpMethod": "POST"},
        {},
    ],
    ids=["HTTP API or function URL", "load balancer", "web socket", "no method", "no path", "none"],
)
def test_a_request_from_another_kind_of_gateway_is_logged_and_gets_500(
    context: dict[str, Any],
) -> None:
    app, events = _deaf()
    found = call(app, {"version": "2.0", "requestContext": context, "body": SECRET})
    assert_oauth(found, 500, "server_error")
    assert events.seen == [{"event": "not_a_request", "source": None}]


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(), max_size=5)),
        lambda part: st.one_of(
            st.lists(part, max_size=3),
            st.dictionaries(
                st.sampled_from(["source", "requestContext", "resourcePath", "x"]), part, max_size=3
            ),
        ),
        max_leaves=8,
    )
)
def test_no_json_that_is_no_request_crashes_the_application(sent: Any) -> None:
    app, events = _deaf()
    assert call(app, sent).status in {204, 500}
    json.dumps(events.seen, ensure_ascii=False).encode()
    assert [each["event"] for each in events.seen] == ["not_a_request"]
