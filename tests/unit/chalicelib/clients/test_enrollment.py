"""Enrollment: result, repeats, and leftovers of failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network

import pytest

from chalicelib import credentials
from chalicelib.clients.enrollment import REPEAT_SECONDS, Enrolled, EnrollmentRequest
from chalicelib.errors import (
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    ClientExistsError,
    MalformedSecretError,
    OperationError,
    OutcomeUnknownError,
    ServiceError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
    UnknownClientError,
    VersionConflictError,
)
from chalicelib.http.problem import Problem
from chalicelib.model import (
    AppClient,
    ClientRecord,
    ClientSummary,
    Origin,
    Pending,
    Replication,
    Status,
)
from chalicelib.record_json import record_to_json
from tests.fakes import Failing
from tests.problems import as_problem
from tests.worlds import CALLER, EAST, WEST, EnrollmentWorld

OTHER_CALLER = "arn:aws:iam::123456789012:user/somebody-else"
REQUEST = EnrollmentRequest(
    client_name="billing",
    scopes=("demo/read", "demo/write"),
    allowed_cidrs=(ip_network("192.0.2.0/24"),),
    expires_at=1_900_000_000,
    idempotency_key=None,
)
WITH_KEY = replace(REQUEST, idempotency_key="order-1")


@pytest.fixture
def world() -> EnrollmentWorld:
    return EnrollmentWorld()


def record_of(world: EnrollmentWorld, enrolled: Enrolled) -> ClientRecord:
    return world.store.stored[enrolled.issued.client_id].value


def problem_of(world: EnrollmentWorld, request: EnrollmentRequest = REQUEST) -> Problem:
    with pytest.raises(OperationError) as caught:
        world.enroll.enroll(request, CALLER)
    return as_problem(caught.value)


def authenticates(world: EnrollmentWorld, enrolled: Enrolled) -> bool:
    """Return whether the shown credentials are those of an active record."""
    record = record_of(world, enrolled)
    issued = enrolled.issued
    found = world.hasher.verify(issued.client_id, issued.client_secret, record.secrets)
    return found is not None and record.status is Status.ACTIVE


# Success


def test_a_client_is_enrolled_in_both_regions(world: EnrollmentWorld) -> None:
    enrolled = world.enroll.enroll(REQUEST, CALLER)
    record = record_of(world, enrolled)
    assert enrolled.record == record
    assert enrolled.version == world.store.stored[record.client_id].version
    assert enrolled.replication is Replication.IN_SYNC
    assert world.store.replicas[record.client_id].value == record
    assert (record.client_name, record.status, record.origin) == (
        "billing",
        Status.ACTIVE,
        Origin.ENROLLED,
    )
    assert record.scopes == REQUEST.scopes
    assert record.allowed_cidrs == REQUEST.allowed_cidrs
    assert record.expires_at == REQUEST.expires_at
    assert record.created_at == int(world.clock())
    assert record.enrollment is None
    assert authenticates(world, enrolled)


@pytest.mark.parametrize("region", [EAST, WEST])
def test_each_region_has_an_app_client_of_its_pool_with_a_mac(
    world: EnrollmentWorld, region: str
) -> None:
    enrolled = world.enroll.enroll(REQUEST, CALLER)
    regional = record_of(world, enrolled).app_clients[region]
    pool = {EAST: world.east, WEST: world.west}[region]
    ((app_client_id, made),) = pool.made.items()
    assert isinstance(regional, AppClient)
    assert (regional.user_pool_id, regional.app_client_id) == (pool.user_pool_id, app_client_id)
    assert regional.client_secret == f"cognito-secret-of-{app_client_id}"
    assert made.client_id == enrolled.issued.client_id
    assert made.scopes == frozenset(REQUEST.scopes)
    assert world.key.key is not None
    assert regional.mac == credentials.app_client_mac(
        world.key.key, enrolled.issued.client_id, app_client_id
    )


def test_the_secret_is_stored_nowhere(world: EnrollmentWorld) -> None:
    enrolled = world.enroll.enroll(REQUEST, CALLER)
    assert enrolled.issued.client_secret not in record_to_json(record_of(world, enrolled))
    assert enrolled.issued.client_secret not in repr(world)


def test_every_enrollment_makes_a_new_client(world: EnrollmentWorld) -> None:
    enrolled = [world.enroll.enroll(REQUEST, CALLER) for _ in range(3)]
    assert len({each.issued.client_id for each in enrolled}) == 3
    assert len({each.issued.client_secret for each in enrolled}) == 3
    assert not world.stranded


def test_enrollment_waits_briefly_for_the_replica(world: EnrollmentWorld) -> None:
    world.store.lag = True
    assert world.enroll.enroll(REQUEST, CALLER).replication is Replication.IN_PROGRESS
    assert world.pauses == [0.1, 0.4, 1.0]


def test_enrollment_does_not_wait_for_a_region_that_does_not_answer(
    world: EnrollmentWorld,
) -> None:
    world.store.other_region_answers = False
    assert world.enroll.enroll(REQUEST, CALLER).replication is Replication.UNKNOWN
    assert world.pauses == []


def test_a_replica_that_arrives_during_the_wait_is_in_sync(world: EnrollmentWorld) -> None:
    def arrive() -> None:
        if len(world.pauses) == 2:
            world.store.replicas.update(world.store.stored)

    world.store.lag = True
    world.store.meanwhile["replication"] = arrive
    assert world.enroll.enroll(REQUEST, CALLER).replication is Replication.IN_SYNC
    assert world.pauses == [0.1, 0.4]


# The credentials do not authenticate before everything is made


def test_the_record_does_not_authenticate_before_the_end(world: EnrollmentWorld) -> None:
    seen: list[Status] = []

    def look() -> None:
        seen.extend(each.value.status for each in world.store.stored.values())

    world.east.meanwhile["create"] = world.west.meanwhile["create"] = look
    world.store.meanwhile["replace"] = look
    world.enroll.enroll(REQUEST, CALLER)
    assert seen == [Status.ENROLLING] * 3


def test_the_record_is_written_before_anything_in_cognito(world: EnrollmentWorld) -> None:
    """After any later failure, `reconcile` finds the record of the enrollment."""
    world.east.meanwhile["create"] = lambda: written.append(len(world.store.stored))
    written: list[int] = []
    world.enroll.enroll(REQUEST, CALLER)
    assert written == [1]


# Permission and scope


def test_only_the_writing_region_enrolls() -> None:
    world = EnrollmentWorld()
    world.state.hand_over_to(world.other_state)
    problem = problem_of(world)
    assert (problem.status, problem.slug) == (409, "not-the-writing-region")
    assert EAST in problem.detail
    assert WEST in problem.detail
    assert problem.extensions == {"region": EAST, "writing_region": WEST}
    assert not world.store.calls
    assert not world.east.calls
    assert not world.west.calls


@pytest.mark.parametrize("region", [EAST, WEST])
def test_a_scope_that_a_pool_does_not_define_is_named(world: EnrollmentWorld, region: str) -> None:
    pool = {EAST: world.east, WEST: world.west}[region]
    pool.scopes = frozenset({"demo/read"})
    problem = problem_of(world)
    assert (problem.status, problem.slug) == (400, "unknown-scope")
    assert problem.fields == {"scope": f"not defined in {region}: demo/write"}
    assert not world.store.stored
    assert not world.east.made
    assert not world.west.made


# The other Region out of reach


def west_down(world: EnrollmentWorld) -> None:
    for method in ("unknown_scopes", "create"):
        world.west.failures[method] = [AppClientsUnreachableError() for _ in range(9)]
    world.store.failures["replicate"] = [StoreUnavailableError() for _ in range(9)]


def west_up(world: EnrollmentWorld) -> None:
    world.west.failures.clear()
    world.store.failures.clear()


def test_with_the_other_region_out_of_reach_its_app_client_is_pending(
    world: EnrollmentWorld,
) -> None:
    west_down(world)
    enrolled = world.enroll.enroll(REQUEST, CALLER)
    record = record_of(world, enrolled)
    assert isinstance(record.app_clients[EAST], AppClient)
    assert record.app_clients[WEST] == Pending(
        int(world.clock()), f"Cognito in {WEST} did not answer"
    )
    assert enrolled.replication is Replication.MISSING
    assert authenticates(world, enrolled)
    assert not world.stranded


def test_a_repeat_finishes_the_app_client_that_is_pending(world: EnrollmentWorld) -> None:
    west_down(world)
    first = world.enroll.enroll(WITH_KEY, CALLER)
    west_up(world)
    again = world.enroll.enroll(WITH_KEY, CALLER)
    assert again.issued.client_id == first.issued.client_id
    assert isinstance(record_of(world, again).app_clients[WEST], AppClient)
    assert len(world.east.made) == 1, "the app client that was made is kept"
    assert not world.stranded


# An Idempotency-Key


def test_a_repeat_replaces_the_undelivered_secret(world: EnrollmentWorld) -> None:
    first = world.enroll.enroll(WITH_KEY, CALLER)
    world.clock.advance(REPEAT_SECONDS)
    again = world.enroll.enroll(WITH_KEY, CALLER)
    assert again.issued.client_id == first.issued.client_id
    assert again.issued.client_secret != first.issued.client_secret
    assert authenticates(world, again)
    assert not authenticates(world, first)
    assert len(world.store.stored) == len(world.east.made) == len(world.west.made) == 1
    assert record_of(world, again).created_at == first.record.created_at


def test_a_client_id_with_a_key_is_derived_from_it(world: EnrollmentWorld) -> None:
    enrolled = world.enroll.enroll(WITH_KEY, CALLER)
    assert world.key.key is not None
    assert enrolled.issued.client_id == credentials.derived_client_id(
        world.key.key, CALLER, "order-1"
    )


def test_repeats_do_not_lengthen_the_time_for_repeats(world: EnrollmentWorld) -> None:
    world.enroll.enroll(WITH_KEY, CALLER)
    world.clock.advance(REPEAT_SECONDS)
    world.enroll.enroll(WITH_KEY, CALLER)
    world.clock.advance(1)
    assert problem_of(world, WITH_KEY).slug == "idempotency-key-reused"


def test_a_repeat_finishes_an_interrupted_enrollment(world: EnrollmentWorld) -> None:
    """A crash right after the reservation: the process is gone, nothing is undone."""
    world.east.failures["create"] = [RuntimeError("out of memory")]
    with pytest.raises(RuntimeError):
        world.enroll.enroll(WITH_KEY, CALLER)
    (reserved,) = world.store.stored.values()
    assert reserved.value.status is Status.ENROLLING
    world.clock.advance(60)
    enrolled = world.enroll.enroll(WITH_KEY, CALLER)
    assert authenticates(world, enrolled)
    assert not world.stranded


REUSES: dict[str, tuple[str, Callable[[EnrollmentWorld, Enrolled], EnrollmentRequest]]] = {}


def reuse(why: str) -> Callable[[Callable[[EnrollmentWorld, Enrolled], EnrollmentRequest]], None]:
    def register(arrange: Callable[[EnrollmentWorld, Enrolled], EnrollmentRequest]) -> None:
        REUSES[arrange.__name__] = (why, arrange)

    return register


@reuse("another request")
def another_name(_world: EnrollmentWorld, _first: Enrolled) -> EnrollmentRequest:
    return replace(WITH_KEY, client_name="invoicing")


@reuse("another request")
def other_scopes(_world: EnrollmentWorld, _first: Enrolled) -> EnrollmentRequest:
    return replace(WITH_KEY, scopes=("demo/read",))


@reuse("another request")
def other_addresses(_world: EnrollmentWorld, _first: Enrolled) -> EnrollmentRequest:
    return replace(WITH_KEY, allowed_cidrs=())


@reuse("another request")
def another_expiry(_world: EnrollmentWorld, _first: Enrolled) -> EnrollmentRequest:
    return replace(WITH_KEY, expires_at=None)


@reuse("more than 10 minutes ago")
def too_late(world: EnrollmentWorld, _first: Enrolled) -> EnrollmentRequest:
    world.clock.advance(REPEAT_SECONDS + 1)
    return WITH_KEY


@reuse("more than 10 minutes ago")
def before_its_time(world: EnrollmentWorld, _first: Enrolled) -> EnrollmentRequest:
    world.clock.advance(-2)
    return WITH_KEY


@reuse("changed since")
def rotated_since(world: EnrollmentWorld, first: Enrolled) -> EnrollmentRequest:
    newer = credentials.issue(first.issued.client_id, world.random_bytes)
    current = world.hasher.hash(newer, now=int(world.clock()))
    secrets = (current, *first.record.secrets)
    world.store.replace(replace(first.record, secrets=secrets), first.version)
    return WITH_KEY


@reuse("changed since")
def disabled_since(world: EnrollmentWorld, first: Enrolled) -> EnrollmentRequest:
    world.store.replace(replace(first.record, status=Status.DISABLED), first.version)
    return WITH_KEY


@reuse("changed since")
def deleted_since(world: EnrollmentWorld, first: Enrolled) -> EnrollmentRequest:
    world.store.replace(replace(first.record, status=Status.DELETED), first.version)
    return WITH_KEY


@reuse("deleted")
def buried_since(world: EnrollmentWorld, first: Enrolled) -> EnrollmentRequest:
    world.store.unreplicate(first.issued.client_id)
    world.store.schedule_deletion(first.issued.client_id, 7)
    return WITH_KEY


@pytest.mark.parametrize(("why", "arrange"), REUSES.values(), ids=REUSES.keys())
def test_a_key_used_for_another_request_is_refused(
    world: EnrollmentWorld,
    why: str,
    arrange: Callable[[EnrollmentWorld, Enrolled], EnrollmentRequest],
) -> None:
    request = arrange(world, world.enroll.enroll(WITH_KEY, CALLER))
    before = dict(world.store.stored), dict(world.east.made), dict(world.west.made)
    problem = problem_of(world, request)
    assert (problem.status, problem.slug) == (409, "idempotency-key-reused")
    assert why in problem.detail
    assert problem.fields.keys() == {"Idempotency-Key"}
    assert (world.store.stored, world.east.made, world.west.made) == before


def test_reordered_scopes_and_addresses_are_the_same_request(world: EnrollmentWorld) -> None:
    networks = (ip_network("192.0.2.0/24"), ip_network("198.51.100.0/24"))
    request = replace(WITH_KEY, allowed_cidrs=networks)
    first = world.enroll.enroll(request, CALLER)
    again = replace(request, allowed_cidrs=networks[::-1], scopes=request.scopes[::-1])
    assert world.enroll.enroll(again, CALLER).issued.client_id == first.issued.client_id


def test_the_same_key_of_another_caller_is_another_client(world: EnrollmentWorld) -> None:
    first = world.enroll.enroll(WITH_KEY, CALLER)
    other = world.enroll.enroll(WITH_KEY, OTHER_CALLER)
    assert other.issued.client_id != first.issued.client_id
    assert authenticates(world, first)
    assert authenticates(world, other)


def test_another_key_is_another_client(world: EnrollmentWorld) -> None:
    first = world.enroll.enroll(WITH_KEY, CALLER)
    other = world.enroll.enroll(replace(WITH_KEY, idempotency_key="order-2"), CALLER)
    assert other.issued.client_id != first.issued.client_id


def test_a_failed_repeat_does_not_change_the_first_client(world: EnrollmentWorld) -> None:
    """Tested also while the replica is missing, so that the record could be deleted."""
    world.store.failures["replicate"] = [StoreUnavailableError()]
    first = world.enroll.enroll(WITH_KEY, CALLER)
    world.store.failures["replace"] = [StoreRefusedError("AccessDeniedException")]
    assert problem_of(world, WITH_KEY).slug == "store-refused"
    assert record_of(world, first) == first.record
    assert authenticates(world, first)
    assert not world.stranded


# Two at the same time with the same key


@dataclass
class Overtaking:
    """Repeat of the same request, run once in the middle of the first one."""

    world: EnrollmentWorld
    port: Failing
    method: str
    enrolled: Enrolled | None = None

    def __post_init__(self) -> None:
        self.port.meanwhile[self.method] = self

    def __call__(self) -> None:
        del self.port.meanwhile[self.method]
        self.enrolled = self.world.enroll.enroll(WITH_KEY, CALLER)


@pytest.mark.parametrize("where", ["east", "west", "replace"])
def test_an_enrollment_overtaken_by_a_repeat_undoes_only_its_own_work(
    world: EnrollmentWorld, where: str
) -> None:
    port: Failing = {"east": world.east, "west": world.west, "replace": world.store}[where]
    overtaking = Overtaking(world, port, "replace" if where == "replace" else "create")
    problem = problem_of(world, WITH_KEY)
    assert (problem.status, problem.slug) == (409, "conflict")
    assert "left_behind" not in problem.extensions
    assert overtaking.enrolled is not None
    assert authenticates(world, overtaking.enrolled)
    assert not world.stranded
    assert len(world.east.made) == len(world.west.made) == 1


@pytest.mark.parametrize("error", [AppClientsThrottledError(), AppClientsUnreachableError()])
def test_an_enrollment_that_fails_after_a_repeat_keeps_the_repeats_client(
    world: EnrollmentWorld, error: Exception
) -> None:
    """The repeat's secret was already shown: its record must stay."""
    world.store.failures["replicate"] = [StoreUnavailableError() for _ in range(9)]
    overtaking = Overtaking(world, world.east, "create")
    world.east.failures["create"] = [None, error]
    problem = problem_of(world, WITH_KEY)
    assert problem.status in {429, 503}
    assert overtaking.enrolled is not None
    assert authenticates(world, overtaking.enrolled)
    assert not world.stranded


