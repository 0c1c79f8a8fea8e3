"""
Ports that a cloud has to itself, also while nothing listens on them.

A Region that is lost has closed its ports, and a cloud that starts has not opened them yet: looking
for a free port would find them in both cases. So ports are handed out in blocks, and each block has
a file that whoever uses the block holds a lock on. The lock is inherited by the cloud's processes;
it is given up when the last of them has ended, in whatever way.
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

# Below the ephemeral ranges of Linux (from 32768) and macOS (from 49152): the kernel hands none of
# these to an outgoing connection.
PORTS = range(20_000, 32_000)
BLOCK = 20
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Claim:
    """A block of ports; they are kept as long as some process has *descriptor* open."""

    ports: tuple[int, ...]
    descriptor: int


@contextmanager
def claimed(count: int, *, among: range = PORTS, locks: Path | None = None) -> Iterator[Claim]:
    """
    Claim *count* ports that nobody has, to the end of the `with` and of whoever inherits the claim.

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
    """Return those of *ports* that no other program has."""
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
