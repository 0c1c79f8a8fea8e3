"""`up` is idempotent and repairs, `down` leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from botocore.exceptions import ClientError

from local import lifeline
from local.cloud import ROOT, Cloud, CloudError, stop
from local.deploy import DeploymentError
from local.httpio import get
from local.ports import claimed
from local.processes import ProcessRecord
from local.provision import ADMINISTRATOR_POLICY

from .conftest import TIME_SCALE

pytestmark = pytest.mark.cloud


def run(state: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local", "--state", str(state), *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def state_of(cloud: Cloud) -> Path:
    return Path(cloud.endpoints["identities"]["file"]).parent


def is_a_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def processes_that_name(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            directory = (entry / "cwd").readlink()
        except OSError:
            continue
        if (text in line or text in str(directory)) and int(entry.name) != os.getpid():
            found.append(line)
    return found


def ends(condition: Callable[[], bool]) -> bool:
    """Return whether *condition* holds soon."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_second_up_changes_nothing(cloud: Cloud, project: Path) -> None:
    packages = [*(state_of(cloud) / "build" / "packages").glob("*/deployment.zip")]
    made = [path.stat().st_mtime_ns for path in packages]
    again = Cloud.up(state_of(cloud), project=project, quiet=True, time_scale=TIME_SCALE)
    assert len(made) == 2
    assert [path.stat().st_mtime_ns for path in packages] == made
    assert again.endpoints == cloud.endpoints
    assert again.environment == cloud.environment
    assert again.processes == cloud.processes


def test_up_restores_a_lost_region(cloud: Cloud, project: Path) -> None:
    cloud.set_region("primary", "hanging")
    Cloud.up(state_of(cloud), project=project, quiet=True, time_scale=TIME_SCALE)
    assert requests.get(f"{cloud.endpoints['primary']}/health", timeout=10).ok


def test_the_operator_gets_the_given_policy(cloud: Cloud, project: Path, tmp_path: Path) -> None:
    policy = tmp_path / "operator.json"
    statement = {"Effect": "Allow", "Action": "secretsmanager:ListSecrets", "Resource": "*"}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    try:
        Cloud.up(state_of(cloud), project=project, quiet=True, operator_policy=policy)
        cloud.client("secretsmanager").list_secrets()
        with pytest.raises(ClientError, match="AccessDenied"):
            cloud.client("secretsmanager").describe_secret(SecretId="x")
    finally:
        policy.write_text(ADMINISTRATOR_POLICY)
        Cloud.up(state_of(cloud), project=project, quiet=True, operator_policy=policy)


def test_up_deploys_changed_code(cloud: Cloud, project: Path) -> None:
    (package,) = (state_of(cloud) / "build" / "packages" / "primary").glob("*.zip")
    made = package.stat().st_mtime_ns
    app = project / "app.py"
    app.write_text(app.read_text().replace("VERSION = 1", "VERSION = 2"))
    changed = Cloud.up(state_of(cloud), project=project, quiet=True, time_scale=TIME_SCALE)
    assert changed.endpoints == cloud.endpoints
    assert package.stat().st_mtime_ns != made
    for base in (changed.endpoints["secondary"], changed.endpoints["front_door"]):
        assert requests.get(f"{base}/health", timeout=10).json()["version"] == 2


def test_the_environment_is_ready_for_a_shell(cloud: Cloud) -> None:
    exports = run(state_of(cloud), "env").stdout
    script = f"{exports}\nprintf '%s' \"$AWS_ENDPOINT_URL $ADMIN_URL_SECONDARY $REGION_PRIMARY\""
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    endpoints = cloud.endpoints
    assert shown.stdout == f"{endpoints['cloud']} {endpoints['secondary']} us-east-1"
    assert "unset AWS_PROFILE" in exports


def test_the_switch_works_from_the_shell(cloud: Cloud) -> None:
    assert run(state_of(cloud), "region", "secondary", "refused").returncode == 0
    assert cloud.region_mode("secondary") == "refused"
    assert "refused" in run(state_of(cloud), "status").stdout
    status = json.loads(run(state_of(cloud), "status", "--output", "json").stdout)
    assert status["network"]["regions"]["us-west-2"]["mode"] == "refused"