# Failures of every call


UNAVAILABLE = (StoreUnavailableError, StoreThrottledError, StoreRefusedError)
APP_CLIENTS: tuple[Callable[[], ServiceError], ...] = (
    AppClientsUnreachableError,
    AppClientsThrottledError,
    lambda: AppClientsRefusedError("LimitExceededException"),
)
# The documented errors of each port's methods.
DOCUMENTED: dict[str, dict[str, tuple[Callable[[], ServiceError], ...]]] = {
    "state": {"read": (MalformedSecretError, *UNAVAILABLE)},
    "key": {"read": (MalformedSecretError, *UNAVAILABLE)},
    "store": {
        "create": (ClientExistsError, *UNAVAILABLE),
        "replace": (
            VersionConflictError,
            UnknownClientError,
            OutcomeUnknownError,
            *UNAVAILABLE,
        ),
        "replicate": (UnknownClientError, *UNAVAILABLE),
        "replication": (UnknownClientError, *UNAVAILABLE),
    },
    "east": {"unknown_scopes": APP_CLIENTS, "create": APP_CLIENTS},
    "west": {"unknown_scopes": APP_CLIENTS, "create": APP_CLIENTS},
}
PORTS = tuple(DOCUMENTED)


def port_of(world: EnrollmentWorld, name: str) -> Failing:
    port = getattr(world, name)
    assert isinstance(port, Failing)
    return port


