"""Cache of tokens: how many of each client, and which leave first."""

from __future__ import annotations

from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import TokenEndpointUnavailableError, TokenNotIssuedError
from chalicelib.model import AccessToken, ClientId, IssuedCredentials, SecretId, VersionId
from chalicelib.token.allowances import TOKEN_REQUESTS_AT_ONCE, TOKEN_REQUESTS_PER_SECOND
from chalicelib.token.request_memo import TokenKey
from chalicelib.token.token_cache import (
    MARGIN_SECONDS,
    REFRESH_SECONDS,
    TOKENS_OF_EACH,
    UNSTAMPED_SECONDS,
    TokenCache,
)
from tests.fakes import FakeClock
from tests.gateway import TokenApi
from tests.worlds import ExchangeWorld, outcome, request

LIFE = 3600


@pytest.fixture
def world() -> ExchangeWorld:
    return ExchangeWorld()


def key(client: str, scope: str = "scope") -> TokenKey:
    return ClientId(client), SecretId("s"), VersionId("v"), scope


def token(clock: FakeClock, value: str = "token") -> AccessToken:
    return AccessToken(value, int(clock()) + LIFE)


# Eviction


def test_the_number_of_cached_tokens_is_bounded() -> None:
    clock = FakeClock()
    cache = TokenCache(clock, remembered=2)
    keys = [key(f"client-{number}") for number in range(3)]
    for each in keys:
        cache.put(each, token(clock))
    assert [cache.get(each) is not None for each in keys] == [False, True, True]


def test_the_number_of_tokens_of_one_client_is_bounded() -> None:
    clock = FakeClock()
    cache = TokenCache(clock, of_each=2)
    keys = [key("one", scope) for scope in "abc"]
    for each in keys:
        cache.put(each, token(clock))
    assert [cache.get(each) is not None for each in keys] == [False, True, True]


def test_a_full_cache_evicts_the_clients_own_tokens_first() -> None:
    clock = FakeClock()
    cache = TokenCache(clock, remembered=3)
    cache.put(key("other"), token(clock))
    for scope in "abcdefgh":
        cache.put(key("greedy", scope), token(clock))
    assert cache.get(key("other")) is not None
    assert [cache.get(key("greedy", scope)) is not None for scope in "fgh"] == [False, True, True]


def test_a_replaced_token_evicts_nothing() -> None:
    clock = FakeClock()
    cache = TokenCache(clock, remembered=2)
    for client in ("one", "other", "other", "one"):
        cache.put(key(client), token(clock))
    assert cache.get(key("one")) is not None
    assert cache.get(key("other")) is not None


