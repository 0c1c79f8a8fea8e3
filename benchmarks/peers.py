"""
Token servers over HTTP, side by side: the server's CPU time per exchange (bar 2).

The Python servers run under gunicorn with the same worker class and number of workers; Node's runs
as its authors intend.  A client asks for one token after the other, or eight at once (see `load`).
The servers answer in turns, and the system reports their CPU time, for all their processes and
threads.  They do different work, each as its authors intend: ours hands out Cognito's token,
Authlib an opaque one, oidc-provider signs one with RS256.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from benchmarks.arrangement import GRANT
from benchmarks.environments import ROOT, once, python
from benchmarks.environments import run as run_command
from benchmarks.load import ask, post
from benchmarks.region import client, elsewhere, environment
from chalicelib.credentials import OWASP_19_MIB, OWASP_19_MIB_DECOY, SecretHasher
from chalicelib.model import IssuedCredentials
from chalicelib.token.oauth import FORM
from tests.contract.loopback import LOOPBACK

_SERVERS = ROOT / "benchmarks" / "servers"
_PATIENCE = 60.0
_AT_ONCE, _MANY_AT_ONCE = 8, "eight_at_once"
_MISS, _NOTHING_CACHED, _VERIFICATION = (
    "ours_client_unknown",
    "ours_nothing_cached",
    "argon2_alone",
)


@dataclass(frozen=True, slots=True)
class Peer:
    """
    A token server: its command, and the number of requests in a turn.

    Each of its responses must contain *answer*.  With *at_once* it also serves several callers at
    once.
    """

    command: list[str]
    environment: Mapping[str, str]
    requests: int
    body: str = GRANT
    path: str = "/oauth2/token"
    answer: bytes = b"access_token"
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """Cost of one request in a turn: the server's CPU time, and the time that the client saw."""

    cpu_ms: float
    wall_ms: float


def run(*, quick: bool) -> dict[str, Any]:
    """Start all servers, ask them in turns, and stop them."""
    issued, record = client(SecretHasher(secrets.token_bytes))
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        region = stack.enter_context(elsewhere())
        region.add(record)
        peers = _peers(issued, environment(region.url()), scratch, quick=quick)
        turns: defaultdict[str, list[Turn]] = defaultdict(list)
        # The layout of a process's memory is luck that lasts; so each server starts several times.
        for _ in range(1 if quick else 4):
            with ExitStack() as started:
                servers = {
                    name: started.enter_context(running(peer)) for name, peer in peers.items()
                }
                _in_turns(turns, servers, issued, rounds=1 if quick else 4)
    subjects = {name: _summary(name, turns) for name in turns}
    return {"subjects": subjects, "workers": 2, "bars": _bars(turns)}


def _peers(
    issued: IssuedCredentials, ours: Mapping[str, str], scratch: Path, *, quick: bool
) -> dict[str, Peer]:
    interpreter = python("peers", ROOT / "benchmarks" / "requirements-peers.txt")
    known = {"CLIENT_ID": issued.client_id, "CLIENT_SECRET": issued.client_secret}
    hashed = PasswordHasher.from_parameters(OWASP_19_MIB).hash(issued.client_secret)
    database = {**known, "DATABASE": str(scratch / "django.sqlite3")}
    run_command([str(interpreter), "-m", "benchmarks.servers.django_toolkit"], environment=database)
    many, few = (10, 2) if quick else (600, 12)
    peers = {
        "ours": Peer(_gunicorn(interpreter, "ours"), ours, many, at_once=True),
        _MISS: Peer(_gunicorn(interpreter, "ours"), {**ours, "WHICH": "client_unknown"}, few),
        _NOTHING_CACHED: Peer(
            _gunicorn(interpreter, "ours"), {**ours, "WHICH": "nothing_kept"}, few
        ),
        "chalice_no_op": Peer(
            _gunicorn(interpreter, "ours"),
            {**ours, "WHICH": "no_op"},
            many,
            answer=b"{}",
            at_once=True,
        ),
        "authlib_plain_text": Peer(
            _gunicorn(interpreter, "authlib_flask"), known, many, at_once=True
        ),
        "authlib_argon2": Peer(
            _gunicorn(interpreter, "authlib_flask"), {**known, "CLIENT_SECRET_HASH": hashed}, few
        ),
        "django_oauth_toolkit": Peer(
            _gunicorn(interpreter, "django_toolkit"), database, few, path="/oauth2/token/"
        ),
    }
    if node := shutil.which("node"):
        modules = once(
            "node", [_SERVERS / "package.json", _SERVERS / "package-lock.json"], _install_node
        )
        program = _SERVERS / "oidc_provider.mjs"
        shutil.copyfile(program, modules / program.name)
        peers["oidc_provider_rs256"] = Peer(
            [node, str(modules / program.name)],
            known,
            many,
            body=f"{GRANT}&scope=demo%2Fread",
            path="/token",
            at_once=True,
        )
    return peers