def _calls() -> Iterator[tuple[str, str, int]]:
    """Yield every call of an enrollment: port, method, and its number."""
    world = EnrollmentWorld()
    world.store.lag = True
    world.enroll.enroll(REQUEST, CALLER)
    for name in PORTS:
        calls = port_of(world, name).calls
        for index, method in enumerate(calls):
            yield name, method, calls[:index].count(method)


@dataclass(frozen=True)
class Failure:
    """Documented error of one call of an enrollment."""

    port: str
    method: str
    before: int
    error: Callable[[], ServiceError]

    def __str__(self) -> str:
        return f"{self.port}.{self.method}.{self.before}-{type(self.error()).__name__}"

    def inject(self, world: EnrollmentWorld) -> None:
        failures = port_of(world, self.port).failures
        failures[self.method] = [*[None] * self.before, self.error()]


FAILURES = [
    Failure(name, method, before, error)
    for name, method, before in _calls()
    for error in DOCUMENTED[name][method]
]


def test_the_failures_cover_every_call() -> None:
    calls = list(_calls())
    assert ("store", "replication", 3) in calls
    assert {(name, method) for name, method, _ in calls} == {
        (name, method) for name, methods in DOCUMENTED.items() for method in methods
    }


@pytest.mark.parametrize("request_", [REQUEST, WITH_KEY], ids=["without key", "with key"])
@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_a_failed_enrollment_strands_nothing_unreported(
    world: EnrollmentWorld, failure: Failure, request_: EnrollmentRequest
) -> None:
    world.store.lag = True
    failure.inject(world)
    try:
        enrolled = world.enroll.enroll(request_, CALLER)
    except OperationError as err:
        assert_told_or_nothing_left(world, as_problem(err))
    else:
        assert authenticates(world, enrolled)
        assert isinstance(enrolled.record.app_clients[EAST], AppClient)
        assert not world.stranded


