"""
Cost that a caller without a secret can cause (bar 4).

A request that cannot succeed against the no-op route; a flood of wrong secrets
beside another client's warm exchange; the memory that a flood leaves; and the
time of an unknown client against that of a wrong secret.
"""

from __future__ import annotations

import gc
import resource
import secrets
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from argon2.profiles import CHEAPEST
from chalice.app import Chalice

from benchmarks.arrangement import (
    Arrangement,
    Audit,
    arranged,
    no_op,
    sent_by,
    served,
    silence,
    token_event,
)
from benchmarks.measure import Plan, in_turns, pin, summary
from benchmarks.region import client
from chalicelib import credentials
from chalicelib.caching import LastKnownCache
from chalicelib.credentials import SecretHasher
from chalicelib.errors import OAuthError, UnknownClientError
from chalicelib.model import (
    ClientId,
    ClientRecord,
    IssuedCredentials,
    TokenRequest,
    Versioned,
    VersionId,
)

_UNAUTHORIZED = 401
_TOO_MANY_REQUESTS = 429  # a flood uses the allowance of reads up
_SOURCE = "192.0.2.1"


def run(*, quick: bool) -> dict[str, Any]:
    """Measure in this process."""
    audit = Audit()
    with arranged() as arrangement, silence():
        flood = _flood(arrangement, seconds=0.2 if quick else 2, rounds=2 if quick else 7)
        repeated = _repeated(arrangement, audit, 5 if quick else 50)
        timing = _unknown_against_wrong(arrangement, 5 if quick else 151)
        memory = (
            _memory(arrangement, (2_000, 4_000), 500)
            if quick
            else _memory(arrangement, (10_000, 30_000, 100_000, 300_000, 1_000_000), 10_000)
        )
        pin()
        junk = _junk(arrangement, Plan(5, 50) if quick else Plan(101, 500))
    found = {
        "subjects": junk,
        "flood": flood,
        "repeated": repeated,
        "unknown_against_wrong": timing,
        "memory": memory,
    }
    found["bars"] = _bars(found)
    return found


def _bars(found: dict[str, Any]) -> dict[str, Any]:
    memory = found["memory"]
    half, whole = memory[-2], memory[-1]
    return {
        **{
            name: {
                "says": f"{name.replace('_', ' ')} ÷ the no-op route",
                "at_most": 1.5,
                "found": subject["ratio_to_no_op"],
            }
            for name, subject in found["subjects"].items()
            if name != "no_op"
        },
        "flood": {
            "says": "another client's warm exchange beside a flood of wrong secrets ÷ alone, CPU",
            "at_most": 1.2,
            "found": found["flood"]["cpu_ratio"],
        },
        "repeated": {
            "says": "argon2 verifications of repeated wrong secrets (audit hook)",
            "at_most": 0,
            "found": found["repeated"]["argon2_again"],
        },
        "memory": {
            "says": f"memory after {whole['distinct_requests']:,} distinct requests "
            f"÷ after {half['distinct_requests']:,}",
            "at_most": 1.05,
            "found": round(
                max(whole[what] / half[what] for what in ("rss_mb", "allocated_blocks")), 3
            ),
        },
        "unknown_against_wrong": {
            "says": "an unknown client ÷ a wrong secret, medians",
            "at_least": 0.95,
            "at_most": 1.05,
            "found": found["unknown_against_wrong"]["median_ratio"],
        },
    }


def _junk(arrangement: Arrangement, plan: Plan) -> dict[str, Any]:
    issued = arrangement.client()
    good = token_event(issued)
    typo = issued.client_secret[:-1] + ("0" if issued.client_secret[-1] != "0" else "1")
    requests = {
        "bad_checksum": token_event(replace(issued, client_secret=typo)),
        "bad_basic": _with_authorization(good, "Basic sgc_not:base64"),
        "unknown_grant": token_event(issued, "grant_type=password&username=a&password=b"),
    }
    nothing, quiet, full = no_op(), served(arrangement.quiet()), served(arrangement.surface)
    subjects: dict[str, Callable[[], object]] = {"no_op": lambda: nothing(good, None)}
    for name, request in requests.items():
        _must_be_refused(full, request)
        subjects[name] = _caller(quiet, request)
        subjects[f"{name}_with_telemetry"] = _caller(full, request)
    return summary(in_turns(subjects, plan), "no_op")


