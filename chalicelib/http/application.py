"""
Chalice application: one current request per thread, and error bodies of our own.

Chalice keeps one current request for the whole application.  Lambda calls it once at a
time; with another host's threads, a view would read another client's credentials.
Chalice also answers unknown paths, unknown methods and crashed views in a format of its
own; `CredentialsApp` answers with OAuth errors and problem documents.  An event that is
no request, such as one that keeps the function warm, is logged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from threading import local
from typing import Any

from chalice.app import Chalice, Request, Response

from chalicelib.errors import InvalidRequestError, OAuthError, OAuthServerError
from chalicelib.http.problem import Problem
from chalicelib.ports import Emit
from chalicelib.token import oauth

_ADMIN = ("/clients", "/denials")
_SOURCE = re.compile(r"[A-Za-z0-9._:/-]{1,64}")


class _Current(local):
    """The request that a thread answers, and its Lambda context."""

    request: Request | None = None
    context: Any = None


class CredentialsApp(Chalice):
    """A Chalice application with our error bodies, and without binary media types."""

    def __init__(self, app_name: str, *, emit: Emit, **options: Any) -> None:  # noqa: ANN401
        """See `Chalice`; log events that are no requests with *emit*."""
        self._current = _Current()
        self._emit = emit
        super().__init__(app_name, **options)
        # Chalice compares the media types of every request and answer with each of these,
        # which takes a third of its time; no answer here is binary.
        self.api.binary_types = []

    @property
    def current_request(self) -> Request | None:
        """The request that this thread answers."""
        return self._current.request

    @current_request.setter
    def current_request(self, request: Request | None) -> None:
        self._current.request = request

    @property
    def lambda_context(self) -> Any:  # noqa: ANN401 - Lambda's own
        """The Lambda context of the request that this thread answers."""
        return self._current.context

    @lambda_context.setter
    def lambda_context(self, context: Any) -> None:  # noqa: ANN401 - Lambda's own
        self._current.context = context

    # Not a middleware: Chalice builds their chain again for each request.
    def __call__(self, event: Any, context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's own
        """Answer *event*: Chalice's error bodies are replaced, and HEAD gets no body."""
        if not _is_request(event):
            self._emit({"event": "not_a_request", "source": _source(event)})
            # An event of another kind of gateway is a client's request all the same.
            if _member(event, "requestContext") is None:
                return Response("", {}, HTTPStatus.NO_CONTENT).to_dict()
            return _answer("", HTTPStatus.INTERNAL_SERVER_ERROR).to_dict()
        answer = super().__call__(event, context)
        # Our own answers have a Content-Type; Chalice's built-in errors have none.
        if "Content-Type" not in answer["headers"] and _is_built_in(answer):
            answer = _replacement(event, answer).to_dict()
        if event["requestContext"]["httpMethod"] == "HEAD":
            answer["body"] = ""
        return answer


def _member(part: object, name: str) -> object:
    return part.get(name) if isinstance(part, dict) else None


def _source(event: object) -> str | None:
    """Return who sent *event*, as EventBridge and warm-up plug-ins say."""
    source = _member(event, "source")
    return source if isinstance(source, str) and _SOURCE.fullmatch(source) else None


def _is_request(event: object) -> bool:
    """Return whether *event* comes from a REST API of API Gateway."""
    context = _member(event, "requestContext")
    return isinstance(_member(context, "resourcePath"), str) and isinstance(
        _member(context, "httpMethod"), str
    )


def _is_built_in(answer: Mapping[str, Any]) -> bool:
    try:
        body = json.loads(answer["body"])
    except ValueError:
        return False
    return isinstance(body, dict) and "Code" in body


def _replacement(event: Mapping[str, Any], answer: Mapping[str, Any]) -> Response:
    allowed = answer["headers"].get("Allow")
    # For a path without a route, Chalice answers that no method is allowed.
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