def assert_told_or_nothing_left(world: EnrollmentWorld, problem: Problem) -> None:
    assert problem.detail
    active = [each for each in world.store.stored.values() if each.value.status is Status.ACTIVE]
    assert not active
    if "reconcile" not in problem.detail:
        assert not world.stranded
        # The loser of a conflict leaves the record to the winner.
        assert not world.store.kept or problem.slug == "conflict"
    if "left_behind" in problem.extensions:
        assert "reconcile" in problem.detail


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_a_repeat_after_any_failure_enrolls(world: EnrollmentWorld, failure: Failure) -> None:
    failure.inject(world)
    try:
        world.enroll.enroll(WITH_KEY, CALLER)
    except OperationError as err:
        first = as_problem(err)
    else:
        return
    again = world.enroll.enroll(WITH_KEY, CALLER)
    assert authenticates(world, again)
    if "reconcile" not in first.detail:
        assert not world.stranded


@pytest.mark.parametrize(
    ("name", "method", "status", "slug"),
    [
        ("east", "unknown_scopes", 503, "cognito-unavailable"),
        ("east", "create", 503, "cognito-unavailable"),
        ("store", "create", 503, "store-unavailable"),
        ("store", "replace", 503, "store-unavailable"),
        ("state", "read", 503, "store-unavailable"),
        ("key", "read", 503, "store-unavailable"),
    ],
)
def test_with_this_region_out_of_reach_the_answer_is_a_repeatable_503(
    world: EnrollmentWorld, name: str, method: str, status: int, slug: str
) -> None:
    unreachable = AppClientsUnreachableError() if name == "east" else StoreUnavailableError()
    port_of(world, name).failures[method] = [unreachable]
    problem = problem_of(world)
    assert (problem.status, problem.slug) == (status, slug)
    assert problem.retry_after
    assert EAST in problem.detail


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (AppClientsThrottledError(), 429, "cognito-throttled"),
        (AppClientsRefusedError("LimitExceededException"), 502, "cognito-refused"),
        (AppClientsRefusedError("InvalidParameterException"), 502, "cognito-refused"),
    ],
)
@pytest.mark.parametrize("name", ["east", "west"])
def test_a_refusal_of_cognito_names_the_region(
    world: EnrollmentWorld, name: str, error: Exception, status: int, slug: str
) -> None:
    port_of(world, name).failures["create"] = [error]
    problem = problem_of(world)
    assert (problem.status, problem.slug) == (status, slug)
    assert {"east": EAST, "west": WEST}[name] in problem.detail
    assert not world.stranded
    assert not world.store.kept


