"""
Signals that end a process: they raise `Interrupted`, so that what was begun is wound up.

Python does so for SIGINT only.  At SIGTERM and SIGHUP a process would end between two writes.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Handler = Callable[[int, FrameType | None], object]


class Interrupted(BaseException):
    """A signal asked the process to end; no `except Exception` catches it on its way."""

    def __init__(self, number: int) -> None:
        super().__init__(f"Interrupted by {signal.Signals(number).name}.")


@contextmanager
def interruptible() -> Iterator[None]:
    """
    Raise `Interrupted` at the first signal that would end the process.

    Later ones do not disturb the winding up.  A signal that was ignored before, as SIGHUP is
    below `nohup`, stays ignored.
    """
    ended = False

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        if not ended:
            ended = True
            _raise(number)

    with _handling(end):
        yield


@contextmanager
def shielded() -> Iterator[None]:
    """Let the block end before a signal takes effect."""
    received: list[int] = []
    with _handling(lambda number, _frame: received.append(number)):
        yield
    if received:
        signal.raise_signal(received[0])


def _raise(number: int) -> NoReturn:
    raise Interrupted(number)


@contextmanager
def _handling(handler: _Handler) -> Iterator[None]:
    """Have *handler* take the signals, unless they are ignored or this is no main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: found
        for number in ENDING
        if (found := signal.getsignal(number)) not in {signal.SIG_IGN, None}
    }
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)
