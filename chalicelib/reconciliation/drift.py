"""Drift: what is not as the records say, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from chalicelib.model import AppClientId, ClientId


class Kind(StrEnum):
    """The kinds of drift."""

    ORPHAN = "orphaned_app_client"  # it carries our mark, and no record refers to it
    APP_CLIENT_GONE = "app_client_gone"
    APP_CLIENT_DIFFERS = "app_client_differs"
    PENDING = "pending"  # an app client that could not be made yet
    ENROLLMENT = "unfinished_enrollment"
    DELETION = "unfinished_deletion"
    COGNITO_SECRET = "unknown_cognito_secret"  # noqa: S105 - a name
    REPLICA = "replica"
    LISTING = "listing"  # tags or Description that are not the record's
    MALFORMED = "malformed_secret"
    DENIALS = "denials"
    WRITER = "writer"
    UNKNOWN = "unknown"  # what could not be looked at


@dataclass(frozen=True, slots=True)
class Drift:
    """
    One finding, in *region*, of *client_id* unless it concerns a whole Region.

    *repairable* says whether `Reconciler.repair` mends it; what it does not is
    for people.
    """

    kind: Kind
    region: str
    client_id: ClientId | None
    detail: str
    repairable: bool
    app_client_id: AppClientId | None = field(default=None, repr=False)


class Result(StrEnum):
    """What became of a finding."""

    REPAIRED = "repaired"
    NOTHING_TO_DO = "nothing_to_do"  # looked at again, it is no drift any more
    LEFT_ALONE = "left_alone"  # it is for people
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of *drift*, and why."""

    drift: Drift
    result: Result
    detail: str = ""


def count_by_kind(drifts: Iterable[Drift]) -> dict[str, int]:
    """Return how many there are of each kind; of those that there are none of, too."""
    counted = Counter(drift.kind for drift in drifts)
    return {kind.value: counted[kind] for kind in Kind}