@pytest.mark.parametrize(
    ("error", "slug", "hint"),
    [
        (StoreRefusedError("AccessDeniedException"), "store-refused", "role's policy"),
        (MalformedSecretError("The deployment key is missing."), "malformed-secret", "init"),
    ],
)
def test_a_refusal_of_secrets_manager_names_the_remedy(
    world: EnrollmentWorld, error: Exception, slug: str, hint: str
) -> None:
    world.key.failures["read"] = [error]
    problem = problem_of(world)
    assert (problem.status, problem.slug) == (500, slug)
    assert hint in problem.detail


# Failures of the undo


def undone(world: EnrollmentWorld) -> ClientRecord:
    """Fail an enrollment with a key, which is undone; return its reservation."""
    world.east.failures["create"] = [AppClientsThrottledError()]
    assert problem_of(world, WITH_KEY).status == 429
    (reserved,) = world.store.stored.values()
    assert not world.store.kept
    return reserved.value


def test_an_undone_reservation_is_recoverable_and_repeatable(world: EnrollmentWorld) -> None:
    """No function may delete a record at once."""
    reserved = undone(world)
    again = world.enroll.enroll(WITH_KEY, CALLER)
    assert again.issued.client_id == reserved.client_id
    assert authenticates(world, again)
    assert not world.stranded


