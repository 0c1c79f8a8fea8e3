"""
Our own words for what Chalice answers by itself.

A path it does not know, a method it was not told, a view that crashed: it
answers in its own shape.  This middleware gives each surface's shape instead.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from chalice.app import Chalice, Request, Response

from . import oauth
from .errors import InvalidRequestError, OAuthError, OAuthServerError, ProblemError
from .problem import problem_response

_ADMIN = ("/clients", "/denials")


def speak_for(app: Chalice) -> None:
    """Have *app* answer in our words, and in text only."""
    app.register_middleware(own_words, "http")
    # Chalice compares the media types of every request and answer with each of these,
    # which takes it a third of its time; and nothing here is binary.
    app.api.binary_types = []


def own_words(event: Request, get_response: Callable[[Any], Response]) -> Response:
    """Answer *event*; replace what Chalice made up itself."""
    response = get_response(event)
    # All that we answer ourselves is text by now.
    if isinstance(response.body, str) or not _is_chalices_own(response):
        return response
    allowed = response.headers.get("Allow")
    if allowed == "":
        # How Chalice answers for a path that is none of its routes.
        return _in_our_words(event, HTTPStatus.NOT_FOUND)
    ours = _in_our_words(event, response.status_code)
    if allowed:
        ours.headers["Allow"] = allowed
    return ours


def _in_our_words(event: Request, status_code: int) -> Response:
    if str(event.context.get("resourcePath", "")).startswith(_ADMIN):
        return _problem(status_code)
    answer = oauth.render_error(_error(status_code))
    return Response(answer.body, dict(answer.headers), status_code)


def _is_chalices_own(response: Response) -> bool:
    return isinstance(response.body, dict) and "Code" in response.body


def _error(status_code: int) -> OAuthError:
    if status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return OAuthServerError()
    return InvalidRequestError("There is nothing at this path for this method and media type.")


def _problem(status_code: int) -> Response:
    phrase = HTTPStatus(status_code).phrase
    return problem_response(
        ProblemError(status_code, phrase.lower().replace(" ", "-"), phrase, phrase + ".")
    )
