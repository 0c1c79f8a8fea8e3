"""
The lease of a failover or failback: one run at a time steers the Regions.

It is in the secondary Region's state, which every such run reads and writes, and which is there
when the primary Region is lost.  A run that has lost its lease stops before its next write.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from chalicelib.model import Lease, RegionState
from chalicelib.ports import Clock
from surrogatectl.cli.signals import shielded
from surrogatectl.regions.state import Announce, NoAnswerError, NotAllowedError, Side

LEASE_SECONDS: Final = 300
"""A lease lasts this long.  A run that needs it for longer renews it."""

RENEW_SECONDS: Final = 100
"""
A lease is renewed when less than this is left: 18 times an hour.

Secrets Manager keeps 100 versions of a secret a day; so the longest run takes five hours.
"""


class LeaseError(NotAllowedError):
    """Another run has the lease.  Never thrown directly."""


class LeaseHeldError(LeaseError):
    """Another run has the lease, or did not give it back; nothing was changed."""


class LeaseLostError(LeaseError):
    """Another run took the lease over."""


@dataclass(frozen=True, slots=True)
class RunLease:
    """
    The lease of this run of *command*, in the state of *side*, the secondary Region.

    *holder* returns the operator's name.  *clock* is a wall clock: other runs read the times.
    """

    side: Side
    command: str
    holder: Callable[[], str] = field(repr=False)
    run_id: str
    clock: Clock
    announce: Announce

    @contextmanager
    def held(self, *, take_over: bool, force: bool = False) -> Iterator[None]:
        """
        Hold the lease during the block, and give it back however the block ends.

        With *take_over*, take it from a run that did not give it back in time; with *force*,
        from any.

        Raises:
            LeaseHeldError: If another run has it.
            NoAnswerError: If the state cannot be written.
        """
        try:
            self._take(take_over=take_over or force, force=force)
            yield
        finally:
            with shielded():
                self._give_back()

    def confirm(self, seconds: float = 0) -> None:
        """
        Make sure that this run still has the lease, and has it for some *seconds* more.

        Raises:
            LeaseLostError: If another run took it.
            NoAnswerError: If the state cannot be read or written.
        """
        found = self.own(self.side.read_state())
        if found.lease is not None and found.lease.until < self.clock() + seconds + RENEW_SECONDS:
            until = int(self.clock() + seconds) + LEASE_SECONDS
            self.side.update_state(lambda state: self._renewed(state, until))

    def update_state(self, side: Side, change: Callable[[RegionState], RegionState]) -> RegionState:
        """
        Replace the state of *side* by what *change* makes of it, as long as this run has the lease.

        Raises:
            LeaseLostError: If another run took it; nothing was changed.
            NoAnswerError: If the state cannot be written.
        """
        if side.region == self.side.region:
            return side.update_state(lambda state: change(self.own(state)))
        self.confirm()
        return side.update_state(change)

    def own(self, state: RegionState) -> RegionState:
        """
        Return *state*, which says that this run has the lease.

        Raises:
            LeaseLostError: If it does not.
        """
        if self._holds(state):
            return state
        by = f": {described(state.lease)}" if state.lease else ""
        raise LeaseLostError(
            f"Another run took over from this {self.command}{by}. This one stops here, and writes "
            "nothing more. `surrogatectl status` shows both Regions."
        )

    def _take(self, *, take_over: bool, force: bool) -> None:
        now = int(self.clock())
        wanted = Lease(self.command, self.holder(), now, now + LEASE_SECONDS, self.run_id)

        def change(found: RegionState) -> RegionState:
            if found.lease is not None and not self._holds(found):
                _require_free(found.lease, now, take_over=take_over, force=force)
            return replace(found, lease=wanted)

        try:
            self.side.update_state(change)
        except NoAnswerError as err:
            raise NoAnswerError(f"{err} Nothing was changed.") from None

    def _renewed(self, state: RegionState, until: int) -> RegionState:
        lease = self.own(state).lease
        return replace(state, lease=replace(lease, until=until) if lease else None)

    def _give_back(self) -> None:
        """Give the lease back, if this run has it; if that fails, it ends by itself."""
        try:
            self.side.update_state(
                lambda state: replace(state, lease=None) if self._holds(state) else state
            )
        except NoAnswerError as err:
            self.announce(
                f"The lease of this {self.command} is not given back: {err} It ends within "
                "minutes. From then on, --take-over goes on."
            )

    def _holds(self, state: RegionState) -> bool:
        return state.lease is not None and state.lease.run_id == self.run_id


def described(lease: Lease) -> str:
    """Return who holds *lease*, since when, and until when."""
    return f"{lease.command} of {lease.holder}, since {_at(lease.since)}, until {_at(lease.until)}"


def _require_free(lease: Lease, now: int, *, take_over: bool, force: bool) -> None:
    if force or (take_over and now >= lease.until):
        return
    if now >= lease.until:
        raise LeaseHeldError(
            f"Another run did not give its lease back: {described(lease)}. Nothing was changed. "
            "If it does not run any more: --take-over."
        )
    raise LeaseHeldError(
        f"Another run is under way: {described(lease)}. Nothing was changed. Repeat this when it "
        "has ended. If the traffic cannot wait: `surrogatectl failover --to secondary --force`."
    )


def _at(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
