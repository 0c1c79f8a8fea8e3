"""Memo of authenticated requests: the saved work, and the checks still made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib.errors import (
    MalformedSecretError,
    OAuthError,
    StoreUnavailableError,
)
from chalicelib.model import ClientId, SecretId, Status, StoredSecret, VersionId
from chalicelib.token import oauth
from chalicelib.token.oauth import FORM, MAX_BODY_BYTES, HttpRequest
from chalicelib.token.request_memo import MemoEntry, RequestMemo
from chalicelib.token.token_cache import MARGIN_SECONDS, REFRESH_SECONDS
from tests.fakes import CountingBytes
from tests.gateway import Answer, TokenApi, basic
from tests.worlds import FRESH, STALE, ExchangeWorld

HERE = "192.0.2.1"
KNOWN = MemoEntry(
    (ClientId("sgc_x"), SecretId("s"), VersionId("v"), "demo/read"),
    StoredSecret(SecretId("s"), "$argon2id$hash", 0),
    {"event": "exchange"},
)


def sent(**changes: Any) -> HttpRequest:
    """Return a request as the gateway sends it."""
    usual = HttpRequest(FORM, ["Basic YTpi"], [], b"grant_type=client_credentials", HERE)
    return replace(usual, **changes)


def remembered(*requests: HttpRequest, bound: int = 10) -> RequestMemo:
    request_memo = RequestMemo(CountingBytes(), bound)
    for each in requests:
        request_memo.put(each, KNOWN)
    return request_memo


# Saved work


class Twice(TokenApi):
    """Client that sends one request twice."""

    def __init__(self) -> None:
        super().__init__()
        self._sent = 0
        self.first = self.basic()
        assert self.first.status == 200

    def again(self) -> Answer:
        return self.basic()

    def in_full(self) -> Answer:
        """Send an equivalent request that is not in the memo."""
        self._sent += 1
        return self.basic(("unknown", str(self._sent)))


def test_a_repeated_request_gets_the_cached_token() -> None:
    api = Twice()
    reads, hashed = len(api.world.store.calls), api.hashed
    assert api.again().body == api.first.body
    assert (len(api.world.store.calls), api.hashed) == (reads, hashed)
    assert len(api.world.endpoint.requests) == 1


def test_a_repeated_request_logs_the_same_event_as_a_new_one() -> None:
    api = Twice()
    api.again()
    api.in_full()
    assert api.world.events.seen[-2] == api.world.events.seen[-1]
    assert api.world.events.seen[-1]["cached"] is True


def test_expires_in_of_a_repeated_request_counts_down() -> None:
    api = Twice()
    api.world.clock.advance(FRESH - 1)
    assert api.again().json["expires_in"] == api.first.json["expires_in"] - FRESH + 1


# Checks still made

Change = Callable[[Twice], None]


def _deny(api: Twice) -> None:
    api.world.deny(api.client.client_id)


def _disable(api: Twice) -> None:
    api.world.change(api.client, status=Status.DISABLED)


def _delete(api: Twice) -> None:
    api.world.store.scheduled.add(api.client.client_id)


def _expire(api: Twice) -> None:
    api.world.change(api.client, expires_at=int(api.world.clock()) + 1)


def _secrets(api: Twice) -> tuple[StoredSecret, ...]:
    return api.world.store.stored[api.client.client_id].value.secrets


def _expire_the_secret(api: Twice) -> None:
    (secret,) = _secrets(api)
    api.world.change(api.client, secrets=(replace(secret, expires_at=int(api.world.clock()) + 1),))


def _retire_the_secret(api: Twice) -> None:
    other = api.world.client()
    api.world.change(api.client, secrets=api.world.store.stored[other.client_id].value.secrets)


def _hash_anew(api: Twice) -> None:
    hashed = api.world.hasher.hash(api.client, now=int(api.world.clock()))
    api.world.change(api.client, secrets=(hashed,))


def _corrupt_the_hash(api: Twice) -> None:
    (secret,) = _secrets(api)
    api.world.change(api.client, secrets=(replace(secret, hash="$argon2id$nonsense"),))


def _move_away(api: Twice) -> None:
    api.world.change(api.client, allowed_cidrs=(ip_network("203.0.113.0/24"),))


def _stay_inside(api: Twice) -> None:
    api.world.change(api.client, allowed_cidrs=(ip_network("192.0.2.0/24"),))


def _narrow(api: Twice) -> None:
    api.world.change(api.client, scopes=("demo/read",))


def _lose_the_state(api: Twice) -> None:
    api.world.denied.shards.clear()


def _garble_the_record(api: Twice) -> None:
    api.world.store.malformed.add(api.client.client_id)


CHANGES: tuple[Change, ...] = (
    _deny,
    _disable,
    _delete,
    _expire,
    _expire_the_secret,
    _retire_the_secret,
    _hash_anew,
    _corrupt_the_hash,
    _move_away,
    _stay_inside,
    _narrow,
    _lose_the_state,
    _garble_the_record,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_a_repeated_request_after_any_change_is_answered_like_a_new_one(change: Change) -> None:
    api = Twice()
    change(api)
    api.world.clock.advance(FRESH + 1)
    again, new = api.again(), api.in_full()
    assert (again.status, again.body) == (new.status, new.body)
    assert again.headers == new.headers


@pytest.mark.parametrize(
    "change", [_deny, _disable, _delete, _expire, _expire_the_secret, _retire_the_secret]
)
def test_a_repeated_request_of_an_invalidated_client_is_refused(change: Change) -> None:
    api = Twice()
    change(api)
    api.world.clock.advance(FRESH + 1)
    assert (api.again().status, api.again().error) == (401, "invalid_client")


def test_an_expiry_is_enforced_for_repeated_requests() -> None:
    """A known expiry takes effect on the second, without any read."""
    api = TokenApi()
    api.world.change(api.client, expires_at=int(api.world.clock()) + 10)
    assert api.basic().status == 200
    api.world.clock.advance(9)
    assert api.basic().status == 200
    api.world.clock.advance(1)
    assert api.basic().error == "invalid_client"


def test_the_source_address_of_a_repeated_request_is_checked() -> None:
    api = TokenApi()
    api.world.change(api.client, allowed_cidrs=(ip_network("192.0.2.0/24"),))
    assert api.basic(source_ip="192.0.2.7").status == 200
    assert api.basic(source_ip="203.0.113.7").error == "invalid_client"
    assert api.basic(source_ip="192.0.2.7").status == 200


@pytest.mark.parametrize("error", [StoreUnavailableError(), MalformedSecretError()])
def test_a_repeated_request_during_a_store_outage_is_answered_like_a_new_one(
    error: Exception,
) -> None:
    api = Twice()
    for age in (FRESH + 1, STALE):
        api.world.store.failures["read"] = [error] * 4
        api.world.denied.failures["read"] = [error] * 4
        api.world.clock.advance(age)
        again, new = api.again(), api.in_full()
        assert (again.status, again.body) == (new.status, new.body)


def test_a_repeated_request_gets_no_token_beyond_its_margin() -> None:
    api = Twice()
    life = api.first.json["expires_in"]
    api.world.clock.advance(life - REFRESH_SECONDS + 1)
    assert api.again().json["expires_in"] == life, "a new one"
    api.world.clock.advance(life - MARGIN_SECONDS + 1)
    assert api.again().json["expires_in"] > MARGIN_SECONDS


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_the_same_request_under_another_method_is_refused(method: str) -> None:
    api = Twice()
    headers = [basic(api.client.client_id, api.client.client_secret), ("Content-Type", FORM)]
    answer = api.call(method=method, headers=headers, body="grant_type=client_credentials")
    assert answer.status == 405


def test_the_memo_of_one_process_is_useless_in_another() -> None:
    api = Twice()
    other = ExchangeWorld(clock=api.world.clock, store=api.world.store, denied=api.world.denied)
    request = sent(authorization=[basic(api.client.client_id, api.client.client_secret)[1]])
    assert api.world.exchange.exchange_repeated(request) is not None
    assert other.exchange.exchange_repeated(request) is None


# Differences between requests


def _refused_or_parsed(request: HttpRequest) -> object:
    try:
        return replace(oauth.parse(request), source_ip="")
    except OAuthError as error:
        return error.reason, error.description


headers = st.text(max_size=30) | st.sampled_from([FORM, "Basic YTpi", "Basic YTpj", ""])
requests = st.builds(
    HttpRequest,
    content_type=st.none() | headers,
    authorization=st.lists(headers, max_size=2),
    query=st.lists(st.sampled_from(["scope", "x"]), max_size=1),
    body=st.binary(max_size=40),
    source_ip=st.just(HERE),
)


@given(one=requests, other=requests)
def test_requests_that_parse_differently_do_not_match(one: HttpRequest, other: HttpRequest) -> None:
    assume(_refused_or_parsed(one) != _refused_or_parsed(other))
    assert remembered(one).get(other) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"content_type": None},
        {"content_type": FORM + ";"},
        {"content_type": FORM + "B", "authorization": ["asic YTpi"]},
        {"authorization": []},
        {"authorization": [""]},
        {"authorization": ["Basic YTpj"]},
        {"authorization": ["Basic YTpi", "Basic YTpi"]},
        {"query": ["scope"]},
        {"body": b""},
        {"body": b"grant_type=client_credentials&"},
    ],
)
def test_a_request_with_any_difference_does_not_match(changed: dict[str, Any]) -> None:
    request_memo = remembered(sent())
    assert request_memo.get(sent()) is KNOWN
    assert request_memo.get(sent(**changed)) is None
    assert remembered(sent(**changed)).get(sent()) is None


def test_a_missing_and_an_empty_header_differ() -> None:
    assert remembered(sent(authorization=[])).get(sent(authorization=[""])) is None


def test_a_lone_surrogate_code_point_is_a_difference() -> None:
    strange = sent(authorization=["Basic \ud800"], content_type="\udfff")
    assert remembered(strange).get(strange) is KNOWN
    assert remembered(strange).get(sent()) is None


def test_requests_with_repeated_headers_or_a_query_are_not_stored() -> None:
    several = sent(authorization=["Basic YTpi", "Basic YTpi"])
    assert remembered(several).get(several) is None
    query = sent(query=["x"])
    assert remembered(query).get(query) is None


# Retention


class Colliding(bytes):
    """Body whose hash equals that of every other such body."""

    def __hash__(self) -> int:
        return 1


def test_the_same_hash_is_not_the_same_request() -> None:
    """Python's hash has 64 bits and its key may be known: it only selects the bucket."""
    right, wrong = sent(body=Colliding(b"grant_type=a")), sent(body=Colliding(b"grant_type=b"))
    request_memo = remembered(right)
    assert request_memo.get(right) is KNOWN
    assert request_memo.get(wrong) is None