class Watched(str):
    """Token whose garbage collection can be observed."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("who", ["one", "other"])
def test_an_expired_token_is_dropped(who: str) -> None:
    clock = FakeClock()
    cache = TokenCache(clock)
    value = Watched("token")
    gone = ref(value)
    cache.put(key("one"), token(clock, value))
    del value
    assert gone() is not None
    clock.advance(LIFE - MARGIN_SECONDS)
    cache.put(key(who, "another scope"), token(clock))
    assert gone() is None


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, LIFE)), max_size=40
    )
)
def test_the_cache_is_bounded_and_returns_only_the_keys_own_token(
    puts: list[tuple[str, str, int]],
) -> None:
    clock = FakeClock()
    cache = TokenCache(clock, remembered=4, of_each=2)
    last: dict[TokenKey, AccessToken] = {}
    for number, (client, scope, seconds) in enumerate(puts):
        clock.advance(seconds)
        put = key(client, scope)
        last[put] = token(clock, f"token-{number}")
        cache.put(put, last[put])
        found = {each: cached.token for each in last if (cached := cache.get(each)) is not None}
        assert found[put] == last[put]
        assert found == {each: last[each] for each in found}
        assert len(found) <= 4
        for each in "abc":
            assert sum(owned[0] == each for owned in found) <= 2
        assert all(kept.expires_at - clock() > MARGIN_SECONDS for kept in found.values())


# Requests to Cognito by one client

SCOPES = tuple(f"demo/{number}" for number in range(14))


def subset(number: int) -> str:
    """Return one of the 16,383 subsets of 14 scopes."""
    return " ".join(scope for bit, scope in enumerate(SCOPES) if number >> bit & 1)


def test_subsets_of_scopes_cause_a_bounded_number_of_requests_to_cognito(
    world: ExchangeWorld,
) -> None:
    other, greedy = world.client(), world.client(scopes=SCOPES)
    assert outcome(world, other) == "issued"
    outcomes = {outcome(world, greedy, scope=subset(number)) for number in range(1, 2_001)}
    assert outcomes == {"issued", "throttled:token_requests"}
    assert len(world.endpoint.requests) == 1 + TOKEN_REQUESTS_AT_ONCE
    assert outcome(world, other) == "issued"
    assert world.events.seen[-1]["cached"] is True
    assert len(world.endpoint.requests) == 1 + TOKEN_REQUESTS_AT_ONCE


def test_subsets_of_scopes_evict_no_other_clients_token(world: ExchangeWorld) -> None:
    others = [world.client() for _ in range(20)]
    for each in others:
        assert outcome(world, each) == "issued"
    greedy = world.client(scopes=SCOPES)
    for number in range(1, 2 * TOKENS_OF_EACH):
        assert outcome(world, greedy, scope=subset(number)) == "issued"
        world.clock.advance(1 / TOKEN_REQUESTS_PER_SECOND)
    before = len(world.endpoint.requests)
    assert [outcome(world, each) for each in others] == ["issued"] * 20
    assert len(world.endpoint.requests) == before


def test_too_many_requests_are_a_429_that_says_when_and_logs_who() -> None:
    api = TokenApi()
    api.world.endpoint.failures["request_token"] = [TokenNotIssuedError()] * 99
    for _ in range(TOKEN_REQUESTS_AT_ONCE):
        assert api.basic().status == 503
    answer = api.basic()
    assert (answer.status, answer.error) == (429, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "10"
    assert answer.headers["Cache-Control"] == "no-store"
    event = api.world.events.seen[-1]
    assert event["outcome"] == "throttled:token_requests"
    assert event["client_id"] == api.client.client_id
    assert event["secret_id"] == api.client.secret_id


def test_only_an_authenticated_client_learns_that_it_asked_too_often(world: ExchangeWorld) -> None:
    issued, other = world.client(), world.client()
    world.endpoint.failures["request_token"] = [TokenNotIssuedError()] * 99
    for _ in range(TOKEN_REQUESTS_AT_ONCE + 1):
        outcome(world, issued)
    assert world.events.seen[-1]["outcome"] == "throttled:token_requests"
    assert outcome(world, issued, secret=other.client_secret) == "invalid_client:wrong"


def test_a_client_that_asks_too_often_keeps_its_cached_tokens(world: ExchangeWorld) -> None:
    greedy = world.client(scopes=SCOPES)
    assert outcome(world, greedy) == "issued"
    world.clock.advance(LIFE - REFRESH_SECONDS + 1)
    for number in range(1, 100):
        outcome(world, greedy, scope=subset(number))
    assert world.events.seen[-1]["outcome"] == "throttled:token_requests"
    response = world.exchange.exchange(request(greedy))
    assert response.expires_in == REFRESH_SECONDS - 1, "due for renewal, which has to wait"


def test_an_outage_of_cognito_uses_no_allowance_up(world: ExchangeWorld) -> None:
    issued = world.client()
    world.endpoint.failures["request_token"] = [TokenEndpointUnavailableError()]
    for _ in range(2 * TOKEN_REQUESTS_AT_ONCE):
        assert outcome(world, issued) == "token_endpoint"
    world.clock.advance(2)
    assert outcome(world, issued) == "issued"


# Tokens without their client's name


def requests_of_an_hour(world: ExchangeWorld, issued: IssuedCredentials) -> int:
    """Ask every ten seconds for 55 minutes; return the number of requests to Cognito."""
    before = len(world.endpoint.requests)
    for _ in range(330):
        assert outcome(world, issued) == "issued"
        world.clock.advance(10)
    return len(world.endpoint.requests) - before


@pytest.mark.parametrize("cold", [True, False])
def test_an_unstamped_token_is_replaced_after_half_a_minute(
    world: ExchangeWorld, *, cold: bool
) -> None:
    """One slow read of a cold trigger must not cost the client its name for an hour."""
    issued = world.client()
    if not cold:
        assert outcome(world, world.client()) == "issued"
    world.endpoint.stamps = False
    unnamed = world.exchange.exchange(request(issued)).access_token
    world.endpoint.stamps = True
    world.clock.advance(UNSTAMPED_SECONDS)
    assert world.exchange.exchange(request(issued)).access_token == unnamed
    world.clock.advance(1)
    named = world.exchange.exchange(request(issued)).access_token
    assert named != unnamed
    world.clock.advance(LIFE - REFRESH_SECONDS)
    assert world.exchange.exchange(request(issued)).access_token == named


def test_a_repeated_request_gets_no_unstamped_token_after_half_a_minute() -> None:
    api = TokenApi()
    api.world.endpoint.stamps = False
    first = api.basic().json["access_token"]
    assert api.basic().json["access_token"] == first
    api.world.endpoint.stamps = True
    api.world.clock.advance(UNSTAMPED_SECONDS + 1)
    assert api.basic().json["access_token"] != first


def test_an_unstamped_token_serves_while_cognito_does_not_answer(world: ExchangeWorld) -> None:
    issued = world.client()
    world.endpoint.stamps = False
    unnamed = world.exchange.exchange(request(issued)).access_token
    world.clock.advance(UNSTAMPED_SECONDS + 1)
    world.endpoint.failures["request_token"] = [TokenEndpointUnavailableError()]
    assert world.exchange.exchange(request(issued)).access_token == unnamed


def test_a_pool_without_a_trigger_costs_a_few_requests_per_process(world: ExchangeWorld) -> None:
    world.endpoint.stamps = False
    clients = [world.client() for _ in range(4)]
    found = [requests_of_an_hour(world, issued) for issued in clients]
    assert sum(found) <= len(clients) + 7
    assert found[1:] == [1, 1, 1], "the first one found out"


def test_a_long_outage_of_the_key_costs_a_few_requests_for_each_token(
    world: ExchangeWorld,
) -> None:
    assert outcome(world, world.client()) == "issued"
    world.endpoint.stamps = False
    for issued in (world.client(), world.client()):
        assert requests_of_an_hour(world, issued) <= 8


def test_the_first_stamped_token_has_all_others_replaced(world: ExchangeWorld) -> None:
    world.endpoint.stamps = False
    clients = [world.client() for _ in range(20)]
    unnamed = [world.exchange.exchange(request(each)).access_token for each in clients]
    world.endpoint.stamps = True
    assert outcome(world, world.client()) == "issued"
    world.clock.advance(UNSTAMPED_SECONDS + 1)
    named = [world.exchange.exchange(request(each)).access_token for each in clients]
    assert not set(named) & set(unnamed)
    before = len(world.endpoint.requests)
    world.clock.advance(LIFE - REFRESH_SECONDS - 1)
    assert all(outcome(world, each) == "issued" for each in clients)
    assert len(world.endpoint.requests) == before
