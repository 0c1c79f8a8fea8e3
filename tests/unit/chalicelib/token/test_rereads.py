"""Refusals: never from a cache, after the same work for every caller, and bounded in reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import credentials
from chalicelib.caching import MISSING_SECONDS
from chalicelib.errors import (
    InvalidClientError,
    MalformedSecretError,
    StoreRefusedError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
)
from chalicelib.model import ClientRecord, IssuedCredentials, Status
from chalicelib.token.allowances import (
    ALL_REREADS_AT_ONCE,
    ALL_REREADS_PER_SECOND,
    DRIFT_SECONDS,
    REREADS_AT_ONCE,
    REREADS_PER_SECOND,
)
from tests.gateway import Answer, TokenApi, basic
from tests.worlds import FRESH, ExchangeWorld, outcome, request

HERE = "192.0.2.1"
GRANT = ("grant_type", "client_credentials")


@pytest.fixture
def world() -> ExchangeWorld:
    return ExchangeWorld()


def record_of(world: ExchangeWorld, issued: IssuedCredentials) -> ClientRecord:
    return world.store.stored[issued.client_id].value


def another_secret(world: ExchangeWorld, issued: IssuedCredentials) -> IssuedCredentials:
    return credentials.issue(issued.client_id, world.random_bytes)


def rotate(world: ExchangeWorld, issued: IssuedCredentials) -> IssuedCredentials:
    """Give the client a new secret beside the current one, as a rotation does."""
    newer = another_secret(world, issued)
    stored = world.hasher.hash(newer, now=int(world.clock()))
    world.change(issued, secrets=(stored, record_of(world, issued).secrets[0]))
    return newer


def wrong(world: ExchangeWorld) -> str:
    return credentials.new_client_secret(world.random_bytes)


# A good credential is good at once

Grant = Callable[[ExchangeWorld, IssuedCredentials], object]


def expiring(world: ExchangeWorld, issued: IssuedCredentials, at: int | None) -> None:
    secret = replace(record_of(world, issued).secrets[0], expires_at=at)
    world.change(issued, secrets=(secret,))


def both_bad(world: ExchangeWorld, issued: IssuedCredentials) -> None:
    world.deny(issued.client_id)
    world.change(issued, status=Status.DISABLED)


def both_good(world: ExchangeWorld, issued: IssuedCredentials) -> None:
    world.allow(issued.client_id)
    world.change(issued, status=Status.ACTIVE)


BAD_THEN_GOOD: dict[str, tuple[Grant, Grant]] = {
    "enabled": (
        lambda world, issued: world.change(issued, status=Status.DISABLED),
        lambda world, issued: world.change(issued, status=Status.ACTIVE),
    ),
    "allowed": (
        lambda world, issued: world.deny(issued.client_id),
        lambda world, issued: world.allow(issued.client_id),
    ),
    "with a later expiry": (
        lambda world, issued: world.change(issued, expires_at=int(world.clock())),
        lambda world, issued: world.change(issued, expires_at=int(world.clock()) + 60),
    ),
    "with a longer overlap": (
        lambda world, issued: expiring(world, issued, int(world.clock())),
        lambda world, issued: expiring(world, issued, None),
    ),
    "with wider addresses": (
        lambda world, issued: world.change(issued, allowed_cidrs=(ip_network("10.0.0.0/8"),)),
        lambda world, issued: world.change(issued, allowed_cidrs=(ip_network("192.0.2.0/24"),)),
    ),
    "restored": (
        lambda world, issued: world.change(issued, status=Status.DELETED),
        lambda world, issued: world.change(issued, status=Status.ACTIVE),
    ),
    "restored from the recovery window": (
        lambda world, issued: world.store.scheduled.add(issued.client_id),
        lambda world, issued: world.store.scheduled.discard(issued.client_id),
    ),
    "enrolled": (
        lambda world, issued: world.change(issued, status=Status.ENROLLING),
        lambda world, issued: world.change(issued, status=Status.ACTIVE),
    ),
    "allowed and enabled": (both_bad, both_good),
}
every_change = pytest.mark.parametrize(
    ("bad", "good"), BAD_THEN_GOOD.values(), ids=BAD_THEN_GOOD.keys()
)


@every_change
@pytest.mark.parametrize("seconds", [0, 1, FRESH - 1])
def test_a_credential_that_became_good_is_good_at_once(
    bad: Grant, good: Grant, seconds: int
) -> None:
    api = TokenApi()
    bad(api.world, api.client)
    assert api.basic().error == "invalid_client"
    api.world.clock.advance(seconds)
    good(api.world, api.client)
    assert api.basic().status == 200


@every_change
def test_a_known_request_that_became_good_again_is_good_at_once(bad: Grant, good: Grant) -> None:
    api = TokenApi()
    assert api.basic().status == 200
    bad(api.world, api.client)
    api.world.clock.advance(FRESH)
    assert api.basic().error == "invalid_client"
    good(api.world, api.client)
    assert api.basic().status == 200


def test_a_rotated_secret_is_good_at_once_and_the_previous_one_stays_good(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    assert outcome(world, issued) == "issued"
    for _ in range(REREADS_AT_ONCE):
        newer = rotate(world, issued)
        assert outcome(world, newer) == "issued"
        assert outcome(world, issued) == "issued"
        issued = newer


def test_a_widened_scope_is_granted_at_once(world: ExchangeWorld) -> None:
    issued = world.client(scopes=("demo/read",))
    assert outcome(world, issued, scope="demo/write") == "invalid_scope"
    world.change(issued, scopes=("demo/read", "demo/write"))
    assert outcome(world, issued, scope="demo/write") == "issued"


def test_a_scope_and_a_secret_are_good_at_once_together(world: ExchangeWorld) -> None:
    issued = world.client(scopes=("demo/read",))
    assert outcome(world, issued) == "issued"
    newer = rotate(world, issued)
    world.change(issued, scopes=("demo/read", "demo/write"))
    assert outcome(world, newer, scope="demo/write") == "issued"


@pytest.mark.parametrize("adopted", [False, True])
def test_a_client_that_was_unknown_is_good_at_once(world: ExchangeWorld, *, adopted: bool) -> None:
    issued = world.adopted() if adopted else world.client()
    stored = world.store.stored.pop(issued.client_id)
    assert outcome(world, issued) == "invalid_client:unknown"
    world.store.stored[issued.client_id] = stored
    assert outcome(world, issued) == "issued"


def test_a_client_that_was_disabled_while_a_wider_scope_was_asked_for_is_invalid(
    world: ExchangeWorld,
) -> None:
    issued = world.client(scopes=("demo/read",))
    assert outcome(world, issued) == "issued"
    world.change(issued, status=Status.DISABLED)
    assert outcome(world, issued, scope="demo/write") == "invalid_client:disabled"


# The same work for every refusal


def work(world: ExchangeWorld) -> tuple[int, int]:
    """Return the numbers of hashings and of reads of Secrets Manager so far."""
    reads = world.store.calls.count("read") + world.denied.calls.count("read")
    return len(world.argon2.verified), reads


def refusals(world: ExchangeWorld, issued: IssuedCredentials, steps: list[float]) -> Iterator[Any]:
    """Yield answer and work of each refused request, all with new wrong secrets."""
    api = TokenApi(world)
    for seconds in steps:
        world.clock.advance(seconds)
        before = work(world)
        answer = api.form([GRANT], headers=[basic(issued.client_id, wrong(world))])
        yield answer, tuple(now - then for now, then in zip(work(world), before, strict=True))


@given(st.lists(st.sampled_from([0, 0.3, 1, 5, FRESH, FRESH + 1]), max_size=20))
def test_an_unknown_client_costs_the_work_of_a_wrong_secret(steps: list[float]) -> None:
    existing, inventing = ExchangeWorld(), ExchangeWorld()
    known = existing.client()
    unknown = replace(known, client_id=credentials.new_client_id(bytes))
    assert list(refusals(existing, known, steps)) == list(refusals(inventing, unknown, steps))


@pytest.mark.parametrize("bad", [bad for bad, _ in BAD_THEN_GOOD.values()], ids=BAD_THEN_GOOD)
def test_a_warm_refusal_costs_one_hashing_and_one_read(world: ExchangeWorld, bad: Grant) -> None:
    """Whatever the reason is, with the right secret as with a wrong one."""
    issued, other = world.client(), world.client()
    bad(world, issued)
    outcome(world, other)
    outcome(world, issued)
    world.clock.advance(1)
    for secret in (None, wrong(world)):
        restarted = replace(world.exchange, hasher=TokenApi().world.hasher)
        before = work(world)[1]
        with pytest.raises(InvalidClientError):
            restarted.exchange(request(issued, secret=secret))
        assert work(world)[1] == before + 1


def test_a_refusal_from_values_of_the_same_request_reads_them_once(world: ExchangeWorld) -> None:
    issued = world.client()
    assert outcome(world, issued, secret=wrong(world)) == "invalid_client:wrong"
    assert work(world) == (1, 2), "the state and the record"


def test_a_secret_is_hashed_again_only_against_another_hash(world: ExchangeWorld) -> None:
    issued = world.client()
    assert outcome(world, issued) == "issued"
    hashed = work(world)[0]
    assert outcome(world, issued, secret=wrong(world)) == "invalid_client:wrong"
    assert work(world)[0] == hashed + 1
    world.change(issued, client_name="renamed")
    assert outcome(world, issued, secret=wrong(world)) == "invalid_client:wrong"
    assert work(world)[0] == hashed + 2
    newer = rotate(world, issued)
    assert outcome(world, newer) == "issued"
    assert work(world)[0] == hashed + 4, "against no hash, then against its own"


def test_nothing_is_read_again_for_a_request_that_succeeds(world: ExchangeWorld) -> None:
    issued = world.client()
    assert outcome(world, issued) == "issued"
    before = work(world)
    for _ in range(50):
        assert outcome(world, issued) == "issued"
    assert work(world) == before


# Floods


def too_many(answer: Answer) -> bool:
    """Return whether *answer* asks its caller to wait."""
    if answer.status != 429:
        return False
    assert answer.error == "temporarily_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Cache-Control"] == "no-store"
    return True


def test_a_flood_at_one_client_reads_once_a_second(world: ExchangeWorld) -> None:
    issued = world.client()
    api = TokenApi(world)
    assert outcome(world, issued) == "issued"
    before = work(world)[1]
    answers = [
        answer.status for answer, _ in refusals(world, issued, [0.05] * 400) if not too_many(answer)
    ]
    seconds = 400 * 0.05
    assert work(world)[1] - before <= REREADS_AT_ONCE + REREADS_PER_SECOND * seconds
    assert set(answers) == {401}
    assert len(answers) >= REREADS_PER_SECOND * (seconds - 1)
    assert outcome(world, issued) == "issued", "the client itself does not notice"
    assert api.world.events.seen[-2]["client_id"] == issued.client_id


def test_a_new_secret_is_delayed_by_a_second_during_a_flood_at_its_client(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    list(refusals(world, issued, [0.01] * 100))
    newer = rotate(world, issued)
    assert outcome(world, newer) == "throttled:refusals"
    list(refusals(world, issued, [0.01] * 101))
    assert outcome(world, newer) == "issued", "the flood's own read found it"


def test_a_flood_at_many_clients_is_bounded_in_all(world: ExchangeWorld) -> None:
    clients = [world.client() for _ in range(100)]
    for issued in clients:
        assert outcome(world, issued) == "issued"
    before = work(world)[1]
    for _ in range(20):
        for issued in clients:
            assert outcome(world, issued, secret=wrong(world)) in {
                "invalid_client:wrong",
                "throttled:refusals",
            }
        world.clock.advance(1)
    allowed = ALL_REREADS_AT_ONCE + ALL_REREADS_PER_SECOND * 20
    assert work(world)[1] - before <= allowed + 1, "and one of the state, which aged"
    assert all(outcome(world, issued) == "issued" for issued in clients)


def test_a_flood_of_invented_clients_leaves_the_allowance_to_others(world: ExchangeWorld) -> None:
    issued = world.client()
    assert outcome(world, issued) == "issued"
    for _ in range(500):
        invented = credentials.new_client_id(world.random_bytes)
        asked = replace(issued, client_id=invented)
        assert outcome(world, asked, secret=wrong(world)) == "invalid_client:unknown"
    assert outcome(world, rotate(world, issued)) == "issued"


def test_after_a_flood_a_new_secret_is_good_once_the_record_is_old(world: ExchangeWorld) -> None:
    clients = [world.client() for _ in range(200)]
    for each in clients:
        assert outcome(world, each) == "issued"
    newer = rotate(world, clients[0])
    for each in clients[1:]:
        outcome(world, each, secret=wrong(world))
    assert outcome(world, newer) == "throttled:refusals"
    world.clock.advance(FRESH)
    assert outcome(world, newer) == "issued"


# Secrets Manager cannot be asked


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StoreUnavailableError, "record:StoreUnavailableError"),
        (StoreRefusedError, "record:StoreRefusedError"),
        (MalformedSecretError, "record:MalformedSecretError"),
    ],
)
def test_a_credential_that_cannot_be_checked_is_not_called_invalid(
    world: ExchangeWorld, error: type[Exception], reason: str
) -> None:
    issued = world.client(scopes=("demo/read",))
    assert outcome(world, issued) == "issued"
    newer = rotate(world, issued)
    world.store.failures["read"] = [error()]
    assert outcome(world, newer) == reason
    world.clock.advance(2)
    world.store.failures["read"] = [error()]
    assert outcome(world, issued, scope="demo/write") == reason


@pytest.mark.parametrize("error", [StoreUnavailableError, StoreRefusedError, MalformedSecretError])
def test_a_denial_that_cannot_be_checked_is_a_503(
    world: ExchangeWorld, error: type[Exception]
) -> None:
    issued = world.client()
    world.deny(issued.client_id)
    assert outcome(world, issued) == "invalid_client:denied"
    world.denied.failures["read"] = [error()]
    with pytest.raises(TemporarilyUnavailableError):
        world.exchange.exchange(request(issued))


def test_without_time_to_check_a_refusal_is_a_503(world: ExchangeWorld) -> None:
    issued = world.client()
    assert outcome(world, issued) == "issued"
    world.clock.advance(FRESH - 1)
    world.exchange.records.reload(issued.client_id)
    world.clock.advance(1)
    world.denied.meanwhile["read"] = lambda: world.clock.advance(2)
    assert outcome(world, issued, secret=wrong(world)) == "record:StoreUnavailableError"


# Drift


def test_a_deletion_within_a_second_is_no_drift(world: ExchangeWorld) -> None:
    for _ in range(4):
        issued = world.client()
        assert outcome(world, issued, scope="demo/read") == "issued"
        world.change(issued, status=Status.DELETED)
        world.endpoint.refused.add("east-secret")
        assert outcome(world, issued, scope="demo/write") == "invalid_client:disabled"
        world.endpoint.refused.clear()


def test_a_record_that_is_missing_after_a_refusal_is_no_drift(world: ExchangeWorld) -> None:
    issued = world.client()
    assert outcome(world, issued, scope="demo/read") == "issued"
    del world.store.stored[issued.client_id]
    world.endpoint.refused.add("east-secret")
    assert outcome(world, issued, scope="demo/write") == "invalid_client:unknown"


def test_drift_of_a_version_is_not_confirmed_again_for_a_few_seconds(world: ExchangeWorld) -> None:
    issued = world.client()
    world.endpoint.refused.add("east-secret")
    assert outcome(world, issued) == "drift"
    reads = work(world)[1]
    assert outcome(world, issued) == "drift"
    assert work(world)[1] == reads
    world.clock.advance(DRIFT_SECONDS)
    assert outcome(world, issued) == "drift"
    assert work(world)[1] == reads + 1


def test_refusals_by_cognito_of_many_clients_read_a_bounded_number_of_records(
    world: ExchangeWorld,
) -> None:
    clients = [world.client() for _ in range(100)]
    for issued in clients:
        assert outcome(world, issued, scope="demo/read") == "issued"
    before = work(world)[1]
    world.endpoint.refused.add("east-secret")
    outcomes = [outcome(world, issued, scope="demo/write") for issued in clients]
    assert work(world)[1] - before == ALL_REREADS_AT_ONCE
    assert set(outcomes) == {"drift", "drift:throttled"}


# A missing record


def test_a_moment_without_the_current_label_goes_unnoticed(world: ExchangeWorld) -> None:
    issued = world.client()
    assert outcome(world, issued) == "issued"
    world.clock.advance(FRESH)
    stored = world.store.stored.pop(issued.client_id)
    assert outcome(world, issued) == "issued"
    world.clock.advance(MISSING_SECONDS - 0.1)
    assert outcome(world, issued) == "issued"
    world.store.stored[issued.client_id] = stored
    assert outcome(world, issued) == "issued"


def test_a_record_that_stays_missing_is_refused_after_the_missing_seconds(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    assert outcome(world, issued) == "issued"
    world.clock.advance(FRESH)
    del world.store.stored[issued.client_id]
    assert outcome(world, issued) == "issued"
    world.clock.advance(MISSING_SECONDS)
    assert outcome(world, issued) == "invalid_client:unknown"


def test_a_record_known_long_ago_gives_no_token_while_it_is_missing(world: ExchangeWorld) -> None:
    """The client may have been deleted minutes ago; nor is it called invalid at once."""
    issued = world.client()
    assert outcome(world, issued) == "issued"
    del world.store.stored[issued.client_id]
    world.clock.advance(FRESH + MISSING_SECONDS)
    assert outcome(world, issued) == "record:StoreUnavailableError"
    world.clock.advance(MISSING_SECONDS)
    assert outcome(world, issued) == "invalid_client:unknown"


def test_a_new_secret_is_not_called_wrong_while_the_record_is_missing(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    assert outcome(world, issued) == "issued"
    newer = rotate(world, issued)
    stored = world.store.stored.pop(issued.client_id)
    assert outcome(world, newer) == "record:RecordInDoubtError"
    world.store.stored[issued.client_id] = stored
    assert outcome(world, newer) == "issued"


# Any order of changes and requests


class Client:
    """
    A client, all secrets that it ever had, and when each was good for each scope.

    State and record are read by themselves, so each is known since when it allows a token.
    """

    def __init__(self, world: ExchangeWorld) -> None:
        self.issued = [world.client()]
        self.client_id = self.issued[0].client_id
        self.allowed_at = 0.0
        self.good_at: dict[tuple[int, str], float] = {}

    def change(self, world: ExchangeWorld, **changes: Any) -> None:
        if self.client_id not in world.store.scheduled:
            world.change(self.issued[0], **changes)

    def rotate(self, world: ExchangeWorld) -> None:
        if self.client_id not in world.store.scheduled:
            self.issued.append(rotate(world, self.issued[0]))

    def retire(self, world: ExchangeWorld) -> None:
        self.change(world, secrets=record_of(world, self.issued[0]).secrets[:1])

    def restore(self, world: ExchangeWorld) -> None:
        world.store.scheduled.discard(self.client_id)
        self.change(world, status=Status.ACTIVE)

    def is_denied(self, world: ExchangeWorld) -> bool:
        return self.client_id in world.denials().list()

    def is_good(self, world: ExchangeWorld, number: int, scope: str) -> bool:
        """Return whether secret *number* is good for *scope* now, by the stored record."""
        record = record_of(world, self.issued[0])
        secret = self.issued[number].secret_id
        return (
            self.client_id not in world.store.scheduled
            and record.status is Status.ACTIVE
            and (record.expires_at is None or record.expires_at > world.clock())
            and secret in {each.secret_id for each in record.secrets}
            and (not record.allowed_cidrs or ip_address(HERE) in record.allowed_cidrs[0])
            and scope in record.scopes
        )

    def look(self, world: ExchangeWorld) -> None:
        if not self.is_denied(world):
            self.allowed_at = world.clock()
        for number in range(len(self.issued)):
            for scope in ("demo/read", "demo/write"):
                if self.is_good(world, number, scope):
                    self.good_at[number, scope] = world.clock()


CHANGES: dict[str, Callable[[ExchangeWorld, Client], object]] = {
    "rotate": lambda world, client: client.rotate(world),
    "retire": lambda world, client: client.retire(world),
    "disable": lambda world, client: client.change(world, status=Status.DISABLED),
    "enable": lambda world, client: client.change(world, status=Status.ACTIVE),
    "delete": lambda world, client: client.change(world, status=Status.DELETED),
    "mark for deletion": lambda world, client: world.store.scheduled.add(client.client_id),
    "restore": lambda world, client: client.restore(world),
    "deny": lambda world, client: world.deny(client.client_id),
    "allow": lambda world, client: world.allow(client.client_id),
    "expire": lambda world, client: client.change(world, expires_at=int(world.clock()) + 2),
    "extend": lambda world, client: client.change(world, expires_at=None),
    "narrow": lambda world, client: client.change(world, scopes=("demo/read",)),
    "widen": lambda world, client: client.change(world, scopes=("demo/read", "demo/write")),
    "move away": lambda world, client: client.change(
        world, allowed_cidrs=(ip_network("198.51.100.0/24"),)
    ),
    "move anywhere": lambda world, client: client.change(world, allowed_cidrs=()),
}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(CHANGES)),
            st.sampled_from([0, 0.5, 2, FRESH - 1, FRESH + MISSING_SECONDS]),
            st.integers(0, 5),
            st.sampled_from(["demo/read", "demo/write"]),
        ),
        max_size=25,
    )
)
def test_a_good_credential_is_never_refused_and_a_bad_one_within_the_freshness(
    steps: list[tuple[str, float, int, str]],
) -> None:
    world = ExchangeWorld()
    client = Client(world)
    client.look(world)
    for change, seconds, number, scope in steps:
        CHANGES[change](world, client)
        client.look(world)
        chosen = number % len(client.issued)
        _present(world, client, chosen, scope)
        world.clock.advance(seconds)
        client.look(world)
        _present(world, client, chosen, scope)


def _present(world: ExchangeWorld, client: Client, number: int, scope: str) -> None:
    found = outcome(world, client.issued[number], scope=scope)
    if found == "issued":
        assert world.clock() - client.good_at[number, scope] <= FRESH
        assert world.clock() - client.allowed_at <= FRESH
    elif found != "throttled:refusals":
        assert found.startswith(("invalid_client:", "invalid_scope"))
        assert client.is_denied(world) or not client.is_good(world, number, scope)


def test_the_sequence_above_can_refuse_and_issue(world: ExchangeWorld) -> None:
    """Otherwise it would show nothing."""
    client = Client(world)
    assert client.is_good(world, 0, "demo/read")
    for name in ("disable", "delete", "mark for deletion", "deny", "move away"):
        other = Client(fresh := ExchangeWorld())
        CHANGES[name](fresh, other)
        assert other.is_denied(fresh) or not other.is_good(fresh, 0, "demo/read")
        assert outcome(fresh, other.issued[0]).startswith("invalid_client:")
