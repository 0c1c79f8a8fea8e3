"""
Failback's plan for one client: `decide` turns facts about its records into an action.

The rules are data, and the tables of ADR 7.  The first rule whose conditions all hold
counts.  `decide` asks for a fact only when a rule needs it, since some facts cost calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from chalicelib.model import ClientId


class Keep(StrEnum):
    """The Region whose record to keep of a client that was written in both."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


@dataclass(frozen=True, slots=True)
class Choices:
    """An operator's choices for clients that were written in both Regions."""

    each: Mapping[ClientId, Keep] = field(default_factory=dict)
    rest: Keep | None = None

    def of(self, client_id: ClientId) -> Keep | None:
        """Return the choice for *client_id*, `None` without one."""
        return self.each.get(client_id, self.rest)


class Resolution(StrEnum):
    """The fate of a client's record in the primary Region."""

    SAME = "same"
    CREATED = "created"
    FORWARD = "brought_forward"
    AHEAD = "primary_ahead"
    KEPT_PRIMARY = "kept_primary"
    KEPT_SECONDARY = "kept_secondary"
    UNFINISHED = "unfinished_enrollment"
    SPLIT = "split"
    LEFT = "left"


class ReplicaResult(StrEnum):
    """The fate of a client's secret in the secondary Region."""

    REPLICATED = "replicated_again"
    DELETED = "buried"
    REMOVED = "removed"


# Facts: each type is a question, its members are the answers.
Versions = StrEnum("Versions", ["SAME", "DIFFERENT"])
SecondaryRecord = StrEnum(
    "SecondaryRecord", ["NONE", "UNREADABLE", "UNFINISHED", "DELETED", "LIVE"]
)
SecondarySecret = StrEnum("SecondarySecret", ["NONE", "REPLICA", "OWN"])
PrimarySecret = StrEnum("PrimarySecret", ["NONE", "SCHEDULED", "PRESENT"])
PrimaryRecord = StrEnum("PrimaryRecord", ["ENROLLING", "UNUSABLE", "DELETED", "LIVE"])
# Does `after` lead from the secondary's version to the primary's?
Lineage = StrEnum("Lineage", ["FORWARD", "ELSEWHERE"])
# Did the primary have the secondary's version, as more than a staged one?
HeldVersion = StrEnum("HeldVersion", ["YES", "NO"])
# The status of the replica in the primary's description.
Replica = StrEnum("Replica", ["NONE", "ARRIVING", "OTHER"])
Choice = StrEnum("Choice", ["PRIMARY", "SECONDARY", "NONE"])
# The Region that wrote when this failback began.
WriterBefore = StrEnum("WriterBefore", ["PRIMARY", "SECONDARY"])
BroughtBack = StrEnum("BroughtBack", ["YES", "NO"])


class Action(StrEnum):
    """A step of failback for one client."""

    NOTHING = "nothing"
    LEAVE = "leave it, say why"
    ASK = "ask the operator"
    CREATE = "create in the primary"
    COPY = "make current in the primary"
    RESTORE = "cancel the deletion, make current in the primary"
    PUT_BEHIND = "put behind the primary's version"
    BRING_BACK = "bring back, decide again"
    REMOVE = "delete in the secondary, decide again"
    FORGET_REPLICA = "forget the replica, decide again"
    FINISH_DELETION = "finish the deletion"
    REPLICATE = "replicate"
    OVERWRITE = "replicate over the secondary's secret"


Fact = type[StrEnum]
Known = Mapping[Fact, StrEnum]


@dataclass(frozen=True, slots=True)
class Rule:
    """The *action* if all conditions hold, the fate it *counts* as, and *why* to leave a client."""

    when: tuple[StrEnum, ...]
    action: Action
    counts: Resolution | ReplicaResult | None = None
    why: str = ""


_UNREADABLE: Final = "Its record in {secondary} cannot be read."
_UNKNOWN: Final = "The primary Region has no record of it: --keep it, or let it go."
_SCHEDULED: Final = "It is marked for deletion in the primary Region."
_NOT_HELD: Final = "The primary Region does not have what the other one has."

