"""`failover` and `failback` over `aws_worlds`: both Regions, the name, and a canary."""

from __future__ import annotations

from uuid import uuid4

from chalicelib import record_json
from chalicelib.model import ClientId, IssuedCredentials, RegionState
from chalicelib.timing import RateLimiter
from surrogatectl.regions.canary import Problem
from surrogatectl.regions.failback import Failback, Outcome, Timeouts
from surrogatectl.regions.failback_apply import FailbackActions
from surrogatectl.regions.failback_pass import ClientDirectory, ClientPasses
from surrogatectl.regions.failback_plan import Choices
from surrogatectl.regions.failover import Failover, ReplicaCheck
from surrogatectl.regions.failover import Outcome as TakenOver
from surrogatectl.regions.lease import RunLease
from surrogatectl.regions.parts import (
    LISTS_PER_SECOND,
    LOOKS_PER_SECOND,
    READS_PER_SECOND,
    WRITES_PER_SECOND,
)
from surrogatectl.regions.region_records import RegionRecords
from surrogatectl.regions.state import Name, Side
from tests.aws_worlds import PREFIX, AwsWorld, Operators
from tests.worlds import CALLER, EAST, WEST

URL = "https://auth.example.com"
FAST = 1_000_000.0
NO_CHOICE = Choices()


class Rescue:
    """
    Operator's process at the command line.

    The name resolves to the secondary Region after a takeover.  *canary* is tried
    where it is not `None`.  *paced*: with the command line's rate limits, which
    move the clock; otherwise without.
    """

    def __init__(
        self, world: AwsWorld, canary: IssuedCredentials | None = None, *, paced: bool = False
    ) -> None:
        self.world = world
        self.paced = paced
        self.canary = canary
        self.told: list[str] = []
        self.run_id = str(uuid4())
        self.primary, self.secondary = Operators(world, EAST), Operators(world, WEST)
        clock = world.clock
        self.sides = (
            Side(EAST, self.primary.state, self.primary.denials[EAST]),
            Side(WEST, self.secondary.state, self.secondary.denials[WEST]),
        )
        self.name = Name(URL, self.answering, clock, clock.advance)
        here, there = (world.aws.secrets_manager(world.secrets[each]) for each in (EAST, WEST))
        self.records = {
            EAST: RegionRecords(lambda: here, WEST, PREFIX),
            WEST: RegionRecords(lambda: there, EAST, PREFIX),
        }

    def _pace(self, per_second: float) -> RateLimiter:
        clock = self.world.clock
        return RateLimiter(per_second if self.paced else FAST, clock, clock.advance)

    def answering(self) -> str | None:
        region = WEST if state(self.world, WEST).took_over else EAST
        return None if region in self.world.aws.down else region

    def try_canary(self, region: str) -> Problem | None:
        if self.canary is None or self.world.gets_a_token(self.canary, region):
            return None
        return Problem(f"{region} refuses the canary.", refused=True)

    def replicas(self) -> ReplicaCheck:
        primary, secondary = self.primary.admin.records, self.secondary.admin.records
        return ReplicaCheck(
            (EAST, WEST),
            primary,
            secondary,
            self._pace(READS_PER_SECOND),
            self.world.clock.advance,
        )

    def lease(self, command: str) -> RunLease:
        clock = self.world.clock
        return RunLease(
            self.sides[1], command, lambda: CALLER, self.run_id, clock, self.told.append
        )

    def failing_over(self) -> Failover:
        clock = self.world.clock
        return Failover(
            *self.sides,
            self.lease("failover"),
            self.name,
            self.try_canary,
            self.replicas().run,
            clock,
            clock.advance,
            self.told.append,
            30,
        )

    def failover(self, *, force: bool = False, take_over: bool = False) -> TakenOver:
        return self.failing_over().fail_over(force=force, timeout=60, take_over=take_over)

    def failing_back(self) -> Failback:
        clock, lease = self.world.clock, self.lease("failback")
        second = self.secondary
        actions = FailbackActions(
            self.records[EAST],
            self.records[WEST],
            second.app_clients,
            second.deletion,
            self.primary.deletion,
            clock.advance,
        )
        directory = ClientDirectory(
            self.primary.admin.records,
            second.admin.records,
            second.app_clients.pools[WEST],
            self._pace(LISTS_PER_SECOND),
        )
        clients = ClientPasses(
            (EAST, WEST),
            directory,
            actions,
            self._pace(READS_PER_SECOND),
            self._pace(LOOKS_PER_SECOND),
            self._pace(WRITES_PER_SECOND),
            lease.confirm,
        )
        return Failback(
            *self.sides,
            lease,
            self.name,
            self.try_canary,
            clients,
            self.replicas().run,
            clock,
            clock.advance,
            self.told.append,
        )

    def failback(
        self, choices: Choices = NO_CHOICE, *, force: bool = False, take_over: bool = False
    ) -> Outcome:
        return self.failing_back().fail_back(
            choices, Timeouts(settle=30, ttl=120, name=60), force=force, take_over=take_over
        )


def state(world: AwsWorld, region: str) -> RegionState:
    """Return a Region's state, read without a call."""
    return record_json.state_from_json(
        world.secrets[region].secrets[f"{PREFIX}/region"].current.text
    )


def version(world: AwsWorld, client_id: ClientId, region: str) -> str | None:
    found = world.record_secrets(region).get(client_id)
    return found.holder("AWSCURRENT") if found else None
