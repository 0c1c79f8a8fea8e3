"""
One Region's exchange with the real adapters, over servers that play Secrets Manager and Cognito.

`observe` puts it into a condition (cold, warm, …), injects a fault, and returns the client's
view.
"""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Lock

from chalicelib import credentials, record_json
from chalicelib.aws import connections
from chalicelib.aws.client_records import ClientSecretsReader
from chalicelib.aws.region_state import DenialSecrets
from chalicelib.aws.token_endpoint import CognitoTokenEndpoint
from chalicelib.caching import LastKnownCache
from chalicelib.errors import OAuthError
from chalicelib.model import AppClientId, ClientRecord, DenialShard, Origin, Status
from chalicelib.timing import CircuitBreaker
from chalicelib.token import oauth
from chalicelib.token.allowances import Rereads, token_requests
from chalicelib.token.denial_cache import DenialCache
from chalicelib.token.exchange import STORE_SECONDS, Exchange
from chalicelib.token.oauth import HttpResponse
from chalicelib.token.request_memo import RequestMemo
from chalicelib.token.token_cache import REFRESH_SECONDS, TokenCache
from tests.contract.clients import Aws
from tests.contract.loopback import (
    Answer,
    Choose,
    Drip,
    Loopback,
    Seen,
    Wire,
    always,
    answer,
    html,
    reset,
    silence,
)
from tests.contract.samples import app_client
from tests.fakes import CountingBytes, Events
from tests.worlds import EAST, FRESH, STALE, cheap_hasher, request

TOKEN_SECONDS = 3_600
VERSION = "11111111-1111-4111-8111-111111111111"
PREFIX = "surrogate"

Strike = Callable[[Choose], Choose]
"""Fault: turns the answers of a healthy server into those of a failing one."""


class OffsetClock:
    """Real time with an offset set by a test; *stopped* for events at one moment."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._stopped: float | None = None

    def __call__(self) -> float:
        return self._stopped or time.time() + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self._stopped = self()
        yield
        self._stopped = None


# Faults


def instead(fault: Answer) -> Strike:
    return lambda _healthy: always(fault)


def delayed(seconds: float) -> Strike:
    def strike(healthy: Choose) -> Choose:
        def choose(seen: Seen) -> Answer:
            usual = healthy(seen)

            def late(wire: Wire) -> None:
                if wire.client_hangs_up(within=seconds):
                    wire.hang_up()
                else:
                    usual(wire)

            return late

        return choose

    return strike


def every_other(fault: Answer) -> Strike:
    """Fail and answer alternately, beginning with a failure."""

    def strike(healthy: Choose) -> Choose:
        number = itertools.count()
        return lambda seen: healthy(seen) if next(number) % 2 else fault

    return strike


def refusal(status: int, code: str) -> Answer:
    return answer(status, {"__type": code, "message": "no"}, "application/x-amz-json-1.1")


def trickle() -> Answer:
    """Send an endless answer, byte by byte."""
    return Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b" ", pieces=60_000)


def gone(_healthy: Choose) -> Choose:
    """Mark a missing server; `observe` stops it."""
    raise AssertionError


_SERVERS = {
    "answers late, within its time-out": delayed(0.3),
    "answers later than its time-out": delayed(3),
    "never answers": instead(silence()),
    "refuses connections": gone,
    "resets connections": instead(reset()),
    "answers with something else": instead(html(200)),
}
STORE_FAULTS: Mapping[str, Strike] = {
    **_SERVERS,
    "answers 500": instead(refusal(500, "InternalServiceError")),
    "throttles": instead(refusal(400, "ThrottlingException")),
    "denies access": instead(refusal(400, "AccessDeniedException")),
    "cannot decrypt": instead(refusal(400, "DecryptionFailure")),
    "answers 500 every other time": every_other(refusal(500, "InternalServiceError")),
    "throttles every other time": every_other(refusal(400, "ThrottlingException")),
    "never answers every other time": every_other(silence()),
}
COGNITO_FAULTS: Mapping[str, Strike] = {
    **_SERVERS,
    "answers byte by byte, for ever": lambda _healthy: lambda _seen: trickle(),
    "answers 500": instead(html(500)),
    "throttles": instead(answer(429, b"Rate exceeded", "text/plain")),
    "denies access": instead(html(403)),
    "answers 500 every other time": every_other(html(500)),
    "never answers every other time": every_other(silence()),
    "refuses the app client": instead(answer(400, {"error": "invalid_client"})),
}
BOTH_FAULTS = {name: _SERVERS[name] for name in ("never answers", "refuses connections")}
CONDITIONS = ("cold", "warm", "token cached", "too long")


@dataclass(frozen=True, slots=True)
class Observation:
    """A client's view, and the number of calls to the Region's services."""

    outcome: str
    seconds: float
    asked: int
    asked_by_twenty_more: int
    body: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


_making_clients = Lock()  # a session is not thread-safe
_aws = Aws()


@dataclass
class GreyRegion:
    """Parts wired as in `app.py`, over two servers."""

    store: Loopback
    cognito: Loopback
    clock: OffsetClock = field(default_factory=OffsetClock)

    def __post_init__(self) -> None:
        random_bytes = CountingBytes()
        hasher = cheap_hasher(random_bytes)
        self.issued = credentials.issue(
            credentials.new_client_id(secrets.token_bytes), secrets.token_bytes
        )
        self.record = ClientRecord(
            client_id=self.issued.client_id,
            client_name="grey",
            status=Status.ACTIVE,
            origin=Origin.ENROLLED,
            created_at=1_800_000_000,
            secrets=(hasher.hash(self.issued, now=1_800_000_000),),
            scopes=("demo/read", "demo/write"),
            app_clients={
                EAST: app_client(app_client_id=AppClientId("east"), retiring=None, outdated=None)
            },
        )
        self.store.choose, self.cognito.choose = self.stored, self.issue
        with _making_clients:
            client = _aws.secrets(EAST, self.store.url, connections._EXCHANGE)
        reader = ClientSecretsReader(lambda: client, PREFIX)
        denials = DenialSecrets(lambda: client, PREFIX, random_bytes)
        shards: LastKnownCache[int, DenialShard] = LastKnownCache(
            lambda number: denials.read(number).value, fresh=FRESH, stale=STALE, clock=self.clock
        )
        self.exchange = Exchange(
            region=EAST,
            denials=DenialCache(shards),
            records=LastKnownCache(reader.read, fresh=FRESH, stale=STALE, clock=self.clock),
            hasher=hasher,
            endpoint=CognitoTokenEndpoint(f"{self.cognito.url}/oauth2/token", self.clock),
            tokens=TokenCache(self.clock),
            request_memo=RequestMemo(random_bytes),
            rereads=Rereads(self.clock),
            token_requests=token_requests(self.clock),
            endpoint_breaker=CircuitBreaker(self.clock),
            clock=self.clock,
            emit=Events(),
        )

    def stored(self, seen: Seen) -> Answer:
        """Answer as Secrets Manager does."""
        name = json.loads(seen.body)["SecretId"]
        content = (
            record_json.denials_to_json(DenialShard())
            if name.startswith(f"{PREFIX}/denials/")
            else record_json.record_to_json(self.record)
        )
        document = {"ARN": f"arn:{name}", "Name": name, "VersionId": VERSION}
        return answer(200, document | {"SecretString": content})

    def issue(self, seen: Seen) -> Answer:
        """Answer as Cognito does, a new token each time."""
        token = {"access_token": secrets.token_hex(8), "expires_in": TOKEN_SECONDS}
        return answer(200, token | {"token_type": "Bearer"})

    def ask(self, scope: str) -> HttpResponse:
        """Exchange a request, as the token endpoint's view does."""
        try:
            return oauth.render(self.exchange.exchange(request(self.issued, scope=scope)))
        except OAuthError as error:
            return oauth.render_error(error)

    @property
    def asked(self) -> int:
        return len(self.store.seen) + len(self.cognito.seen)

    def become_warm(self) -> str:
        """Get a token without any fault; return it."""
        for _ in range(5):  # a busy machine may miss a time-out
            response = self.ask("demo/read")
            if response.status_code == 200:
                return str(json.loads(response.body)["access_token"])
            self.clock.advance(STORE_SECONDS)
        raise AssertionError("a healthy Region does not answer")