def test_a_repeat_long_after_an_undone_enrollment_enrolls(world: EnrollmentWorld) -> None:
    """Nothing was shown, so that there is nothing to protect."""
    undone(world)
    world.clock.advance(REPEAT_SECONDS + 1)
    again = world.enroll.enroll(replace(WITH_KEY, client_name="another"), CALLER)
    assert again.record.client_name == "another"
    assert authenticates(world, again)


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.DELETED])
@pytest.mark.parametrize("listed", [True, False])
def test_a_repeat_does_not_bring_a_deleted_client_back(
    world: EnrollmentWorld, status: Status, *, listed: bool
) -> None:
    enrolled = world.enroll.enroll(WITH_KEY, CALLER)
    client_id = enrolled.issued.client_id
    world.store.replace(replace(enrolled.record, status=status), enrolled.version)
    if not listed:  # its tags were never updated
        world.store.shown[client_id] = ClientSummary.of(
            replace(enrolled.record, status=Status.ENROLLING)
        )
    world.store.unreplicate(client_id)
    world.store.schedule_deletion(client_id, 30)
    problem = problem_of(world, WITH_KEY)
    assert (problem.status, problem.slug) == (409, "idempotency-key-reused")
    assert world.store.stored[client_id].value.status is status
    assert (client_id in world.store.kept) is not listed


