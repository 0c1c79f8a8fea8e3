"""
Key set of both pools: validation of keys, merging, retirement, JSON.

A key belongs to one issuer, and a verifier must refuse it for another one; so each
key is stored and published with its issuer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from chalicelib.errors import KeysUnavailableError, MalformedSecretError
from chalicelib.unknown_members import (
    NOTHING,
    Shape,
    UnknownMembers,
    unknown_members,
    with_unknown_members,
)

LEAST_BITS: Final = 2_048
_MOST_BITS: Final = 8_192
# FIPS 186-5 §5.1; Cognito's is 65537.
_LEAST_EXPONENT: Final = 65_537
_MOST_EXPONENT_BYTES: Final = 8

MOST_KEYS: Final = 24
"""Most keys in one issuer's set; Cognito's pools have two."""

RETIRED_SECONDS: Final = 86_400
"""How long a key that its issuer no longer publishes is kept: the longest life of a token."""

HEARTBEAT_SECONDS: Final = 21_600
"""Least age at which a new *seen_at* alone is worth a version of the secret."""

_SCHEMA: Final = 1
_SNAPSHOT: Final = Shape(
    frozenset({"schema", "seen_at", "keys"}),
    maps={"keys": Shape(frozenset({"kid", "n", "e", "missing_since"}), identity="kid")},
)
_KEY_ID: Final = re.compile(r"[\x21-\x7e]{1,256}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_ISSUER: Final = re.compile(r"https://[a-z0-9.-]+/[0-9A-Za-z_-]+")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """
    An RSA key of one issuer, for RS256; *modulus* and *exponent* as in a JWK (RFC 7518 §6.3).

    *missing_since* is the first time that its issuer's set was read without it.
    """

    key_id: str
    modulus: str
    exponent: str
    missing_since: int | None = None


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """
    The keys of each issuer.

    *seen_at* is when an issuer last published its keys, exact to `HEARTBEAT_SECONDS`.
    *unknown*: members that a newer version stored.
    """

    keys: Mapping[str, tuple[SigningKey, ...]]
    seen_at: Mapping[str, int]
    unknown: UnknownMembers = field(default=NOTHING, repr=False)


@dataclass(frozen=True, slots=True)
class KeyDocument:
    """Body of `/.well-known/jwks.json`, and its strong validator (RFC 9110 §8.8.3)."""

    body: str
    etag: str


EMPTY: Final = KeySnapshot({}, {})


def keys_of(content: object) -> tuple[SigningKey, ...]:
    """
    Return the RS256 keys of at least `LEAST_BITS` in an issuer's JWK set (RFC 7517 §5).

    Raises:
        KeysUnavailableError: If it has none, or is not a JWK set.
    """
    listed = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise KeysUnavailableError("It is not a JWK set.")
    found = [key for key in map(_key_of, listed) if key is not None]
    if not found:
        raise KeysUnavailableError(f"It has no RS256 key of at least {LEAST_BITS} bits.")
    if len({key.key_id for key in found}) != len(found):
        raise KeysUnavailableError("Two of its keys have the same ID.")
    return _sorted(found)


def _key_of(jwk: object) -> SigningKey | None:
    """Return *jwk* as a key, `None` if it has another purpose or is too weak."""
    if not isinstance(jwk, dict):
        return None
    if (jwk.get("kty"), jwk.get("alg"), jwk.get("use")) != ("RSA", "RS256", "sig"):
        return None
    key = SigningKey(jwk.get("kid"), jwk.get("n"), jwk.get("e"))  # type: ignore[arg-type]
    return key if _is_sound(key) else None


def _is_sound(key: SigningKey) -> bool:
    modulus, exponent = _number(key.modulus), _number(key.exponent)
    return (
        isinstance(key.key_id, str)
        and _KEY_ID.fullmatch(key.key_id) is not None
        and LEAST_BITS <= modulus.bit_length() <= _MOST_BITS
        and modulus % 2 == 1
        and _LEAST_EXPONENT <= exponent < 1 << (8 * _MOST_EXPONENT_BYTES)
        and exponent % 2 == 1
    )


def _number(text: object) -> int:
    """Return the number whose Base64urlUInt (RFC 7518 §2) is *text*, 0 if there is none."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        return 0
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return 0
    canonical = base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text
    return int.from_bytes(raw) if canonical and raw[0] else 0


