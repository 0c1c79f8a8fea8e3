"""
Conducts a drill: a Region is taken away under load, failed over, given back.

What people would do is done with the same commands: `surrogatectl failover` and
`failback`, in processes of their own.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import requests

from surrogatectl.cli.admin_client import AdminApiError
from surrogatectl.cli.configuration import ROLES
from surrogatectl.cli.signals import Interrupted, shielded
from surrogatectl.drill.backend import Backend
from surrogatectl.drill.cloud import LocalCloud
from surrogatectl.drill.events import Kind, Mark, Round, When
from surrogatectl.drill.load import Credential, Load, exchange_once
from surrogatectl.drill.writes import SCOPE, Administrator

CANARY_SECONDS: Final = 2.0
"""How long the canary waits for an answer of the name's health check, every second."""

CANARY_FAILURES: Final = 3
"""How many failures in a row are an outage."""

_CANARY_INTERVAL = 1.0
_DETECTED_WITHIN = 60.0
_COMMAND_SECONDS = 180.0
_TRIES = 3
_UNAVAILABLE = 4  # an exit code: try again later
_LOAD_CLIENTS = 4
FAILOVER: Final = ("failover", "--to=secondary", "--force")
_TTL_SECONDS = 60.0

Say = Callable[[str], None]
Run = Callable[[Sequence[str]], None]


class RoundFailedError(Exception):
    """A round cannot go on; the message says why."""


def command(arguments: Sequence[str]) -> None:
    """
    Run `surrogatectl` with *arguments*, as an operator would: again, if it says to try again.

    Raises:
        RoundFailedError: If it fails.
    """
    for left in reversed(range(_TRIES)):
        code, said = _run(arguments)
        if code == 0:
            return
        if code != _UNAVAILABLE or not left:
            raise RoundFailedError(f"surrogatectl {arguments[0]}: {said}")


