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

from chalicelib.errors import ServiceError
from chalicelib.model import (
    ClientId,
    ClientRecord,
    RegionState,
    Status,
    Versioned,
)
from chalicelib.ports import Clock, ManyRecordsReader, Pause
from chalicelib.timing import RateLimiter
from surrogatectl.regions.canary import TryCanary
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
    """Compares the versions of every record in both Regions; it reads in batches, at a *pace*."""

    primary: Reader
    secondary: ManyRecordsReader
    pace: RateLimiter
    pause: Pause

    def run(self) -> Check:
        """Return whether every replica is current."""
        try:
            count, behind = self._behind()
            for seconds in _REPLICA_PAUSES:
                if not behind:
                    break
                self.pause(seconds)
                behind = [each for batch in in_batches(behind) for each in self._old(batch)]
        except ServiceError as err:
            return Check(Result.SKIPPED, f"The records cannot be compared: {err}")
        if not behind:
            return Check(Result.PASSED, f"{count} records, every replica current.")
        named = ", ".join(behind[:_NAMED]) + (", …" if len(behind) > _NAMED else "")
        return Check(Result.FAILED, f"{len(behind)} of {count} replicas missing or old: {named}")

    def _behind(self) -> tuple[int, list[ClientId]]:
        count, behind = 0, list[ClientId]()
        for page in client_id_pages(self.primary, self.pace):
            for batch in in_batches(page):
                count += len(batch)
                behind += self._old(batch)
        return count, behind

    def _old(self, client_ids: Sequence[ClientId]) -> Iterator[ClientId]:
        self.pace.wait()
        here, there = self.primary.read_many(client_ids), self.secondary.read_many(client_ids)
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
    name: Name
    try_canary: TryCanary
    replicas: Callable[[], Check]
    clock: Clock
    pause: Pause
    announce: Announce
    settle_seconds: float

    def fail_over(self, *, force: bool, timeout: float) -> Outcome:
        """
        Take over; wait up to *timeout* seconds for the name to follow.

        With *force*, what the checks find, or that they cannot be made, is no
        reason not to.

        Raises:
            NotAllowedError: If a check failed; nothing was changed.
            NoAnswerError: If a check could not be made, or the standby's state
                cannot be written, or the name does not follow.
        """
        steps = Steps(self.clock, self.announce)
        secondary = self.secondary.read_state("Nothing was changed: it cannot take over as it is.")
        primary = self.primary.try_read()
        already = secondary.took_over and writes(primary, secondary) == "secondary"
        checks = {} if already else self._checks(primary)
        if checks:
            self._require_passed(checks, force=force)
            steps.record("checked", f"{self.secondary.region}: checked")
        is_fenced = self._fence(primary, secondary, steps, force=force, already=already)
        epoch = max(secondary.epoch, primary.epoch if primary else 0) + 1
        state = self.secondary.update_state(
            lambda found: _taken_over(found, epoch, already=already)
        )
        steps.record("state_written", f"{self.secondary.region}: takes the traffic, and writes")
        if is_fenced:
            self._keep_fenced(state.epoch)
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
            lost = f"{self.primary.region} does not answer, so replicas cannot be compared."
            return {"canary": canary, "replicas": Check(Result.SKIPPED, lost)}
        return {"canary": canary, "replicas": self.replicas()}

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

    def _fence(
        self,
        primary: RegionState | None,
        secondary: RegionState,
        steps: Steps,
        *,
        force: bool,
        already: bool,
    ) -> bool:
        """Have the primary Region write no more, if it answers; return whether that is certain."""
        if primary is None:
            return False
        epoch = max(primary.epoch, secondary.epoch)
        try:
            self.primary.update_state(fenced(epoch if already else epoch + 1))
        except NoAnswerError:
            if not force and not already:
                raise
            return False
        if already:
            return True
        steps.record("fenced", f"{self.primary.region}: writes no more")
        if not force and self.settle_seconds:
            self.pause(self.settle_seconds)
            steps.record("settled", "calls that were under way have ended")
            self._require_replicated(epoch + 1)
        return True

    def _require_replicated(self, epoch: int) -> None:
        """
        Require that the changes made meanwhile are replicated, too.

        Otherwise take the fence of *epoch* away, so that the primary Region writes again, unless
        somebody else let the secondary one take over meanwhile.
        """
        check = self.replicas()
        if check.result is Result.PASSED:
            return
        self._require_not_overtaken()
        self.primary.update_state(
            lambda state: replace(state, writer=True) if state.epoch == epoch else state
        )
        try:
            # A failover at this moment has not seen that the fence is gone.
            self._require_not_overtaken()
        except RegionStateError:
            self.primary.update_state(fenced(epoch))
            raise
        raise NotAllowedError(
            f"{check.detail} {self.primary.region} writes again; nothing else was changed. "
            "To take over all the same: --force."
        )

    def _require_not_overtaken(self) -> None:
        """Make sure that the secondary Region has not taken over."""
        secondary = self.secondary.read_state()
        if secondary.took_over or secondary.writer:
            raise NotAllowedError(
                f"Meanwhile somebody else let {self.secondary.region} take over. "
                "This failover stops here: run `surrogatectl status`."
            )

    def _keep_fenced(self, epoch: int) -> None:
        """Fence the primary Region again if somebody, giving up, took the fence away just now."""
        found = self.primary.try_read()
        if found is not None and found.writer:
            self.primary.update_state(fenced(epoch))
            self.announce(f"{self.primary.region}: fenced again")


def _taken_over(found: RegionState, epoch: int, *, already: bool) -> RegionState:
    if already or (found.writer and found.took_over and found.epoch >= epoch):
        return found
    return replace(found, writer=True, took_over=True, epoch=max(found.epoch, epoch))
