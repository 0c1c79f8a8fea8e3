"""Restoring of replicas that are missing or have failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from chalicelib.model import Replication
from chalicelib.ports import Pause, ReplicaStore
from chalicelib.timing import polling

# A replica goes a moment after it was told to.
_GONE_PAUSES: Final = (0.3, 1.0, 2.0, 4.0, 8.0)

Name = TypeVar("Name")


class StandsAloneError(Exception):
    """The other Region has a secret of that name that is no replica: nothing was removed."""


def restore_replica(
    name: Name, replicas: ReplicaStore[Name], status: Callable[[], Replication], pause: Pause
) -> bool:
    """
    Replicate the secret *name* if it has no replica, or one that failed; return whether it did.

    Secrets Manager never tries a failed replication again, until its replica is removed and asked
    for anew.  A crash in between leaves no replica, which a repeat replaces.

    Raises:
        StandsAloneError: If there is a secret in its place, as after a promotion.
        ServiceError: If Secrets Manager of a Region does not do it.
    """
    found = status()
    if found is Replication.FAILED:
        if replicas.stands_alone(name):
            raise StandsAloneError
        replicas.unreplicate(name)
        found = polling(
            status,
            until=lambda found: found is not Replication.FAILED,
            pauses=_GONE_PAUSES,
            pause=pause,
        )
    if found is not Replication.MISSING:
        return False
    replicas.replicate(name)
    return True
