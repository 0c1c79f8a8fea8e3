"""WSGI interface of the application: each request becomes an API Gateway event."""

from __future__ import annotations

from collections.abc import Iterable
from http.client import responses
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from chalice.app import Chalice, IAMAuthorizer

from tests.gateway import call, event
from tests.worlds import CALLER

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

STAGE = "/api"
SIGNATURE = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEEXAMPLE00/20270115/us-east-1/execute-api/aws4"


class Gateway:
    """
    API Gateway in front of *app*.

    On a route with IAM, a request with `SIGNATURE` comes from `CALLER`; any other
    arrives without an ARN, as if no gateway checked signatures.  Unknown paths and
    methods reach the function, too.
    """

    def __init__(self, app: Chalice) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        path = environ["REQUEST_URI"].partition("?")[0].removeprefix(STAGE)
        headers = _headers(environ)
        resource, path_parameters = self._match(path)
        answer = call(
            self._app,
            event(
                method,
                path,
                headers=list(headers.items()),
                body=_body(environ),
                query=parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True),
                user_arn=CALLER if self._signed(method, resource, headers) else None,
                path_parameters=path_parameters,
                resource=resource,
            ),
        )
        body = answer.body.encode()
        status = f"{answer.status} {responses[answer.status]}"
        start_response(status, [*answer.headers.items(), ("Content-Length", str(len(body)))])
        return [body]

    def _match(self, path: str) -> tuple[str, dict[str, str] | None]:
        """Return the resource that *path* belongs to, and the parameters in it."""
        sent = path.split("/")
        for resource in self._app.routes:
            parts = resource.split("/")
            pairs = list(zip(parts, sent, strict=False))
            if len(parts) == len(sent) and all(part == text or "{" in part for part, text in pairs):
                found = {part.strip("{}"): unquote(text) for part, text in pairs if "{" in part}
                return resource, found or None
        return path, None

    def _signed(self, method: str, resource: str, headers: dict[str, str]) -> bool:
        route = self._app.routes.get(resource, {}).get(method)
        iam = route is not None and isinstance(route.authorizer, IAMAuthorizer)
        return iam and headers.get("Authorization") == SIGNATURE


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = environ["CONTENT_TYPE"]
    return headers


def _body(environ: WSGIEnvironment) -> str | bytes | None:
    """Return the body as it arrives: base64-encoded where it is no text."""
    raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    try:
        return raw.decode() or None
    except UnicodeDecodeError:
        return bytes(raw)
