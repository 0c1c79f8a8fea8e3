"""Progress output: one line per step, with its duration."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Printer of one line per finished step."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._started = time.monotonic()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Time a step, and print its line at the end."""
        started = time.monotonic()
        yield
        self.say(f"{text:<60} {time.monotonic() - started:5.1f} s")

    def say(self, text: str) -> None:
        """Print a line."""
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started
