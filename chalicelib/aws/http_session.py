"""HTTP client for Cognito's public endpoints: pooled, without a proxy, bounded."""

from __future__ import annotations

import ssl
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from chalicelib.ports import Deadline

_CHUNK_BYTES = 4_096


class TooMuchError(Exception):
    """An answer exceeds its size limit or its deadline."""


class SharedContextAdapter(HTTPAdapter):
    """
    An adapter whose connections share one TLS context.

    requests would load its CA bundle into the context for every connection, which
    takes 15 ms and widens the context's trust; the hooks below leave it unchanged.
    """

    def __init__(self, context: ssl.SSLContext, retry: Retry) -> None:
        self._context = context
        super().__init__(max_retries=retry)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as requests
        """Construct a pool manager whose connections use the context."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Return the host and the context as the only key of a pooled connection."""
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {"ssl_context": self._context}

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Do nothing: the context verifies certificate and host name."""


def retry_once(method: str) -> Retry:
    """Return the retries of *method*: one, and none if the answer is a request to slow down."""
    return Retry(
        total=1,
        redirect=0,
        allowed_methods=[method],
        status_forcelist=(500, 502, 503, 504),
        raise_on_status=False,
        respect_retry_after_header=False,
    )


def wary_session(retry: Retry) -> requests.Session:
    """Return a session without settings from the environment, and without cookies."""
    session = requests.Session()
    session.trust_env = False  # no proxy, no .netrc, no other CA bundle
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    context = ssl.create_default_context(cafile=certifi.where())
    session.mount("https://", SharedContextAdapter(context, retry))
    session.mount("http://127.0.0.1", HTTPAdapter(max_retries=retry))
    return session


def bounded_body(response: requests.Response, most_bytes: int, deadline: Deadline) -> bytes:
    """
    Return the body of a streamed *response*.

    Raises:
        TooMuchError: If it is longer than *most_bytes*, or *deadline* ends first.
    """
    content = bytearray()
    # `iter_content` would wait until a chunk is full, however slowly it arrives;
    # `read1` returns the bytes that have arrived.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > most_bytes or not deadline.remaining():
            raise TooMuchError("The answer is too long or too slow.")
    return bytes(content)