def test_a_stage_can_be_served_from_the_working_tree(cloud: Cloud) -> None:
    with claimed(1) as claim:
        (port,) = claim.ports
        command = ["chalice-local", "--stage", "secondary", "--port", str(port)]
        server = lifeline.popen(
            [sys.executable, "-m", "local", "--state", str(state_of(cloud)), *command],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            url = f"http://127.0.0.1:{port}/caller"
            while get(url)[0] == 0 and time.monotonic() < deadline:
                time.sleep(0.1)
            assert requests.get(url, timeout=30).ok
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def test_commands_without_a_cloud_report_that(tmp_path: Path) -> None:
    for command in (["env"], ["status"], ["region", "primary", "up"]):
        done = run(tmp_path / "none", *command)
        assert done.returncode == 1
        assert "make up" in done.stderr
    assert run(tmp_path / "none", "down").returncode == 0
    with pytest.raises(CloudError):
        Cloud.find(tmp_path / "none")


def test_a_reused_pid_is_not_signaled() -> None:
    ProcessRecord("somebody else", os.getpid(), "another start time").stop()


def test_up_repairs_and_down_leaves_nothing(project: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Cloud.up(state, project=project, quiet=True) as first:
        before = first.processes
        emulator = next(record for record in before if record.name == "emulator")
        os.kill(emulator.pid, signal.SIGKILL)
        second = Cloud.up(state, project=project, quiet=True)
        assert requests.get(f"{second.endpoints['front_door']}/health", timeout=10).ok
        assert not any(record.is_running() for record in before)
        pids = [record.pid for record in second.processes]
        shown = json.dumps(second.endpoints)
    assert not any(is_a_process(pid) for pid in pids)
    assert processes_that_name(str(state)) == []
    for port in re.findall(r"127\.0\.0\.1:(\d+)", shown):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)), timeout=5)
    assert not (state / "endpoints.json").exists()
    assert not (state / "environment.json").exists()
    second.down()


def test_a_moved_state_directory_still_owns_its_processes(project: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    with Cloud.up(before, project=project, quiet=True) as cloud:
        running = cloud.processes
        before.rename(after)
        with pytest.raises(CloudError, match="make up"):
            Cloud.find(after)
        assert stop(after)
        assert not any(record.is_running() for record in running)


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(tmp_path / "file" / "state", "up")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    state = tmp_path / "state"
    limited = ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh", sys.executable, "-m", "local"]
    done = subprocess.run(
        [*limited, "--state", str(state), "up"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert processes_that_name(str(state)) == []


def test_an_interrupted_up_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with subprocess.Popen(
        [sys.executable, "-m", "local", "--state", str(state), "up"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        assert ends((state / "processes.json").exists)
        started.send_signal(signal.SIGINT)
        _, said = started.communicate()
    assert started.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("interrupted: ")
    assert processes_that_name(str(state)) == []


OWNER = """
import sys
from pathlib import Path
from local.cloud import Cloud

Cloud.up(Path(sys.argv[1]), project=Path(sys.argv[2]), quiet=True)
print("up", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_cloud_ends_with_the_process_that_started_it(
    project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    state = tmp_path / "state"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(state), str(project)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        assert len(processes_that_name(str(state))) > 2
        owner.send_signal(number)
    assert ends(lambda: processes_that_name(str(state)) == [])


@pytest.mark.parametrize("after", [0.5, 1.0, 2.0, 4.0])
def test_a_start_that_is_killed_leaves_no_process(
    project: Path, tmp_path: Path, after: float
) -> None:
    state = tmp_path / "state"
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(state), str(project)], cwd=ROOT, stdin=subprocess.PIPE
    ) as owner:
        with suppress(subprocess.TimeoutExpired):
            owner.wait(after)
        owner.kill()
    assert ends(lambda: processes_that_name(str(state)) == [])


def test_a_program_ends_with_the_process_that_started_it() -> None:
    marked = f"import time; time.sleep(600)  # {os.getpid()} {time.time_ns()}"
    script = "import sys; from local import lifeline; p = lifeline.popen(sys.argv[1:]); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, sys.executable, "-c", marked],
        cwd=ROOT,
        stdin=subprocess.PIPE,
    ) as owner:
        # The owner itself, the launcher, and the program name it.
        assert ends(lambda: len(processes_that_name(marked)) == 3)
        owner.kill()
    assert ends(lambda: processes_that_name(marked) == [])


def test_a_bound_program_gets_signals_and_its_exit_code_counts() -> None:
    program = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print(1, flush=True)"
    waiting = f"{program}; signal.pause()"
    process = lifeline.popen([sys.executable, "-c", waiting], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        process.terminate()
    assert process.returncode == 7


def test_a_copied_state_directory_does_not_own_the_original(cloud: Cloud, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(state_of(cloud), copy, symlinks=True)
    with pytest.raises(CloudError):
        Cloud.find(copy)
    assert not stop(copy)
    assert all(record.is_running() for record in cloud.processes)


def test_an_up_that_fails_leaves_nothing(project: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    (broken / "app.py").write_text("raise SystemExit('not today')")
    state = tmp_path / "state"
    with pytest.raises(DeploymentError, match="not today"):
        Cloud.up(state, project=broken, quiet=True)
    assert processes_that_name(str(state)) == []
