"""The application as `app.py` wires it, over a Region on loopback, in this process."""

from __future__ import annotations

import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TextIO

from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from chalice.app import Chalice

from benchmarks.region import ServedRegion, client, elsewhere, environment
from chalicelib.credentials import OWASP_19_MIB, SecretHasher
from chalicelib.http.application import CredentialsApp
from chalicelib.http.token_routes import TokenSurface, token_routes
from chalicelib.model import IssuedCredentials
from chalicelib.token.exchange import Exchange
from chalicelib.token.oauth import FORM, HttpRequest
from tests.gateway import SOURCE_IP, basic, event

Call = Callable[[], dict[str, Any]]
GRANT = "grant_type=client_credentials"


class AuditedArgon2(PasswordHasher):
    """Production's argon2 hasher, with an event for the audit hook."""

    def __init__(self) -> None:
        super().__init__(
            time_cost=OWASP_19_MIB.time_cost,
            memory_cost=OWASP_19_MIB.memory_cost,
            parallelism=OWASP_19_MIB.parallelism,
        )

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        """See `PasswordHasher.verify`."""
        sys.audit("argon2.verify")
        return super().verify(hash, password)


class Audit:
    """Counter of the interpreter's audit events inside `counting()`."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._counting = False
        sys.addaudithook(self._note)

    def _note(self, name: str, _: tuple[Any, ...]) -> None:
        if self._counting:
            self.seen[name.partition(".")[0]] += 1

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count from here to the end of the block."""
        self._counting = True
        try:
            yield
        finally:
            self._counting = False


class Arrangement:
    """The token surface over one Region, and a factory of its clients."""

    def __init__(self, region: ServedRegion) -> None:
        self.region = region
        self._hasher = SecretHasher(secrets.token_bytes)
        self._cheap_hasher = SecretHasher(
            secrets.token_bytes, argon2=PasswordHasher.from_parameters(CHEAPEST)
        )

        import app  # noqa: PLC0415 - its import reads this process's environment

        surface = app.surface
        hasher = SecretHasher(secrets.token_bytes, argon2=AuditedArgon2())
        if not isinstance(surface.exchange, Exchange):
            raise TypeError
        self.exchange = replace(surface.exchange, hasher=hasher)
        self.surface = replace(surface, exchange=self.exchange)

    def client(self, *, cheap: bool = False) -> IssuedCredentials:
        """Store a client; return its credentials.  A *cheap* client has a hash of little work."""
        issued, record = client(self._cheap_hasher if cheap else self._hasher)
        self.region.add(record)
        return issued

    def quiet_exchange(self) -> Exchange:
        """Return the same exchange, with the same caches, without telemetry."""
        return replace(self.exchange, emit=_nothing)

    def quiet(self) -> TokenSurface:
        """Return the same surface, with the same caches, without telemetry."""
        return replace(self.surface, emit=_nothing, exchange=self.quiet_exchange())


def _nothing(_: object) -> None:
    """Discard a log line."""


@contextmanager
def arranged() -> Iterator[Arrangement]:
    """Import `app.py` in the environment of a Region on loopback."""
    with elsewhere() as region:
        os.environ.update(environment(region.url()))
        yield Arrangement(region)


def silence() -> redirect_stdout[TextIO]:
    """Discard standard output; a Lambda's is a pipe, which costs more."""
    return redirect_stdout(Path(os.devnull).open("w"))


def served(surface: TokenSurface) -> Chalice:
    """Return the Chalice application of *surface*, built as in `app.py`."""
    app = CredentialsApp(app_name="benchmark", emit=surface.emit, configure_logs=False)
    app.register_blueprint(token_routes(surface))
    return app


def no_op() -> Chalice:
    """Return a Chalice application whose route does nothing with the same event."""
    app = Chalice(app_name="no-op", configure_logs=False)

    @app.route("/oauth2/token", methods=["POST"], content_types=[FORM])
    def nothing() -> dict[str, str]:
        return {}

    return app


def token_event(issued: IssuedCredentials, body: str = GRANT) -> dict[str, Any]:
    """Return the event of a request that authenticates with Basic."""
    headers = [
        basic(issued.client_id, issued.client_secret),
        ("Accept", "*/*"),
        ("Content-Type", FORM),
        ("Host", "auth.example.com"),
        ("User-Agent", "curl/8.5.0"),
        ("X-Amzn-Trace-Id", "Root=1-6740b2c5-0123456789abcdef01234567"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ]
    return event(headers=headers, body=body)


def sent_by(issued: IssuedCredentials) -> HttpRequest:
    """Return the same request in the form that the token surface passes on."""
    headers = [basic(issued.client_id, issued.client_secret)[1]]
    return HttpRequest(FORM, headers, [], GRANT.encode(), SOURCE_IP)
