"""
`failover`: the secondary Region takes the traffic, and administrators' changes.

It writes the standby's own state, and nothing else unless the primary Region
answers: then that is told first to write no more.  Every step is safe to repeat,
and a repeat goes on where a crash left off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from chalicelib.errors import ServiceError, concerning
from chalicelib.model import (
    ClientId,
    ClientRecord,
    RegionState,
    Status,
    Versioned,
)
from chalicelib.ports import Clock, ManyRecordsReader, Pause
from chalicelib.timing import RateLimiter, polling
from surrogatectl.cli.signals import shielded
from surrogatectl.regions.canary import TryCanary
from surrogatectl.regions.lease import LeaseLostError, RunLease
from surrogatectl.regions.state import (
    Announce,
    Lister,
    Name,
    NoAnswerError,
    NotAllowedError,
    RegionStateError,
    Side,
    Steps,
    client_id_pages,
    fenced,
    in_batches,
    writes,
)

_NAMED: Final = 5
# Recent writes are on their way; replication mostly takes seconds.
_REPLICA_PAUSES: Final = (1.0, 2.0, 4.0, 8.0)


class Result(StrEnum):
    """The result of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # it could not be made


@dataclass(frozen=True, slots=True)
class Check:
    """A check's result, and its detail in words."""

    result: Result
    detail: str


class Reader(Lister, ManyRecordsReader, Protocol):
    """Lists and reads the records of one Region."""


@dataclass(frozen=True, slots=True)
class ReplicaCheck:
    """
    Compares the versions of every record in both *regions*, the primary one first.

    It reads in batches, at a *pace*.
    """

    regions: tuple[str, str]
    primary: Reader
    secondary: ManyRecordsReader
    pace: RateLimiter
    pause: Pause

    def run(self) -> Check:
        """Return whether every replica is current."""
        count, behind = 0, list[ClientId]()
        looks = 0

        def look() -> list[ClientId]:
            nonlocal count, behind, looks
            if looks:
                behind = [each for batch in in_batches(behind) for each in self._old(batch)]
            else:
                count, behind = self._behind()
            looks += 1
            return behind

        try:
            polling(
                look,
                until=lambda behind: not behind,
                pauses=_REPLICA_PAUSES,
                pause=self.pause,
            )
        except ServiceError as err:
            told = f"The records cannot be compared: {err.region}: {err}."
            return Check(Result.SKIPPED, told)
        if not behind:
            return Check(Result.PASSED, f"{count} records, every replica current.")
        named = ", ".join(behind[:_NAMED]) + (", …" if len(behind) > _NAMED else "")
        return Check(Result.FAILED, f"{len(behind)} of {count} replicas missing or old: {named}")

    def _behind(self) -> tuple[int, list[ClientId]]:
        count, behind = 0, list[ClientId]()
        with concerning(self.regions[0]):
            for page in client_id_pages(self.primary, self.pace):
                for batch in in_batches(page):
                    count += len(batch)
                    behind += self._old(batch)
        return count, behind

    def _old(self, client_ids: Sequence[ClientId]) -> Iterator[ClientId]:
        self.pace.wait()
        with concerning(self.regions[0]):
            here = self.primary.read_many(client_ids)
        with concerning(self.regions[1]):
            there = self.secondary.read_many(client_ids)
        for client_id, found in here.items():
            if not _is_replicated(found):
                continue
            replica = there.get(client_id)
            if replica is None or found is None or replica.version != found.version:
                yield client_id


