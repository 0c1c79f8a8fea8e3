"""Fetches of key sets, selection of their keys, and behavior when they are unavailable."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import KeysUnavailableError as KeysUnavailableByTheService
from chalicelib.jwks.document import keys_of as published_by_the_service
from surrogate_verifier import (
    ConfigurationError,
    KeysUnavailableError,
    Pace,
    SignatureError,
    UnknownKeyError,
)
from surrogate_verifier.keys import in_a_thread, keys_of
from tests.verifier.world import (
    EAST,
    SHARED_URL,
    WEST,
    KeyServer,
    Pool,
    World,
    encode,
    jwk,
    pool,
    private_key,
)


@pytest.fixture
def world() -> World:
    return World()


def new_key(world: World) -> Pool:
    """Publish a new key at the eastern issuer, and return a pool that signs with it."""
    rotated = pool(EAST, kid="new", key="rotated")
    world.server.documents[world.east.issuer.key_set_url] = {"keys": [world.east.jwk, rotated.jwk]}
    return rotated


# -- times of a fetch ------------------------------------------------------------------------------


def test_keys_are_fetched_once_and_by_the_first_token_that_needs_them(world: World) -> None:
    verifier = world.verifier()
    assert not world.server.asked
    for _ in range(3):
        verifier.verify(world.east.token())
    assert world.server.asked == [world.east.issuer.key_set_url]


def test_one_shared_key_set_serves_every_issuer(world: World) -> None:
    verifier = world.verifier(keys=SHARED_URL)
    verifier.verify(world.east.token())
    verifier.verify(world.west.token())
    assert world.server.asked == [SHARED_URL]


def test_a_new_key_is_found_by_the_first_token_that_is_signed_with_it(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.east.token())
    world.monotonic.now += 10
    assert verifier.verify(new_key(world).token())


def test_unknown_key_ids_cause_one_fetch_per_interval(world: World) -> None:
    verifier = world.verifier(pace=Pace(cool_down=60))
    verifier.verify(world.east.token())
    for second in range(120):
        world.monotonic.now = second
        with pytest.raises(UnknownKeyError):
            verifier.verify(world.east.token(header={"kid": f"made-up-{second}"}))
    assert len(world.server.asked) == 2


def test_unknown_keys_of_one_issuer_do_not_delay_another(world: World) -> None:
    verifier = world.verifier()
    with pytest.raises(UnknownKeyError):
        verifier.verify(world.east.token(header={"kid": "made-up"}))
    assert verifier.verify(world.west.token())


def test_old_keys_are_refreshed_in_the_background(world: World) -> None:
    verifier = world.verifier(pace=Pace(refresh_after=600))
    verifier.verify(world.east.token())
    world.server.documents[world.east.issuer.key_set_url] = pool(EAST, "new", "rotated").jwks
    world.monotonic.now += 600
    assert verifier.verify(world.east.token())  # nobody waited
    assert verifier.verify(world.east.token())
    assert len(world.later) == 1
    world.run_background()
    world.monotonic.now += 10
    with pytest.raises(UnknownKeyError):  # the key was withdrawn
        verifier.verify(world.east.token())


def test_a_snapshot_is_refreshed_at_its_first_use(world: World) -> None:
    verifier = world.verifier(snapshot=world.shared())
    verifier.verify(world.east.token())
    world.run_background()
    assert world.server.asked == [world.east.issuer.key_set_url]
    verifier.verify(world.east.token())
    assert not world.later


def test_a_background_refresh_that_cannot_start_fails_no_request(world: World) -> None:
    def no_more_threads(_work: object) -> None:
        raise RuntimeError("can't start new thread")

    verifier = world.verifier(snapshot=world.shared(), background=no_more_threads)
    assert verifier.verify(world.east.token())
    assert verifier.verify(world.east.token())


def test_the_default_background_is_a_thread_that_ends_with_the_process() -> None:
    found: list[threading.Thread] = []
    done = threading.Event()

    def work() -> None:
        found.append(threading.current_thread())
        done.set()

    in_a_thread(work)
    assert done.wait(30)
    assert found[0].daemon


@pytest.mark.parametrize("pace", [{"cool_down": 0}, {"cool_down": 60, "refresh_after": 30}])
def test_a_pace_without_intervals_is_refused(pace: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="pace"):
        Pace(**pace)


def test_keys_can_be_fetched_before_the_first_request(world: World) -> None:
    verifier = world.verifier()
    verifier.load_keys()
    assert len(world.server.asked) == 2
    verifier.load_keys()
    assert len(world.server.asked) == 2
    assert verifier.verify_at_once(world.east.token())


def test_verify_at_once_does_not_fetch(world: World) -> None:
    verifier = world.verifier()
    assert verifier.verify_at_once(world.east.token()) is None
    assert not world.server.asked


# -- unavailable key sets --------------------------------------------------------------------------


def test_a_lost_issuers_tokens_stay_verifiable(world: World) -> None:
    verifier = world.verifier()
    verifier.load_keys()
    world.server.down.add(world.east.issuer.key_set_url)
    for hour in range(48):
        world.monotonic.now = hour * 3600.0
        assert verifier.verify(world.east.token())
        world.run_background()
    assert verifier.verify(world.west.token())


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"keys": 1}',
        b'{"keys": [], "keys": []}',
        {},
        {"keys": []},
        {"keys": [{}]},
        {"keys": ["x"]},
        {"keys": [{}] * 201},
    ],
)
def test_a_refresh_without_keys_removes_none(world: World, document: object) -> None:
    verifier = world.verifier()
    verifier.verify(world.east.token())
    world.server.documents[world.east.issuer.key_set_url] = document
    world.monotonic.now += 3600
    verifier.verify(world.east.token())
    world.run_background()
    assert len(world.server.asked) == 2
    assert verifier.verify(world.east.token())


def test_a_shared_key_set_without_an_issuer_keeps_its_known_keys(world: World) -> None:
    verifier = world.verifier(keys=SHARED_URL)
    verifier.verify(world.west.token())
    world.server.documents[SHARED_URL] = world.shared(world.east)
    world.monotonic.now += 3600
    verifier.verify(world.east.token())
    world.run_background()
    assert verifier.verify(world.west.token())


def test_an_issuer_that_never_answered_is_unavailable_and_not_invalid(world: World) -> None:
    world.server.down.add(world.east.issuer.key_set_url)
    verifier = world.verifier()
    for _ in range(5):
        with pytest.raises(KeysUnavailableError):
            verifier.verify(world.east.token())
    assert len(world.server.asked) == 1
    world.server.down.clear()
    world.monotonic.now += 10
    assert verifier.verify(world.east.token())


def test_an_unknown_key_after_a_failed_refresh_is_unavailable(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.east.token())
    world.server.down.add(world.east.issuer.key_set_url)
    world.monotonic.now += 10
    for _ in range(2):
        with pytest.raises(KeysUnavailableError):
            verifier.verify(world.east.token(header={"kid": "perhaps-new"}))
    assert verifier.verify(world.east.token())


# -- a shared key set, and the issuers behind it ---------------------------------------------------


def test_keys_missing_from_the_shared_set_are_fetched_from_their_issuer(world: World) -> None:
    world.server.documents[SHARED_URL] = world.shared(world.east)
    verifier = world.verifier(keys=SHARED_URL)
    assert verifier.verify(world.east.token())
    assert verifier.verify(world.west.token())
    assert world.server.asked == [SHARED_URL, world.west.issuer.key_set_url]


def test_a_new_key_missing_from_the_shared_set_is_fetched_from_its_issuer(world: World) -> None:
    verifier = world.verifier(keys=SHARED_URL)
    verifier.verify(world.east.token())
    rotated = new_key(world)
    assert verifier.verify(rotated.token())
    world.monotonic.now += 3600  # refreshed from a shared set that still lags behind
    verifier.verify(world.east.token())
    world.run_background()
    assert verifier.verify_at_once(rotated.token())


def test_without_the_shared_set_keys_are_fetched_from_the_issuers(world: World) -> None:
    world.server.down.add(SHARED_URL)
    verifier = world.verifier(keys=SHARED_URL)
    verifier.load_keys()
    assert verifier.verify_at_once(world.east.token())
    assert verifier.verify_at_once(world.west.token())


def test_issuers_are_not_called_while_the_shared_set_suffices(world: World) -> None:
    verifier = world.verifier(keys=SHARED_URL)
    verifier.load_keys()
    for hour in range(5):
        world.monotonic.now = hour * 3600.0
        verifier.verify(world.east.token())
        world.run_background()
    assert set(world.server.asked) == {SHARED_URL}


def test_an_unknown_key_of_a_lost_issuer_is_unavailable(world: World) -> None:
    world.server.down.add(world.east.issuer.key_set_url)
    verifier = world.verifier(keys=SHARED_URL)
    assert verifier.verify(world.east.token())
    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            verifier.verify(world.east.token(header={"kid": "perhaps-new"}))
    assert world.server.asked == [SHARED_URL, world.east.issuer.key_set_url]


def test_unknown_keys_cause_one_fetch_per_source_and_interval(world: World) -> None:
    verifier = world.verifier(keys=SHARED_URL)
    verifier.load_keys()
    world.monotonic.now += 10
    for number in range(20):
        with pytest.raises(UnknownKeyError):
            verifier.verify(world.east.token(header={"kid": f"made-up-{number}"}))
    assert world.server.asked == [SHARED_URL, SHARED_URL, world.east.issuer.key_set_url]


def test_the_issuers_key_wins_over_the_shared_one(world: World) -> None:
    """The writer of the shared set cannot replace a key that was fetched from its issuer."""
    forger = pool(EAST, kid=world.east.kid, key="attacker")
    verifier = world.verifier(keys=SHARED_URL)
    verifier.verify(world.east.token())
    verifier.verify(new_key(world).token())  # which has to be fetched from its issuer
    world.server.documents[SHARED_URL] = world.shared(forger, world.west)
    world.monotonic.now += 3600
    verifier.verify(world.east.token())
    world.run_background()
    assert verifier.verify(world.east.token())
    with pytest.raises(SignatureError):
        verifier.verify(forger.token())


def test_a_fetch_that_fails_is_logged_without_a_token(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.server.down.add(world.east.issuer.key_set_url)
    token = world.east.token()
    with caplog.at_level(logging.DEBUG), pytest.raises(KeysUnavailableError):
        world.verifier().verify(token)
    assert world.east.issuer.key_set_url in caplog.text
    assert token[:20] not in caplog.text


def test_an_os_error_of_a_custom_fetcher_counts_as_unavailable(world: World) -> None:
    def fetch(_url: str) -> bytes:
        raise ConnectionResetError

    with pytest.raises(KeysUnavailableError):
        world.verifier(fetch=fetch).verify(world.east.token())


# -- selection of keys -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        {"kty": "EC"},
        {"kty": "oct", "k": "AAAA"},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"alg": None},
        {"use": "enc"},
        {"use": None},
        {"key_ops": ["sign"]},
        {"key_ops": ["sign", "verify"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"key_ops": None},
        {"kid": None},
        {"kid": 1},
        {"kid": ""},
        {"kid": "two words"},
        {"kid": "x" * 257},
        {"n": None},
        {"n": "!!"},
        {"n": "AQAB"},
        {"e": None},
        {"e": "AQ"},
        {"e": "AA"},
        {"e": "Aw"},  # 3
        {"e": "AAEAAQ"},  # 65537 with a zero in front
        {"e": "AQAC"},  # even
        {"e": "AQAAAAAAAAAB"},  # beyond 8 bytes
        {"iss": "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_EXAMPLE22"},
        {"iss": 1},
    ],
)
def test_a_key_for_another_use_is_ignored(world: World, members: dict[str, Any]) -> None:
    document = {"keys": [{**world.east.jwk, **members}]}
    assert keys_of(document, world.east.issuer.url) == {}


@pytest.mark.parametrize("name", ["alg", "use", "kid", "kty", "n", "e"])
def test_a_key_without_one_of_its_members_is_ignored(world: World, name: str) -> None:
    document = {"keys": [{key: value for key, value in world.east.jwk.items() if key != name}]}
    assert keys_of(document, world.east.issuer.url) == {}


def test_a_key_for_verification_only_is_used(world: World) -> None:
    document = {"keys": [{**world.east.jwk, "key_ops": ["verify"]}]}
    assert keys_of(document, world.east.issuer.url)


_members = st.one_of(
    st.none(),
    st.sampled_from(["RSA", "RS256", "RS384", "sig", "enc", "EC", "a", "two words", ""]),
    st.sampled_from([3, 65_535, 65_536, 65_537, 65_539, 2**63 + 1, 2**64 + 1]).map(
        lambda number: encode(number.to_bytes(9).lstrip(b"\0"))
    ),
    st.sampled_from([2_047, 2_048, 8_192, 8_193]).flatmap(
        lambda bits: st.sampled_from([1, 2, 0]).map(
            lambda low: encode(((1 << (bits - 1)) + low).to_bytes((bits + 7) // 8))
        )
    ),
    st.sampled_from(["AAEAAQ", "AQAB==", "AQ=B", "!!"]),
)


@given(changes=st.dictionaries(st.sampled_from(["kty", "alg", "use", "kid", "n", "e"]), _members))
def test_a_key_is_used_exactly_if_the_service_would_publish_it(changes: dict[str, Any]) -> None:
    issuer = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_EXAMPLE11"
    document = {"keys": [{**jwk(private_key(EAST), "kid"), **changes}]}
    try:
        published = {key.key_id for key in published_by_the_service(document)}
    except KeysUnavailableByTheService:
        published = set()
    assert keys_of(document, issuer).get(issuer, {}).keys() == published


def test_a_short_key_is_ignored() -> None:
    document = {"keys": [jwk(private_key("short", 1024), "short")]}
    assert keys_of(document, "https://issuer.example") == {}


def test_a_very_long_key_is_ignored(world: World) -> None:
    key = {**world.east.jwk, "n": encode(b"\xff" * 2048)}
    assert keys_of({"keys": [key]}, world.east.issuer.url) == {}


@pytest.mark.parametrize("name", ["attacker", EAST])
def test_a_key_set_with_two_keys_of_one_id_is_refused(world: World, name: str) -> None:
    second = jwk(private_key(name), world.east.kid)
    for listed in ([world.east.jwk, second], [second, world.east.jwk]):
        with pytest.raises(ValueError, match="same ID"):
            keys_of({"keys": listed}, "https://issuer.example")


def test_two_issuers_may_have_keys_of_one_id(world: World) -> None:
    west = pool(WEST, kid=world.east.kid)
    assert len(keys_of(world.shared(world.east, west), None)) == 2


def test_a_refresh_with_two_keys_of_one_id_changes_no_known_key(world: World) -> None:
    forger = pool(EAST, kid=world.east.kid, key="attacker")
    verifier = world.verifier()
    verifier.verify(world.east.token())
    url = world.east.issuer.key_set_url
    world.server.documents[url] = {"keys": [forger.jwk, world.east.jwk]}
    world.monotonic.now += 3600
    verifier.verify(world.east.token())
    world.run_background()
    assert verifier.verify(world.east.token())
    with pytest.raises(SignatureError):
        verifier.verify(forger.token())


def test_a_shared_key_without_an_issuer_is_ignored(world: World) -> None:
    assert keys_of(world.east.jwks, None) == {}


def test_a_shared_key_verifies_for_the_issuer_that_it_names_only(world: World) -> None:
    forger = pool(WEST, kid="forged", key="attacker")
    world.server.documents[SHARED_URL] = {
        "keys": [*world.shared()["keys"], {**forger.jwk, "iss": world.east.issuer.url}]
    }
    verifier = world.verifier(keys=SHARED_URL)
    with pytest.raises(UnknownKeyError):
        verifier.verify(forger.token())


def test_a_key_replaced_under_its_id_no_longer_verifies(world: World) -> None:
    verifier = world.verifier()
    verifier.verify(world.east.token())
    replaced = pool(EAST, kid=world.east.kid, key="rotated")
    world.server.documents[world.east.issuer.key_set_url] = replaced.jwks
    world.monotonic.now += 3600
    verifier.verify(world.east.token())
    world.run_background()
    with pytest.raises(SignatureError):
        verifier.verify(world.east.token())
    assert verifier.verify(replaced.token())


@given(
    document=st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["keys", "kty", "kid", "n", "e", "alg", "use", "iss"]), inner
            )
        ),
    )
)
def test_any_key_set_document_is_parsed_or_refused(document: object) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(keys_of(document, "https://issuer.example"), dict)


# -- concurrency -----------------------------------------------------------------------------------


@dataclass
class SlowServer(KeyServer):
    """Server that answers when released."""

    entered: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, url: str) -> bytes:
        answer = super().__call__(url)
        self.entered.set()
        assert self.go.wait(30)
        return answer


def in_threads(count: int, work: Any) -> tuple[list[threading.Thread], list[object]]:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as err:  # noqa: BLE001 - the outcome is what is looked at
            results.append(err)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


def test_concurrent_requests_share_one_fetch(world: World) -> None:
    server = SlowServer(world.server.documents)
    verifier = world.verifier(fetch=server)
    threads, results = in_threads(16, lambda: verifier.verify(world.east.token()).issuer)
    assert server.entered.wait(30)
    server.go.set()
    for thread in threads:
        thread.join(30)
    assert results == [world.east.issuer.url] * 16
    assert len(server.asked) == 1


def test_known_keys_verify_during_a_fetch(world: World) -> None:
    server = SlowServer(world.server.documents)
    server.go.set()
    verifier = world.verifier(fetch=server)
    verifier.load_keys()
    server.entered.clear()
    server.go.clear()
    world.monotonic.now += 10
    threads, results = in_threads(
        1, lambda: verifier.verify(world.east.token(header={"kid": "made-up"}))
    )
    assert server.entered.wait(30)
    assert verifier.verify(world.east.token())  # while a fetch of the same issuer hangs
    assert verifier.verify(world.west.token())
    assert not results
    server.go.set()
    threads[0].join(30)
    assert isinstance(results[0], UnknownKeyError)


def test_a_flood_of_unknown_key_ids_during_an_outage_blocks_one_thread(world: World) -> None:
    """The first thread waits for an issuer that hangs; the others fail at once as unavailable."""
    server = SlowServer(world.server.documents)
    server.go.set()
    verifier = world.verifier(fetch=server)
    verifier.load_keys()
    server.down.add(world.east.issuer.key_set_url)
    made_up = world.east.token(header={"kid": "made-up"})
    world.monotonic.now += 10
    with pytest.raises(KeysUnavailableError):
        verifier.verify(made_up)
    server.down.clear()  # from here on it answers slowly
    server.entered.clear()
    server.go.clear()
    world.monotonic.now += 10
    threads, results = in_threads(1, lambda: verifier.verify(made_up))
    assert server.entered.wait(30)
    for _ in range(100):
        with pytest.raises(KeysUnavailableError):
            verifier.verify(made_up)
    assert verifier.verify(world.east.token())
    assert not results
    server.go.set()
    threads[0].join(30)
    assert isinstance(results[0], UnknownKeyError)
    with pytest.raises(UnknownKeyError):  # the outage is over, and the interval is not
        verifier.verify(made_up)


def test_key_rotation_under_load_refuses_no_token(world: World) -> None:
    verifier = world.verifier(pace=Pace(cool_down=1, refresh_after=1), background=in_a_thread)
    verifier.load_keys()
    rotated = new_key(world)
    stop = time.monotonic() + 0.5

    def hammer() -> int:
        count = 0
        while time.monotonic() < stop or not count:
            world.monotonic.now += 0.5
            verifier.verify(world.east.token())
            verifier.verify(rotated.token())
            count += 1
        return count

    world.monotonic.now += 10
    threads, results = in_threads(4, hammer)
    for thread in threads:
        thread.join(60)
    assert all(isinstance(result, int) for result in results), results
