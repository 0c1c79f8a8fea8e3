"""
Lifeline: what a run has started ends with that run, however the run ends.

The owner holds the write end of a pipe, and its background processes the read end.  The kernel
closes the write end with the owner, even after SIGKILL; a process that sees that kills its
process group.

This module is also a program, which runs another one in this way.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

OPTION = "--lifeline"
_ends: list[int] = []


def descriptor() -> int:
    """Return the read end of this process's own lifeline, for what must not outlive it."""
    if not _ends:
        _ends.extend(os.pipe())
    return _ends[0]


def follow(read_end: int | None) -> None:
    """End this process and its group when the owner of the pipe at *read_end* has ended."""
    if read_end is None:
        return
    os.set_inheritable(read_end, False)
    threading.Thread(target=_end_with_owner, args=(read_end,), daemon=True).start()


def popen(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401
    """
    Start *command* with the *options* of `Popen`; its process group ends with this process.

    SIGTERM and SIGINT reach the command; its exit code is the process's.
    """
    read_end = descriptor()
    return subprocess.Popen(
        [sys.executable, "-I", __file__, str(read_end), *command],
        pass_fds=[read_end],
        start_new_session=True,
        text=True,
        **options,
    )


def main() -> int:
    """Run the command line that follows the descriptor's number."""
    follow(int(sys.argv[1]))
    with subprocess.Popen(sys.argv[2:]) as child:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: child.send_signal(received))
        code = child.wait()
    return code if code >= 0 else 128 - code


def _end_with_owner(read_end: int) -> None:
    os.read(read_end, 1)  # returns at the end only, as nobody writes
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
