"""Writes of one client over the admin API, and `--wait`: until both Regions act on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import click

from chalicelib.model import Replication
from chalicelib.ports import Pause
from chalicelib.timing import polling
from surrogatectl.cli.admin_client import AdminApiError, AdminClient
from surrogatectl.cli.common import Failure, Unavailable, call_admin_api, deployment, failure
from surrogatectl.cli.signals import Interrupted
from surrogatectl.clients.in_force import IN_FORCE, Change, Effect

POLL_SECONDS: Final = 2.0
_POLLS: Final = 60
_POLLS_PER_LINE: Final = 5

Json = dict[str, Any]

wait_option = click.option(
    "--wait",
    is_flag=True,
    help="Then wait until both Regions act on it, for two minutes at most.  "
    "Exit code 5: done, but not in both Regions yet.",
)


class NotEverywhere(Failure):
    """Change that is done, but not in force in both Regions yet."""

    exit_code = 5
    title = "Done, but not in both Regions yet"


@dataclass(frozen=True, slots=True)
class Written:
    """A change that one Region confirmed, and how to see the client there."""

    change: Change
    api: AdminClient = field(repr=False)

    @property
    def answer(self) -> Json:
        """Answer of the admin API."""
        return self.change.answer

    @property
    def document(self) -> Json:
        """The answer, and when it is in force, for programs."""
        return {**self.answer, IN_FORCE: self.change.seconds}

    def take_secret(self) -> str:
        """Return the new client secret, and leave it out of what is shown."""
        secret: str = self.change.answer.pop("client_secret")
        return secret

    def show(self) -> Json:
        """
        Return the client as it is now.

        Raises:
            AdminApiError: If the Region does not show it.
        """
        return self.api.call("GET", f"/clients/{self.answer['client_id']}")


def write(role: str | None, effect: Effect, call: Callable[[AdminClient], Json]) -> Written:
    """
    Return what *call* wrote in the Region of *role*, by default in the one that writes.

    Raises:
        Failure: If the API refuses, or does not answer.
    """
    settings = deployment().settings
    api, answer = call_admin_api(role, lambda api: (api, call(api)))
    return Written(Change(effect, answer, api.region, settings), api)


def wait_for_both(written: Written) -> None:
    """
    Wait until both Regions act on a change that was shown before, with lines on standard error.

    Raises:
        NotEverywhere: If they do not yet, or if the user interrupts.
    """
    waiter = Waiter(written.show, time.sleep, lambda line: click.echo(line, err=True))
    try:
        waiter.wait(written.change)
    except Interrupted:
        raise _not_everywhere(written.change, "the wait was interrupted") from None


@dataclass(frozen=True, slots=True)
class Waiter:
    """Waits for a change: *show* returns the client from the Region that wrote it."""

    show: Callable[[], Json] = field(repr=False)
    pause: Pause
    say: Callable[[str], None]

    def wait(self, change: Change) -> None:
        """
        Wait until both Regions act on *change*.

        A later change by somebody else contains this one, so it counts as well.

        Raises:
            NotEverywhere: If the other Region will not act on it by itself, or not in time.
        """
        if not change.is_everywhere:
            change = self._replicated(change)
        if not change.effect.at_once:
            fresh = change.settings.fresh_seconds
            self.say(f"{change.other} has the record. Waiting {fresh} s for its caches.")
            self.pause(fresh)
        self.say("In force in both Regions.")

    def _replicated(self, change: Change) -> Change:
        polls = 0

        def look() -> Change:
            nonlocal polls
            seen = self._seen(change)
            if not _ended(seen) and polls % _POLLS_PER_LINE == 0:
                self.say(f"Waiting for {change.other}: replication is {seen.replication}.")
            polls += 1
            return seen

        seen = polling(look, until=_ended, pauses=(POLL_SECONDS,) * _POLLS, pause=self.pause)
        if not seen.is_everywhere:
            raise _not_everywhere(seen, seen.obstacle or f"replication is {seen.replication}")
        return seen

    def _seen(self, change: Change) -> Change:
        """Return *change* with the client as it is now; in progress if the Region is busy."""
        try:
            return replace(change, answer=self.show())
        except AdminApiError as err:
            failed = failure(err)
            if failed.exit_code == Unavailable.exit_code:
                busy = {"replication": Replication.IN_PROGRESS}
                return replace(change, answer={**change.answer, **busy})
            raise _not_everywhere(change, failed.message) from None


def _ended(change: Change) -> bool:
    return change.is_everywhere or change.obstacle is not None


def _not_everywhere(change: Change, why: str) -> NotEverywhere:
    return NotEverywhere(
        f"Done in {change.writer}. {change.other}: {why}. Nothing is lost: do not repeat the "
        f"command. To look again: `surrogatectl show {change.answer['client_id']}`."
    )
