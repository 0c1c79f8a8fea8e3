"""Background processes, detached from the terminal, identified by PID and start time."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_STOP_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """Process started by this project; *started* guards against a reused PID."""

    name: str
    pid: int
    started: str

    def is_running(self) -> bool:
        """Return whether this process still exists."""
        return _start_time(self.pid) == self.started

    def stop(self) -> None:
        """
        Stop the process and its children, and wait until they are gone.

        They are in a process group of their own whose number is the PID, so that a Lambda function
        that outlives the emulator is found as well.
        """
        if self.is_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            _wait_until(lambda: not self.is_running(), _STOP_SECONDS)
        elif _start_time(self.pid):
            return  # The PID belongs to another process now, and with it the group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        _wait_until(lambda: not self.is_running() and not _group_exists(self.pid), _STOP_SECONDS)
        _collect(self.pid)


def start(  # noqa: PLR0913 - given by name
    name: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    inherited: Sequence[int],
) -> ProcessRecord:
    """Start *command* in the background with its output in *log*, and *inherited* open files."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=inherited,
        )
    _children.append(process)
    return ProcessRecord(name, process.pid, _start_time(process.pid))


# The parent has to collect its ended child, or it remains as a zombie.
_children: list[subprocess.Popen[bytes]] = []


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of *log*, for an error message."""
    return "\n".join(_lines(log)[-lines:])


def _lines(log: Path) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _collect(pid: int) -> None:
    """Collect an ended child of this process, so that no zombie remains."""
    for child in [*_children]:
        if child.pid == pid:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_STOP_SECONDS)
                _children.remove(child)


def _start_time(pid: int) -> str:
    """Return the start time of process *pid* in the system's format; empty if it does not run."""
    for child in _children:
        if child.pid == pid and child.poll() is not None:
            return ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
        return _start_time_from_ps(pid)
    except ProcessLookupError:
        return ""
    state, start_ticks = fields[0], fields[19]
    return "" if state == "Z" else start_ticks


def _start_time_from_ps(pid: int) -> str:
    """Read the start time from `ps`, where there is no /proc."""
    shown = subprocess.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A zombie that another process has to collect keeps its group alive; it holds no port and no
    # file.
    return any(_start_time(pid) for pid in _members(group))


def _members(group: int) -> Iterable[int]:
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            if int(entry.read_text().rpartition(")")[2].split()[2]) == group:
                yield int(entry.parent.name)


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