def _run(arguments: Sequence[str]) -> tuple[int, str]:
    """Return the exit code, and the last line of what was said."""
    with subprocess.Popen(  # noqa: S603 - our own command line
        [sys.executable, "-m", "surrogatectl.main", *arguments, "--output=json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=_COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return 1, "It did not end."
        except Interrupted:
            with shielded():
                process.terminate()  # it lets a Region write again
                process.communicate()
            raise
    return process.returncode, (said.strip().splitlines() or [""])[-1]


@dataclass
class Stopwatch:
    """Seconds since the round began."""

    began: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Return them."""
        return time.monotonic() - self.began

    def restart(self) -> None:
        """Begin now."""
        self.began = time.monotonic()


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """
    Rehearsal of the loss of a Region, in rounds.

    *steady* is how many seconds each quiet stretch lasts; after *recover_within*
    seconds without a token from the secondary Region a round is given up.
    """

    cloud: LocalCloud
    backend: Backend
    public_url: str
    token_urls: Mapping[str, str]
    administrator: Callable[[Stopwatch], Administrator] = field(repr=False)
    rate: float
    steady: float
    recover_within: float
    say: Say = field(repr=False)
    run: Run = field(default=command, repr=False)

    def run_round(self, mode: str) -> Round:
        """Return what happened when the primary Region was lost in *mode*."""
        now = Stopwatch()
        regions = self.cloud.regions
        made = Round(mode, regions["primary"], regions["secondary"])
        administrator = self.administrator(now)
        try:
            self._conduct(_Stage(made, administrator, now, self.say))
        except (RoundFailedError, AdminApiError) as err:
            made.failed = str(err)
            self.say(f"the round cannot go on: {err}")
        except Interrupted:
            with shielded():
                self._wind_up(made, administrator)
            raise
        finally:
            self._give_back()
        if made.failed and Mark.LOST in made.marks:
            self._restore()
        self.say("looking whether both Regions kept every change")
        made.writes = administrator.looked_at()
        made.ended = now.elapsed()
        self._clean_up(administrator)
        return made

    def _wind_up(self, made: Round, administrator: Administrator) -> None:
        """Leave the cloud as it was before an interrupted round."""
        self.say("the drill is interrupted: the cloud is put back as it was")
        self._give_back()
        if Mark.LOST in made.marks:
            self._restore()
        self._clean_up(administrator)

    def _give_back(self) -> None:
        if self.cloud.mode("primary") != "up":
            self.cloud.give_back("primary")

    def _clean_up(self, administrator: Administrator) -> None:
        left = administrator.clean_up()
        if left:
            self.say(f"{len(left)} of the drill's clients could not be deleted: {' '.join(left)}")

    def _conduct(self, stage: _Stage) -> None:
        administrator, reach = stage.administrator, stage.reach
        self.run(("canary", f"--scope={SCOPE}"))  # it is made, or found to work
        *clients, rotated, disabled = administrator.prepare(_LOAD_CLIENTS + 2)
        stage.now.restart()
        url = f"{self.public_url}/oauth2/token"
        self._introduce(clients[0])
        load = Load(url, clients, self.backend, self.rate, stage.now.elapsed)
        try:
            with load:
                self._quiet()
                administrator.enroll("primary", When.BEFORE)
                reach(Mark.LOST, f"the primary Region is lost ({stage.made.mode})")
                self.cloud.lose("primary", stage.made.mode)
                self._await_detection()
                reach(Mark.DETECTED, "the outage is detected")
                reach(Mark.FAILOVER, "failing over")
                self.run(FAILOVER)
                reach(Mark.TOOK_OVER, "the secondary Region has taken over")
                self._await_tokens_of(stage.made.secondary, load)
                self._quiet()
                administrator.enroll("secondary", When.DURING)
                administrator.rotate("secondary", When.DURING, rotated)
                administrator.disable("secondary", When.DURING, disabled)
                self.cloud.give_back("primary")
                reach(Mark.BACK, "the primary Region is back, and gets no traffic")
                self._quiet()
                reach(Mark.FAILBACK, "failing back")
                self.run(self._failback)
                reach(Mark.RETURNED, "the primary Region serves again")
                administrator.enroll("primary", When.AFTER)
                self._quiet()
        finally:
            stage.made.requests = load.snapshot()

    @property
    def _failback(self) -> Sequence[str]:
        """Do not wait longer for DNS than it takes here; admin calls end at once here."""
        ttl = math.ceil(_TTL_SECONDS / self.cloud.time_scale)
        return ("failback", "--settle=1", f"--ttl={ttl}")

    def _introduce(self, client: Credential) -> None:
        """
        Have both Regions' tokens verified before the outage: the backend needs both pools' keys.

        Raises:
            RoundFailedError: If a Region issues none, or the backend does not believe it.
        """
        for role in ROLES:
            url = f"{self.token_urls[role]}/oauth2/token"
            answer = exchange_once(url, client, self.backend)
            if answer.kind is not Kind.TOKEN:
                raise RoundFailedError(f"The {role} Region: {answer.detail}.")

    def _quiet(self) -> None:
        time.sleep(self.steady)

    def _await_detection(self) -> None:
        """Ask as an outside canary does, until it has failed often enough in a row."""
        failures, ends = 0, time.monotonic() + _DETECTED_WITHIN
        while failures < CANARY_FAILURES:
            if time.monotonic() > ends:
                raise RoundFailedError("The canary did not notice that the Region is lost.")
            asked = time.monotonic()
            failures = 0 if self._canary() else failures + 1
            if failures < CANARY_FAILURES:
                time.sleep(max(0.0, asked + _CANARY_INTERVAL - time.monotonic()))

    def _canary(self) -> bool:
        try:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(f"{self.public_url}/health", timeout=CANARY_SECONDS).ok
        except requests.RequestException:
            return False

    def _await_tokens_of(self, region: str, load: Load) -> None:
        ends = time.monotonic() + self.recover_within
        while not any(
            each.kind is Kind.TOKEN and each.region == region for each in load.snapshot()
        ):
            if time.monotonic() > ends:
                raise RoundFailedError(f"{region} issues no tokens.")
            time.sleep(0.1)

    def _restore(self) -> None:
        """Have the primary Region serve and write again, as far as that goes."""
        try:
            self.run(self._failback)
        except RoundFailedError as err:
            self.say(f"the cloud is left as it is: {err}")


@dataclass(frozen=True, slots=True)
class _Stage:
    """A round in the making."""

    made: Round
    administrator: Administrator
    now: Stopwatch
    say: Say

    def reach(self, mark: Mark, what: str) -> None:
        """Note that a moment has come."""
        self.made.marks[mark] = at = self.now.elapsed()
        self.say(f"{at:5.1f} s  {what}")