def test_a_reservation_that_is_being_undone_is_not_continued(world: EnrollmentWorld) -> None:
    """Its deletion may still arrive, and would take the repeat's client with it."""
    world.east.failures["create"] = [AppClientsThrottledError()]
    world.store.failures["schedule_deletion"] = [StoreUnavailableError()]
    assert problem_of(world, WITH_KEY).status == 429
    assert problem_of(world, WITH_KEY).slug == "idempotency-key-reused"


def test_leftovers_of_a_failed_undo_are_reported(world: EnrollmentWorld) -> None:
    world.store.failures["replace"] = [StoreUnavailableError(), StoreUnavailableError()]
    world.store.failures["schedule_deletion"] = [StoreUnavailableError()]
    world.east.failures["delete"] = [AppClientsThrottledError()]
    world.west.failures["delete"] = [AppClientsUnreachableError()]
    problem = problem_of(world)
    (record,) = world.store.stored.values()
    assert problem.extensions["left_behind"] == [
        f"an app client in {EAST}",
        f"an app client in {WEST}",
        f"the record of {record.value.client_id} in {EAST}",
    ]
    assert "surrogatectl reconcile" in problem.detail
    assert record.value.status is not Status.ACTIVE


def test_a_failed_undo_of_one_app_client_does_not_stop_the_other(
    world: EnrollmentWorld,
) -> None:
    world.store.failures["replace"] = [StoreRefusedError("x")]
    world.east.failures["delete"] = [AppClientsUnreachableError()]
    problem = problem_of(world)
    assert problem.extensions["left_behind"] == [f"an app client in {EAST}"]
    assert not world.west.made
    assert not world.store.kept