def observe(struck: Mapping[str, Strike], condition: str) -> Observation:
    """Observe a Region in *condition* with the faults *struck* (`store`, `cognito` or both)."""
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(ExitStack()) for name in ("store", "cognito")
        }  # each can be stopped by itself
        started = {
            name: servers[name].enter_context(Loopback(always(answer(500)))) for name in servers
        }
        region = GreyRegion(started["store"], started["cognito"])
        cached = None if condition == "cold" else region.become_warm()
        region.clock.advance(_age(condition, store="store" in struck))
        for name, strike in struck.items():
            if strike is gone:
                servers[name].close()
            else:
                started[name].choose = strike(started[name].choose)
        # A warm process has the client's record, but no token for this scope.
        scope = "demo/write" if condition == "warm" else "demo/read"
        before, began = region.asked, time.monotonic()
        response = region.ask(scope)
        seconds, asked = time.monotonic() - began, region.asked - before
        with region.clock.stopped():
            for _ in range(20):
                region.ask(scope)
        return Observation(
            _outcome(response, cached),
            seconds,
            asked,
            region.asked - before - asked,
            response.body,
            response.headers,
        )


def _age(condition: str, *, store: bool) -> float:
    if condition == "cold":
        return 0
    if store:
        # No longer fresh; or too old even for an outage.
        return STALE + 1 if condition == "too long" else FRESH + 1
    return {
        "warm": FRESH + 1,
        "token cached": TOKEN_SECONDS - REFRESH_SECONDS + 60,  # due to be replaced
        "too long": TOKEN_SECONDS - 30,
    }[condition]


def _outcome(response: HttpResponse, cached: str | None) -> str:
    content = json.loads(response.body)
    if response.status_code != 200:
        return str(response.status_code)
    return "cached token" if content["access_token"] == cached else "token"
