"""Drift: findings of the survey, and results of their repair."""

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
    UNKNOWN = "unknown"  # a part that the survey could not read


@dataclass(frozen=True, slots=True)
class Drift:
    """
    One finding, in *region*, of *client_id* unless it concerns a whole Region.

    If it is not *repairable*, `Reconciler.repair` leaves it to an operator.  *secret* names a
    secret of the deployment's own.
    """

    kind: Kind
    region: str
    client_id: ClientId | None
    detail: str
    repairable: bool
    app_client_id: AppClientId | None = field(default=None, repr=False)
    secret: str | None = None


class Result(StrEnum):
    """Result of a finding's repair."""

    REPAIRED = "repaired"
    NOTHING_TO_DO = "nothing_to_do"  # no drift any more
    LEFT_ALONE = "left_alone"  # left to an operator
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of the repair of *drift*, with *detail* in words."""

    drift: Drift
    result: Result
    detail: str = ""


def count_by_kind(drifts: Iterable[Drift]) -> dict[str, int]:
    """Return the number of findings of each kind, 0 included."""
    counts = Counter(drift.kind for drift in drifts)
    return {kind.value: counts[kind] for kind in Kind}