def test_the_memo_keeps_a_bounded_number_of_recent_requests() -> None:
    requests = [sent(body=b"%d" % number) for number in range(4)]
    request_memo = remembered(*requests, bound=3)
    assert [request_memo.get(each) for each in requests] == [None, KNOWN, KNOWN, KNOWN]


def test_refused_requests_are_not_stored_and_evict_nothing() -> None:
    world = ExchangeWorld()
    request_memo = RequestMemo(CountingBytes(), 1)
    world.exchange = replace(world.exchange, request_memo=request_memo)
    api, other = TokenApi(world), world.client()
    assert api.basic().status == 200
    wrong = [basic(api.client.client_id, other.client_secret), ("Content-Type", FORM)]
    for body in ("grant_type=client_credentials", "grant_type=x", "scope=demo%2Fread"):
        assert api.call(headers=wrong, body=body).status in {400, 401}
    assert api.basic(("scope", "not/granted")).error == "invalid_scope"
    right = basic(api.client.client_id, api.client.client_secret)[1]
    assert request_memo.get(sent(authorization=[right])) is not None


def test_the_memo_holds_neither_requests_nor_secrets() -> None:
    api = Twice()
    api.post()
    secret = api.client.client_secret
    header = basic(api.client.client_id, secret)[1]
    kept = repr(vars(api.world.exchange.request_memo))
    for text in (secret, secret.encode().hex(), header, header.removeprefix("Basic ")):
        assert text not in kept


