"""
Calls to Cognito, Secrets Manager and argon2, and the month's bill (bar 5).

The traces run through the exchange itself, one for each container, over stores that count; time
is a number.  For fleets too large for that, a model of the one rule that matters takes its place:
a container uses its token until that is due for renewal.  `agrees` says whether both count the
same where both can.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from benchmarks.arrangement import sent_by
from benchmarks.region import TOKEN, TOKEN_SECONDS, client
from chalicelib.caching import LastKnownCache
from chalicelib.credentials import SecretHasher
from chalicelib.model import (
    AccessToken,
    AppClient,
    ClientId,
    ClientRecord,
    DenialShard,
    IssuedCredentials,
    TokenRequest,
    Versioned,
    VersionId,
)
from chalicelib.ports import Deadline
from chalicelib.timing import CircuitBreaker
from chalicelib.token.allowances import Rereads, token_requests
from chalicelib.token.denial_cache import DenialCache
from chalicelib.token.exchange import Exchange
from chalicelib.token.request_memo import RequestMemo
from chalicelib.token.token_cache import REFRESH_SECONDS, TokenCache

SEED: Final = 20_261_125
QUOTA: Final = 150
"""Cognito's client authentications per second, for an account and Region; not adjustable."""

FRESH, STALE = 30, 900
_HOUR, _MONTH = 3_600, 30 * 24 * 3_600
_REGION = "us-east-1"

# List prices of us-east-1 in US dollars, collected in October 2026 (docs/costs.md).
PRICES_OF: Final = "us-east-1, October 2026"
PRICES: Final = {
    "cognito_token": 2.25 / 1_000,  # the first 250,000 of a month; less above
    "secrets_manager_call": 0.05 / 10_000,
    "gateway_request": 3.50 / 1_000_000,
    "lambda_request": 0.20 / 1_000_000,
    "lambda_gb_second": 0.0000166667,
}
# Assumed billed durations of a request at 512 MB: no benchmark measures a Lambda.
_SECONDS_REUSED, _SECONDS_IN_FULL, _GB = 0.010, 0.300, 0.5

Kind = Literal["poisson", "bursty"]


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests of *clients* that ask *per_hour* times each, to containers chosen at random."""

    clients: int
    containers: int
    hours: float
    per_hour: float
    kind: Kind = "poisson"

    def requests(self) -> Iterator[tuple[float, int, int]]:
        """Yield the time, client and container of each request; the same in every run."""
        chance = random.Random(SEED)  # noqa: S311 - a trace, not a secret
        times = self._poisson(chance) if self.kind == "poisson" else self._bursty(chance)
        for at, who in times:
            yield at, who, chance.randrange(self.containers)

    def _poisson(self, chance: random.Random) -> Iterator[tuple[float, int]]:
        rate, at = self.clients * self.per_hour / _HOUR, 0.0
        while (at := at + chance.expovariate(rate)) < self.hours * _HOUR:
            yield at, chance.randrange(self.clients)

    def _bursty(self, chance: random.Random) -> Iterator[tuple[float, int]]:
        """Each client sends an hour's requests within a minute, once an hour."""
        times = []
        for who in range(self.clients):
            phase = chance.uniform(0, _HOUR - 60)
            for hour in range(int(self.hours)):
                start = hour * _HOUR + phase
                times += [(start + chance.uniform(0, 60), who) for _ in range(int(self.per_hour))]
        yield from sorted(times)


@dataclass
class Counts:
    """Numbers of exchanges, and of the calls that these make."""

    exchanges: int = 0
    cognito: int = 0
    secrets_manager: int = 0
    argon2: int = 0


@dataclass
class Clock:
    """The time of the trace."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the current time."""
        return self.now


class _CountingArgon2(PasswordHasher):
    def __init__(self, counts: Counts) -> None:
        super().__init__(
            time_cost=CHEAPEST.time_cost,
            memory_cost=CHEAPEST.memory_cost,
            parallelism=CHEAPEST.parallelism,
        )
        self._counts = counts

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        self._counts.argon2 += 1
        return super().verify(hash, password)


