"""
Token servers over HTTP, side by side: what one exchange costs the server in CPU time (bar 2).

The Python ones run under gunicorn with the same worker class and number of workers; Node's runs as
it is meant to.  One client sends one request after the other; where a server keeps a connection,
it is kept.  Servers are asked in turns, and their CPU time is read from the system, for all their
processes and threads.  They issue different things, as each is meant to: ours hands out Cognito's
token, Authlib an opaque one, oidc-provider signs one with RS256.
"""

from __future__ import annotations

import base64
import http.client
import os
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from benchmarks.arrangement import GRANT
from benchmarks.environments import ROOT, once, python
from benchmarks.environments import run as run_command
from benchmarks.region import Region, client, environment, serving
from chalicelib.credentials import OWASP_19_MIB, OWASP_19_MIB_DECOY, SecretHasher
from chalicelib.model import IssuedCredentials
from tests.contract.loopback import LOOPBACK

_SERVERS = ROOT / "benchmarks" / "servers"
_PATIENCE = 60.0
_OK = 200
_MISS, _NOTHING_CACHED, _VERIFICATION = (
    "ours_client_unknown",
    "ours_nothing_cached",
    "argon2_alone",
)


@dataclass(frozen=True, slots=True)
class Peer:
    """
    A server to be asked: how it is started, and how many requests a turn has.

    What it answers has to have *answer* in it.
    """

    command: list[str]
    environment: Mapping[str, str]
    requests: int
    body: str = GRANT
    path: str = "/oauth2/token"
    answer: bytes = b"access_token"


@dataclass(frozen=True, slots=True)
class Turn:
    """What *requests* took: CPU of the server, and the time of each as the client saw it."""

    cpu_ms: float
    wall_ms: float


def run(*, quick: bool) -> dict[str, Any]:
    """Start all servers, ask them in turns, and stop them."""
    region = Region()
    issued, record = client(SecretHasher(secrets.token_bytes))
    region.add(record)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(serving(region))
        peers = _peers(issued, environment(store.url), scratch, quick=quick)
        servers = {name: stack.enter_context(running(peer)) for name, peer in peers.items()}
        turns = _in_turns(peers, servers, issued, rounds=1 if quick else 9)
    subjects = {name: _summary(each, turns["ours"], turns[_MISS]) for name, each in turns.items()}
    return {"subjects": subjects, "workers": 2, "bars": _bars(turns)}


