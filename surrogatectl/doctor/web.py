"""Requests of `doctor` over HTTP, TLS and DNS, without AWS's SDK."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Protocol

import requests

from surrogatectl.setup.pools import post_nothing

_SECONDS = 5.0


class Web(Protocol):
    """The network, as `doctor` needs it."""

    def get(self, url: str) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of *url*; status 0 if nobody answers."""

    def post_nothing(self, url: str) -> int:
        """Post an empty form to *url*; return the status, 0 if nobody answers."""

    def resolve(self, host: str) -> list[str]:
        """Return the addresses of *host*, none if it does not resolve."""

    def certificate_ends(self, host: str, port: int) -> float:
        """
        Return when the certificate that *host* shows expires.

        Raises:
            OSError: If there is no connection, or the certificate is not valid.
        """


class Internet:
    """
    `Web`, really; *trusted* verifies certificates, by default as this machine does.

    An answer is waited for *seconds* at most.
    """

    def __init__(self, trusted: ssl.SSLContext | None = None, *, seconds: float = _SECONDS) -> None:
        self._trusted = trusted
        self._seconds = seconds

    def get(self, url: str) -> tuple[int, dict[str, Any]]:
        """See `Web.get`."""
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(url, timeout=self._seconds, allow_redirects=False)
        except requests.RequestException:
            return 0, {}
        try:
            content = answer.json()
        except ValueError:
            content = {}
        return answer.status_code, content if isinstance(content, dict) else {}

    def post_nothing(self, url: str) -> int:
        """See `Web.post_nothing`."""
        return post_nothing(url)

    def resolve(self, host: str) -> list[str]:
        """See `Web.resolve`."""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            return []
        return sorted({str(address[4][0]) for address in found})

    def certificate_ends(self, host: str, port: int) -> float:
        """See `Web.certificate_ends`."""
        context = self._trusted or ssl.create_default_context()
        with (
            socket.create_connection((host, port), timeout=self._seconds) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown = secured.getpeercert() or {}
        return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))
