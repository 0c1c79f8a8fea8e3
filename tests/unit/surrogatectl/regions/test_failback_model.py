"""
Stories of operators before, during and after an outage: failback leaves what should exist.

A `Model` knows which clients there should be, and which credentials should work.
Stories are drawn by hypothesis: operations, each perhaps ended half-way, an outage
of either Region or a planned failover, perhaps changes that were not replicated
any more, more operations, and a failback that ends half-way again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from chalicelib.clients.changes import ClientUpdate
from chalicelib.clients.enrollment import EnrollmentRequest
from chalicelib.errors import OperationError
from chalicelib.model import ClientId, IssuedCredentials, Status
from chalicelib.reconciliation.drift import Result
from surrogatectl.regions.failback import SplitsError
from surrogatectl.regions.failback_plan import Choices, Keep
from surrogatectl.regions.lease import LEASE_SECONDS
from surrogatectl.regions.state import RegionStateError
from tests.aws_worlds import REGIONS, AwsWorld, Operators
from tests.fake_aws import Crash, crash_before
from tests.rescue import Rescue, state
from tests.unit.chalicelib.clients.crash_scenes import DAY, unseen
from tests.worlds import CALLER, EAST, WEST

pytestmark = pytest.mark.slow

LATER = 1_200
NEVER = 10_000


@dataclass
class Client:
    """What there should be of one client, and which credentials should work."""

    status: Status = Status.ACTIVE
    was: Status = Status.ACTIVE
    valid: list[IssuedCredentials] = field(default_factory=list)
    handed_out: list[IssuedCredentials] = field(default_factory=list)


@dataclass(frozen=True)
class Act:
    """An operation on the client of that *number*, which ends half-way at the call *ends*."""

    what: str
    number: int
    ends: int


class Story:
    """A world, the operators in the Region that writes, and what should exist."""

    def __init__(self, detached: str | None) -> None:
        self.world = AwsWorld(strict=False)
        self.world.secrets[EAST].replicator.detached = detached
        self.region = EAST
        self.model: dict[ClientId, Client] = {}
        self.denied: set[ClientId] = set()

    @property
    def operators(self) -> Operators:
        """A new process in the Region that writes."""
        return Operators(self.world, self.region)

    def act(self, act: Act) -> None:
        self.world.clock.advance(2)
        if act.what == "enroll" or not self.model:
            self._disturbed(self._enroll, act)
            return
        client_id = list(self.model)[act.number % len(self.model)]
        if act.what in {"deny", "allow"}:
            self._deny_or_allow(client_id, deny=act.what == "deny")
            return
        work = WORKS[act.what]
        self._disturbed(lambda: work(self, client_id), act)

    def _disturbed(self, work: Callable[[], object], act: Act) -> None:
        """Do *work*, which perhaps ends half-way; then find out what became of it."""
        before = self.world.records(self.region)
        self.world.aws.watch(crash_before(act.ends))
        try:
            work()
        except Crash:
            self.world.aws.watch()
            after = self.world.records(self.region)
            for client_id in self.model:
                # What was not changed here may have been changed in the Region that is gone.
                if after.get(client_id) != before.get(client_id):
                    self.expect_as_found(client_id, self.region)
        except OperationError:
            pass
        self.world.aws.watch()

    def expect_as_found(self, client_id: ClientId, region: str) -> None:
        """Expect the client as it is in *region*: an operator looked."""
        client, record = self.model[client_id], self.world.records(region).get(client_id)
        if record is None:
            if client_id in self.world.record_secrets(region):
                client.status = Status.DELETED
            return
        if record.status is Status.DELETED:
            client.was = record.deletion.was if record.deletion else client.was
        client.status = record.status
        known = {each.secret_id for each in record.secrets}
        client.valid = [each for each in client.handed_out if each.secret_id in known]

    def _enroll(self) -> None:
        request = EnrollmentRequest("a client", ("demo/read",), (), None, None)
        issued = self.operators.enroll.enroll(request, CALLER).issued
        self.model[issued.client_id] = Client(valid=[issued], handed_out=[issued])

    def rotate(self, client_id: ClientId, overlap_seconds: int) -> None:
        client = self.model[client_id]
        issued = self.operators.rotation.rotate(client_id, overlap_seconds).issued
        client.valid = [issued, *client.valid] if overlap_seconds else [issued]
        client.handed_out.append(issued)

    def change(self, client_id: ClientId, changes: ClientUpdate) -> None:
        self.operators.clients.change(client_id, changes)
        self.model[client_id].status = changes.get("status", self.model[client_id].status)

    def delete(self, client_id: ClientId) -> None:
        client = self.model[client_id]
        self.operators.deletion.delete(client_id, 7)
        if client.status is not Status.DELETED:
            client.was, client.status = client.status, Status.DELETED

    def restore(self, client_id: ClientId) -> None:
        client = self.model[client_id]
        self.operators.deletion.restore(client_id)
        if client.status is Status.DELETED:
            client.status = client.was

    def _deny_or_allow(self, client_id: ClientId, *, deny: bool) -> None:
        """Deny or allow in every Region that answers."""
        for region in REGIONS:
            if region not in self.world.aws.down:
                self.operators.denials[region].change(
                    deny=[client_id] if deny else [], allow=[] if deny else [client_id]
                )
        (self.denied.add if deny else self.denied.discard)(client_id)

    def reconcile(self) -> None:
        for outcome in self.operators.reconcile.run(unseen):
            assert outcome.result is not Result.FAILED or self.world.aws.down, outcome

    def check(self) -> None:
        """Reconcile, a while later, and count."""
        self.region = EAST
        self.world.clock.advance(LATER)
        # What lists did not show yet, a repeat finds: an enrollment that ended half-way.
        outcome = Rescue(self.world).failback()
        assert outcome.already
        assert outcome.left == ()
        for _ in range(2):
            # What is deleted half-way takes a second round, as a replica takes a moment to go.
            left = [
                each
                for each in self.operators.reconcile.run(unseen)
                if each.result not in {Result.REPAIRED, Result.NOTHING_TO_DO}
            ]
            self.world.clock.advance(LATER)
        assert not left, left
        assert self.world.untidiness() == []
        for client_id, secret in self.world.record_secrets(WEST).items():
            assert secret.primary_region == EAST, client_id
        assert self.world.denied(EAST) == self.world.denied(WEST) == self.denied
        alive = {
            client_id
            for client_id, client in self.model.items()
            if client.status is not Status.DELETED
        }
        # An enrollment that ended half-way may have left a client whose secret nobody has.
        assert set(self.world.records()) & set(self.model) == alive
        for client_id, client in self.model.items():
            serves = client.status is Status.ACTIVE and client_id not in self.denied
            for issued in client.handed_out:
                expected = serves and issued in client.valid
                works = [self.world.gets_a_token(issued, region) for region in REGIONS]
                assert works == [expected, expected], (client, issued.secret_id, works)


WORKS: dict[str, Callable[[Story, ClientId], object]] = {
    "rotate": lambda story, client_id: story.rotate(client_id, 7 * DAY),
    "rotate at once": lambda story, client_id: story.rotate(client_id, 0),
    "disable": lambda story, client_id: story.change(client_id, {"status": Status.DISABLED}),
    "enable": lambda story, client_id: story.change(client_id, {"status": Status.ACTIVE}),
    "widen": lambda story, client_id: story.change(
        client_id, {"scopes": ("demo/read", "demo/write")}
    ),
    "rename": lambda story, client_id: story.change(client_id, {"client_name": "renamed"}),
    "delete": lambda story, client_id: story.delete(client_id),
    "restore": lambda story, client_id: story.restore(client_id),
}

ends = st.sampled_from([NEVER, NEVER, *range(1, 24)])
acts = st.lists(
    st.builds(Act, st.sampled_from(["enroll", "enroll", *WORKS]), st.integers(0, 5), ends),
    max_size=6,
)
acts_and_denials = st.lists(
    st.builds(Act, st.sampled_from(["enroll", *WORKS, "deny", "allow"]), st.integers(0, 5), ends),
    max_size=6,
)
detached = st.sampled_from(["Detached", "InProgress", "Failed", None])


def failed_back(story: Story, rescue: Rescue, crashes: list[int], keep: Keep) -> None:
    """Fail back, ending half-way at each of *crashes*; choose *keep* when asked."""
    choices = Choices()
    waiting = [*crashes, NEVER]
    for _ in range(len(waiting) + 2):
        story.world.aws.watch(crash_before(waiting[0]))
        try:
            outcome = Rescue(story.world).failback(choices, take_over=True)
        except Crash:
            waiting.pop(0)
        except SplitsError as err:
            region = EAST if keep is Keep.PRIMARY else WEST
            for each in err.splits:
                if each.client_id in story.model:
                    story.expect_as_found(each.client_id, region)
            choices = Choices(rest=keep)
        else:
            if waiting[0] == NEVER:
                assert outcome.left == ()
                break
            waiting.pop(0)
        story.world.aws.watch()
        story.world.clock.advance(LEASE_SECONDS)
    else:
        raise AssertionError("failback does not end")
    story.world.aws.watch()


@given(
    before=acts,
    unreplicated=acts,
    during=acts_and_denials,
    after=acts_and_denials,
    planned=st.booleans(),
    crashes=st.lists(st.integers(1, 90), max_size=3),
    keep=st.sampled_from(Keep),
    detached=detached,
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_failback_brings_back_everything_that_the_secondary_wrote(  # noqa: PLR0917 - drawn
    before: list[Act],
    unreplicated: list[Act],
    during: list[Act],
    after: list[Act],
    planned: bool,  # noqa: FBT001 - drawn
    crashes: list[int],
    keep: Keep,
    detached: str | None,
) -> None:
    note(f"{before=} {unreplicated=} {during=} {after=} {planned=} {crashes=} {keep=} {detached=}")
    story = Story(detached)
    for act in before:
        story.act(act)
    story.world.clock.advance(LATER)
    story.reconcile()  # what ended half-way before is another test's
    story.world.clock.advance(LATER)
    if not planned:
        story.world.secrets[EAST].replicator.seconds = 100_000
        for act in unreplicated:
            story.act(act)
        story.world.aws.down.add(EAST)
    rescue = Rescue(story.world)
    rescue.failover(force=not planned)
    story.region = WEST
    for act in during:
        story.act(act)
    story.world.aws.down.clear()
    story.world.secrets[EAST].replicator.seconds = 0.3
    story.world.secrets[EAST].replicator.hurry()
    story.world.clock.advance(60)
    with suppress(OperationError):
        Operators(story.world, EAST).admin.require_writer()
        raise AssertionError("The primary Region writes beside the one that took over.")
    for act in after:
        story.act(act)
    story.world.clock.advance(1)
    failed_back(story, rescue, crashes, keep)
    assert state(story.world, EAST).writer
    assert not state(story.world, WEST).writer
    story.check()


@given(before=acts, during=acts, after=acts)
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_primary_goes_on_without_the_secondary(
    before: list[Act], during: list[Act], after: list[Act]
) -> None:
    story = Story("Detached")
    for act in before:
        story.act(act)
    story.world.clock.advance(LATER)
    story.world.aws.down.add(WEST)
    for act in during:
        story.act(act)
    story.world.aws.down.clear()
    story.world.clock.advance(60)
    for act in after:
        story.act(act)
    story.check()


@given(
    before=acts,
    crashes=st.lists(st.tuples(st.booleans(), st.integers(0, 90)), max_size=4),
    meanwhile=acts,
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_interrupted_failovers_and_failbacks_can_be_repeated(
    before: list[Act], crashes: list[tuple[bool, int]], meanwhile: list[Act]
) -> None:
    """Whatever was left of one, the other or a repeat goes on from there; one Region writes."""
    note(f"{before=} {crashes=} {meanwhile=}")
    story = Story("Detached")
    for act in before:
        story.act(act)
    story.world.clock.advance(LATER)
    story.reconcile()
    story.world.clock.advance(LATER)
    for over, number in crashes:
        story.world.aws.watch(crash_before(number))
        with suppress(Crash, RegionStateError):
            rescue = Rescue(story.world)
            rescue.failover(take_over=True) if over else rescue.failback(take_over=True)
        story.world.aws.watch()
        story.world.clock.advance(LEASE_SECONDS)
        writing = [region for region in REGIONS if _writes(story.world, region)]
        assert len(writing) <= 1
        if writing:
            (story.region,) = writing
            for act in meanwhile:
                story.act(act)
            story.world.clock.advance(60)
    failed_back(story, Rescue(story.world), [], Keep.SECONDARY)
    story.check()


def _writes(world: AwsWorld, region: str) -> bool:
    try:
        Operators(world, region).admin.require_writer()
    except OperationError:
        return False
    return True