def _install_node(directory: Path) -> None:
    print("installing oidc-provider …", flush=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(_SERVERS / name, directory / name)
    run_command(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=directory)


def _gunicorn(interpreter: Path, server: str) -> list[str]:
    return [
        *(str(interpreter), "-m", "gunicorn", "--workers", "2", "--worker-class", "sync"),
        *("--log-level", "warning", "--bind", f"{LOOPBACK}:$PORT"),
        f"benchmarks.servers.{server}:application",
    ]


# Servers


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers: the peer, its process, and its port."""

    peer: Peer
    pid: int
    port: int


@contextmanager
def running(peer: Peer) -> Iterator[Running]:
    """Start *peer*, wait until it listens, and stop it, and nothing else, at the end."""
    with socket.create_server((LOOPBACK, 0)) as found:
        port = int(found.getsockname()[1])
    command = [part.replace("$PORT", str(port)) for part in peer.command]
    base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**base, **peer.environment, "PORT": str(port), "OAUTHLIB_INSECURE_TRANSPORT": "1"},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        try:
            if not _listens(process, port):
                said.seek(0)
                raise RuntimeError(f"{command} does not listen.\n{said.read().decode()}")
            yield Running(peer, process.pid, port)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until *process* listens on *port*; return whether it does."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((LOOPBACK, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def cpu_ms(pid: int) -> float:
    """Return the CPU time of *pid* and its children, in all their threads."""
    total = 0
    for task in (Path("/proc") / str(pid) / "task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            total += int((task / "schedstat").read_text().split()[0])
            for child in (task / "children").read_text().split():
                total += int(cpu_ms(int(child)) * 1_000_000)
    return total / 1_000_000


# Requests


def _in_turns(
    turns: defaultdict[str, list[Turn]],
    servers: Mapping[str, Running],
    issued: IssuedCredentials,
    rounds: int,
) -> None:
    """Ask *servers* in turns, and add the costs to *turns*."""
    names = list(servers)
    for server in servers.values():
        # Both workers get to know the client, and compile the code that compiles at run time.
        turn(server, issued, max(server.peer.requests // 4, 6))
    for number in range(rounds):
        shift, beside = number % len(names), Verifications()
        for name in names[shift:] + names[:shift]:
            server, requests = servers[name], servers[name].peer.requests
            # A miss and one verification alone take turns: other load slows both.
            between = beside.verify if name in {_MISS, _NOTHING_CACHED} else _nothing
            turns[name].append(turn(server, issued, requests, between))
            if server.peer.at_once:
                many = turn(server, issued, requests, connections=_AT_ONCE)
                turns[f"{name}_{_MANY_AT_ONCE}"].append(many)
        turns[_VERIFICATION].append(beside.turn())


@dataclass
class Verifications:
    """Verifications of a secret in this process, and their costs."""

    hasher: PasswordHasher = field(
        default_factory=lambda: PasswordHasher.from_parameters(OWASP_19_MIB)
    )
    turns: list[Turn] = field(default_factory=list)

    def verify(self) -> None:
        """Verify once."""
        cpu, wall = time.thread_time(), time.perf_counter()
        with suppress(VerifyMismatchError):
            self.hasher.verify(OWASP_19_MIB_DECOY, "any")
        self.turns.append(
            Turn((time.thread_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000)
        )

    def turn(self) -> Turn:
        """Return the cost of one verification."""
        return Turn(
            statistics.mean(each.cpu_ms for each in self.turns),
            statistics.median(each.wall_ms for each in self.turns),
        )


def _nothing() -> None:
    """Do nothing between two requests."""


def turn(
    server: Running,
    issued: IssuedCredentials,
    requests: int,
    between: Callable[[], None] = _nothing,
    *,
    connections: int = 1,
) -> Turn:
    """Send *requests* for a token, call *between* after each, and return the cost of one."""
    peer = server.peer
    pair = f"{issued.client_id}:{issued.client_secret}".encode()
    headers = {
        "Accept": "*/*",
        "Authorization": f"Basic {base64.b64encode(pair).decode()}",
        "Content-Type": FORM,
        "User-Agent": "benchmark",
    }

    def check(answer: bytes) -> None:
        status = answer[:12].decode(errors="replace")
        if status != "HTTP/1.1 200" or peer.answer not in answer:
            raise RuntimeError(f"{peer.command} answered {status}.")
        between()

    request = post(peer.path, headers, peer.body)
    before = cpu_ms(server.pid)
    walls = ask(server.port, request, requests, connections=connections, check=check)
    spent = cpu_ms(server.pid) - before
    return Turn(spent / requests, statistics.median(walls) * 1000)


# Results


def _summary(name: str, turns: Mapping[str, list[Turn]]) -> dict[str, Any]:
    taken = turns[name]
    ours = turns[f"ours_{_MANY_AT_ONCE}" if name.endswith(_MANY_AT_ONCE) else "ours"]
    return {
        "cpu_ms": round(statistics.median(turn.cpu_ms for turn in taken), 3),
        "wall_ms": round(statistics.median(turn.wall_ms for turn in taken), 3),
        "times_our_cpu": round(_ratio(taken, ours), 2),
        "times_our_cpu_of_a_miss": round(_ratio(taken, turns[_MISS]), 2),
    }


def _ratio(turns: list[Turn], to: list[Turn]) -> float:
    """Return the median of the rounds' ratios of CPU time."""
    return statistics.median(one.cpu_ms / of.cpu_ms for one, of in zip(turns, to, strict=True))


def _bars(turns: Mapping[str, list[Turn]]) -> dict[str, Any]:
    return {
        **_bar_to(turns, "authlib_plain_text", "Authlib's with plain-text secrets", 0.55),
        **_bar_to(turns, "oidc_provider_rs256", "oidc-provider's with RS256", 0.5),
        "cpu_of_a_miss": {
            "says": "CPU of a client's first exchange in a process that serves others "
            "÷ one argon2 verification",
            "at_most": 1.2,
            "found": round(_ratio(turns[_MISS], turns[_VERIFICATION]), 3),
        },
        "cpu_of_a_first_exchange": {
            "says": "CPU of a process's first exchange ÷ one argon2 verification",
            "at_most": 1.2,
            "found": round(_ratio(turns[_NOTHING_CACHED], turns[_VERIFICATION]), 3),
        },
    }


def _bar_to(
    turns: Mapping[str, list[Turn]], peer: str, says: str, at_most: float
) -> dict[str, Any]:
    """Return the bars against *peer* with one caller and with eight; none if it is absent."""
    bars = {}
    for suffix, how in (("", ""), (f"_{_MANY_AT_ONCE}", ", eight at once")):
        if f"{peer}{suffix}" in turns:
            ours = turns[f"ours{suffix}"]
            bars[f"cpu_to_{peer}{suffix}"] = {
                "says": f"CPU per exchange ÷ {says}{how}",
                "at_most": at_most,
                "found": round(_ratio(ours, turns[f"{peer}{suffix}"]), 3),
            }
    return bars
