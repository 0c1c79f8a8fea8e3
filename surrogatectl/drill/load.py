"""
A steady load of exchanges through the name, as real clients make it.

Each client is a session of Authlib over requests.  It keeps its connection for
some requests, as pools do, and makes a new one after a failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, LifoQueue
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Final, Self

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from surrogatectl.drill.backend import Backend
from surrogatectl.drill.events import Kind, Request

ANSWER_SECONDS: Final = 5.0
"""How long a client waits: the application promises an answer within this time."""

_USES_OF_A_CONNECTION = 20
_MOST_AT_ONCE = 128
_ONE_IS_WRONG_IN = 10

Now = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Credential:
    """A client's own, and a secret that looks as good and is not."""

    client_id: str
    client_secret: str = field(repr=False)
    wrong_secret: str = field(repr=False)
    scope: str


@dataclass(slots=True)
class _Connection:
    session: OAuth2Session
    credential: Credential
    wrong: bool
    uses: int = 0


@dataclass
class Load:
    """Sends *rate* requests a second to the token endpoint at *url* while its block runs."""

    url: str
    credentials: Sequence[Credential]
    backend: Backend
    rate: float
    now: Now

    def __post_init__(self) -> None:
        """Make what a run of the load needs."""
        self.requests: list[Request] = []
        self._lock = Lock()
        self._stopping = Event()
        self._kept: dict[tuple[str, bool], LifoQueue[_Connection]] = {
            (each.client_id, wrong): LifoQueue()
            for each in self.credentials
            for wrong in (False, True)
        }
        self._pool = ThreadPoolExecutor(_MOST_AT_ONCE)
        self._pacer = Thread(target=self._limiter, daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._pacer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop sending, and wait for the answers."""
        self._stopping.set()
        self._pacer.join()
        self._pool.shutdown(wait=True)
        for kept in self._kept.values():
            while (connection := _taken(kept)) is not None:
                connection.session.close()

    def snapshot(self) -> list[Request]:
        """Return what was answered so far."""
        with self._lock:
            return [*self.requests]

    def _limiter(self) -> None:
        began, number = time.monotonic(), 0
        while not self._stopping.wait(max(0.0, began + number / self.rate - time.monotonic())):
            credential = self.credentials[number % len(self.credentials)]
            wrong = number % _ONE_IS_WRONG_IN == _ONE_IS_WRONG_IN - 1
            self._pool.submit(self._send, credential, wrong=wrong)
            number += 1

    def _send(self, credential: Credential, *, wrong: bool) -> None:
        kept = self._kept[credential.client_id, wrong]
        connection = _taken(kept) or _connected(credential, wrong=wrong)
        at = self.now()
        kind, region, detail = _asked(self.url, connection, self.backend)
        request = Request(at, self.now() - at, kind, region, detail)
        with self._lock:
            self.requests.append(request)
        connection.uses += 1
        if kind is Kind.ERROR or connection.uses >= _USES_OF_A_CONNECTION:
            connection.session.close()
        else:
            kept.put(connection)


def exchange_once(url: str, credential: Credential, backend: Backend) -> Request:
    """Send one request to *url*, and return what became of it."""
    connection = _connected(credential, wrong=False)
    with connection.session:
        return Request(0.0, 0.0, *_asked(url, connection, backend))


def _asked(url: str, connection: _Connection, backend: Backend) -> tuple[Kind, str | None, str]:
    try:
        answer = connection.session.fetch_token(
            url, grant_type="client_credentials", timeout=ANSWER_SECONDS
        )
    except OAuthError as err:
        return _refused(str(err.error), wrong=connection.wrong)
    except requests.HTTPError as err:
        return Kind.ERROR, None, str(err.response.status_code)
    except (requests.RequestException, ValueError) as err:
        return Kind.ERROR, None, type(err).__name__
    return _judged(str(answer.get("access_token")), connection, backend)


def _judged(token: str, connection: _Connection, backend: Backend) -> tuple[Kind, str | None, str]:
    claims = backend.verify(token)
    if claims is None:
        return Kind.WRONG, None, "a token that does not verify"
    if connection.wrong:
        return Kind.WRONG, claims.region, "a token for a wrong secret"
    if claims.scopes != frozenset(connection.credential.scope.split()):
        return Kind.WRONG, claims.region, "a token with another scope"
    if claims.client_id != connection.credential.client_id:
        return Kind.WRONG, claims.region, "a token with another client's name, or with none"
    return Kind.TOKEN, claims.region, ""


def _refused(error: str, *, wrong: bool) -> tuple[Kind, str | None, str]:
    if error == "invalid_client":
        if wrong:
            return Kind.REFUSED, None, ""
        return Kind.WRONG, None, "a good credential was called invalid"
    if error in {"temporarily_unavailable", "server_error"}:
        return Kind.ERROR, None, error
    return Kind.WRONG, None, error


def _taken(kept: LifoQueue[_Connection]) -> _Connection | None:
    try:
        return kept.get_nowait()
    except Empty:
        return None


def _connected(credential: Credential, *, wrong: bool) -> _Connection:
    session = OAuth2Session(
        credential.client_id,
        credential.wrong_secret if wrong else credential.client_secret,
        scope=credential.scope,
        token_endpoint_auth_method="client_secret_basic",  # noqa: S106 - a method
    )
    session.trust_env = False
    return _Connection(session, credential, wrong)