def _peers(
    issued: IssuedCredentials, ours: Mapping[str, str], scratch: Path, *, quick: bool
) -> dict[str, Peer]:
    interpreter = python(
        "peers", ROOT / "requirements.txt", ROOT / "benchmarks" / "requirements-peers.txt"
    )
    known = {"CLIENT_ID": issued.client_id, "CLIENT_SECRET": issued.client_secret}
    hashed = PasswordHasher.from_parameters(OWASP_19_MIB).hash(issued.client_secret)
    database = {**known, "DATABASE": str(scratch / "django.sqlite3")}
    run_command([str(interpreter), "-m", "benchmarks.servers.django_toolkit"], environment=database)
    many, few = (10, 2) if quick else (600, 12)
    peers = {
        "ours": Peer(_gunicorn(interpreter, "ours"), ours, many),
        _MISS: Peer(_gunicorn(interpreter, "ours"), {**ours, "WHICH": "client_unknown"}, few),
        _NOTHING_CACHED: Peer(
            _gunicorn(interpreter, "ours"), {**ours, "WHICH": "nothing_kept"}, few
        ),
        "chalice_no_op": Peer(
            _gunicorn(interpreter, "ours"), {**ours, "WHICH": "no_op"}, many, answer=b"{}"
        ),
        "authlib_plain_text": Peer(_gunicorn(interpreter, "authlib_flask"), known, many),
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
    """A server that answers: its process, and where."""

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
            yield Running(process.pid, port)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until *port* is listened on; return whether it is."""
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
    """Return the CPU time that *pid* and its children have had, in all their threads."""
    total = 0
    for task in (Path("/proc") / str(pid) / "task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
        for child in (task / "children").read_text().split():
            total += int(cpu_ms(int(child)) * 1_000_000)
    return total / 1_000_000


# Requests


def _in_turns(
    peers: Mapping[str, Peer],
    servers: Mapping[str, Running],
    issued: IssuedCredentials,
    rounds: int,
) -> dict[str, list[Turn]]:
    names = list(peers)
    turns: dict[str, list[Turn]] = {name: [] for name in names}
    verifications: list[Turn] = []
    for name in names:
        # Both workers get to know the client, and what compiles as it runs is compiled.
        turn(peers[name], servers[name], issued, max(peers[name].requests // 4, 6))
    for number in range(rounds):
        shift, beside = number % len(names), Verifications()
        for name in names[shift:] + names[:shift]:
            peer = peers[name]
            # A miss and one verification alone in turns: what makes one slow makes the other slow.
            between = beside.verify if name in {_MISS, _NOTHING_CACHED} else _nothing
            turns[name].append(turn(peer, servers[name], issued, peer.requests, between))
        verifications.append(beside.turn())
    return {**turns, _VERIFICATION: verifications}


@dataclass
class Verifications:
    """Verifications of a secret in this process, and what they cost."""

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
        """Return what one cost."""
        return Turn(
            statistics.mean(each.cpu_ms for each in self.turns),
            statistics.median(each.wall_ms for each in self.turns),
        )


def _nothing() -> None:
    """Do nothing between two requests."""


def turn(
    peer: Peer,
    server: Running,
    issued: IssuedCredentials,
    requests: int,
    between: Callable[[], None] = _nothing,
) -> Turn:
    """Send *requests* for a token, do what is *between* them, and return what one of them cost."""
    pair = f"{issued.client_id}:{issued.client_secret}".encode()
    headers = {
        "Authorization": f"Basic {base64.b64encode(pair).decode()}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    walls = []
    before = cpu_ms(server.pid)
    with closing(http.client.HTTPConnection(LOOPBACK, server.port, timeout=30)) as connection:
        for _ in range(requests):
            started = time.perf_counter()
            connection.request("POST", peer.path, peer.body, headers)
            response = connection.getresponse()
            content = response.read()
            walls.append(time.perf_counter() - started)
            if response.status != _OK or peer.answer not in content:
                raise RuntimeError(f"{peer.command} answered {response.status}.")
            between()
    spent = cpu_ms(server.pid) - before
    return Turn(spent / requests, statistics.median(walls) * 1000)


# What was found


def _summary(turns: list[Turn], ours: list[Turn], missed: list[Turn]) -> dict[str, Any]:
    return {
        "cpu_ms": round(statistics.median(turn.cpu_ms for turn in turns), 3),
        "wall_ms": round(statistics.median(turn.wall_ms for turn in turns), 3),
        "times_our_cpu": round(_ratio(turns, ours), 2),
        "times_our_cpu_of_a_miss": round(_ratio(turns, missed), 2),
    }


def _ratio(turns: list[Turn], to: list[Turn]) -> float:
    """Return the median of the rounds' ratios of CPU time."""
    return statistics.median(one.cpu_ms / of.cpu_ms for one, of in zip(turns, to, strict=True))


def _bars(turns: Mapping[str, list[Turn]]) -> dict[str, Any]:
    bars: dict[str, Any] = {
        "cpu_to_authlib_plain_text": {
            "says": "CPU per exchange ÷ Authlib's with plain-text secrets",
            "at_most": 0.55,
            "found": round(_ratio(turns["ours"], turns["authlib_plain_text"]), 3),
        },
        "cpu_of_a_miss": {
            "says": "CPU of a client's first exchange in a process that serves others "
            "÷ one argon2 verification",
            "at_most": 1.2,
            "found": round(_ratio(turns[_MISS], turns[_VERIFICATION]), 3),
        },
        "cpu_of_a_first_exchange": {
            "says": "CPU of an exchange in a process that knows nothing at all "
            "÷ one argon2 verification",
            "at_most": 1.2,
            "found": round(_ratio(turns[_NOTHING_CACHED], turns[_VERIFICATION]), 3),
        },
    }
    if "oidc_provider_rs256" in turns:
        bars["cpu_to_oidc_provider_rs256"] = {
            "says": "CPU per exchange ÷ oidc-provider's with RS256",
            "at_most": 0.5,
            "found": round(_ratio(turns["ours"], turns["oidc_provider_rs256"]), 3),
        }
    return bars