def _caller(app: Chalice, request: dict[str, Any]) -> Callable[[], object]:
    return lambda: app(request, None)


def _with_authorization(event: dict[str, Any], value: str) -> dict[str, Any]:
    return {
        **event,
        "headers": {**event["headers"], "Authorization": value},
        "multiValueHeaders": {**event["multiValueHeaders"], "Authorization": [value]},
    }


def _must_be_refused(app: Chalice, request: dict[str, Any]) -> None:
    status = app(request, None)["statusCode"]
    if status not in {400, _UNAUTHORIZED, _TOO_MANY_REQUESTS}:
        raise RuntimeError(f"Junk was answered with {status}.")


# A flood beside a warm exchange


def _flood(arrangement: Arrangement, *, seconds: float, rounds: int) -> dict[str, Any]:
    """
    Return the time of a warm exchange beside four threads that guess another client's secret.

    The threads run below Chalice, which answers one request at a time, and share the exchange, its
    caches and locks.  CPU time of the exchanging thread leaves out the machine's number of cores;
    wall time includes it.
    """
    exchange = arrangement.quiet_exchange()
    victim, warm = arrangement.client(), arrangement.client()
    sent = sent_by(warm)
    exchange.exchange(_request(warm), sent)

    def once() -> None:
        if exchange.exchange_repeated(sent) is None:
            raise RuntimeError("The warm exchange was not warm.")

    alone_cpu, alone_wall, beside_cpu, beside_wall, guesses = [], [], [], [], 0
    for _ in range(rounds):
        cpu, wall = _medians(once, seconds)
        alone_cpu.append(cpu)
        alone_wall.append(wall)
        with _guessing(exchange.exchange, victim) as made:
            cpu, wall = _medians(once, seconds)
        beside_cpu.append(cpu)
        beside_wall.append(wall)
        guesses += made[0]
    pairs = zip(beside_cpu, alone_cpu, strict=True)
    walls = zip(beside_wall, alone_wall, strict=True)
    return {
        "guesses_refused": guesses,
        "alone_us": round(statistics.median(alone_cpu), 2),
        "beside_us": round(statistics.median(beside_cpu), 2),
        "cpu_ratio": round(statistics.median(a / b for a, b in pairs), 3),
        "wall_ratio": round(statistics.median(a / b for a, b in walls), 3),
    }


def _request(issued: IssuedCredentials, client_secret: str | None = None) -> TokenRequest:
    secret = client_secret or issued.client_secret
    return TokenRequest(issued.client_id, secret, None, _SOURCE)


def _medians(once: Callable[[], None], seconds: float) -> tuple[float, float]:
    cpu, wall = [], []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started, cpu_started = time.perf_counter_ns(), time.thread_time_ns()
        once()
        cpu.append((time.thread_time_ns() - cpu_started) / 1_000)
        wall.append((time.perf_counter_ns() - started) / 1_000)
    return statistics.median(cpu), statistics.median(wall)


