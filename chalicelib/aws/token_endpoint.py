"""
Cognito's token endpoint, over pooled connections with one TLS context.

The adapter bounds, checks and translates its answers, and passes on only a token and
its lifetime.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from functools import cached_property

import requests
from urllib3.exceptions import HTTPError

from chalicelib.aws.http_session import TooMuchError, bounded_body, retry_once, wary_session
from chalicelib.errors import (
    AppClientRefusedError,
    TokenEndpointUnavailableError,
    TokenNotIssuedError,
)
from chalicelib.model import AccessToken, AppClient
from chalicelib.ports import Clock, Deadline

_CONNECT_SECONDS = 0.25  # for each address of the name
_READ_SECONDS = 1.5
_LEAST_SECONDS = 0.2
_MAX_ANSWER_BYTES = 65_536
_OK = 200
_REFUSED = frozenset({400, 401})  # RFC 6749 §5.2
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_B64TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 §2.1
_CLAIM = "surrogate_client_id"  # of the exchange's metadata, and of the trigger's stamp
# Cognito's errors when the app client, its secret or its scope differs from the record.
_REFUSALS = frozenset({"invalid_client", "unauthorized_client", "invalid_scope", "invalid_grant"})


class CognitoTokenEndpoint:
    """`TokenEndpoint` at *url*."""

    def __init__(self, url: str, clock: Clock) -> None:
        """Request tokens from *url*; lifetimes count from *clock*."""
        self._url = url
        self._clock = clock

    @cached_property
    def _session(self) -> requests.Session:
        return wary_session(retry_once("POST"))  # a retry costs at most the price of one token

    def request_token(
        self, app_client: AppClient, scope: str, metadata: Mapping[str, str], deadline: Deadline
    ) -> AccessToken:
        """See `TokenEndpoint.request_token`."""
        form = {
            "grant_type": "client_credentials",
            "client_id": app_client.app_client_id,
            "client_secret": app_client.client_secret,
            "scope": scope,
            "aws_client_metadata": json.dumps(metadata, separators=(",", ":")),
        }
        asked_at = self._clock()
        status, answer = self._post(form, deadline)
        if status == _OK:
            return _token(answer, asked_at, metadata)
        refusal = _refusal(answer) if status in _REFUSED else None
        if refusal is not None:
            raise AppClientRefusedError(refusal)
        if status < _SERVER_ERROR and status != _TOO_MANY_REQUESTS:
            raise TokenNotIssuedError(f"The token endpoint answered {status}.")
        raise TokenEndpointUnavailableError(f"The token endpoint answered {status}.")

    def reachable(self, deadline: Deadline) -> bool:
        """See `TokenEndpoint.reachable`.  Cognito refuses an empty form, and bills only tokens."""
        try:
            status, _ = self._post({}, deadline)
        except TokenEndpointUnavailableError:
            return False
        return status < _SERVER_ERROR

    def _post(self, form: Mapping[str, str], deadline: Deadline) -> tuple[int, object]:
        left = deadline.remaining()
        # Two attempts to connect and read fit into the remaining time.
        connect, read = min(_CONNECT_SECONDS, left / 8), min(_READ_SECONDS, left * 3 / 8)
        if read < _LEAST_SECONDS:
            raise TokenNotIssuedError("There is no time left.")
        try:
            with self._session.post(
                self._url,
                data=form,
                timeout=(connect, read),
                allow_redirects=False,
                stream=True,
                headers={"Accept": "application/json"},
            ) as response:
                return response.status_code, _body(response, deadline)
        except (requests.RequestException, HTTPError, OSError) as err:
            # The cause may contain the request, and so the secret.
            raise TokenEndpointUnavailableError(type(err).__name__) from None


def _body(response: requests.Response, deadline: Deadline) -> object:
    """Return the JSON of *response*, `None` if it is not JSON, within size limit and deadline."""
    try:
        content = bounded_body(response, _MAX_ANSWER_BYTES, deadline)
    except TooMuchError as err:
        raise TokenEndpointUnavailableError(str(err)) from None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _refusal(answer: object) -> str | None:
    """Return the error code if it concerns the app client or its scope, else `None`."""
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, str) and error in _REFUSALS else None


def _token(answer: object, asked_at: float, metadata: Mapping[str, str]) -> AccessToken:
    if isinstance(answer, dict):
        value, life = answer.get("access_token"), answer.get("expires_in")
        bearer = str(answer.get("token_type", "")).lower() == "bearer"
        if (
            isinstance(value, str)
            and _B64TOKEN.fullmatch(value)
            and type(life) is int
            and life > 0
            and bearer
        ):
            return AccessToken(value, int(asked_at) + life, _is_stamped(value, metadata))
    raise TokenEndpointUnavailableError("The token endpoint's answer is not a token.")


def _is_stamped(token: str, metadata: Mapping[str, str]) -> bool:
    """
    Return whether *token* names the client of *metadata*.

    Of a token that cannot be read nothing is known: it passes for stamped.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return bool(claims.get(_CLAIM) == metadata.get(_CLAIM))
    except (LookupError, ValueError, AttributeError, RecursionError):
        return True