@dataclass
class World:
    """The containers of one function, over stores that count their calls."""

    records: Mapping[ClientId, ClientRecord]
    counts: Counts = field(default_factory=Counts)
    clock: Clock = field(default_factory=Clock)

    def container(self) -> Exchange:
        """Return the exchange of a new container."""
        argon2 = _CountingArgon2(self.counts)
        return Exchange(
            region=_REGION,
            denials=DenialCache(
                LastKnownCache(self._shard, fresh=FRESH, stale=STALE, clock=self.clock)
            ),
            records=LastKnownCache(self._record, fresh=FRESH, stale=STALE, clock=self.clock),
            hasher=SecretHasher(secrets.token_bytes, argon2=argon2),
            endpoint=self,
            tokens=TokenCache(self.clock),
            request_memo=RequestMemo(secrets.token_bytes),
            rereads=Rereads(self.clock),
            token_requests=token_requests(self.clock),
            endpoint_breaker=CircuitBreaker(self.clock),
            clock=self.clock,
            emit=lambda _: None,
        )

    def _shard(self, _: int) -> DenialShard:
        self.counts.secrets_manager += 1
        return DenialShard()

    def _record(self, client_id: ClientId) -> Versioned[ClientRecord]:
        self.counts.secrets_manager += 1
        return Versioned(self.records[client_id], VersionId("1"))

    def request_token(
        self, _app_client: AppClient, _scope: str, _metadata: Mapping[str, str], _deadline: Deadline
    ) -> AccessToken:
        """See `TokenEndpoint.request_token`."""
        self.counts.cognito += 1
        return AccessToken(TOKEN, int(self.clock()) + TOKEN_SECONDS)

    def reachable(self, _deadline: Deadline) -> bool:
        """See `TokenEndpoint.reachable`."""
        return True


def exchange_all(trace: Trace, *, reuse: bool = True) -> Counts:
    """Return the exchange's calls in *trace*; without *reuse*, each request has a new container."""
    hasher = SecretHasher(secrets.token_bytes, argon2=PasswordHasher.from_parameters(CHEAPEST))
    known = [client(hasher) for _ in range(trace.clients)]
    world = World({issued.client_id: record for issued, record in known})
    containers = [world.container() for _ in range(trace.containers)]
    start = world.clock.now
    for at, who, where in trace.requests():
        world.clock.now = start + at
        _exchange(containers[where] if reuse else world.container(), known[who][0])
        world.counts.exchanges += 1
    return world.counts


def _exchange(container: Exchange, issued: IssuedCredentials) -> None:
    sent = sent_by(issued)
    if container.exchange_repeated(sent) is None:
        request = TokenRequest(issued.client_id, issued.client_secret, None, sent.source_ip)
        container.exchange(request, sent)


def model(trace: Trace) -> list[int]:
    """Return the requests to Cognito of each minute of *trace*, by the rule for renewal alone."""
    renew_at: dict[tuple[int, int], float] = {}
    minutes = [0] * int(trace.hours * 60)
    for at, who, where in trace.requests():
        if at > renew_at.get((who, where), -1.0):
            # The lifetime counts from a whole second, as the exchange's does.
            renew_at[who, where] = int(at) + TOKEN_SECONDS - REFRESH_SECONDS
            minutes[int(at / 60)] += 1
    return minutes


