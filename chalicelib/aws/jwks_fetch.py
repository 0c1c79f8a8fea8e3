"""Key set of a user pool, fetched from Cognito."""

from __future__ import annotations

import json
from functools import cached_property

import requests
from urllib3.exceptions import HTTPError

from chalicelib.aws.http_session import TooMuchError, bounded_body, retry_once, wary_session
from chalicelib.errors import KeysUnavailableError
from chalicelib.jwks import document as jwks
from chalicelib.jwks.document import SigningKey
from chalicelib.ports import Clock
from chalicelib.timing import Countdown

_CONNECT_SECONDS = 1.0
_READ_SECONDS = 2.0
_TOTAL_SECONDS = 5.0
_MAX_ANSWER_BYTES = 65_536
_OK = 200


class PoolKeys:
    """`FetchKeys` at *url*, which the settings derive from a Region and a pool."""

    def __init__(self, url: str, clock: Clock) -> None:
        """Fetch from *url*."""
        self._url = url
        self._clock = clock

    @cached_property
    def _session(self) -> requests.Session:
        return wary_session(retry_once("GET"))

    def fetch(self) -> tuple[SigningKey, ...]:
        """
        Return the pool's keys.

        Raises:
            KeysUnavailableError: If there is no valid answer in time.
        """
        deadline = Countdown(self._clock, _TOTAL_SECONDS)
        try:
            with self._session.get(
                self._url,
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                allow_redirects=False,
                stream=True,
                headers={"Accept": "application/json"},
            ) as response:
                if response.status_code != _OK:
                    raise KeysUnavailableError(f"It answers {response.status_code}.")
                content = bounded_body(response, _MAX_ANSWER_BYTES, deadline)
        except TooMuchError as err:
            raise KeysUnavailableError(str(err)) from None
        except (requests.RequestException, HTTPError, OSError) as err:
            raise KeysUnavailableError(f"It does not answer ({type(err).__name__}).") from None
        try:
            return jwks.keys_of(json.loads(content))
        except (ValueError, RecursionError):
            raise KeysUnavailableError("It is not JSON.") from None
