"""
`failback`: the primary Region takes the traffic and the changes back.

Failback does nearly all of its work while the secondary Region goes on as before.  Then it
fences both Regions, brings over the changes made meanwhile, tries the primary, and moves the
traffic.  The primary writes then, and failback replicates the records from there again.

Every phase reads its progress from AWS, so that a repeat goes on where a crash left off.
Until the traffic moves, the primary has no version that the secondary lacks: operators can
give up at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chalicelib import denial_shards
from chalicelib.clients.errors import DenialsFullError
from chalicelib.errors import OperationError, ServiceError
from chalicelib.model import RegionState
from chalicelib.ports import Clock, Pause
from chalicelib.timing import polling
from surrogatectl.cli.signals import shielded
from surrogatectl.regions.canary import TryCanary
from surrogatectl.regions.failback_pass import ClientPasses
from surrogatectl.regions.failback_plan import Choices
from surrogatectl.regions.failback_summary import Left, Split, Summary, sum_counts
from surrogatectl.regions.failover import Check
from surrogatectl.regions.lease import LeaseLostError, RunLease
from surrogatectl.regions.state import (
    Announce,
    Name,
    NoAnswerError,
    NotAllowedError,
    RegionStateError,
    Side,
    Steps,
    fenced,
    writes,
    writing,
)

_CANARY_PAUSES: Final = (5.0, 10.0, 20.0)
_NAMED: Final = 5


class SplitsError(NotAllowedError):
    """Clients were written in both Regions, and the operator has yet to choose the records."""

    def __init__(self, splits: Sequence[Split], told: str) -> None:
        super().__init__(told)
        self.splits = tuple(splits)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a failback; *already*: the primary Region wrote before."""

    already: bool
    epoch: int
    steps: Mapping[str, float]
    clients: int
    counts: Mapping[str, int]
    left: tuple[Left, ...]
    replicas: Check


@dataclass(frozen=True, slots=True)
class Timeouts:
    """
    Seconds to wait: for calls that are under way, and for DNS.

    *ttl*: how long resolvers may keep the old answer after the name moved.
    """

    settle: float
    ttl: float
    name: float


