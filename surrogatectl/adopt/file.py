"""
The file of newly issued credentials: one JSON object per line, for its owner only.

A line is on the disk before its client exists, so no secret is lost whatever
happens in between; the next run finds it there and uses it.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chalicelib.credentials import is_client_secret, secret_id
from chalicelib.model import ClientId, IssuedCredentials
from surrogatectl.adopt.rows import Adoptable

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
# How `CredentialsFile.add` begins each line.
_START: Final = b'{"client_id": "sgc_'
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class CredentialsFileError(Exception):
    """The file cannot be used; the message says why."""


class CredentialsFile:
    """An open file of credentials; of the lines of one client the last counts."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """
        Go on at the end of the file.

        Raises:
            CredentialsFileError: If it holds something else.
        """
        self._path = path
        self._descriptor = descriptor
        self._issued: dict[ClientId, IssuedCredentials] = {}
        self._end = self._before = 0
        for number, line in enumerate(self._lines(), start=1):
            if _cut_off(line):
                break  # a crash did it: its client does not exist
            issued = _issued(line)
            if issued is None:
                raise CredentialsFileError(
                    f"{path}: line {number} is not of this command's making. Name a new file, "
                    "or that of the run to go on with."
                )
            self._issued[issued.client_id] = issued
            self._end += len(line)
        os.ftruncate(descriptor, self._end)

    @property
    def empty(self) -> bool:
        """True if the file is empty."""
        return self._end == 0

    def find(self, client_id: ClientId) -> IssuedCredentials | None:
        """Return what the file has for *client_id*."""
        return self._issued.get(client_id)

    def add(self, issued: IssuedCredentials, adoptable: Adoptable) -> None:
        """
        Append *issued*, and return when it is on the disk.

        Raises:
            CredentialsFileError: If it cannot be written.
        """
        content = {
            "client_id": issued.client_id,
            "client_secret": issued.client_secret,
            "secret_id": issued.secret_id,
            "client_name": adoptable.client_name,
            "scope": " ".join(adoptable.scopes),
            # The holder's secrets of today: they tell whom the line is for.
            "primaryClientId": adoptable.rows[0].primary.app_client_id,
            "handle": adoptable.rows[0].handle,
        }
        line = json.dumps(content).encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(self._descriptor, line[written:], self._end + written)
            os.fsync(self._descriptor)
        except OSError as err:
            raise CredentialsFileError(f"{self._path}: {err.strerror}.") from None
        self._before, self._end = self._end, self._end + len(line)
        self._issued[issued.client_id] = issued

    def take_back(self) -> None:
        """Remove what was added last, because its client is certain not to exist."""
        self._end = self._before
        os.ftruncate(self._descriptor, self._end)

    def _lines(self) -> Iterator[bytes]:
        with os.fdopen(self._descriptor, "rb", closefd=False) as file:
            yield from file


def _cut_off(line: bytes) -> bool:
    """Return whether *line* is the beginning of one of ours, without its end."""
    return not line.endswith(b"\n") and line[: len(_START)] == _START[: len(line)]


def _issued(line: bytes) -> IssuedCredentials | None:
    """Return the credentials that *line* holds, `None` if it is no line of ours."""
    if not line.endswith(b"\n"):
        return None
    try:
        content = json.loads(line)
        client_id, client_secret = content["client_id"], content["client_secret"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(client_id, str) or not isinstance(client_secret, str):
        return None
    if not is_client_secret(client_secret):
        return None
    return IssuedCredentials(ClientId(client_id), secret_id(client_secret), client_secret)


@contextmanager
def credentials_file(path: Path) -> Iterator[CredentialsFile]:
    """
    Open *path* before there is a secret to lose: a new file, or that of an earlier run.

    A new one is removed again if nothing was written.

    Raises:
        CredentialsFileError: If others may read it, it is in use, or it holds something else.
    """
    try:
        descriptor, new = _open(path)
    except BlockingIOError:
        raise CredentialsFileError(f"{path} is in use by another run.") from None
    except OSError as err:
        raise CredentialsFileError(f"{path}: {err.strerror}.") from None
    file: CredentialsFile | None = None
    try:
        file = CredentialsFile(path, descriptor)
        yield file
    finally:
        if new and (file is None or file.empty):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _open(path: Path) -> tuple[int, bool]:
    try:
        descriptor, new = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600), True
    except FileExistsError:
        descriptor, new = os.open(path, _FLAGS), False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _require_private(path, os.fstat(descriptor))
        if new:
            _sync(path.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, new


def _require_private(path: Path, status: os.stat_result) -> None:
    own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    if not own or stat.S_IMODE(status.st_mode) & _OTHERS:
        raise CredentialsFileError(f"{path} must be your own file, and of mode 0600.")


def _sync(directory: Path) -> None:
    """Have the new file's name survive a crash, too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
