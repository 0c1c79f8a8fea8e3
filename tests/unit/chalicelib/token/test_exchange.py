"""Main path: tokens for valid clients, caching, and behavior during outages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import credentials
from chalicelib.errors import (
    AppClientRefusedError,
    InvalidClientError,
    InvalidScopeError,
    MalformedSecretError,
    OAuthError,
    OAuthServerError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
    TokenEndpointUnavailableError,
    TokenNotIssuedError,
)
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    IssuedCredentials,
    Pending,
    SecretId,
    Status,
    TokenResponse,
)
from chalicelib.timing import Countdown
from chalicelib.token.token_cache import MARGIN_SECONDS, REFRESH_SECONDS
from tests.fakes import CountingArgon2, FakeClock, FakeDenialStore, FakeStateStore
from tests.gateway import TokenApi, basic
from tests.worlds import (
    ADOPTED,
    COGNITO_SECRET,
    EAST,
    EAST_POOL,
    FRESH,
    STALE,
    WEST,
    ExchangeWorld,
    cheap_hasher,
    request,
)

GRANT = ("grant_type", "client_credentials")
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.1"
NETWORK = (ip_network("192.0.2.0/24"),)
NOWHERE = (ip_network("203.0.113.0/24"),)
ANSWERS_WITHIN = 5.0


@pytest.fixture
def world() -> ExchangeWorld:
    return ExchangeWorld()


def record_of(world: ExchangeWorld, issued: IssuedCredentials) -> ClientRecord:
    return world.store.stored[issued.client_id].value


def regional_of(world: ExchangeWorld, issued: IssuedCredentials) -> AppClient:
    regional = record_of(world, issued).app_clients[EAST]
    assert isinstance(regional, AppClient)
    return regional


def refused(world: ExchangeWorld, issued: IssuedCredentials, **asked: Any) -> bool:
    """Return whether *issued* is an invalid client now."""
    try:
        world.exchange.exchange(request(issued, **asked))
    except InvalidClientError:
        return True
    return False


def unavailable(world: ExchangeWorld, issued: IssuedCredentials, **asked: Any) -> str | None:
    """Return the reason for a 503 now, `None` without one."""
    try:
        world.exchange.exchange(request(issued, **asked))
    except TemporarilyUnavailableError as error:
        return error.reason if error.retry_after else "no Retry-After"
    return None


def outage(world: ExchangeWorld, error: type[Exception] = StoreUnavailableError) -> None:
    """Make Secrets Manager unavailable until `restore`."""
    for store in (world.store, world.denied):
        store.failures["read"] = [error("out of order") for _ in range(2_000)]


def restore(world: ExchangeWorld) -> None:
    for store in (world.store, world.denied):
        store.failures["read"] = []


# Success


def test_a_valid_client_gets_a_token(world: ExchangeWorld) -> None:
    issued = world.client()
    assert world.exchange.exchange(request(issued)) == TokenResponse(
        "token-1", 3600, "demo/read demo/write"
    )


def test_the_request_to_cognito_uses_this_regions_app_client(world: ExchangeWorld) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued, scope="demo/read"))
    ((app_client_id, scope, _),) = world.endpoint.requests
    assert (app_client_id, scope) == ("east-app", "demo/read")


def test_the_request_to_cognito_carries_the_client_id_and_its_mac(world: ExchangeWorld) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    ((_, _, metadata),) = world.endpoint.requests
    assert metadata == {"surrogate_client_id": issued.client_id, "surrogate_mac": "aa"}


# The scope


def test_a_scope_is_narrowed_to_the_request(world: ExchangeWorld) -> None:
    issued = world.client(scopes=("demo/read", "demo/write", "demo/admin"))
    assert world.exchange.exchange(request(issued, scope="demo/write")).scope == "demo/write"
    assert world.exchange.exchange(request(issued)).scope == "demo/admin demo/read demo/write"


def test_a_scope_beyond_the_grant_is_refused_before_calling_cognito(world: ExchangeWorld) -> None:
    issued = world.client(scopes=("demo/read",))
    with pytest.raises(InvalidScopeError):
        world.exchange.exchange(request(issued, scope="demo/read demo/write"))
    assert not world.endpoint.requests


def test_only_an_authenticated_client_gets_invalid_scope(world: ExchangeWorld) -> None:
    issued = world.client(scopes=("demo/read",))
    other = world.client()
    with pytest.raises(InvalidClientError):
        world.exchange.exchange(request(issued, secret=other.client_secret, scope="demo/admin"))


@given(st.sets(st.sampled_from("abcdef"), min_size=1), st.sets(st.sampled_from("abcdefg")))
def test_a_token_never_exceeds_the_requested_and_granted_scope(
    granted: set[str], asked: set[str]
) -> None:
    world = ExchangeWorld()
    issued = world.client(scopes=tuple(sorted(granted)))
    wanted = request(issued, scope=" ".join(sorted(asked)) if asked else None)
    if not asked <= granted:
        with pytest.raises(InvalidScopeError):
            world.exchange.exchange(wanted)
        return
    given_scope = set(world.exchange.exchange(wanted).scope.split(" "))
    assert given_scope == (asked or granted)


# All invalid clients look alike


Arrange = Callable[[ExchangeWorld, IssuedCredentials], object]

FLIPS: dict[str, Arrange] = {
    "denied": lambda world, issued: world.deny(issued.client_id),
    "disabled": lambda world, issued: world.change(issued, status=Status.DISABLED),
    "deleted": lambda world, issued: world.change(issued, status=Status.DELETED),
    "enrolling again": lambda world, issued: world.change(issued, status=Status.ENROLLING),
    "expired": lambda world, issued: world.change(issued, expires_at=int(world.clock())),
    "outside its CIDRs": lambda world, issued: world.change(issued, allowed_cidrs=NOWHERE),
    "secret expired": lambda world, issued: world.change(
        issued,
        secrets=(replace(record_of(world, issued).secrets[0], expires_at=int(world.clock())),),
    ),
    "secret retired": lambda world, issued: world.change(issued, secrets=()),
    "secret replaced": lambda world, issued: world.change(
        issued, secrets=record_of(world, world.client()).secrets
    ),
    "marked for deletion": lambda world, issued: world.store.scheduled.add(issued.client_id),
    "gone": lambda world, issued: world.store.stored.pop(issued.client_id),
}
# While a record is missing it may be there: see "A missing record" in test_rereads.
AT_ONCE = {name: flip for name, flip in FLIPS.items() if name != "gone"}


@pytest.mark.parametrize("flip", FLIPS.values(), ids=FLIPS.keys())
def test_every_way_to_be_invalid_gets_the_same_bytes(flip: Arrange) -> None:
    api = TokenApi()
    unknown = credentials.new_client_id(api.world.random_bytes)
    expected = api.form([GRANT], headers=[basic(unknown, api.client.client_secret)])
    assert (expected.status, expected.error) == (401, "invalid_client")
    flip(api.world, api.client)
    api.world.clock.advance(FRESH)
    assert api.basic() == expected
    assert api.post() == expected
    assert api.basic(("scope", "demo/admin")) == expected, "nor is the scope looked at"


@pytest.mark.parametrize("flip", AT_ONCE.values(), ids=AT_ONCE.keys())
def test_a_change_takes_effect_under_hot_caches_within_the_fresh_seconds(
    world: ExchangeWorld, flip: Arrange
) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    flip(world, issued)
    world.clock.advance(FRESH)
    assert refused(world, issued)
    assert refused(world, issued), "and again, from the cache"
    assert len(world.endpoint.requests) == 1


def test_cached_values_serve_within_the_fresh_seconds(world: ExchangeWorld) -> None:
    """Otherwise the tests above would show nothing."""
    issued = world.client()
    world.exchange.exchange(request(issued))
    before = len(world.store.calls), len(world.denied.calls)
    world.clock.advance(FRESH - 0.001)
    assert not refused(world, issued)
    assert (len(world.store.calls), len(world.denied.calls)) == before
    assert len(world.endpoint.requests) == 1
    assert len(world.argon2.verified) == 1


@pytest.mark.parametrize("kind", ["client", "secret"])
def test_a_cached_expiry_takes_effect_on_the_second(world: ExchangeWorld, kind: str) -> None:
    at = int(world.clock()) + 10
    issued = world.client()
    if kind == "client":
        world.change(issued, expires_at=at)
    else:
        (stored,) = record_of(world, issued).secrets
        world.change(issued, secrets=(replace(stored, expires_at=at),))
    world.clock.advance(9.9)
    assert not refused(world, issued)
    world.clock.advance(0.1)
    assert refused(world, issued)


# Source addresses


def test_the_source_address_is_checked_on_every_request(world: ExchangeWorld) -> None:
    issued = world.client(allowed_cidrs=NETWORK)
    assert not refused(world, issued, source_ip=HERE)
    assert refused(world, issued, source_ip=ELSEWHERE)
    assert not refused(world, issued, source_ip=HERE)
    assert len(world.endpoint.requests) == 1, "the token was in the cache all the time"


@pytest.mark.parametrize(
    ("allowed", "source_ip", "valid"),
    [
        ("192.0.2.0/24", "192.0.2.0", True),
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("192.0.2.7/32", "192.0.2.7", True),
        ("0.0.0.0/0", "203.0.113.1", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("::/0", "192.0.2.1", False),
        ("192.0.2.0/24", "", False),
        ("192.0.2.0/24", "192.0.2.1, 192.0.2.2", False),
        ("0.0.0.0/0", "test-invoke-source-ip", False),
    ],
)
def test_an_address_is_checked_against_the_allowed_networks(
    world: ExchangeWorld, allowed: str, source_ip: str, *, valid: bool
) -> None:
    issued = world.client(allowed_cidrs=(ip_network("10.0.0.0/8"), ip_network(allowed)))
    assert refused(world, issued, source_ip=source_ip) is not valid


def test_without_networks_every_address_is_allowed(world: ExchangeWorld) -> None:
    issued = world.client()
    assert not refused(world, issued, source_ip="test-invoke-source-ip")


# Tokens only after verification by this process


def test_a_wrong_secret_gets_no_cached_token(world: ExchangeWorld) -> None:
    issued, other = world.client(), world.client()
    world.exchange.exchange(request(issued))
    assert refused(world, issued, secret=other.client_secret)
    assert refused(world, issued, secret=issued.client_secret[:-1] + "_")
    assert refused(world, issued, secret=world.hash_of(issued))
    assert len(world.endpoint.requests) == 1


def test_a_revoked_secret_gets_no_cached_token(world: ExchangeWorld) -> None:
    older = world.client()
    newer = credentials.issue(older.client_id, world.random_bytes)
    current = world.hasher.hash(newer, now=int(world.clock()))
    world.change(older, secrets=(current, *record_of(world, older).secrets))
    world.exchange.exchange(request(older))
    world.exchange.exchange(request(newer))
    world.change(older, secrets=(current,))
    world.clock.advance(FRESH)
    assert refused(world, older)
    assert not refused(world, newer)


def test_two_secrets_of_a_client_do_not_share_a_token(world: ExchangeWorld) -> None:
    older = world.client()
    newer = credentials.issue(older.client_id, world.random_bytes)
    current = world.hasher.hash(newer, now=int(world.clock()))
    world.change(older, secrets=(current, *record_of(world, older).secrets))
    tokens = {
        world.exchange.exchange(request(each)).access_token for each in (older, newer, older, newer)
    }
    assert len(tokens) == 2


def test_two_clients_do_not_share_a_token(world: ExchangeWorld) -> None:
    issued = [world.client() for _ in range(3)]
    assert len({world.exchange.exchange(request(each)).access_token for each in issued}) == 3


def test_another_scope_gets_no_cached_token(world: ExchangeWorld) -> None:
    issued = world.client()
    tokens = {
        scope: world.exchange.exchange(request(issued, scope=scope)).access_token
        for scope in (None, "demo/read", "demo/write")
    }
    assert len(set(tokens.values())) == 3
    assert (
        world.exchange.exchange(request(issued, scope="demo/read")).access_token
        == tokens["demo/read"]
    )
    with pytest.raises(InvalidScopeError):
        world.exchange.exchange(request(issued, scope="demo/admin"))


def test_removing_a_scope_drops_its_cached_tokens(world: ExchangeWorld) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    world.exchange.exchange(request(issued, scope="demo/write"))
    world.change(issued, scopes=("demo/read",))
    world.clock.advance(FRESH)
    assert world.exchange.exchange(request(issued)).scope == "demo/read"
    with pytest.raises(InvalidScopeError):
        world.exchange.exchange(request(issued, scope="demo/write"))


def test_a_changed_record_gets_a_new_token(world: ExchangeWorld) -> None:
    issued = world.client()
    first = world.exchange.exchange(request(issued)).access_token
    world.change(issued, client_name="renamed")
    world.clock.advance(FRESH)
    assert world.exchange.exchange(request(issued)).access_token != first


def test_each_process_verifies_the_secret_even_with_a_cached_token(world: ExchangeWorld) -> None:
    issued, other = world.client(), world.client()
    first = world.exchange.exchange(request(issued))
    argon2 = CountingArgon2()
    restarted = replace(world.exchange, hasher=cheap_hasher(world.random_bytes, argon2))
    with pytest.raises(InvalidClientError):
        restarted.exchange(request(issued, secret=other.client_secret))
    assert restarted.exchange(request(issued)) == first
    assert len(argon2.verified) == 2


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 40)), max_size=12))
def test_a_token_goes_only_to_the_client_that_presented_its_secret(
    steps: list[tuple[int, int, int]],
) -> None:
    """In any order of clients and secrets, no client gets another's token."""
    world = ExchangeWorld()
    clients = [world.client() for _ in range(3)]
    owners: dict[str, ClientId] = {}
    for client, secret, seconds in steps:
        world.clock.advance(seconds)
        issued = clients[client]
        presented = [*(each.client_secret for each in clients), "x"][secret]
        try:
            response = world.exchange.exchange(request(issued, secret=presented))
        except InvalidClientError:
            assert presented != issued.client_secret
        else:
            assert presented == issued.client_secret
            owner = owners.setdefault(response.access_token, issued.client_id)
            assert owner == issued.client_id