BRING_BACK: Final[Sequence[Rule]] = (
    Rule((SecondaryRecord.NONE,), Action.NOTHING),
    Rule((Versions.SAME,), Action.NOTHING, Resolution.SAME),
    Rule((SecondaryRecord.UNREADABLE,), Action.LEAVE, Resolution.LEFT, _UNREADABLE),
    Rule((SecondaryRecord.UNFINISHED,), Action.NOTHING, Resolution.UNFINISHED),
    Rule((PrimarySecret.NONE,), Action.CREATE, Resolution.CREATED),
    Rule((PrimarySecret.SCHEDULED, Choice.PRIMARY), Action.NOTHING, Resolution.KEPT_PRIMARY),
    Rule((PrimarySecret.SCHEDULED, Choice.SECONDARY), Action.RESTORE, Resolution.KEPT_SECONDARY),
    Rule((PrimarySecret.SCHEDULED,), Action.ASK, Resolution.SPLIT),
    Rule((Lineage.FORWARD,), Action.COPY, Resolution.FORWARD),
    Rule((HeldVersion.YES,), Action.NOTHING, Resolution.AHEAD),
    # Nobody received its secret; the same request was repeated in the secondary Region.
    Rule((PrimaryRecord.ENROLLING,), Action.COPY, Resolution.KEPT_SECONDARY),
    Rule((Choice.PRIMARY,), Action.PUT_BEHIND, Resolution.KEPT_PRIMARY),
    Rule((Choice.SECONDARY,), Action.COPY, Resolution.KEPT_SECONDARY),
    Rule((), Action.ASK, Resolution.SPLIT),
)
"""The rules until the traffic moves."""

_OWN = SecondarySecret.OWN
_ALONE = (_OWN, PrimarySecret.NONE, BroughtBack.NO)

REPLICATE: Final[Sequence[Rule]] = (
    Rule((SecondarySecret.REPLICA,), Action.NOTHING),
    Rule((_OWN, SecondaryRecord.UNFINISHED), Action.REMOVE, ReplicaResult.REMOVED),
    Rule((*_ALONE, Choice.SECONDARY), Action.BRING_BACK),
    Rule((*_ALONE, Choice.PRIMARY), Action.REMOVE, ReplicaResult.REMOVED),
    # Lists did not show it before; where the primary wrote before, somebody may have deleted it.
    Rule((*_ALONE, WriterBefore.SECONDARY), Action.BRING_BACK),
    Rule((*_ALONE, SecondaryRecord.DELETED), Action.REMOVE, ReplicaResult.REMOVED),
    Rule(_ALONE, Action.LEAVE, why=_UNKNOWN),
    Rule((PrimarySecret.NONE,), Action.NOTHING),
    Rule((PrimarySecret.SCHEDULED, SecondarySecret.NONE), Action.NOTHING),
    Rule((PrimarySecret.SCHEDULED, HeldVersion.YES), Action.REMOVE, ReplicaResult.DELETED),
    Rule((PrimarySecret.SCHEDULED, Choice.PRIMARY), Action.REMOVE, ReplicaResult.DELETED),
    Rule((PrimarySecret.SCHEDULED,), Action.LEAVE, why=_SCHEDULED),
    Rule((_OWN, Versions.DIFFERENT, BroughtBack.NO), Action.BRING_BACK),
    Rule((_OWN, HeldVersion.NO), Action.LEAVE, why=_NOT_HELD),
    # Replication begins when the enrollment has ended.
    Rule((PrimaryRecord.ENROLLING,), Action.NOTHING),
    Rule((PrimaryRecord.UNUSABLE,), Action.NOTHING),
    Rule((_OWN, PrimaryRecord.DELETED), Action.REMOVE),
    Rule((PrimaryRecord.DELETED,), Action.FINISH_DELETION, ReplicaResult.DELETED),
    Rule((SecondarySecret.NONE, Replica.ARRIVING), Action.NOTHING),
    Rule((_OWN, Replica.NONE), Action.OVERWRITE, ReplicaResult.REPLICATED),
    Rule((Replica.NONE,), Action.REPLICATE, ReplicaResult.REPLICATED),
    Rule((), Action.FORGET_REPLICA),
)
"""The rules when the primary Region writes again."""


def decide(rules: Sequence[Rule], known: Known) -> Rule | Fact:
    """Return the first rule that holds, or the fact that has to be known first."""
    for rule in rules:
        for condition in rule.when:
            fact = type(condition)
            if fact not in known:
                return fact
            if known[fact] is not condition:
                break
        else:
            return rule
    raise LookupError("No rule holds.")


def known_after(action: Action, known: Known) -> Known | None:
    """Return the facts that hold after *action*, `None` if nothing is left to decide."""
    if action is Action.BRING_BACK:
        kept = {fact: each for fact, each in known.items() if fact is SecondaryRecord}
        return kept | {BroughtBack: BroughtBack.YES}
    if action is Action.REMOVE:
        return {**known, SecondarySecret: SecondarySecret.NONE}
    if action is Action.FORGET_REPLICA:
        return {**known, Replica: Replica.NONE}
    return None
