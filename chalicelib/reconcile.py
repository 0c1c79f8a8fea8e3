"""
Reconciliation: finds and mends what crashes, lost answers and hands in the console leave.

`survey` finds, `repair` mends one finding.  A repair looks again first: what
it finds done, or not drift any more, it leaves.  It deletes only what carries
our mark and is not young (`SETTLED_SECONDS`), and writes records by
compare-and-swap, so that it is safe beside any other operation, safe to
repeat, and safe to crash.

An app client that no record refers to is deleted, also where a record of its
name has a half pending, of which it may be the lost answer: a new app client
costs nothing, and whether an operation is about to write down the old one
nobody can know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from .administration import cognito_problem, conflict, store_problems
from .app_client_survey import differences, may_refer, settled
from .deletion import DeletionAndRestore
from .denials import Denials
from .drift import Drift, Kind, Outcome, Result
from .errors import (
    AppClientsError,
    MalformedSecretError,
    ProblemError,
    ServiceError,
    UnknownAppClientError,
    UnknownClientError,
)
from .model import (
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    Origin,
    Pending,
    Replication,
    Status,
    Versioned,
)
from .pace import Pace
from .survey import Progress, Survey, is_undone

_ATTEMPTS: Final = 3
_LIVE: Final = frozenset({Status.ACTIVE, Status.DISABLED})

REPAIRS_PER_SECOND: Final = 3.0
"""Cognito takes 5 changes of each kind in a second, from everybody."""


class _NothingToDoError(Exception):
    """Looked at again, it is no drift any more."""


class _LeftAloneError(Exception):
    """It is for people; why, in words."""


@dataclass(frozen=True, slots=True)
class Reconcile:
    """
    Surveys both Regions and repairs what is found, from the one that writes.

    *denials* maps both Regions' names to their denials.
    """

    survey: Survey
    deletion: DeletionAndRestore
    denials: Mapping[str, Denials]
    pace: Pace

    def __call__(self, progress: Progress) -> Iterator[Outcome]:
        """Survey, and repair what is found as it is found."""
        for drift in self.survey(progress):
            yield self.repair(drift)

    def repair(self, drift: Drift) -> Outcome:
        """
        Mend *drift* if it still is one.

        It does not raise: what is wrong with one finding is no reason to leave
        the others.
        """
        mend = self._repairs().get(drift.kind)
        if mend is None or not drift.repairable:
            return Outcome(drift, Result.LEFT_ALONE, "This is not repaired automatically.")
        try:
            self.pace.wait()
            self._require_sole_writer()
            mend(drift)
        except _NothingToDoError:
            return Outcome(drift, Result.NOTHING_TO_DO)
        except _LeftAloneError as err:
            return Outcome(drift, Result.LEFT_ALONE, str(err))
        except ProblemError as problem:
            return Outcome(drift, Result.FAILED, problem.detail)
        except ServiceError as err:
            return Outcome(drift, Result.FAILED, str(err) or type(err).__name__)
        return Outcome(drift, Result.REPAIRED)
