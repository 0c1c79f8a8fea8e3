"""
Adopts what was examined, so that a crash at any point loses nothing:

1. new credentials go into the credentials file, onto the disk (unless clients
   keep theirs);
2. the record is created, complete and active: the lock, and the moment from
   which the client is adopted;
3. its replication starts.

A next run takes the credentials of step 1 from the file, and repeats step 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from chalicelib.credentials import RandomBytes, SecretHasher, issue, secret_id
from chalicelib.errors import (
    ClientExistsError,
    MalformedSecretError,
    ServiceError,
    StoreRefusedError,
    StoreUnavailableError,
    UnknownClientError,
)
from chalicelib.halves import Halves
from chalicelib.model import (
    ClientId,
    ClientRecord,
    IssuedCredentials,
    Replication,
    VersionId,
)

from . import adopt_plan as plan
from .adopt_examine import Examination
from .adopt_file import CredentialsFile, CredentialsFileError
from .adopt_known import Progress
from .adopt_rows import Adoptable, Outcome, RefusedError, Standing

_CREATE_PAUSES: Final = (0.0, 1.0, 3.0)
_REPLICATION_PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 4.0)


class _StopError(Exception):
    """What happened to one client would happen to all others; the text says what."""