# Token lifetime


def test_expires_in_counts_down(world: ExchangeWorld) -> None:
    issued = world.client()
    assert world.exchange.exchange(request(issued)).expires_in == 3600
    world.clock.advance(100.4)
    assert world.exchange.exchange(request(issued)).expires_in == 3499
    assert len(world.endpoint.requests) == 1


def test_a_token_near_its_expiry_is_replaced(world: ExchangeWorld) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    world.clock.advance(3600 - REFRESH_SECONDS)
    assert world.exchange.exchange(request(issued)).access_token == "token-1"
    world.clock.advance(1)
    assert world.exchange.exchange(request(issued)) == TokenResponse(
        "token-2", 3600, "demo/read demo/write"
    )
    assert world.exchange.exchange(request(issued)).access_token == "token-2"
    assert world.endpoint.calls == ["request_token"] * 2


def _down(world: ExchangeWorld) -> None:
    world.endpoint.failures["request_token"] = [
        TokenEndpointUnavailableError("out of order") for _ in range(200)
    ]


def test_a_cached_token_serves_down_to_its_margin_during_a_cognito_outage(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    _down(world)
    world.clock.advance(3600 - REFRESH_SECONDS + 1)
    assert world.exchange.exchange(request(issued)) == TokenResponse(
        "token-1", REFRESH_SECONDS - 1, "demo/read demo/write"
    )
    world.clock.advance(REFRESH_SECONDS - 1 - MARGIN_SECONDS - 1)
    assert world.exchange.exchange(request(issued)).expires_in == MARGIN_SECONDS + 1
    world.clock.advance(2)
    assert unavailable(world, issued) == "token_endpoint"


def test_a_client_without_a_cached_token_gets_a_503_during_a_cognito_outage(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    _down(world)
    assert unavailable(world, issued) == "token_endpoint"


def test_calls_to_cognito_are_limited_during_an_outage(world: ExchangeWorld) -> None:
    clients = [world.client() for _ in range(5)]
    _down(world)
    for _ in range(100):
        for issued in clients:
            assert unavailable(world, issued) == "token_endpoint"
        world.clock.advance(0.1)
    assert 2 <= len(world.endpoint.calls) <= 6, "in ten seconds"
    world.endpoint.failures["request_token"] = []
    world.clock.advance(2)
    assert unavailable(world, clients[0]) is None


def test_a_short_lived_token_is_reused_for_half_of_its_lifetime(world: ExchangeWorld) -> None:
    """Cognito's shortest token lifetime is the remaining life at which longer ones are replaced."""
    issued = world.client()
    world.endpoint.life = REFRESH_SECONDS
    first = world.exchange.exchange(request(issued))
    world.clock.advance(REFRESH_SECONDS // 2)
    assert world.exchange.exchange(request(issued)).access_token == first.access_token
    world.clock.advance(1)
    assert world.exchange.exchange(request(issued)).access_token != first.access_token


def test_a_failure_of_one_client_does_not_block_cognito_for_others(world: ExchangeWorld) -> None:
    one, other = world.client(), world.client()
    world.endpoint.failures["request_token"] = [TokenNotIssuedError()]
    with pytest.raises(TemporarilyUnavailableError):
        world.exchange.exchange(request(one))
    assert world.exchange.exchange(request(other)).access_token


# The Region's state


@pytest.mark.parametrize(
    "error", [StoreUnavailableError, StoreThrottledError, StoreRefusedError, MalformedSecretError]
)
def test_a_state_that_was_never_read_is_a_503_and_not_an_empty_deny_list(
    world: ExchangeWorld, error: type[Exception]
) -> None:
    issued = world.client()
    world.denied.failures["read"] = [error("why")]
    assert unavailable(world, issued) == f"state:{error.__name__}".replace(
        "Throttled", "Unavailable"
    )


def test_a_missing_state_is_a_503() -> None:
    world = ExchangeWorld(denied=FakeDenialStore(shards={}))
    assert unavailable(world, world.client()) == "state:MalformedSecretError"


def test_a_state_that_becomes_malformed_is_a_503_at_once(world: ExchangeWorld) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    world.denied.shards.clear()
    world.clock.advance(FRESH)
    assert unavailable(world, issued) == "state:MalformedSecretError"


def test_an_unreadable_state_gets_the_same_answer_for_every_caller() -> None:
    api = TokenApi()
    api.world.denied.shards.clear()
    answer = api.basic()
    assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "5"
    unknown = credentials.new_client_id(api.world.random_bytes)
    assert api.form([GRANT], headers=[basic(unknown, api.client.client_secret)]) == answer
    assert api.hashed == 0


def test_a_denial_affects_only_its_client(world: ExchangeWorld) -> None:
    issued = world.client()
    world.deny(world.client().client_id, credentials.new_client_id(bytes))
    assert not refused(world, issued)


def test_a_region_that_does_not_write_or_has_not_taken_over_issues_tokens() -> None:
    world = ExchangeWorld(state=FakeStateStore.standby())
    assert not refused(world, world.client())


# Secrets Manager unavailable


def test_the_last_known_values_serve_during_a_secrets_manager_outage(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    outage(world)
    for _ in range(STALE // 10 - 1):
        world.clock.advance(10)
        assert unavailable(world, issued) is None
    world.clock.advance(9.9)
    assert unavailable(world, issued) is None
    world.clock.advance(0.2)
    assert unavailable(world, issued) == "state:StoreUnavailableError"
    restore(world)
    world.clock.advance(2)
    assert unavailable(world, issued) is None


def test_the_last_known_record_serves_for_the_stale_seconds(world: ExchangeWorld) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    world.store.failures["read"] = [StoreUnavailableError() for _ in range(1000)]
    world.clock.advance(STALE - 0.1)
    assert unavailable(world, issued) is None
    world.clock.advance(0.2)
    assert unavailable(world, issued) == "record:StoreUnavailableError"


def test_a_known_denial_holds_during_a_secrets_manager_outage(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    world.deny(issued.client_id)
    assert refused(world, issued)
    outage(world)
    world.clock.advance(STALE - 1)
    assert unavailable(world, issued) == "state:StoreUnavailableError", "no token, and no lie"


def knows_the_denials(world: ExchangeWorld, issued: IssuedCredentials) -> None:
    """Have the process read the denials that concern a client, and not its record."""
    world.exchange.denials.look(issued.client_id)


def test_an_uncached_client_gets_a_503_and_not_invalid_client(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    knows_the_denials(world, issued)
    outage(world)
    assert unavailable(world, issued) == "record:StoreUnavailableError"


@pytest.mark.parametrize("error", [StoreThrottledError, StoreRefusedError])
def test_a_record_that_cannot_be_read_is_a_503(
    world: ExchangeWorld, error: type[Exception]
) -> None:
    issued = world.client()
    world.store.failures["read"] = [error("why")]
    assert (unavailable(world, issued) or "").startswith("record:")


def test_a_malformed_record_is_a_server_error(world: ExchangeWorld) -> None:
    issued = world.client()
    world.store.failures["read"] = [MalformedSecretError("why")]
    with pytest.raises(OAuthServerError) as caught:
        world.exchange.exchange(request(issued))
    assert caught.value.reason == "record:MalformedSecretError"


@pytest.mark.parametrize("warm", [False, True])
def test_calls_to_secrets_manager_are_limited_during_an_outage(
    world: ExchangeWorld, *, warm: bool
) -> None:
    clients = [world.client() for _ in range(5)]
    if warm:
        for issued in clients:
            world.exchange.exchange(request(issued))
        world.clock.advance(FRESH)
    outage(world)
    before = len(world.denied.calls), len(world.store.calls)
    for _ in range(100):
        for issued in clients:
            unavailable(world, issued)
        world.clock.advance(0.1)
    assert len(world.denied.calls) - before[0] <= 6, "in ten seconds"
    assert len(world.store.calls) - before[1] <= 6, "in ten seconds"


# Drift


def _replace_cognito_secret(world: ExchangeWorld, issued: IssuedCredentials) -> None:
    """Rotate the app client's secret: the old one is refused, the record has the new one."""
    regional = regional_of(world, issued)
    world.endpoint.refused.add(regional.client_secret)
    app_clients = {
        **record_of(world, issued).app_clients,
        EAST: replace(regional, client_secret="newer"),
    }
    world.change(issued, app_clients=app_clients)


@pytest.mark.parametrize("seconds", [0, 1, 6])
def test_a_refusal_by_cognito_rereads_the_record_and_finds_a_rotation(
    world: ExchangeWorld, seconds: int
) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued, scope="demo/read"))
    world.clock.advance(seconds)
    _replace_cognito_secret(world, issued)
    reads = len(world.store.calls)
    assert world.exchange.exchange(request(issued, scope="demo/write")).scope == "demo/write"
    assert world.store.calls[reads:] == ["read"], "exactly one more look"
    assert world.events.seen[-1]["outcome"] == "issued"
    assert world.events.seen[-1]["cognito_requests"] == 2


def test_a_refused_app_client_is_drift(world: ExchangeWorld) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued, scope="demo/read"))
    world.clock.advance(6)
    world.endpoint.refused.add("east-secret")
    reads = world.store.calls.count("read")
    with pytest.raises(OAuthServerError):
        world.exchange.exchange(request(issued, scope="demo/write"))
    assert world.store.calls.count("read") == reads + 1, "exactly one more look"
    assert world.events.seen[-1]["outcome"] == "drift"


def test_repeated_refusals_do_not_cause_repeated_reads(world: ExchangeWorld) -> None:
    issued = world.client()
    world.endpoint.refused.add("east-secret")
    for _ in range(40):
        with pytest.raises(OAuthServerError):
            world.exchange.exchange(request(issued))
        world.clock.advance(0.25)
    assert world.store.calls.count("read") <= 3, "in ten seconds"


def test_drift_ends_when_the_record_is_repaired(world: ExchangeWorld) -> None:
    issued = world.client()
    world.endpoint.refused.add("east-secret")
    with pytest.raises(OAuthServerError):
        world.exchange.exchange(request(issued))
    _replace_cognito_secret(world, issued)
    world.clock.advance(6)
    assert world.exchange.exchange(request(issued)).access_token


def test_a_refusal_during_a_secrets_manager_outage_is_not_reported_as_drift(
    world: ExchangeWorld,
) -> None:
    """The last known record may be outdated, and Cognito's refusal correct."""
    issued = world.client()
    world.exchange.exchange(request(issued, scope="demo/read"))
    world.clock.advance(6)
    world.endpoint.refused.add("east-secret")
    outage(world)
    with pytest.raises(TemporarilyUnavailableError):
        world.exchange.exchange(request(issued, scope="demo/write"))


# A denial takes effect independently: it is not part of the record.
@pytest.mark.parametrize("flip", [name for name in FLIPS if name != "denied"])
@pytest.mark.parametrize("seconds", [0, 1, 6])
def test_a_client_invalidated_since_the_last_read_is_invalid_and_not_drift(
    world: ExchangeWorld, flip: str, seconds: int
) -> None:
    """A deleted client loses its app client too: that is no drift, however recent the read."""
    issued = world.client()
    world.exchange.exchange(request(issued, scope="demo/read"))
    world.clock.advance(seconds)
    FLIPS[flip](world, issued)
    world.endpoint.refused.add("east-secret")
    assert refused(world, issued, scope="demo/write")
    assert world.events.seen[-1]["outcome"].startswith("invalid_client:")


@pytest.mark.parametrize("error", [MalformedSecretError, StoreRefusedError])
def test_an_unreadable_record_after_a_refusal_is_drift(
    world: ExchangeWorld, error: type[Exception]
) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued, scope="demo/read"))
    world.clock.advance(6)
    world.endpoint.refused.add("east-secret")
    world.store.failures["read"] = [error("why")]
    with pytest.raises(OAuthServerError):
        world.exchange.exchange(request(issued, scope="demo/write"))
    assert world.events.seen[-1]["outcome"] == "drift"


def test_a_refusal_by_cognito_is_never_an_invalid_client(world: ExchangeWorld) -> None:
    issued = world.client()
    world.endpoint.failures["request_token"] = [AppClientRefusedError("invalid_client")] * 2
    with pytest.raises(OAuthServerError):
        world.exchange.exchange(request(issued))


# A pending app client


@pytest.mark.parametrize("regional", [Pending(0, "Cognito did not answer"), None])
def test_a_pending_app_client_is_a_503(world: ExchangeWorld, regional: Pending | None) -> None:
    issued = world.client()
    app_clients = dict(record_of(world, issued).app_clients)
    if regional is None:
        del app_clients[EAST]
    else:
        app_clients[EAST] = regional
    world.change(issued, app_clients=app_clients)
    assert unavailable(world, issued) == "pending"
    assert world.events.seen[-1]["outcome"] == "pending"
    assert not world.endpoint.requests


def test_an_app_client_without_its_new_scopes_is_pending_and_not_drift(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    regional = replace(regional_of(world, issued), outdated=Pending(0, "Cognito did not answer"))
    world.change(issued, app_clients={EAST: regional, WEST: regional})
    world.endpoint.failures["request_token"] = [None, AppClientRefusedError("invalid_scope")]
    assert unavailable(world, issued, scope="demo/read") is None, "what it has, it gives"
    assert unavailable(world, issued, scope="demo/write") == "pending"


def test_only_an_authenticated_client_learns_that_an_app_client_is_pending(
    world: ExchangeWorld,
) -> None:
    issued, other = world.client(), world.client()
    world.change(issued, app_clients={EAST: Pending(0, "x"), WEST: regional_of(world, other)})
    assert refused(world, issued, secret=other.client_secret)


def test_the_other_regions_app_client_is_not_needed(world: ExchangeWorld) -> None:
    issued = world.client()
    world.change(issued, app_clients={EAST: regional_of(world, issued), WEST: Pending(0, "x")})
    assert unavailable(world, issued) is None


# The total deadline


def _slow(world: ExchangeWorld, seconds: float, *, state: bool = True) -> None:
    """Make each call to Secrets Manager slow, and fail."""
    for store in (world.denied, world.store) if state else (world.store,):
        store.meanwhile["read"] = lambda: world.clock.advance(seconds)
        store.failures["read"] = [StoreUnavailableError("timeout") for _ in range(100)]


def _timed(world: ExchangeWorld, issued: IssuedCredentials, **asked: Any) -> tuple[float, str]:
    """Return the duration of an answer, and its outcome."""
    began = world.clock()
    try:
        world.exchange.exchange(request(issued, **asked))
    except OAuthError as error:
        return world.clock() - began, error.reason
    return world.clock() - began, "issued"


def test_a_store_that_times_out_is_a_503_in_time(world: ExchangeWorld) -> None:
    issued = world.client()
    _slow(world, 3.5)
    seconds, reason = _timed(world, issued)
    assert seconds <= ANSWERS_WITHIN
    assert reason.startswith("state:")


def test_a_slow_state_leaves_no_time_for_an_uncached_record(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    knows_the_denials(world, issued)
    world.clock.advance(FRESH)
    _slow(world, 3.5)
    seconds, reason = _timed(world, issued)
    assert seconds <= ANSWERS_WITHIN
    assert reason.startswith("record:")


def test_the_last_known_values_serve_while_secrets_manager_times_out(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    world.clock.advance(FRESH)
    _slow(world, 3.5)
    for _ in range(20):
        seconds, outcome = _timed(world, issued)
        assert seconds <= ANSWERS_WITHIN
        assert outcome == "issued"
        world.clock.advance(1)


def test_a_slow_state_leaves_the_last_known_record_in_use(
    world: ExchangeWorld,
) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    world.clock.advance(FRESH)
    world.denied.meanwhile["read"] = lambda: world.clock.advance(1.5)
    seconds, outcome = _timed(world, issued)
    assert seconds <= ANSWERS_WITHIN
    assert outcome == "issued"


def test_a_refusal_without_time_to_reread_is_not_reported_as_drift(
    world: ExchangeWorld,
) -> None:
    """A slow read of the state, a refusal, and no time left to reread the record."""
    issued = world.client()
    world.exchange.exchange(request(issued, scope="demo/read"))
    world.clock.advance(FRESH)
    world.endpoint.refused.add("east-secret")
    world.denied.meanwhile["read"] = lambda: world.clock.advance(3.0)
    world.store.meanwhile["read"] = lambda: world.clock.advance(3.4)
    world.endpoint.meanwhile["request_token"] = lambda: world.clock.advance(0.2)
    seconds, reason = _timed(world, issued, scope="demo/write")
    assert seconds <= ANSWERS_WITHIN
    assert reason == "drift:out_of_time"


def test_a_state_that_ages_during_a_request_does_not_delay_it(world: ExchangeWorld) -> None:
    """The state, fresh at first, must not be read again after the record: three more seconds."""
    issued = world.client()
    world.exchange.exchange(request(issued, scope="demo/read"))
    world.clock.advance(FRESH - 1)
    world.endpoint.refused.add("east-secret")
    for store in (world.denied, world.store):
        store.meanwhile["read"] = lambda: world.clock.advance(3.4)
    seconds, reason = _timed(world, issued, scope="demo/write")
    assert seconds <= ANSWERS_WITHIN
    assert reason == "drift"


@given(
    state=st.floats(0, 3.5),
    store=st.floats(0, 3.5),
    endpoint=st.floats(0, 0.5),
    age=st.floats(0, STALE),
    warm=st.booleans(),
    state_fails=st.booleans(),
    store_fails=st.booleans(),
    is_refused=st.booleans(),
)
def test_every_exchange_answers_within_its_deadline(
    *,
    state: float,
    store: float,
    endpoint: float,
    age: float,
    warm: bool,
    state_fails: bool,
    store_fails: bool,
    is_refused: bool,
) -> None:
    world = ExchangeWorld()
    issued = world.client()
    if warm:
        world.exchange.exchange(request(issued, scope="demo/read"))
        world.clock.advance(age)
    world.denied.meanwhile["read"] = lambda: world.clock.advance(state)
    world.store.meanwhile["read"] = lambda: world.clock.advance(store)
    world.endpoint.meanwhile["request_token"] = lambda: world.clock.advance(endpoint)
    if state_fails:
        world.denied.failures["read"] = [StoreUnavailableError() for _ in range(9)]
    if store_fails:
        world.store.failures["read"] = [StoreUnavailableError() for _ in range(9)]
    if is_refused:
        world.endpoint.refused.add("east-secret")
    seconds, _ = _timed(world, issued, scope="demo/write")
    assert seconds <= ANSWERS_WITHIN


def test_the_request_to_cognito_carries_the_deadline(world: ExchangeWorld) -> None:
    issued = world.client()
    world.endpoint.meanwhile["request_token"] = lambda: world.clock.advance(0.1)
    world.store.meanwhile["read"] = lambda: world.clock.advance(0.5)
    world.exchange.exchange(request(issued))
    assert world.endpoint.remaining == [pytest.approx(4.0)]


def test_a_deadline_never_goes_below_zero() -> None:
    clock = FakeClock()
    countdown = Countdown(clock, 2)
    assert countdown.remaining() == 2
    clock.advance(1.5)
    assert countdown.remaining() == 0.5
    clock.advance(10)
    assert countdown.remaining() == 0


# Log events


def test_an_exchange_leaves_one_event(world: ExchangeWorld) -> None:
    issued = world.client()
    world.exchange.exchange(request(issued))
    world.exchange.exchange(request(issued))
    event = {
        "event": "exchange",
        "outcome": "issued",
        "client_id": issued.client_id,
        "secret_id": issued.secret_id,
        "cached": False,
        "cognito_requests": 1,
        "needs_rehash": False,
    }
    assert world.events.seen == [event, {**event, "cached": True, "cognito_requests": 0}]


@pytest.mark.parametrize(
    ("flip", "outcome"),
    [
        ("denied", "denied"),
        ("disabled", "disabled"),
        ("expired", "expired"),
        ("secret expired", "expired"),
        ("outside its CIDRs", "address"),
        ("secret retired", "wrong"),
        ("gone", "unknown"),
    ],
)
def test_the_reason_for_an_invalid_client_is_only_in_the_log(
    world: ExchangeWorld, flip: str, outcome: str
) -> None:
    issued = world.client()
    FLIPS[flip](world, issued)
    assert refused(world, issued)
    assert world.events.outcomes == [f"invalid_client:{outcome}"]


def test_an_adopted_client_is_logged_by_its_handle_only(world: ExchangeWorld) -> None:
    issued = world.adopted()
    world.exchange.exchange(request(issued))
    refused(world, issued, secret="guessed")
    with pytest.raises(InvalidScopeError):
        world.exchange.exchange(request(issued, scope="demo/admin"))
    FLIPS["disabled"](world, issued)
    world.clock.advance(FRESH)
    refused(world, issued)
    refused(world, IssuedCredentials(ClientId(ADOPTED[::-1]), SecretId("x"), "x"))
    logged = json.dumps(world.events.seen)
    assert world.events.seen[0]["client_id"] == credentials.loggable(ADOPTED)
    for adopted in (ADOPTED, ADOPTED[::-1]):
        assert adopted not in logged


def test_no_event_holds_a_secret_token_hash_or_cognito_identifier(
    world: ExchangeWorld,
) -> None:
    issued, adopted, other = world.client(), world.adopted(), world.client()
    world.exchange.exchange(request(issued))
    world.exchange.exchange(request(adopted))
    refused(world, issued, secret=other.client_secret)
    refused(world, issued, secret=world.hash_of(issued))
    world.endpoint.refused.add("east-secret")
    with pytest.raises(OAuthServerError):
        world.exchange.exchange(request(issued, scope="demo/read"))
    _down(world)
    unavailable(world, issued, scope="demo/write")
    logged = json.dumps(world.events.seen)
    assert len(world.events.seen) == 6
    for secret in [
        issued.client_secret,
        other.client_secret,
        COGNITO_SECRET,
        world.hash_of(issued),
        world.hash_of(adopted),
        "token-",
        "east-secret",
        "east-app",
        EAST_POOL,
        "argon2",
    ]:
        assert secret not in logged


def test_an_old_hash_profile_is_reported(world: ExchangeWorld) -> None:
    issued = world.client()
    newer = CountingArgon2(time_cost=2)
    exchange = replace(world.exchange, hasher=cheap_hasher(world.random_bytes, newer))
    exchange.exchange(request(issued))
    assert world.events.seen[-1]["needs_rehash"] is True


def test_only_this_regions_app_client_is_used(world: ExchangeWorld) -> None:
    other = replace(world.exchange, region=WEST)
    issued = world.client()
    other.exchange(request(issued))
    assert [asked[0] for asked in world.endpoint.requests] == [AppClientId("west-app")]
