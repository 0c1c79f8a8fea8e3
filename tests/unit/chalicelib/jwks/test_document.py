"""Selection and retention of signing keys, and storage and publication of the snapshot."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import KeysUnavailableError, MalformedSecretError
from chalicelib.jwks import document as jwks
from chalicelib.jwks.document import HEARTBEAT_SECONDS, RETIRED_SECONDS, KeySnapshot, SigningKey
from tests.fake_keys import (
    EAST_ISSUER,
    WEST_ISSUER,
    base64url,
    both_pools,
    jwk,
    key,
    modulus,
)

NOW = 1_800_000_000


# Selection


def test_an_issuers_keys_are_sorted() -> None:
    content = {"keys": [jwk("b"), jwk("a")]}
    assert jwks.keys_of(content) == (key("a"), key("b"))


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "EC"},
        {"kty": None},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": None},
        {"use": "enc"},
        {"use": None},
        {"kid": None},
        {"kid": ""},
        {"kid": 7},
        {"kid": "with a space"},
        {"kid": "x" * 257},
        {"n": None},
        {"n": 65_537},
        {"n": modulus("good") + "="},
        {"n": modulus("good") + "\n"},
        {"n": "AAAA" + modulus("good")},
        {"n": modulus("good", 2_040)},
        {"n": base64url((1 << 2_047) | 2)},
        {"n": base64url((1 << 9_000) | 1)},
        {"e": None},
        {"e": "AQ"},
        {"e": "Aw"},
        {"e": base64url(65_536)},
        {"e": base64url((1 << 64) | 1)},
        {"e": "AQAB=="},
    ],
)
def test_keys_other_than_rs256_of_2048_bits_are_left_out(changes: dict[str, Any]) -> None:
    assert jwks.keys_of({"keys": [jwk("good"), jwk("other", **changes)]}) == (key("good"),)
    with pytest.raises(KeysUnavailableError):
        jwks.keys_of({"keys": [jwk("other", **changes)]})


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"keys": None},
        {"keys": {}},
        {"keys": []},
        {"keys": [None, 1, "x", []]},
        {"keys": [jwk("a")] * (jwks.MOST_KEYS + 1)},
        {"keys": [jwk("a"), jwk("a")]},
    ],
)
def test_an_invalid_key_set_is_refused(content: object) -> None:
    with pytest.raises(KeysUnavailableError):
        jwks.keys_of(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["keys", "kid", "n", "e", "kty", "alg", "use"]), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_document_is_a_crash(content: object) -> None:
    with pytest.raises(KeysUnavailableError):
        jwks.keys_of(content)
    with pytest.raises(KeysUnavailableError):
        jwks.keys_of({"keys": [content]})


# Retention


def test_the_first_answers_become_the_snapshot() -> None:
    after = jwks.merged(jwks.EMPTY, {EAST_ISSUER: (key("a"),), WEST_ISSUER: None}, NOW)
    assert after == KeySnapshot({EAST_ISSUER: (key("a"),)}, {EAST_ISSUER: NOW})


def test_a_removed_key_is_kept_for_the_longest_token_lifetime() -> None:
    before = KeySnapshot({EAST_ISSUER: (key("old"),)}, {EAST_ISSUER: NOW})
    after = jwks.merged(before, {EAST_ISSUER: (key("new"),)}, NOW)
    assert after.keys[EAST_ISSUER] == (key("new"), key("old", NOW))
    later = jwks.merged(after, {EAST_ISSUER: (key("new"),)}, NOW + RETIRED_SECONDS - 1)
    assert later.keys == after.keys
    gone = jwks.merged(later, {EAST_ISSUER: (key("new"),)}, NOW + RETIRED_SECONDS)
    assert gone.keys[EAST_ISSUER] == (key("new"),)


def test_a_removed_key_that_reappears_is_kept() -> None:
    before = KeySnapshot({EAST_ISSUER: (key("a"), key("b", NOW - 9))}, {EAST_ISSUER: NOW})
    after = jwks.merged(before, {EAST_ISSUER: (key("a"), key("b"))}, NOW)
    assert after.keys[EAST_ISSUER] == (key("a"), key("b"))


def test_an_issuer_that_does_not_answer_keeps_its_keys_indefinitely() -> None:
    before = KeySnapshot({EAST_ISSUER: (key("a"), key("b", NOW))}, {EAST_ISSUER: NOW})
    after = jwks.merged(before, {EAST_ISSUER: None}, NOW + 10 * RETIRED_SECONDS)
    assert after == before


def test_keys_of_a_replaced_pool_are_kept_for_a_token_lifetime() -> None:
    before = both_pools()
    replaced = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Another01"
    answers = {replaced: (key("another"),), WEST_ISSUER: (key("west"),)}
    after = jwks.merged(before, answers, NOW)
    assert after.keys[EAST_ISSUER] == (key("east", NOW),)
    assert EAST_ISSUER not in after.seen_at
    gone = jwks.merged(after, answers, NOW + RETIRED_SECONDS)
    assert gone.keys.keys() == {replaced, WEST_ISSUER}


ids = st.sampled_from(["a", "b", "c", "d"])
answers = st.fixed_dictionaries(
    dict.fromkeys(
        (EAST_ISSUER, WEST_ISSUER),
        st.none() | st.sets(ids, min_size=1).map(lambda named: tuple(map(key, sorted(named)))),
    )
)


@given(st.lists(st.tuples(answers, st.integers(0, RETIRED_SECONDS)), max_size=12))
def test_no_key_is_lost_before_tokens_that_it_signed_have_expired(
    runs: list[tuple[dict[str, tuple[SigningKey, ...] | None], int]],
) -> None:
    snapshot, now = jwks.EMPTY, NOW
    named: dict[tuple[str, str], int] = {}
    for answered, seconds in runs:
        now += seconds
        before, snapshot = snapshot, jwks.merged(snapshot, answered, now)
        for issuer, keys in answered.items():
            named |= {(issuer, each.key_id): now for each in keys or ()}
            if keys is None:
                assert snapshot.keys.get(issuer) == before.keys.get(issuer)
        for (issuer, key_id), at in named.items():
            kept = key_id in {each.key_id for each in snapshot.keys[issuer]}
            assert kept or now - at >= RETIRED_SECONDS
        # An unchanged answer is not worth a new version.
        assert not jwks.worth_writing(snapshot, jwks.merged(snapshot, answered, now))


def test_unchanged_keys_are_written_once_per_heartbeat() -> None:
    before = KeySnapshot({EAST_ISSUER: (key("a"),)}, {EAST_ISSUER: NOW})
    answered = {EAST_ISSUER: (key("a"),)}
    soon = jwks.merged(before, answered, NOW + HEARTBEAT_SECONDS - 1)
    assert not jwks.worth_writing(before, soon)
    assert jwks.worth_writing(before, jwks.merged(before, answered, NOW + HEARTBEAT_SECONDS))
    lost = jwks.merged(before, {EAST_ISSUER: None}, NOW + 10 * HEARTBEAT_SECONDS)
    assert not jwks.worth_writing(before, lost)


# Publication and storage


def test_each_key_is_shown_with_its_issuer() -> None:
    shown = json.loads(jwks.document(both_pools()).body)
    assert {(each["kid"], each["iss"]) for each in shown["keys"]} == {
        ("east", EAST_ISSUER),
        ("west", WEST_ISSUER),
    }
    for each in shown["keys"]:
        assert each.keys() == {"kty", "alg", "use", "kid", "n", "e", "iss"}
    # A reader that does not know `iss` (RFC 7517 §4) understands the rest.
    assert {each.key_id for each in jwt.PyJWKSet(shown["keys"]).keys} == {"east", "west"}


def test_the_etag_follows_the_keys_and_nothing_else() -> None:
    first = both_pools()
    seen_later = KeySnapshot(first.keys, {EAST_ISSUER: 9, WEST_ISSUER: 9})
    assert jwks.document(first) == jwks.document(seen_later)
    fewer = KeySnapshot({EAST_ISSUER: first.keys[EAST_ISSUER]}, first.seen_at)
    assert jwks.document(first).etag != jwks.document(fewer).etag


def test_no_keys_are_no_document() -> None:
    with pytest.raises(MalformedSecretError):
        jwks.document(jwks.EMPTY)


@pytest.mark.parametrize(
    "snapshot",
    [
        jwks.EMPTY,
        both_pools(),
        KeySnapshot({EAST_ISSUER: (key("a", NOW), key("b"))}, {EAST_ISSUER: NOW}),
    ],
)
def test_a_snapshot_is_read_as_it_was_written(snapshot: KeySnapshot) -> None:
    assert jwks.snapshot_from_json(jwks.snapshot_to_json(snapshot)) == snapshot


def test_the_largest_snapshot_of_common_keys_fits_a_secret() -> None:
    """The limit is 65,536 characters; a pool has two keys, and two more during a change."""
    keys = tuple(SigningKey(f"{'k' * 40}{n}", modulus("a"), "AQAB", NOW) for n in range(16))
    snapshot = KeySnapshot({EAST_ISSUER: keys, WEST_ISSUER: keys}, {})
    assert len(jwks.snapshot_to_json(snapshot)) < 65_536 / 2


STORED = json.loads(jwks.snapshot_to_json(both_pools()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps({**STORED, "schema": 2}),
        json.dumps({**STORED, "keys": []}),
        json.dumps({**STORED, "keys": {EAST_ISSUER: [{"kid": "x"}]}}),
        json.dumps({**STORED, "keys": {EAST_ISSUER: [{**jwk("x"), "missing_since": "1"}]}}),
        json.dumps({**STORED, "keys": {EAST_ISSUER: [{**jwk("x", n="AQAB"), "missing_since": 1}]}}),
        json.dumps({**STORED, "keys": {"http://evil.example/x": []}}),
        json.dumps({**STORED, "seen_at": {EAST_ISSUER: -1}}),
        json.dumps({**STORED, "seen_at": {EAST_ISSUER: True}}),
        "[" * 100_000,
    ],
)
def test_a_foreign_snapshot_is_malformed(text: str) -> None:
    with pytest.raises(MalformedSecretError):
        jwks.snapshot_from_json(text)
