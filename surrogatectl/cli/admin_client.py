"""Talks to the admin API, signed with IAM (SigV4)."""

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
# What deployment/templates.py calls what the gateway answers by itself.
_GATEWAY = "gateway"
UNREACHABLE_API = "unreachable"
"""The type of the document that stands for no answer."""


class AdminApiError(Exception):
    """
    The admin API did not do what was asked.

    *problem* is its problem document (RFC 9457), or an own one if it did not
    answer.
    """

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "It failed."))
        self.problem = dict(problem)

    def reports(self, error: type[OperationError]) -> bool:
        """Return whether the API reports *error*."""
        return reports(str(self.problem.get("type", "")), error)

    @property
    def status(self) -> int:
        """The HTTP status, 0 if there was no answer."""
        return int(self.problem.get("status", 0))


class NoAnswerFromApiError(AdminApiError):
    """The admin API does not answer."""


class GatewayError(AdminApiError):
    """The gateway answered by itself."""


class AdminClient:
    """The admin API at *base_url* in *region*, called with the SDK's own credentials."""

    def __init__(self, base_url: str, region: str) -> None:
        """Call the API below *base_url*."""
        self._base_url = base_url
        self._region = region
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
        Return the JSON that the API answers.

        Raises:
            AdminApiError: If it answers a problem, or not at all.
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
                    "detail": f"The admin API in {self._region} does not answer "
                    f"({type(err).__name__}). `surrogatectl status` tells what is ill.",
                }
            ) from None
        return _content(answer, self._region)

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
            SigV4Auth(found, "execute-api", self._region).add_auth(request)
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
    """Leave the signature alone: requests would put what a .netrc has in its place."""
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
        raise GatewayError(_told_by_the_gateway(answer, content, region))
    raise AdminApiError({**content, "status": answer.status_code})


def _told_by_the_gateway(
    answer: requests.Response, content: Mapping[str, Any], region: str
) -> Mapping[str, Any]:
    """Return the gateway's own answer as a problem that says how to mend it."""
    words = ("detail", "message", "Message", "error_description")
    said = next((content[each] for each in words if content.get(each)), answer.reason)
    if answer.status_code == _FORBIDDEN:
        title = "Refused by the gateway"
        said = f"{said} Does your IAM policy allow execute-api:Invoke on this API?"
    else:
        title = f"The gateway answered {answer.status_code}"
    detail = f"{region}: {said}"
    return {"type": _GATEWAY, "title": title, "detail": detail, "status": answer.status_code}
