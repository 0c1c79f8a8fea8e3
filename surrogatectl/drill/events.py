"""Events of a drill; all times are seconds since the round began."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """Outcome of a request."""

    TOKEN = "token"  # noqa: S105 - a token that the backend verified
    REFUSED = "refused"  # a wrong secret, refused as it must be
    ERROR = "error"  # no answer, or one that says to try again
    WRONG = "wrong"  # what must never be answered


class Mark(StrEnum):
    """The moments of a round, in their order."""

    LOST = "lost"
    DETECTED = "detected"
    FAILOVER = "failover"
    TOOK_OVER = "took_over"
    BACK = "back"
    FAILBACK = "failback"
    RETURNED = "returned"


class When(StrEnum):
    """When an administrator's change was made."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Request:
    """
    A client's request, sent *at*, answered after *seconds*.

    *region* issued the token, if there is one; *detail* says why there is none.
    """

    at: float
    seconds: float
    kind: Kind
    region: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """
    An administrator's change: *done* if it was confirmed, *kept* if both Regions show it later.

    *detail* says what went wrong.
    """

    at: float
    when: When
    what: str
    done: bool
    kept: bool = False
    detail: str = ""


@dataclass(slots=True)
class Round:
    """
    One Region lost in one *mode* (refused or hanging), and all that happened.

    *marks* says when each moment was; *failed* why the round could not be
    completed.
    """

    mode: str
    primary: str
    secondary: str
    requests: list[Request] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    marks: dict[Mark, float] = field(default_factory=dict)
    ended: float = 0.0
    failed: str = ""

    def document(self) -> dict[str, Any]:
        """Return the round as JSON, its requests left out: the figures tell of them."""
        return {
            "mode": self.mode,
            "lost_region": self.primary,
            "seconds": round(self.ended, 1),
            "moments": {mark.value: round(at, 2) for mark, at in self.marks.items()},
            "writes": [
                {
                    "at": round(each.at, 2),
                    "when": each.when.value,
                    "what": each.what,
                    "done": each.done,
                    "kept": each.kept,
                    "detail": each.detail,
                }
                for each in self.writes
            ],
            "failed": self.failed or None,
        }
