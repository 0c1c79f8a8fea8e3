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

_SECONDS = (3.05, 30)
_FORBIDDEN = 403
# What deployment/templates.py calls what the gateway answers by itself.
_GATEWAY = "gateway"


class AdminApiError(Exception):
    """
    The admin API did not do what was asked.

    *problem* is its problem document (RFC 9457), or an own one if it did not
    answer.
    """

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "It failed."))
        self.problem = dict(problem)

    @property
    def slug(self) -> str:
        """The last part of the problem's type."""
        return str(self.problem.get("type", "")).rpartition(":")[2]

    @property
    def status(self) -> int:
        """The HTTP status, 0 if there was no answer."""
        return int(self.problem.get("status", 0))


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
            raise AdminApiError(
                {
                    "type": "unreachable",
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
    raise AdminApiError({**_problem(answer, content, region), "status": answer.status_code})


def _problem(
    answer: requests.Response, content: Mapping[str, Any], region: str
) -> Mapping[str, Any]:
    """Return the problem; what the gateway says by itself is put into words that help."""
    slug = str(content.get("type", _GATEWAY)).rpartition(":")[2]
    if not slug.startswith(_GATEWAY):
        return content
    words = ("detail", "message", "Message", "error_description")
    said = next((content[each] for each in words if content.get(each)), answer.reason)
    if answer.status_code == _FORBIDDEN:
        title = "Refused by the gateway"
        said = f"{said} Does your IAM policy allow execute-api:Invoke on this API?"
    else:
        title = f"The gateway answered {answer.status_code}"
    return {"type": _GATEWAY, "title": title, "detail": f"{region}: {said}"}
