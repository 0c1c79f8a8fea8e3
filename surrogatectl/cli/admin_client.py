"""Client of the admin API; requests are signed with IAM (SigV4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import boto3
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, NoCredentialsError

from chalicelib.errors import OperationError
from chalicelib.http.problems import reports

_SECONDS = (3.05, 30)
_FORBIDDEN = 403
# Problem type of the gateway's own answers, from deployment/templates.py.
_GATEWAY = "gateway"
UNREACHABLE_API = "unreachable"
"""Problem type of a missing answer."""


class AdminApiError(Exception):
    """
    Failed call of the admin API.

    *problem* is the API's problem document (RFC 9457), or a local one without an answer.
    """

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "It failed."))
        self.problem = dict(problem)

    def reports(self, error: type[OperationError]) -> bool:
        """Return whether the API reports *error*."""
        return reports(str(self.problem.get("type", "")), error)

    @property
    def status(self) -> int:
        """HTTP status; 0 without an answer."""
        return int(self.problem.get("status", 0))


class NoAnswerFromApiError(AdminApiError):
    """Missing answer of the admin API."""


class GatewayError(AdminApiError):
    """Answer of the gateway itself, not of the function behind it."""


class AdminClient:
    """Client of the admin API at *base_url* in *region*, with the SDK's credentials."""

    def __init__(self, base_url: str, region: str) -> None:
        """Call the API below *base_url*."""
        self._base_url = base_url
        self.region = region
        self._session = requests.Session()

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """
        Return the API's JSON answer.

        Raises:
            AdminApiError: If the API answers with a problem, or not at all.
        """
        url = self._base_url + quote(path)
        if query:
            url += "?" + urlencode(query)
        request = self._signed(method, url, body, headers or {})
        try:
            answer = self._session.request(
                method,
                str(request.url),
                data=request.body,
                headers=dict(request.headers),
                timeout=_SECONDS,
                allow_redirects=False,
                auth=_as_signed,
            )
        except requests.RequestException as err:
            raise NoAnswerFromApiError(
                {
                    "type": UNREACHABLE_API,
                    "title": "No answer",
                    "detail": f"The admin API in {self.region} does not answer "
                    f"({type(err).__name__}). Run `surrogatectl status`.",
                }
            ) from None
        return _content(answer, self.region)

    def _signed(
        self, method: str, url: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> AWSRequest:
        data = b"" if body is None else json.dumps(body).encode()
        request = AWSRequest(
            method, url, data=data, headers={"Content-Type": "application/json", **headers}
        )
        try:
            found = boto3.Session().get_credentials()
            if found is None:
                raise NoCredentialsError
            SigV4Auth(found, "execute-api", self.region).add_auth(request)
        except BotoCoreError as err:
            raise AdminApiError(
                {
                    "type": "credentials",
                    "title": "No AWS credentials",
                    "status": 400,
                    "detail": f'{err}. For the local cloud: eval "$(make -s env)".',
                }
            ) from None
        return request


def _as_signed(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep the signature, which requests would replace with credentials from a .netrc."""
    return request


def _content(answer: requests.Response, region: str) -> dict[str, Any]:
    try:
        content = answer.json() if answer.content else {}
    except ValueError:
        content = {}
    if not isinstance(content, dict):
        content = {}
    if answer.ok:
        return content
    slug = str(content.get("type", _GATEWAY)).rpartition(":")[2]
    if slug.startswith(_GATEWAY):
        raise GatewayError(_gateway_problem(answer, content, region))
    raise AdminApiError({**content, "status": answer.status_code})


def _gateway_problem(
    answer: requests.Response, content: Mapping[str, Any], region: str
) -> Mapping[str, Any]:
    """Return the gateway's own answer as a problem with a remedy."""
    members = ("detail", "message", "Message", "error_description")
    reason = next((content[each] for each in members if content.get(each)), answer.reason)
    if answer.status_code == _FORBIDDEN:
        title = "Refused by the gateway"
        reason = f"{reason} Does your IAM policy allow execute-api:Invoke on this API?"
    else:
        title = f"The gateway answered {answer.status_code}"
    detail = f"{region}: {reason}"
    return {"type": _GATEWAY, "title": title, "detail": detail, "status": answer.status_code}