@dataclass(frozen=True, slots=True)
class Failback:
    """Failback of traffic and changes to the primary Region."""

    primary: Side
    secondary: Side
    lease: RunLease
    name: Name
    try_canary: TryCanary
    clients: ClientPasses
    replicas: Callable[[], Check]
    clock: Clock
    pause: Pause
    announce: Announce

    def fail_back(
        self, choices: Choices, timeouts: Timeouts, *, force: bool, take_over: bool = False
    ) -> Outcome:
        """
        Fail back; with *force*, despite the canary and without clients that cannot be brought back.

        With *take_over*, a run that did not give its lease back counts as ended.

        Raises:
            SplitsError: If people have to choose first; the secondary Region writes.
            NotAllowedError, NoAnswerError: If it cannot go on; repeat it.
            ServiceError: Likewise.
        """
        self._read_both()
        with self.lease.held(take_over=take_over):
            return self._fail_back(choices, timeouts, force=force)

    def _read_both(self) -> tuple[RegionState, RegionState]:
        """Return the primary Region's state and the secondary one's, before anything is changed."""
        secondary = self.secondary.read_state("Nothing was changed. Repeat this when it answers.")
        primary = self.primary.read_state(
            f"Nothing was changed: {self.secondary.region} goes on as before. Repeat this when "
            f"{self.primary.region} is well."
        )
        return primary, secondary

    def _fail_back(self, choices: Choices, timeouts: Timeouts, *, force: bool) -> Outcome:
        steps = Steps(self.clock, self.announce)
        primary, secondary = self._read_both()
        already = writes(primary, secondary) == "primary"
        if already and (secondary.took_over or secondary.writer):
            raise NotAllowedError(
                f"{self.primary.region} writes by a higher epoch, but {self.secondary.region} has "
                "the traffic, or claims to write. No command leads to this: look at both states."
            )
        counts: dict[str, int] = {}
        if not already:
            counts |= self._prepare(choices, steps, force=force)
            meanwhile = self._hand_over(choices, timeouts, steps, force=force)
            counts = sum_counts(counts, meanwhile)
            self._take_over(timeouts, steps)
        return self._replicate(choices, steps, counts, already=already)

    # While the secondary Region writes

    def _prepare(self, choices: Choices, steps: Steps, *, force: bool) -> dict[str, int]:
        """Bring over all records that can be, and try the primary; return the counts."""
        epoch = self.secondary.read_state().epoch
        self.lease.update_state(self.primary, fenced(epoch))
        steps.record("primary_fenced", f"{self.primary.region}: writes nothing")
        summary = self.clients.bring_all_back(choices, "bringing records back")
        steps.record("prepared", f"records brought back: {summary}")
        self._require_all(summary, f"{self.secondary.region} goes on as before. ", force=force)
        self._try_out(force=force)
        return summary.counts

    def _try_out(self, *, force: bool) -> None:
        problem = polling(
            lambda: self.try_canary(self.primary.region),
            # The exchange there may know its record as it was seconds ago.
            until=lambda problem: problem is None or not problem.refused,
            pauses=_CANARY_PAUSES,
            pause=self.pause,
        )
        if problem is None:
            return
        if not force:
            raise NoAnswerError(f"{problem.detail} To go on all the same: --force.")
        self.announce(problem.detail)

    @staticmethod
    def _require_all(summary: Summary, state: str, *, force: bool) -> None:
        """Raise unless all of the clients are brought back."""
        if summary.splits:
            named = ", ".join(each.client_id for each in summary.splits[:_NAMED])
            more = ", …" if len(summary.splits) > _NAMED else ""
            raise SplitsError(
                summary.splits,
                f"{len(summary.splits)} clients were written in both Regions: {named}{more}. "
                f"Neither record was overwritten. {state}Choose for each with --keep "
                "CLIENT=primary or --keep CLIENT=secondary, or for the rest with --keep-all, and "
                "repeat.",
            )
        if summary.left and not force:
            named = "; ".join(f"{each.client_id}: {each.why}" for each in summary.left[:_NAMED])
            raise NoAnswerError(
                f"{len(summary.left)} clients cannot be brought back: {named}. {state}Repeat this, "
                "or leave them behind with --force."
            )

    # While nobody writes

    def _hand_over(
        self, choices: Choices, timeouts: Timeouts, steps: Steps, *, force: bool
    ) -> dict[str, int]:
        """Fence both Regions, bring over the rest, and move the traffic; return the counts."""
        try:
            epoch = 1 + max(self.primary.read_state().epoch, self.secondary.read_state().epoch)
            for side in (self.secondary, self.primary):
                self.lease.update_state(side, fenced(epoch))
            steps.record("fenced", "both Regions: nobody writes")
            if timeouts.settle:
                self.lease.confirm(timeouts.settle)
                self.pause(timeouts.settle)
                steps.record("settled", "calls that were under way have ended")
            self._merge_denials()
            steps.record("denials", "denials brought together")
            summary = self.clients.bring_all_back(choices, "bringing back what changed meanwhile")
            steps.record("records", f"what changed meanwhile: {summary}")
            self._require_all(summary, "", force=force)
            self._try_out(force=force)
            steps.record("verified", f"{self.primary.region}: serves the canary's token")
            self._release()
        except LeaseLostError:
            raise
        except BaseException:
            with shielded():
                self._give_up()
            raise
        return summary.counts

    def _give_up(self) -> None:
        """Let the secondary Region write again, unless the traffic has moved already."""
        try:
            if self.secondary.read_state().took_over:
                self._resume()
                self.announce(f"{self.secondary.region}: writes again")
        except RegionStateError:
            return  # the caller says which Region writes now

    def _resume(self) -> None:
        """Let the secondary Region write again; the primary one is fenced, and may be lost."""
        primary = self.primary.try_read()
        epoch = 1 + max(self.secondary.read_state().epoch, primary.epoch if primary else 0)
        self.lease.update_state(self.secondary, writing(epoch))

    def _merge_denials(self) -> None:
        """Have both Regions deny the same clients: for each, the later word counts."""
        self.lease.confirm()
        words = []
        for side in (self.primary, self.secondary):
            try:
                words.append(side.denials.words())
            except ServiceError as err:
                raise NoAnswerError(f"The denials of {side.region} cannot be read: {err}") from None
        counts, doubtful = denial_shards.settle(*words)
        for side, own in zip((self.primary, self.secondary), words, strict=True):
            try:
                side.denials.adopt(denial_shards.differing(own, counts))
            except DenialsFullError:
                raise NotAllowedError(
                    f"{side.region} takes no more denials: see `surrogatectl status`. Allow those "
                    "that were disabled or deleted since, and repeat."
                ) from None
            except OperationError as err:
                raise NoAnswerError(
                    f"The denials of {side.region} cannot be written: {err}"
                ) from None
        if doubtful:
            self.announce(
                "Told contrary things by the two Regions at the same time, so denied in both: "
                f"{', '.join(sorted(doubtful))}"
            )

    def _release(self) -> None:
        """Let go of the traffic."""

        def released(state: RegionState) -> RegionState:
            if state.writer:
                raise NotAllowedError(
                    f"{self.secondary.region} writes again: another failback was given up "
                    "meanwhile. The traffic stays where it is; repeat this."
                )
            return replace(state, took_over=False)

        self.lease.update_state(self.secondary, released)

    # From then on

    def _take_over(self, timeouts: Timeouts, steps: Steps) -> None:
        """Have the name answer from the primary Region, and that write."""
        steps.record("traffic", f"{self.secondary.region}: lets go of the traffic")
        self.lease.confirm(timeouts.name)
        self.name.await_region(self.primary.region, timeouts.name)
        steps.record("name_follows", f"{self.name.url}: answers from {self.primary.region}")
        if timeouts.ttl:
            self.lease.confirm(timeouts.ttl)
            self.pause(timeouts.ttl)
            steps.record("ttl", "resolvers have forgotten the old answer")
        epoch = max(self.primary.read_state().epoch, self.secondary.read_state().epoch)
        self.lease.update_state(self.secondary, fenced(epoch))
        self.lease.update_state(self.primary, writing(epoch))
        steps.record("writer", f"{self.primary.region}: writes")

    def _replicate(
        self, choices: Choices, steps: Steps, counts: Mapping[str, int], *, already: bool
    ) -> Outcome:
        # Administrators may have told one Region alone since the traffic moved.
        self._merge_denials()
        summary, clients = self.clients.replicate_all(choices, late=already)
        replicas = self.replicas()
        steps.record("replication", f"replication from {self.primary.region}: {summary}")
        return Outcome(
            already=already,
            epoch=self.primary.read_state().epoch,
            steps=steps.done,
            clients=clients,
            counts=sum_counts(counts, summary.counts),
            left=tuple(summary.left),
            replicas=replicas,
        )

    # The way out

    def abort(self, *, take_over: bool = False) -> bool:
        """
        Let the secondary Region write again; return whether there was anything to do.

        With *take_over*, a run that did not give its lease back counts as ended.

        Raises:
            NotAllowedError: If the traffic has moved already, or another run is under way.
            NoAnswerError: If a state cannot be read or written.
        """
        self.secondary.read_state("Nothing was changed. Repeat this when it answers.")
        with self.lease.held(take_over=take_over):
            return self._abort()

    def _abort(self) -> bool:
        # The primary Region may be ill again: that is a reason to give up.
        primary, secondary = self.primary.try_read(), self.secondary.read_state()
        if writes(primary, secondary) is not None:
            return False
        if not secondary.took_over:
            raise NotAllowedError(
                f"The traffic has moved to {self.primary.region} already, or never left it: run "
                "`surrogatectl failback` to its end."
            )
        self._resume()
        return True
