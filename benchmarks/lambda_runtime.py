"""
Lambda as a function sees it: the real runtime client, and a Runtime API on loopback.

AWS's own `awslambdaric` asks for an event and posts the function's answer; see
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from tests.contract.loopback import Answer, Loopback, Seen, Wire, answer

_NEXT = "/2018-06-01/runtime/invocation/next"
_PATIENCE = 60.0


class RuntimeApi:
    """Runtime API that hands out one event, takes the answer, and lets the function wait."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self._event = json.dumps(event).encode()
        self.asked, self.answered = Event(), Event()
        self.asked_at = self.answered_at = 0.0
        self.answer: Any = None

    def choose(self, seen: Seen) -> Answer:
        """Answer the runtime client."""
        if seen.path == _NEXT:
            if self.asked.is_set():
                return self._wait
            self.asked_at = time.perf_counter()
            self.asked.set()
            return answer(
                200,
                self._event,
                Lambda_Runtime_Aws_Request_Id="1",
                Lambda_Runtime_Deadline_Ms=str(int(time.time() * 1000) + 25_000),
                Lambda_Runtime_Invoked_Function_Arn="arn:aws:lambda:us-east-1:123456789012:function:f",
            )
        self.answered_at = time.perf_counter()
        self.answer = json.loads(seen.body)
        self.answered.set()
        return answer(202, {"status": "OK"})

    def _wait(self, wire: Wire) -> None:
        # Lambda freezes a function that waits for its next event; the benchmark ends it.
        wire.client_hangs_up(within=_PATIENCE)
        wire.hang_up()


@dataclass(frozen=True, slots=True)
class Start:
    """Durations from the process's start: until the function is ready, and until it answers."""

    ready_ms: float
    answered_ms: float
    cpu_ms: float
    answer: Any


def start(
    interpreter: Path, task: Path, event: Mapping[str, Any], environment: Mapping[str, str]
) -> Start:
    """Start the function unpacked in *task*, let it answer *event*, and end it."""
    api = RuntimeApi(event)
    with Loopback(api.choose) as server, tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(interpreter), "-m", "awslambdaric", "app.app"],
            cwd=task,
            env={
                "PYTHONPATH": str(task),
                **environment,
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.port}",
                "AWS_LAMBDA_FUNCTION_NAME": "function",
                "AWS_REGION": environment["AWS_DEFAULT_REGION"],
                "LAMBDA_TASK_ROOT": str(task),
                "PYTHONDONTWRITEBYTECODE": "1",  # /var/task cannot be written to
                "PATH": os.environ["PATH"],
                "TZ": ":UTC",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + _PATIENCE
        while (
            not api.answered.wait(0.02) and process.poll() is None and time.monotonic() < deadline
        ):
            pass
        process.terminate()
        usage = _usage(process)
        output.seek(0)
        if not api.answered.is_set():
            raise RuntimeError(f"The function did not answer:\n{output.read().decode()}")
    return Start(
        ready_ms=(api.asked_at - started) * 1000,
        answered_ms=(api.answered_at - started) * 1000,
        cpu_ms=(usage.ru_utime + usage.ru_stime) * 1000,
        answer=api.answer,
    )


def _usage(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """Wait for *process*; return its resource usage."""
    if process.returncode is not None:  # it ended by itself, and was waited for
        return resource.getrusage(resource.RUSAGE_CHILDREN)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage
