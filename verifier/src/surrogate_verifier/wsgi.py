"""WSGI middleware: Flask, Django, Pyramid, or no framework."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from .bearer import answer_to, checked_realm, token_in
from .errors import RequestRefusedError
from .token import VerifiedToken
from .verifier import Verifier

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TOKEN: Final = "surrogate_verifier.token"  # noqa: S105 - where to find it


class BearerWsgi:
    """
    WSGI middleware that passes requests to *app* only with an accepted token.

    Args:
        app: The protected application.
        verifier: The verifier of the tokens.
        realm: The name of the protected resource in the `WWW-Authenticate` header.
        scopes_for: Returns the scopes that a method and path need beyond the verifier's.
        public_paths: Paths (to the letter) that need no token, such as a health check's.
    """

    def __init__(
        self,
        app: WSGIApplication,
        verifier: Verifier,
        *,
        realm: str,
        scopes_for: Callable[[str, str], Collection[str]] | None = None,
        public_paths: Collection[str] = (),
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._realm = checked_realm(realm)
        self._scopes_for = scopes_for
        self._public_paths = frozenset(public_paths)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        environ.pop(TOKEN, None)
        path = environ.get("PATH_INFO", "")
        if path in self._public_paths:
            return self._app(environ, start_response)
        method = environ["REQUEST_METHOD"]
        try:
            token = self._verifier.verify(token_in(environ.get("HTTP_AUTHORIZATION")))
            if self._scopes_for is not None:
                token.require(*self._scopes_for(method, path))
        except RequestRefusedError as err:
            answer = answer_to(err, self._realm)
            status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
            start_response(status, list(answer.headers))
            return [] if method == "HEAD" else [answer.body]
        environ[TOKEN] = token
        return self._app(environ, start_response)


def token_of(environ: WSGIEnvironment) -> VerifiedToken:
    """
    Return the verified token of the request.

    Raises:
        KeyError: If the path is public, so that no token was read.
    """
    token: VerifiedToken = environ[TOKEN]
    return token