def _is_replicated(found: Versioned[ClientRecord] | None) -> bool:
    # A client being enrolled or deleted has no replica, or none for long.
    return found is None or found.value.status in {Status.ACTIVE, Status.DISABLED}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a failover; *already*: the secondary Region had taken over before."""

    checks: Mapping[str, Check]
    steps: Mapping[str, float]
    epoch: int
    fenced: bool
    already: bool


@dataclass(frozen=True, slots=True)
class Failover:
    """
    Lets the secondary Region take over.

    *settle_seconds* is how long a call to the admin API that began before the
    primary was told may still take.
    """

    primary: Side
    secondary: Side
    lease: RunLease
    name: Name
    try_canary: TryCanary
    replicas: Callable[[], Check]
    clock: Clock
    pause: Pause
    announce: Announce
    settle_seconds: float

    def fail_over(self, *, force: bool, timeout: float, take_over: bool = False) -> Outcome:
        """
        Take over; wait up to *timeout* seconds for the name to follow.

        With *force*, what the checks find, or that they cannot be made, is no
        reason not to, and another run that is under way is stopped.  With *take_over*, a
        run that did not give its lease back counts as ended.

        Raises:
            NotAllowedError: If a check failed, or another run is under way; nothing was changed.
            NoAnswerError: If a check could not be made, or the standby's state
                cannot be written, or the name does not follow.
        """
        self.secondary.read_state("Nothing was changed: it cannot take over as it is.")
        with self.lease.held(take_over=take_over, force=force):
            return self._fail_over(force=force, timeout=timeout)

    def _fail_over(self, *, force: bool, timeout: float) -> Outcome:
        steps = Steps(self.clock, self.announce)
        secondary, primary = self.secondary.read_state(), self.primary.try_read()
        already = secondary.took_over and writes(primary, secondary) == "secondary"
        checks = {} if already else self._checks(primary)
        if checks:
            self._require_passed(checks, force=force)
            steps.record("checked", f"{self.secondary.region}: checked")
        epoch = max(secondary.epoch, primary.epoch if primary else 0) + 1
        if already:
            is_fenced = primary is not None and self._fence_again(secondary.epoch)
            state = secondary
        else:
            is_fenced, state = self._move(primary, epoch, steps, force=force)
        steps.record("state_written", f"{self.secondary.region}: takes the traffic, and writes")
        if is_fenced and not already:
            is_fenced = self._fence_again(state.epoch)
        self.lease.confirm(timeout)
        self.name.await_region(self.secondary.region, timeout)
        steps.record("name_follows", f"{self.name.url}: answers from {self.secondary.region}")
        return Outcome(checks, steps.done, state.epoch, is_fenced, already)

    def _checks(self, primary: RegionState | None) -> dict[str, Check]:
        problem = self.try_canary(self.secondary.region)
        canary = (
            Check(Result.PASSED, f"{self.secondary.region} serves the canary's token.")
            if problem is None
            else Check(Result.SKIPPED if problem.unknown else Result.FAILED, problem.detail)
        )
        if primary is None:
            lost = f"The state of {self.primary.region} cannot be read. {self._lost_by_force}"
            return {"canary": canary, "replicas": Check(Result.SKIPPED, lost)}
        return {"canary": canary, "replicas": self.replicas()}

    @property
    def _lost_by_force(self) -> str:
        """Consequence of taking over without the primary Region."""
        primary, secondary = self.primary.region, self.secondary.region
        return (
            f"So {primary} cannot be told to write no more, and replicas cannot be compared: "
            f"changes of its last seconds may be missing in {secondary} until failback, which "
            "asks about clients that were changed in both Regions."
        )

    def _require_passed(self, checks: Mapping[str, Check], *, force: bool) -> None:
        """Announce the checks; raise if one is a reason not to go on."""
        for name, check in checks.items():
            self.announce(f"check of {name}: {check.result}. {check.detail}")
        results = {check.result for check in checks.values()}
        if force or results == {Result.PASSED}:
            return
        found = " ".join(
            f"{name}: {check.result}. {check.detail}"
            for name, check in checks.items()
            if check.result is not Result.PASSED
        )
        advice = "Nothing was changed. To take over all the same: --force."
        if Result.FAILED in results:
            raise NotAllowedError(f"{found} {advice}")
        raise NoAnswerError(f"{found} {advice}")

    def _move(
        self, primary: RegionState | None, epoch: int, steps: Steps, *, force: bool
    ) -> tuple[bool, RegionState]:
        """
        Fence the primary Region, if it answers, and have the secondary one take over.

        Return whether the fence is certain, and the secondary's new state.  However this ends
        before the secondary has taken over, the primary writes again.
        """
        is_fenced = False
        try:
            if primary is not None:
                is_fenced = self._fence(epoch, steps, force=force)
            state = self.lease.update_state(self.secondary, lambda found: _taken_over(found, epoch))
        except LeaseLostError:
            raise
        except BaseException:
            if primary is not None:
                with shielded():
                    self._take_fence_away(epoch)
            raise
        return is_fenced, state

    def _fence(self, epoch: int, steps: Steps, *, force: bool) -> bool:
        """Have the primary Region write no more; return whether that is certain."""
        try:
            self.lease.update_state(self.primary, fenced(epoch))
        except NoAnswerError as err:
            if force:
                return False
            raise NoAnswerError(
                f"{err} {self._lost_by_force} To take over all the same: --force."
            ) from None
        steps.record("fenced", f"{self.primary.region}: writes no more")
        if not force and self.settle_seconds:
            self.lease.confirm(self.settle_seconds)
            self.pause(self.settle_seconds)
            steps.record("settled", "calls that were under way have ended")
            self._require_replicated()
        return True

    def _require_replicated(self) -> None:
        """Require that the changes made meanwhile are replicated, too."""
        check = self.replicas()
        if check.result is Result.PASSED:
            return
        self._require_not_overtaken()
        kind = NotAllowedError if check.result is Result.FAILED else NoAnswerError
        raise kind(f"{check.detail} To take over all the same: --force.")

    def _require_not_overtaken(self) -> None:
        """Make sure that the secondary Region has not taken over."""
        secondary = self.secondary.read_state()
        if secondary.took_over or secondary.writer:
            raise NotAllowedError(
                f"Meanwhile somebody else let {self.secondary.region} take over. "
                "This failover stops here: run `surrogatectl status`."
            )

    def _take_fence_away(self, epoch: int) -> None:
        """Let the primary Region write again, unless the secondary one takes over meanwhile."""
        try:
            self._require_not_overtaken()
            state = self.lease.update_state(
                self.primary,
                lambda state: replace(state, writer=True) if state.epoch == epoch else state,
            )
            try:
                # A failover at this moment has not seen that the fence is gone.
                self._require_not_overtaken()
            except RegionStateError:
                self.lease.update_state(self.primary, fenced(epoch))
                return
        except RegionStateError:
            return  # the caller says which Region writes now
        if state.writer:
            self.announce(f"{self.primary.region}: writes again")

    def _fence_again(self, epoch: int) -> bool:
        """
        Fence the primary Region, where somebody took the fence away just now.

        Return whether that is certain; the secondary Region writes by a higher epoch in any case.
        """
        found = self.primary.try_read()
        if found is None:
            return False
        if found.writer:
            try:
                self.lease.update_state(self.primary, fenced(epoch))
            except NoAnswerError:
                return False
            self.announce(f"{self.primary.region}: fenced again")
        return True


def _taken_over(found: RegionState, epoch: int) -> RegionState:
    if found.writer and found.took_over and found.epoch >= epoch:
        return found
    return replace(found, writer=True, took_over=True, epoch=max(found.epoch, epoch))
