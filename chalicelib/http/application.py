"""
Our own words for what Chalice answers by itself.

A path it does not know, a method it was not told, a view that crashed: it
answers in its own shape.  `CredentialsApp` gives each surface's shape instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from chalice.app import Chalice, Response

from chalicelib.errors import InvalidRequestError, OAuthError, OAuthServerError
from chalicelib.http.problem import Problem
from chalicelib.token import oauth

_ADMIN = ("/clients", "/denials")


class CredentialsApp(Chalice):
    """A Chalice application that answers in our words, and in text only."""

    def __init__(self, app_name: str, **options: Any) -> None:  # noqa: ANN401 - Chalice's own
        """See `Chalice`."""
        super().__init__(app_name, **options)
        # Chalice compares the media types of every request and answer with each of these,
        # which takes it a third of its time; and nothing here is binary.
        self.api.binary_types = []

    # Not a middleware: Chalice makes a chain of those anew for each request.
    def __call__(self, event: Any, context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own
        """Answer *event*; replace what Chalice made up itself."""
        answer = super().__call__(event, context)
        # What we answer ourselves says what it is; Chalice's own errors do not.
        if "Content-Type" in answer["headers"] or not _is_chalices_own(answer):
            return answer
        return _in_our_words(event, answer).to_dict()


def _is_chalices_own(answer: Mapping[str, Any]) -> bool:
    try:
        body = json.loads(answer["body"])
    except ValueError:
        return False
    return isinstance(body, dict) and "Code" in body


def _in_our_words(event: Mapping[str, Any], answer: Mapping[str, Any]) -> Response:
    allowed = answer["headers"].get("Allow")
    # No method is allowed: how Chalice answers for a path that is none of its routes.
    status_code = HTTPStatus.NOT_FOUND if allowed == "" else HTTPStatus(answer["statusCode"])
    path = str(event.get("requestContext", {}).get("resourcePath", ""))
    ours = _answer(path, status_code)
    if allowed:
        ours.headers["Allow"] = allowed
    return ours


def _answer(path: str, status_code: HTTPStatus) -> Response:
    if path.startswith(_ADMIN):
        return _problem(status_code)
    answer = oauth.render_error(_error(status_code))
    return Response(answer.body, dict(answer.headers), status_code)


def _error(status_code: HTTPStatus) -> OAuthError:
    if status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return OAuthServerError()
    return InvalidRequestError("There is nothing at this path for this method and media type.")


def _problem(status_code: HTTPStatus) -> Response:
    phrase = status_code.phrase
    problem = Problem(status_code, phrase.lower().replace(" ", "-"), phrase, phrase + ".")
    return Response(problem.body, problem.headers, problem.status)
