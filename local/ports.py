"""
Ports reserved for one cloud, even while nothing listens on them.

A lost Region has closed its ports, and a starting cloud has not opened them yet: a search for free
ports would find them in both cases. So ports are allocated in blocks, and the user of a block holds
a lock on its file. The cloud's processes inherit the lock; it is released when the last of them has
ended, even after a crash.
"""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from random import SystemRandom

from local.switch import LOOPBACK

# Below the ephemeral ranges of Linux (from 32768) and macOS (from 49152): the kernel assigns none
# of these to an outgoing connection.
PORTS = range(20_000, 32_000)
BLOCK = 20
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Claim:
    """Block of ports, reserved as long as some process has *descriptor* open."""

    ports: tuple[int, ...]
    descriptor: int


@contextmanager
def claimed(count: int, *, among: range = PORTS, locks: Path | None = None) -> Iterator[Claim]:
    """
    Claim *count* unused ports, until the end of the `with` and of every process that inherits them.

    Raises:
        RuntimeError: If no block is left, or if *count* is more than a block has.
    """
    directory = _private(locks or Path(tempfile.gettempdir()) / f"surrogate-ports-{os.getuid()}")
    starts = among[::BLOCK]
    for start in SystemRandom().sample(starts, len(starts)):
        descriptor = os.open(directory / str(start), _OPEN, 0o600)
        try:
            ports = _free(range(start, start + BLOCK)) if _lock(descriptor) else []
            if len(ports) >= count:
                yield Claim(tuple(ports[:count]), descriptor)
                return
        finally:
            os.close(descriptor)
    msg = f"no {count} free ports between {among.start} and {among.stop}"
    raise RuntimeError(msg)


def _private(directory: Path) -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def _lock(descriptor: int) -> bool:
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free(ports: range) -> list[int]:
    """Return the *ports* that no other program uses."""
    found = []
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        found.append(port)
    return found
