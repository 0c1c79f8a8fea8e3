"""
The Regions' states, written from outside: what `failover` and `failback` share.

A state is written by compare-and-swap, and by the operator's own role, so that
neither needs anything of a Region that is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from chalicelib.clients.denials import Denials
from chalicelib.clients.repository import outranks
from chalicelib.errors import OutcomeUnknownError, ServiceError, VersionConflictError
from chalicelib.model import ClientId, ClientSummary, Page, RegionState
from chalicelib.ports import BATCH, Clock, Pause, StateStore
from chalicelib.timing import AT_ONCE, RateLimiter, retrying

LOST_WRITE: Final = (VersionConflictError, OutcomeUnknownError)
"""Errors of a write of a state that is worth repeating: it finds what it did already."""
WRITE_PAUSES: Final = (*AT_ONCE, 0.0, 0.0)
_PAGE: Final = 100
_POLL_SECONDS: Final = 0.25

Announce = Callable[[str], None]
"""Tells people of the step just done."""


Answering = Callable[[], str | None]
"""Returns the Region that answers where clients ask, `None` if none does."""


class RegionStateError(Exception):
    """The command is not possible; the message says why, and what to do."""


class NotAllowedError(RegionStateError):
    """The Regions' states do not allow the command."""


class NoAnswerError(RegionStateError):
    """A Region or service that has to answer does not."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two Regions, its state and its denials."""

    region: str
    state: StateStore
    denials: Denials

    def read_state(self, otherwise: str = "") -> RegionState:
        """
        Return the Region's state.

        Raises:
            NoAnswerError: If it cannot be read; *otherwise* says what that means.
        """
        try:
            return self.state.read().value
        except ServiceError as err:
            told = f"The state of {self.region} cannot be read: {_told(err)}"
            raise NoAnswerError(f"{told}\n{otherwise}" if otherwise else told) from None

    def try_read(self) -> RegionState | None:
        """Return the Region's state, `None` if it cannot be read."""
        try:
            return self.state.read().value
        except ServiceError:
            return None

    def update_state(self, change: Callable[[RegionState], RegionState]) -> RegionState:
        """
        Replace the Region's state by what *change* makes of it, and return that.

        *change* may be called several times, and finds what it did already.

        Raises:
            NoAnswerError: If it cannot be written.
        """

        def attempt() -> RegionState:
            found = self.state.read()
            state = change(found.value)
            if state != found.value:
                self.state.replace(state, found.version)
            return state

        try:
            return retrying(attempt, on=LOST_WRITE, pauses=WRITE_PAUSES)
        except ServiceError as err:
            told = f"The state of {self.region} cannot be written: {_told(err)}"
            raise NoAnswerError(told) from None


class Lister(Protocol):
    """Lists the records of one Region."""

    def list(self, cursor: str | None, limit: int) -> Page[ClientSummary]:
        """See `RecordStore.list`."""


def client_id_pages(records: Lister, pace: RateLimiter) -> Iterator[Sequence[ClientId]]:
    """Yield the client IDs of all *records*, in pages."""
    cursor: str | None = None
    while True:
        pace.wait()
        page = records.list(cursor, _PAGE)
        yield [each.client_id for each in page.items]
        cursor = page.cursor
        if cursor is None:
            return


def in_batches(client_ids: Sequence[ClientId]) -> Iterator[Sequence[ClientId]]:
    """Yield *client_ids*, as many at once as can be read at once."""
    for start in range(0, len(client_ids), BATCH):
        yield client_ids[start : start + BATCH]


def writes(primary: RegionState | None, secondary: RegionState) -> str | None:
    """Return the role of the Region that writes, `None` if none does; *primary* may be lost."""
    if primary is not None and primary.writer:
        if not secondary.writer or outranks(primary, secondary):
            return "primary"
        return "secondary"
    return "secondary" if secondary.writer else None


def fenced(epoch: int) -> Callable[[RegionState], RegionState]:
    """Return the change that stops a Region from writing, as of *epoch*."""
    return lambda state: replace(state, writer=False, epoch=max(epoch, state.epoch))


def writing(epoch: int) -> Callable[[RegionState], RegionState]:
    """Return the change that lets a Region write, as of *epoch*."""
    return lambda state: replace(state, writer=True, epoch=max(epoch, state.epoch))


@dataclass(frozen=True, slots=True)
class Name:
    """The name that clients use, *url*, and which Region answers there."""

    url: str
    answering: Answering
    clock: Clock
    pause: Pause

    def await_region(self, region: str, timeout: float) -> None:
        """
        Return when the name answers from *region*.

        Raises:
            NoAnswerError: If it does not within *timeout* seconds.
        """
        began = self.clock()
        while self.answering() != region:
            if self.clock() - began > timeout:
                raise NoAnswerError(
                    f"{self.url} does not answer from {region} after {timeout:.0f} s: check the "
                    "records, the health check of /health/takeover, and its answer. "
                    "Everything else is done; repeating the command watches again."
                )
            self.pause(_POLL_SECONDS)


class Steps:
    """Notes how many seconds after the beginning each step was done, and tells people."""

    def __init__(self, clock: Clock, announce: Announce) -> None:
        """Begin."""
        self._clock = clock
        self._announce = announce
        self._began = clock()
        self.done: dict[str, float] = {}

    def record(self, step: str, told: str) -> None:
        """Note that *step* was done just now."""
        seconds = self._clock() - self._began
        self.done[step] = round(seconds, 3)
        self._announce(f"{told} ({seconds:.1f} s)")


def _told(err: ServiceError) -> str:
    return str(err) or type(err).__name__
