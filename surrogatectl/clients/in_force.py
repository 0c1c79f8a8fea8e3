"""When a change of a client is in force: in the Region that wrote it, and in the other one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.model import Replication
from chalicelib.settings import Settings

IN_FORCE: Final = "in_force_within_seconds"
"""Member of the commands' JSON: Region → seconds, null if nobody can say."""

_DENIAL_SECONDS: Final = 60
_OLD_RECORD: Final = "until then the old record"

_OBSTACLES: Final = {
    Replication.FAILED: "not yet: its replication failed. Run `surrogatectl reconcile`",
    Replication.MISSING: "not yet: it has no replica. Run `surrogatectl reconcile --repair`",
    Replication.UNKNOWN: "unknown: the Region does not answer",
    Replication.SUSPENDED: "after the failback",
}


@dataclass(frozen=True, slots=True)
class Effect:
    """
    Effect of a change on clients.

    *soon* says, with `{fresh}` for the seconds that a Region caches a record, when a
    Region that has the record acts on it.  *meanwhile* says how it acts before.
    """

    soon: str
    meanwhile: str = _OLD_RECORD

    @property
    def at_once(self) -> bool:
        """True if no cache delays any of it."""
        return "{fresh}" not in self.soon


# A Region reads a record again before it refuses a secret, a client or a scope that the
# cached record does not know.
ENROLLED: Final = Effect("at once", "until then unknown there: `invalid_client`")
ROTATED: Final = Effect("at once", "until then the new secret is `invalid_client` there")
ROTATED_WITHOUT_OVERLAP: Final = Effect(
    "the new secret at once, the end of the others within {fresh} s",
    ROTATED.meanwhile,
)
RESCOPED: Final = Effect(
    "added scopes at once, everything else within {fresh} s",
    "until then added scopes are `invalid_scope` there",
)
CHANGED: Final = Effect("within {fresh} s")
RESTORED: Final = Effect("within {fresh} s", ENROLLED.meanwhile)

ADOPTED: Final = (
    f"Adopted clients are in force {ENROLLED.soon} in the Region that writes, and in the other one "
    f"as soon as their replica is {Replication.IN_SYNC}."
)
"""What `adopt` says of all its rows."""


@dataclass(frozen=True, slots=True)
class Change:
    """Change of one client that the Region *writer* confirmed with *answer* of its admin API."""

    effect: Effect
    answer: dict[str, Any] = field(repr=False)
    writer: str
    settings: Settings = field(repr=False)

    @property
    def other(self) -> str:
        """Name of the Region that did not write it."""
        names = (self.settings.primary.name, self.settings.secondary.name)
        return names[0] if self.writer == names[1] else names[1]

    @property
    def replication(self) -> Replication:
        """Replication of the record; a deleted one has nothing left to replicate."""
        if self.writer == self.settings.secondary.name:
            return Replication.SUSPENDED
        if "left" in self.answer:
            return Replication.IN_SYNC
        try:
            return Replication(str(self.answer.get("replication")))
        except ValueError:
            # An error here would hide the answer, and with it a new secret.
            return Replication.UNKNOWN

    @property
    def obstacle(self) -> str | None:
        """Why the other Region will not act on it by itself, `None` if it will."""
        return _OBSTACLES.get(self.replication) or self._unfinished(self.other)

    @property
    def is_everywhere(self) -> bool:
        """True if the other Region has it, too."""
        return self.replication is Replication.IN_SYNC and self.obstacle is None

    @property
    def seconds(self) -> dict[str, int | None]:
        """The member `IN_FORCE`."""
        bound = 0 if self.effect.at_once else self.settings.fresh_seconds
        return {
            self.writer: None if self._unfinished(self.writer) else bound,
            self.other: bound if self.is_everywhere else None,
        }

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The same, for people."""
        soon = self.effect.soon.format(fresh=self.settings.fresh_seconds)
        if self.is_everywhere:
            there = soon
        else:
            there = f"{self.obstacle or f'once replicated: {soon}'}; {self.effect.meanwhile}"
        return [
            (f"in force in {self.writer}", self._unfinished(self.writer) or soon),
            (f"in force in {self.other}", there),
        ]

    def _unfinished(self, region: str) -> str | None:
        """Return what `reconcile` has to finish first in *region*, `None` if nothing."""
        state = self.answer.get("app_clients", {}).get(region)
        if state == "pending" or (state == "outdated" and self.effect is RESCOPED):
            return f"not yet: its app client is {state}. Run `surrogatectl reconcile --repair`"
        if region == self.other and self.answer.get("left"):
            return "not yet: the rest is left for `surrogatectl reconcile --repair`"
        return None


def denial_seconds(settings: Settings) -> int:
    """Return within how many seconds each Region acts on a change of its deny list."""
    return max(_DENIAL_SECONDS, settings.fresh_seconds)
