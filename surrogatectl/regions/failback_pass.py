"""Passes of failback over all clients: gather facts, decide, apply, note the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chalicelib.errors import StoreRefusedError, UnknownClientError, VersionConflictError
from chalicelib.model import ClientId
from chalicelib.ports import AppClients, RecordStore
from chalicelib.timing import RateLimiter
from surrogatectl.regions import failback_plan as plan
from surrogatectl.regions.failback_apply import CannotApplyError, FailbackActions
from surrogatectl.regions.failback_facts import ClientFacts
from surrogatectl.regions.failback_plan import Action, Choices, Known, Resolution, Rule
from surrogatectl.regions.failback_summary import Left, Summary, split_of
from surrogatectl.regions.state import client_id_pages, in_batches

_CONCURRENT: Final = "Somebody else writes it at this moment."
# Replication mostly takes seconds.
_ON_ITS_WAY_SECONDS: Final = 5.0

Progress = Callable[[str, int, int], object]
"""Takes the work in hand, the number of clients it is done for, and the number of all."""


@dataclass(frozen=True, slots=True)
class ClientDirectory:
    """
    Every client of either Region.

    A list can be minutes old; each client enrolled since has an app client with our mark.
    """

    primary: RecordStore
    secondary: RecordStore
    pool: AppClients
    pace: RateLimiter

    def list_all_clients(self) -> list[ClientId]:
        """Return their client IDs."""
        found = dict.fromkeys(
            client_id
            for records in (self.primary, self.secondary)
            for page in client_id_pages(records, self.pace)
            for client_id in page
        )
        found |= dict.fromkeys(client_id for _, client_id in self.pool.ours(self.pace.wait))
        return list(found)


@dataclass(frozen=True, slots=True)
class ClientPasses:
    """
    Passes over all clients of *regions*, the primary one first.

    *reads*, *looks* and *writes* pace the calls for a batch, for a client, and for its changes.
    *may_write* is called before each change, and raises an error if this run has to stop.
    Every method raises `ServiceError` if a Region does not answer.

    A client that seems to be written in both Regions is read once more at the end of a pass: its
    record may have been on its way, or changed between two reads.
    """

    regions: tuple[str, str]
    directory: ClientDirectory
    actions: FailbackActions
    reads: RateLimiter
    looks: RateLimiter
    writes: RateLimiter
    may_write: Callable[[], object]
    progress: Progress = field(default=lambda _what, _done, _all: None)

    def bring_all_back(self, choices: Choices, what: str) -> Summary:
        """Bring the records of all clients back."""
        summary, done = Summary(), 0
        client_ids = self.directory.list_all_clients()
        for batch in in_batches(client_ids):
            self.bring_back(batch, choices, summary)
            done += len(batch)
            self.progress(what, done, len(client_ids))
        for client_id in self._in_doubt(summary):
            self.bring_back([client_id], choices, summary)
        return summary

    def replicate_all(self, choices: Choices, *, late: bool) -> tuple[Summary, int]:
        """Replicate the records of all clients again; return their number, too."""
        summary, client_ids = Summary(), self.directory.list_all_clients()
        for number, client_id in enumerate(client_ids, start=1):
            self.replicate(client_id, choices, summary, late=late)
            self.progress("replicating again", number, len(client_ids))
        for client_id in self._in_doubt(summary):
            self.replicate(client_id, choices, summary, late=late)
        for each in summary.splits:
            told = f"It was written in both Regions: {'; '.join(each.differs)}. Choose with --keep."
            summary.left.append(Left(each.client_id, told))
        return summary, len(client_ids)

    def _in_doubt(self, summary: Summary) -> Sequence[ClientId]:
        """Return the clients of the pass to be decided again; from now on, a split is one."""
        in_doubt = summary.doubts_end()
        if in_doubt:
            self.actions.pause(_ON_ITS_WAY_SECONDS)
        return in_doubt

    def bring_back(
        self, client_ids: Sequence[ClientId], choices: Choices, summary: Summary
    ) -> None:
        """Bring a batch's records back, and note the fate of each."""
        self.reads.wait()
        primary, secondary = self.actions.primary, self.actions.secondary
        try:
            here, there = primary.stored(client_ids), secondary.stored(client_ids)
        except StoreRefusedError as err:
            if len(client_ids) > 1:  # perhaps one of them only
                for client_id in client_ids:
                    self.bring_back([client_id], choices, summary)
                return
            summary.left.append(Left(client_ids[0], str(err)))
            summary.count(Resolution.LEFT)
            return
        for client_id in client_ids:
            found = here.get(client_id), there.get(client_id)
            facts = ClientFacts(primary, secondary, client_id, choices.of(client_id), *found)
            try:
                self._settle(plan.BRING_BACK, facts, choices, summary)
            except (VersionConflictError, UnknownClientError):
                summary.left.append(Left(client_id, _CONCURRENT))
                summary.count(Resolution.LEFT)
            except (CannotApplyError, StoreRefusedError) as err:
                summary.left.append(Left(client_id, str(err)))
                summary.count(Resolution.LEFT)

    def replicate(
        self, client_id: ClientId, choices: Choices, summary: Summary, *, late: bool
    ) -> None:
        """
        Replicate a client's record, unless it is replicated, and note the result.

        *late*: the primary Region wrote before this failback.  Failback then does not bring a
        record back by itself that only the other Region has: somebody may have deleted it since.
        """
        self.looks.wait()
        primary, secondary = self.actions.primary, self.actions.secondary
        facts = ClientFacts(primary, secondary, client_id, choices.of(client_id), late=late)
        try:
            self._settle(plan.REPLICATE, facts, choices, summary)
        except UnknownClientError:
            summary.left.append(Left(client_id, "It went away at this moment."))
        except CannotApplyError as err:
            summary.left.append(Left(client_id, str(err)))
        except StoreRefusedError as err:
            summary.left.append(Left(client_id, f"Its replication: {err}"))

    def _settle(
        self,
        rules: Sequence[Rule],
        facts: ClientFacts,
        choices: Choices,
        summary: Summary,
    ) -> None:
        """Decide and apply until nothing is left to decide about a client."""
        known: Known | None = {}
        paced = False
        while known is not None:
            step = plan.decide(rules, known)
            if not isinstance(step, Rule):
                known = {**known, step: facts.look_up(step)}
                continue
            if step.action is Action.LEAVE:
                why = step.why.format(secondary=self.regions[1])
                summary.left.append(Left(facts.client_id, why))
            elif step.action is Action.ASK:
                if summary.doubt(facts.client_id):
                    return
                self._note_split(facts, summary)
            elif step.action is Action.BRING_BACK:
                self.bring_back([facts.client_id], choices, summary)
                if facts.client_id in summary.in_doubt:
                    return
            elif step.action is not Action.NOTHING:
                self._apply(step.action, facts, paced=paced)
                paced = True
            if step.counts is not None:
                summary.count(step.counts)
            known = plan.known_after(step.action, known)

    def _apply(self, action: Action, facts: ClientFacts, *, paced: bool) -> None:
        if not paced:
            self.writes.wait()
        self.may_write()
        self.actions.apply(action, facts)

    def _note_split(self, facts: ClientFacts, summary: Summary) -> None:
        if facts.there is not None:
            summary.splits.append(split_of(self.regions, facts.client_id, facts.here, facts.there))
