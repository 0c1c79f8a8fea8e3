"""Real processes and real signals: a command that is stopped half-way ends in order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_socket import enable_socket

from tests.aws_worlds import PREFIX
from tests.fake_aws import Call, CarryOut
from tests.stages import PROJECT
from tests.unit.stable_names.commands import make_pairs
from tests.unit.stable_names.served_cloud import ServedCloud, served_cloud
from tests.unit.surrogatectl.regions.signalled import RUNS, writers
from tests.worlds import EAST, WEST

pytestmark = pytest.mark.slow

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
QUICK = ("--settle=0.01", "--timeout=20")


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("run", RUNS)
def test_a_signal_at_any_call_leaves_one_region_writing_or_names_the_command_that_goes_on(
    run: str, name: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.surrogatectl.regions.signalled", run, name],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) > 10
    for result in results:
        assert f"Interrupted by {name}." in result["told"], result
        assert len(result["writers"]) == ("No Region writes" not in result["told"]), result
        assert not result["leased"], "the next run need not wait"
        assert result["commands"], result
        assert len(result["after"]) == 1, "the command that goes on works"
        if result["commands"][-1] == "failback":
            assert result["after"] == [EAST], result


@pytest.fixture
def served() -> Iterator[ServedCloud]:
    enable_socket()
    with served_cloud() as served:
        assert served.run("init").exit_code == 0
        yield served


@dataclass
class Stopped:
    """Outcome of a process that got a signal."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """Starts `surrogatectl` in processes of their own."""

    served: ServedCloud

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "surrogatectl.main", *arguments],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], **self.served.settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def stopped_at_step(self, said: str, name: str, *arguments: str) -> Stopped:
        """Send a signal when the command has said *said*."""
        with self.started(*arguments) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if said in line:
                    process.send_signal(signal.Signals[name])
                    break
            out, err = process.communicate(timeout=60)
            return Stopped(process.returncode, "".join(lines) + out, err)

    def stopped_at_call(self, operation: str, name: str, *arguments: str) -> Stopped:
        """Send a signal while the first request of an operation is under way."""
        processes: list[subprocess.Popen[str]] = []

        def accident(number: int, call: Call, carry_out: CarryOut) -> Any:
            if call.operation == operation and processes:
                processes.pop().send_signal(signal.Signals[name])
            return carry_out()

        self.served.world.aws.watch(accident)
        with self.started(*arguments) as process:
            processes.append(process)
            out, err = process.communicate(timeout=60)
            self.served.world.aws.watch()
            assert not processes, "the command made no such request"
            return Stopped(process.returncode, out, err)


@pytest.fixture
def shell(served: ServedCloud) -> Shell:
    return Shell(served)


def named(err: str) -> list[list[str]]:
    """Return the commands that a text names."""
    found = re.findall(r"surrogatectl (failover --to secondary(?: --force)?|failback)", err)
    return [each.split() for each in found]


FAILBACK = ("writes nothing", "records brought back", "nobody writes", "under way have ended")
MOVED = ("denials", "what changed", "serves the canary", "lets go", "answers from", "forgotten")


@pytest.mark.parametrize(
    ("said", "name"), [(each, SIGNALS[n % 3]) for n, each in enumerate(FAILBACK + MOVED)]
)
def test_failback_in_a_process_of_its_own_is_stopped_after_any_step(
    served: ServedCloud, shell: Shell, said: str, name: str
) -> None:
    for number in range(3):
        assert served.run("enroll", f"--name={number}", "--scope=demo/read").exit_code == 0
    assert served.run("canary", "--scope=demo/read").exit_code == 0
    assert served.run("failover", "--to=secondary", *QUICK).exit_code == 0
    stopped = shell.stopped_at_step(said, name, "failback", "--ttl=0.5", *QUICK)
    assert stopped.code == 4, stopped
    assert f"Interrupted by {name}." in stopped.err
    writing = writers(served.world)
    assert writing or "No Region writes" in stopped.err
    assert served.run(*named(stopped.err)[-1], "--ttl=0.01", *QUICK).exit_code == 0
    assert writers(served.world) == [EAST]


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("said", [": checked", "writes no more", "takes the traffic"])
def test_failover_in_a_process_of_its_own_is_stopped_after_any_step(
    served: ServedCloud, shell: Shell, said: str, name: str
) -> None:
    assert served.run("canary", "--scope=demo/read").exit_code == 0
    stopped = shell.stopped_at_step(said, name, "failover", "--to=secondary", "--settle=5")
    assert f"Interrupted by {name}." in stopped.err or stopped.code == 0
    assert writers(served.world) == [WEST if said == "takes the traffic" else EAST]
    if stopped.code:
        assert stopped.code == 4
        assert served.run(*named(stopped.err)[-1], *QUICK).exit_code == 0
    assert writers(served.world) == [WEST]


def test_a_closed_output_does_not_stop_a_failback_half_way(
    served: ServedCloud, shell: Shell
) -> None:
    assert served.run("canary", "--scope=demo/read").exit_code == 0
    assert served.run("failover", "--to=secondary", *QUICK).exit_code == 0
    with shell.started("failback", "--ttl=0.01", *QUICK) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()
        process.wait(timeout=60)
    assert writers(served.world) == [EAST]


# The other commands of more than one step


def repeated(served: ServedCloud, *arguments: str) -> None:
    result = served.run(*arguments)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_init_stopped_half_way_is_completed_by_a_repeat(
    served: ServedCloud, shell: Shell, tmp_path: Path, name: str
) -> None:
    for store in served.world.secrets.values():
        store.secrets.clear()
    audit = f"--audit-file={tmp_path / 'audit'}"
    stopped = shell.stopped_at_call("ReplicateSecretToRegions", name, "init", audit)
    assert stopped.code == 4
    assert f"Interrupted by {name}." in stopped.err
    repeated(served, "init")
    for store in served.world.secrets.values():
        assert {f"{PREFIX}/{each}" for each in ("region", "deployment", "jwks")} <= set(
            store.secrets
        )


def test_an_enrollment_stopped_half_way_names_the_key_that_repeats_it(
    served: ServedCloud, shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    enroll = ("enroll", "--name=n", "--scope=demo/read", f"--secret-file={file}")
    stopped = shell.stopped_at_call("CreateUserPoolClient", "SIGTERM", *enroll)
    assert stopped.code == 4
    assert not file.exists()
    (key,) = re.findall(r"--idempotency-key (\S+)", stopped.err)
    repeated(served, *enroll, f"--idempotency-key={key}")
    assert len(served.world.records()) == 1


def drift(served: ServedCloud) -> None:
    for pool in served.world.pools.values():
        pool.clients.clear()


def pair(served: ServedCloud, path: Path) -> None:
    """Write a table with two pairs of app clients that exist."""
    make_pairs(served.world, path, 2)


REPAIR = ("reconcile", "--repair", "--yes")
STEPS: dict[str, tuple[Sequence[str], str, Callable[[ServedCloud, Path], object]]] = {
    "reconcile": (REPAIR, "CreateUserPoolClient", lambda served, _: drift(served)),
    "cleanup": (("cleanup", "--yes"), "DeleteUserPoolClient", lambda *_: None),
    "adopt": (("adopt", "--yes"), "CreateSecret", pair),
}


@pytest.mark.parametrize("what", STEPS)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_command_of_many_steps_is_completed_by_a_repeat_after_a_signal(
    served: ServedCloud, shell: Shell, what: str, name: str, tmp_path: Path
) -> None:
    for number in range(3):
        repeated(served, "enroll", f"--name={number}", "--scope=demo/read")
    arguments, operation, prepare = STEPS[what]
    prepare(served, tmp_path / "pairs.csv")
    if what == "adopt":
        files = f"--csv={tmp_path / 'pairs.csv'}", f"--credentials-file={tmp_path / 'new'}"
        arguments = (*arguments, *files)
    audit = tmp_path / "audit"
    stopped = shell.stopped_at_call(operation, name, *arguments, f"--audit-file={audit}")
    assert stopped.code == 4, stopped
    assert f"Interrupted by {name}." in stopped.err
    assert "Repeat the command to go on" in stopped.err
    repeated(served, *arguments)
    if what == "reconcile":
        repeated(served, "reconcile")
    if what == "adopt":
        assert len(served.world.records()) == 3 + 2


def test_a_rotation_stopped_half_way_says_how_to_end_the_secret_that_nobody_has(
    served: ServedCloud, shell: Shell
) -> None:
    repeated(served, "enroll", "--name=n", "--scope=demo/read")
    (client_id,) = served.world.records()
    stopped = shell.stopped_at_call("PutSecretValue", "SIGTERM", "rotate", client_id)
    assert stopped.code == 4
    assert f"surrogatectl show {client_id}" in stopped.err
    assert "surrogatectl retire" in stopped.err
    _, previous = served.world.record(client_id).secrets
    newest = served.world.record(client_id).secrets[0].secret_id
    assert previous.secret_id != newest
    repeated(served, "retire", client_id, newest, "--yes", "--force")
    repeated(served, "rotate", client_id)


def test_a_signal_ignored_by_the_parent_stays_ignored(served: ServedCloud, shell: Shell) -> None:
    """As SIGHUP is below `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        done = shell.stopped_at_call("ListSecrets", "SIGHUP", "status", "--output=json")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert json.loads(done.out)["writer"] == EAST
    assert "Interrupted" not in done.err
