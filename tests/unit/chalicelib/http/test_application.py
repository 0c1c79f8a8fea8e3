"""Replacement of Chalice's built-in error responses."""

from __future__ import annotations

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

from chalicelib.http.application import CredentialsApp
from tests.gateway import Answer, call, event

SECRET = "a-secret-that-chalice-would-quote"


def answer(
    view: Callable[[], Any], path: str, *, method: str = "GET", content_type: str | None = None
) -> Answer:
    """Return the answer of an app with *view* at *path*."""
    app = CredentialsApp(app_name="answers", configure_logs=False)
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
    app = CredentialsApp(app_name="answers", configure_logs=False)
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
    app = CredentialsApp(app_name="answers", configure_logs=False)
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