class _Recording:
    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, count: int) -> bytes:
        self.asked.append(count)
        return bytes(count)


def test_the_memo_key_is_made_at_the_first_request() -> None:
    """A snapshot of an initialized function must not hold a key that its copies share."""
    random_bytes = _Recording()
    request_memo = RequestMemo(random_bytes)
    assert random_bytes.asked == []
    request_memo.get(sent())
    request_memo.put(sent(), KNOWN)
    assert random_bytes.asked == [32]


def test_an_oversized_body_is_not_looked_up() -> None:
    random_bytes = _Recording()
    long = sent(body=b"x" * (MAX_BODY_BYTES + 1))
    request_memo = RequestMemo(random_bytes)
    request_memo.put(long, KNOWN)
    assert request_memo.get(long) is None
    assert random_bytes.asked == []


def test_an_adopted_client_of_a_repeated_request_is_logged_by_its_handle() -> None:
    world = ExchangeWorld()
    api, issued = TokenApi(world), world.adopted()
    headers = [basic(issued.client_id, issued.client_secret.replace("+", "%2B"))]
    for _ in range(2):
        assert api.form(headers=headers).status == 200
    first, again = world.events.seen[-2:]
    assert issued.client_id not in str(again)
    assert again["client_id"] == first["client_id"]