def run(*, quick: bool) -> dict[str, Any]:
    """Run the traces, and count their calls."""
    small = Trace(20, 3, 2, 60)
    hours = 2 if quick else 24
    every_minute = Trace(1 if quick else 50, 1, hours, 60)
    traces = [
        every_minute,
        *(Trace(5 if quick else 50, containers, hours, 60) for containers in (2, 5, 20)),
        Trace(5 if quick else 50, 5, hours, 60, "bursty"),
        Trace(5 if quick else 50, 5, hours, 6),
        Trace(5 if quick else 50, 5, hours, 600 if not quick else 60, "bursty"),
    ]
    found = [_counted(trace) for trace in traces]
    without = exchange_all(Trace(5, 1, 1, 60), reuse=False)
    agrees = sum(model(small)) == exchange_all(small).cognito
    return {
        "seed": SEED,
        "prices": {"of": PRICES_OF, "usd": PRICES},
        "traces": found,
        "without_reuse_per_exchange": {
            name: round(value / without.exchanges, 3) for name, value in asdict(without).items()
        },
        "agrees": agrees,
        "quota": _quota(quick=quick),
        "bars": {
            "cognito_requests_saved_percent": {
                "says": "% of requests to Cognito saved, a client that asks every minute",
                "at_least": 98.0,
                "found": found[0]["cognito_saved_percent"],
            }
        },
    }


def _counted(trace: Trace) -> dict[str, Any]:
    counts = exchange_all(trace)
    per_month = _MONTH / (trace.hours * _HOUR)
    return {
        **asdict(trace),
        **{f"asked_{name}": value for name, value in asdict(counts).items()},
        "cognito_saved_percent": round(100 * (1 - counts.cognito / counts.exchanges), 2),
        "month_usd": _bill(counts, per_month, _SECONDS_REUSED),
        "month_usd_without_reuse": _bill(
            Counts(counts.exchanges, counts.exchanges, 2 * counts.exchanges, counts.exchanges),
            per_month,
            _SECONDS_IN_FULL,
        ),
    }


def _bill(counts: Counts, times: float, seconds: float) -> dict[str, float]:
    lambda_each = PRICES["lambda_request"] + seconds * _GB * PRICES["lambda_gb_second"]
    bill = {
        "cognito": counts.cognito * PRICES["cognito_token"],
        "secrets_manager": counts.secrets_manager * PRICES["secrets_manager_call"],
        "gateway_and_lambda": counts.exchanges * (PRICES["gateway_request"] + lambda_each),
    }
    bill["all"] = sum(bill.values())
    return {name: round(value * times, 2) for name, value in bill.items()}


def _quota(*, quick: bool) -> dict[str, Any]:
    """Return the requests to Cognito at each fleet size, and the size that reaches the quota."""
    clients, hours = (100, 2) if quick else (10_000, 3)
    fleet = (1, 10) if quick else (1, 3, 10, 30, 100, 300, 1_000, 3_000)
    per_hour = 60
    points = []
    for containers in fleet:
        minutes = model(Trace(clients, containers, hours, per_hour))
        steady = minutes[len(minutes) * 2 // 3 :]
        points.append(
            {
                "containers": containers,
                "first_minute_per_second": round(minutes[0] / 60, 2),
                "steady_per_second": round(sum(steady) / len(steady) / 60, 2),
                "expected_per_second": round(expected(clients, containers, per_hour), 2),
                "per_minute": minutes,
            }
        )
    return {
        "limit_per_second": QUOTA,
        "clients": clients,
        "per_hour": per_hour,
        "without_reuse_per_second": round(clients * per_hour / _HOUR, 2),
        "met_at_containers": _met_at(clients, per_hour),
        "points": points,
        "shared_tier": {
            "tokens": clients,
            "megabytes": round(clients * (len(TOKEN) + 200) / 1_000_000, 1),
            "cognito_per_second": round(clients / (TOKEN_SECONDS - REFRESH_SECONDS), 2),
            "reads_per_second_at_most": round(clients * per_hour / _HOUR, 2),
        },
    }


def _met_at(clients: int, per_hour: float) -> int | None:
    """Return the least number of containers that need the whole quota, `None` if none does."""
    fleet = range(1, clients + 1)
    return next((each for each in fleet if expected(clients, each, per_hour) > QUOTA), None)


def expected(clients: int, containers: int, per_hour: float) -> float:
    """
    Return the requests to Cognito per second once everything is warm.

    A container renews a client's token when the client first asks it after the token is due: on
    average the time between its requests to that container later.
    """
    between = containers * _HOUR / per_hour
    return clients * containers / (TOKEN_SECONDS - REFRESH_SECONDS + between)