# Lost answers: done, but not confirmed


def test_an_app_client_that_may_have_been_made_is_reported(world: EnrollmentWorld) -> None:
    world.east.lost["create"] = [AppClientsUnreachableError()]
    problem = problem_of(world)
    assert problem.slug == "cognito-unavailable"
    assert world.stranded, "nobody knows its ID"
    assert problem.extensions["left_behind"] == [f"perhaps an app client in {EAST}"]
    assert "surrogatectl reconcile" in problem.detail


def test_an_app_client_that_may_have_been_made_in_the_other_region_has_the_name_prefix(
    world: EnrollmentWorld,
) -> None:
    """The app client is pending: `reconcile` looks for that name before it makes another."""
    world.west.lost["create"] = [AppClientsUnreachableError()]
    enrolled = world.enroll.enroll(REQUEST, CALLER)
    assert isinstance(enrolled.record.app_clients[WEST], Pending)
    ((_, named_after),) = world.west.ours()
    assert named_after == enrolled.issued.client_id


def test_an_unknown_write_outcome_is_not_undone(world: EnrollmentWorld) -> None:
    world.store.lost["replace"] = [OutcomeUnknownError()]
    problem = problem_of(world, WITH_KEY)
    assert (problem.status, problem.slug) == (503, "outcome-unknown")
    assert problem.retry_after
    (record,) = world.store.stored.values()
    assert problem.extensions == {"client_id": record.value.client_id}
    assert record.value.status is Status.ACTIVE
    assert not world.stranded
    assert "Idempotency-Key" in problem.detail
    again = world.enroll.enroll(WITH_KEY, CALLER)
    assert authenticates(world, again)
    assert not world.stranded


def test_without_a_key_the_problem_does_not_suggest_a_repeat(world: EnrollmentWorld) -> None:
    world.store.failures["replace"] = [OutcomeUnknownError()]
    problem = problem_of(world)
    assert "Idempotency-Key" not in problem.detail
    assert "surrogatectl reconcile" in problem.detail


def test_an_unconfirmed_reservation_does_not_authenticate_and_is_resumed(
    world: EnrollmentWorld,
) -> None:
    world.store.lost["create"] = [StoreUnavailableError()]
    assert problem_of(world, WITH_KEY).slug == "store-unavailable"
    (record,) = world.store.stored.values()
    assert record.value.status is Status.ENROLLING
    assert authenticates(world, world.enroll.enroll(WITH_KEY, CALLER))
    assert not world.stranded


def test_no_problem_quotes_a_secret_or_a_cognito_identifier() -> None:
    told = []
    for failure in FAILURES:
        each = EnrollmentWorld()
        failure.inject(each)
        try:
            each.enroll.enroll(WITH_KEY, CALLER)
        except OperationError as err:
            told.append(f"{err} {err!r} {as_problem(err)}")
    assert len(told) > 10
    for text in told:
        for secret in ("sgs_", "$argon2", "cognito-secret", "0001000", "_Fake"):
            assert secret not in text
