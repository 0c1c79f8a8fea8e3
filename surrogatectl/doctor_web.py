"""What `doctor` asks over HTTP, TLS and DNS, without AWS's SDK."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any

import requests

from .pools import post_nothing

_SECONDS = 5.0
_HTTPS = 443


@dataclass(frozen=True, slots=True)
class Web:
    """The network, as `doctor` needs it; a test brings its own."""

    def get(self, url: str) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of *url*; status 0 if nobody answers."""
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(url, timeout=_SECONDS, allow_redirects=False)
        except requests.RequestException:
            return 0, {}
        try:
            content = answer.json()
        except ValueError:
            content = {}
        return answer.status_code, content if isinstance(content, dict) else {}

    def post_nothing(self, url: str) -> int:
        """Post an empty form to *url*; return the status, 0 if nobody answers."""
        return post_nothing(url)

    def resolve(self, host: str) -> list[str]:
        """Return the addresses of *host*, none if it does not resolve."""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            return []
        return sorted({str(address[4][0]) for address in found})

    def certificate_ends(self, host: str, port: int = _HTTPS) -> float:
        """
        Return when the certificate that *host* shows expires.

        Raises:
            OSError: If there is no connection, or the certificate is not valid.
        """
        context = ssl.create_default_context()
        with (
            socket.create_connection((host, port), timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown = secured.getpeercert() or {}
        return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))