def merged(
    before: KeySnapshot, answers: Mapping[str, tuple[SigningKey, ...] | None], now: int
) -> KeySnapshot:
    """
    Return the snapshot after the issuers' *answers*, `None` for an issuer without one.

    An issuer that did not answer keeps all its keys.  A key that is missing from an
    answer stays for `RETIRED_SECONDS`; so does every key of an issuer that is not in
    *answers*, because its pool was replaced.
    """
    keys: dict[str, tuple[SigningKey, ...]] = {}
    seen_at = {issuer: at for issuer, at in before.seen_at.items() if issuer in answers}
    for issuer in sorted({*before.keys, *answers}):
        known, answer = before.keys.get(issuer, ()), answers.get(issuer, ())
        if answer is None:
            kept = known
        else:
            kept = _sorted([*answer, *_retired(known, answer, now)])
            if issuer in answers:
                seen_at[issuer] = now
        if kept:
            keys[issuer] = kept
    return KeySnapshot(keys, seen_at, before.unknown)


def _retired(
    known: Iterable[SigningKey], answer: Iterable[SigningKey], now: int
) -> Iterator[SigningKey]:
    named = {key.key_id for key in answer}
    for key in known:
        since = now if key.missing_since is None else key.missing_since
        if key.key_id not in named and now - since < RETIRED_SECONDS:
            yield replace(key, missing_since=since)


def _sorted(keys: Iterable[SigningKey]) -> tuple[SigningKey, ...]:
    return tuple(sorted(keys, key=lambda key: key.key_id))


def worth_writing(before: KeySnapshot, after: KeySnapshot) -> bool:
    """Return whether *after* is worth a new version of the secret, as versions are limited."""
    if before.keys != after.keys or before.seen_at.keys() != after.seen_at.keys():
        return True
    return any(
        at - before.seen_at[issuer] >= HEARTBEAT_SECONDS for issuer, at in after.seen_at.items()
    )


def document(snapshot: KeySnapshot) -> KeyDocument:
    """
    Return the JWK set of all keys in *snapshot*; the member `iss` is a key's issuer.

    Raises:
        MalformedSecretError: If there are none.
    """
    keys = [
        {
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": key.key_id,
            "n": key.modulus,
            "e": key.exponent,
            "iss": issuer,
        }
        for issuer in sorted(snapshot.keys)
        for key in snapshot.keys[issuer]
    ]
    if not keys:
        raise MalformedSecretError("There are no keys yet.")
    body = json.dumps({"keys": keys}, separators=(",", ":"))
    return KeyDocument(body, f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"')


def snapshot_to_json(snapshot: KeySnapshot) -> str:
    """Return *snapshot* as stored JSON."""
    content: dict[str, Any] = {
        "schema": _SCHEMA,
        "seen_at": dict(snapshot.seen_at),
        "keys": {
            issuer: [
                {
                    "kid": key.key_id,
                    "n": key.modulus,
                    "e": key.exponent,
                    "missing_since": key.missing_since,
                }
                for key in keys
            ]
            for issuer, keys in snapshot.keys.items()
        },
    }
    return json.dumps(
        with_unknown_members(content, _SNAPSHOT, snapshot.unknown), separators=(",", ":")
    )


def snapshot_from_json(text: str) -> KeySnapshot:
    """
    Return the snapshot that *text* holds.

    Raises:
        MalformedSecretError: If it is not valid in every part.
    """
    try:
        content = json.loads(text)
        if content["schema"] != _SCHEMA:
            raise MalformedSecretError("The schema is not known.")
        keys = {
            _issuer(issuer): tuple(map(_stored, listed))
            for issuer, listed in content["keys"].items()
        }
        seen_at = {_issuer(issuer): _time(at) for issuer, at in content["seen_at"].items()}
        unknown = unknown_members(content, _SNAPSHOT)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise MalformedSecretError(f"It is not a key snapshot: {type(err).__name__}.") from None
    return KeySnapshot(keys, seen_at, unknown)


def _stored(content: Any) -> SigningKey:  # noqa: ANN401 - JSON
    since = content["missing_since"]
    key = SigningKey(
        content["kid"], content["n"], content["e"], None if since is None else _time(since)
    )
    if not _is_sound(key):
        raise ValueError("A key is not sound.")
    return key


def _issuer(text: str) -> str:
    if not _ISSUER.fullmatch(text):
        raise ValueError("An issuer is malformed.")
    return text


def _time(at: object) -> int:
    if type(at) is not int or at < 0:
        raise ValueError("A time is malformed.")
    return at