@contextmanager
def _guessing(
    exchange: Callable[[TokenRequest], object], victim: IssuedCredentials
) -> Iterator[list[int]]:
    stop, made = threading.Event(), [0]

    def guess() -> None:
        while not stop.is_set():
            wrong = credentials.new_client_secret(secrets.token_bytes)
            if _refused(exchange, _request(victim, wrong)):
                made[0] += 1

    threads = [threading.Thread(target=guess) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _refused(exchange: Callable[[TokenRequest], object], request: TokenRequest) -> bool:
    try:
        exchange(request)
    except OAuthError:
        return True
    return False


# Repeated guesses


def _repeated(arrangement: Arrangement, audit: Audit, times: int) -> dict[str, Any]:
    """Return the CPU time and argon2 verifications of a wrong secret, first and repeated."""
    exchange = arrangement.quiet_exchange()
    victim = arrangement.client()
    requests = [
        _request(victim, credentials.new_client_secret(secrets.token_bytes)) for _ in range(times)
    ]
    audit.seen.clear()
    with audit.counting():
        first = [_cpu_ms(exchange.exchange, request) for request in requests]
    at_first = audit.seen["argon2"]
    if at_first != times:
        raise RuntimeError("First attempts were not seen to verify.")
    with audit.counting():
        again = [_cpu_ms(exchange.exchange, request) for request in requests]
    return {
        "attempts": times,
        "argon2_at_first": at_first,
        "argon2_again": audit.seen["argon2"] - at_first,
        "first_ms": round(statistics.median(first), 3),
        "again_ms": round(statistics.median(again), 3),
    }


def _cpu_ms(exchange: Callable[[TokenRequest], object], request: TokenRequest) -> float:
    started = time.thread_time_ns()
    if not _refused(exchange, request):
        raise RuntimeError("A wrong secret was not refused.")
    return (time.thread_time_ns() - started) / 1_000_000


# Timing


def _unknown_against_wrong(arrangement: Arrangement, pairs: int) -> dict[str, Any]:
    """Return the medians of both, each pair taken in turns, every secret new."""
    exchange = arrangement.quiet_exchange()
    known = arrangement.client()
    unknown = replace(known, client_id=credentials.new_client_id(secrets.token_bytes))
    for each in (known, unknown):  # keeps reads of Secrets Manager out of the times below
        _cpu_ms(
            exchange.exchange, _request(each, credentials.new_client_secret(secrets.token_bytes))
        )
    times: dict[str, list[float]] = {"wrong": [], "unknown": []}
    for number in range(pairs):
        order = [("wrong", known), ("unknown", unknown)]
        for name, who in order if number % 2 else reversed(order):
            request = _request(who, credentials.new_client_secret(secrets.token_bytes))
            times[name].append(_cpu_ms(exchange.exchange, request))
    wrong, unknown_ms = (statistics.median(times[name]) for name in ("wrong", "unknown"))
    return {
        "wrong_ms": round(wrong, 3),
        "unknown_ms": round(unknown_ms, 3),
        "median_ratio": round(unknown_ms / wrong, 3),
        "pairs": pairs,
    }


# Memory


class _RefusingArgon2(PasswordHasher):
    """argon2 that refuses at once: a million verifications take five hours, and leave no more."""

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002, ARG002
        raise VerifyMismatchError


def _memory(
    arrangement: Arrangement, marks: tuple[int, ...], remembered: int
) -> list[dict[str, Any]]:
    """Return the allocated memory at each of *marks* wrong secrets and unknown clients."""
    argon2 = _RefusingArgon2.from_parameters(CHEAPEST)
    victim, record = client(SecretHasher(secrets.token_bytes, argon2=argon2))

    def read(client_id: ClientId) -> Versioned[ClientRecord]:
        if client_id != victim.client_id:
            raise UnknownClientError
        return Versioned(record, VersionId("1"))

    exchange = replace(
        arrangement.quiet_exchange(),
        hasher=SecretHasher(secrets.token_bytes, argon2=argon2, remembered=remembered),
        records=LastKnownCache(read, fresh=300, stale=900, clock=time.time),
    )
    app = served(replace(arrangement.quiet(), exchange=exchange))
    found, done = [], 0
    for mark in marks:
        while done < mark:
            guess = credentials.issue(
                credentials.new_client_id(secrets.token_bytes), secrets.token_bytes
            )
            who = guess.client_id if done % 2 else victim.client_id
            _must_be_refused(app, token_event(replace(guess, client_id=who)))
            done += 1
        gc.collect()
        found.append(
            {
                "distinct_requests": mark,
                "allocated_blocks": sys.getallocatedblocks(),
                "rss_mb": round(_resident() / 2**20, 1),
            }
        )
    return found


def _resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
