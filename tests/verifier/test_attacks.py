"""Forged tokens: each is refused with its error and causes no fetch."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from surrogate_verifier import (
    AlgorithmError,
    ClaimError,
    DuplicateMemberError,
    ExpiredError,
    HeaderError,
    MalformedTokenError,
    NotYetValidError,
    SignatureError,
    TokenError,
    TokenTooLargeError,
    TokenUseError,
    UnknownIssuerError,
    UnknownKeyError,
    VerifierError,
)
from tests.verifier.world import NOW, World, encode, jwk, pool, private_key

Attack = Callable[[World], str]
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def with_header(**members: Any) -> Attack:
    return lambda world: world.east.token(header=members)


def with_claims(**claims: Any) -> Attack:
    return lambda world: world.east.token(**claims)


def unsigned(algorithm: str) -> Attack:
    def attack(world: World) -> str:
        head, payload, _ = world.east.token(header={"alg": algorithm}).split(".")
        return f"{head}.{payload}."

    return attack


def hs256_with_the_public_key(world: World) -> str:
    public = world.east.key.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    signed = ".".join(
        encode(json.dumps(part).encode())
        for part in (world.east.header(alg="HS256"), world.east.claims())
    )
    return f"{signed}.{encode(hmac.digest(public, signed.encode(), hashlib.sha256))}"


def own_key(world: World) -> dict[str, object]:
    return jwk(private_key("attacker"), world.east.kid)


def signed_by(key: str, **header: object) -> Attack:
    def attack(world: World) -> str:
        forger = pool("us-east-1_EXAMPLE11", kid=world.east.kid, key=key)
        return forger.token(header=header)

    return attack


def foreign_pool(pool_id: str) -> Attack:
    """Sign with the attacker's key in the attacker's pool, under the same key ID."""
    return lambda world: pool(pool_id, kid=world.east.kid, key="attacker").token()


def says_other_issuer(world: World) -> str:
    return world.west.token(header={"kid": world.east.kid}, iss=world.east.issuer.url)


def duplicate(part: str) -> Attack:
    def attack(world: World) -> str:
        header, payload = json.dumps(world.east.header()), json.dumps(world.east.claims())
        if part == "header":
            header = header[:-1] + ', "alg": "RS256"}'
        elif part == "payload":
            payload = payload[:-1] + ', "client_id": "somebody-else"}'
        else:
            payload = payload[:-1] + ', "nested": {"a": 1, "a": 2}}'
        return world.east.sign(header, payload)

    return attack


def payload(text: str | bytes) -> Attack:
    return lambda world: world.east.sign(json.dumps(world.east.header()), text)


def exp_infinite(world: World) -> str:
    claims = json.dumps(world.east.claims(exp="EXP")).replace('"EXP"', "1e999")
    return payload(claims)(world)


def header(text: str | bytes) -> Attack:
    return lambda world: world.east.sign(text, json.dumps(world.east.claims()))


def stray_bits(part: int) -> Attack:
    """Spell a segment in another way that decodes to the same bytes."""

    def attack(world: World) -> str:
        # A segment whose length leaves unused bits: pad the header or payload until it does.
        for filler in ("", "x", "xx"):
            token = world.east.token(header={"cty": filler}, filler=filler)
            parts = token.split(".")
            if len(parts[part]) % 4 in (2, 3):
                last = ALPHABET.index(parts[part][-1])
                parts[part] = parts[part][:-1] + ALPHABET[last ^ 1]
                return ".".join(parts)
        raise AssertionError

    return attack


ATTACKS: dict[str, tuple[Attack, type[VerifierError]]] = {
    "alg none, no signature": (unsigned("none"), MalformedTokenError),
    "alg none, a signature": (with_header(alg="none"), AlgorithmError),
    "alg nOnE": (with_header(alg="nOnE"), AlgorithmError),
    "alg missing": (with_header(alg=None), AlgorithmError),
    "alg a list": (with_header(alg=["RS256"]), AlgorithmError),
    "alg RS512": (with_header(alg="RS512"), AlgorithmError),
    "alg PS256": (with_header(alg="PS256"), AlgorithmError),
    "HS256 with the public key": (hs256_with_the_public_key, AlgorithmError),
    "RS256 on the header of HS256": (with_header(alg="HS256"), AlgorithmError),
    "a key of one's own under a known key ID": (signed_by("attacker"), SignatureError),
    "a jwk header with it": (
        lambda world: signed_by("attacker", jwk=own_key(world))(world),
        HeaderError,
    ),
    "a jku header to it": (
        signed_by("attacker", jku="https://evil.example/jwks.json"),
        HeaderError,
    ),
    "an x5u header": (signed_by("attacker", x5u="https://evil.example/x.pem"), HeaderError),
    "an x5c header": (signed_by("attacker", x5c=["AAAA"]), HeaderError),
    "a jku header to the right place": (
        lambda world: world.east.token(header={"jku": world.east.issuer.key_set_url}),
        HeaderError,
    ),
    "crit": (with_header(crit=["exp"]), HeaderError),
    "crit, empty": (with_header(crit=[]), HeaderError),
    "crit with b64": (with_header(crit=["b64"], b64=False), HeaderError),
    "b64": (with_header(b64=False), HeaderError),
    "compressed": (with_header(zip="DEF"), HeaderError),
    "typ of something else": (with_header(typ="dpop+jwt"), HeaderError),
    "typ a number": (with_header(typ=1), HeaderError),
    "kid with a path": (with_header(kid="../../../../dev/null"), UnknownKeyError),
    "kid with SQL": (with_header(kid="x'UNION-SELECT'secret"), UnknownKeyError),
    "kid with a URL": (with_header(kid="https://evil.example/jwks.json"), UnknownKeyError),
    "kid with a line break": (with_header(kid="a\nb"), HeaderError),
    "kid empty": (with_header(kid=""), HeaderError),
    "kid missing": (with_header(kid=None), HeaderError),
    "kid a number": (with_header(kid=7), HeaderError),
    "kid very long": (with_header(kid="k" * 5000), HeaderError),
    "kid of another issuer": (
        lambda world: world.east.token(header={"kid": world.west.kid}),
        UnknownKeyError,
    ),
    "a trusted issuer's key in another one's name": (says_other_issuer, SignatureError),
    "a foreign pool, the same key ID": (foreign_pool("us-east-1_FOREIGN"), UnknownIssuerError),
    "issuer with a slash more": (
        lambda world: world.east.token(iss=world.east.issuer.url + "/"),
        UnknownIssuerError,
    ),
    "issuer in capitals": (
        lambda world: world.east.token(iss=world.east.issuer.url.upper()),
        UnknownIssuerError,
    ),
    "issuer missing": (with_claims(iss=None), ClaimError),
    "issuer a list": (
        lambda world: world.east.token(iss=[world.east.issuer.url]),
        ClaimError,
    ),
    "expired": (with_claims(exp=NOW - 31), ExpiredError),
    "expired in this second": (with_claims(exp=NOW - 30), ExpiredError),
    "exp missing": (with_claims(exp=None), ClaimError),
    "exp a text": (with_claims(exp=str(NOW + 60)), ClaimError),
    "exp true": (with_claims(exp=True), ClaimError),
    "exp infinite": (exp_infinite, ClaimError),
    "exp endless": (with_claims(exp=10**400), ClaimError),
    "not yet valid": (with_claims(nbf=NOW + 31), NotYetValidError),
    "nbf a text": (with_claims(nbf="0"), ClaimError),
    "issued in the future": (with_claims(iat=NOW + 31), NotYetValidError),
    "iat missing": (with_claims(iat=None), ClaimError),
    "an ID token": (with_claims(token_use="id", aud="app", client_id=None), TokenUseError),
    "token_use missing": (with_claims(token_use=None), TokenUseError),
    "token_use a list": (with_claims(token_use=["access"]), TokenUseError),
    "client_id missing": (with_claims(client_id=None), ClaimError),
    "client_id a number": (with_claims(client_id=1), ClaimError),
    "client_id empty": (with_claims(client_id=""), ClaimError),
    "surrogate_client_id a list": (with_claims(surrogate_client_id=["x"]), ClaimError),
    "surrogate_client_id with a line break": (
        with_claims(surrogate_client_id="a\nb"),
        ClaimError,
    ),
    "scope a list": (with_claims(scope=["demo/read"]), ClaimError),
    "duplicate in the header": (duplicate("header"), DuplicateMemberError),
    "duplicate in the payload": (duplicate("payload"), DuplicateMemberError),
    "duplicate deeper in the payload": (duplicate("nested"), DuplicateMemberError),
    "payload no object": (payload("[1]"), MalformedTokenError),
    "payload no JSON": (payload("{'iss': 1}"), MalformedTokenError),
    "payload with NaN": (payload('{"iss": "x", "exp": NaN}'), MalformedTokenError),
    "payload not UTF-8": (payload(b'{"iss": "\xff"}'), MalformedTokenError),
    "payload with an endless number": (
        payload('{"exp": ' + "9" * 5000 + "}"),
        MalformedTokenError,
    ),
    "payload very deep": (payload('{"a":' * 1500 + "1" + "}" * 1500), MalformedTokenError),
    "payload of many lists": (payload('{"a":[' + "[]," * 1500 + "[]]}"), MalformedTokenError),
    "payload very deep beside a text": (
        payload('{"t":"\\"[","a":' * 600 + "1" + "}" * 600),
        MalformedTokenError,
    ),
    "payload with a text that does not end": (
        payload('{"a":"' + '\\"[' * 1500),
        MalformedTokenError,
    ),
    "payload with a byte order mark": (payload(b"\xef\xbb\xbf{}"), MalformedTokenError),
    "header no object": (header('"RS256"'), MalformedTokenError),
    "header no JSON": (header("alg: RS256"), MalformedTokenError),
    "oversized": (with_claims(padding="x" * 16_384), TokenTooLargeError),
    "truncated": (lambda world: world.east.token()[:-22], SignatureError),
    "truncated to the payload": (
        lambda world: world.east.token().rpartition(".")[0],
        MalformedTokenError,
    ),
    "four segments": (lambda world: world.east.token() + ".x", MalformedTokenError),
    "five segments, as if encrypted": (
        lambda world: world.east.token() + ".eHh4.eHh4",
        MalformedTokenError,
    ),
    "padding": (lambda world: world.east.token() + "==", MalformedTokenError),
    "a line break at the end": (lambda world: world.east.token() + "\n", MalformedTokenError),
    "a space before": (lambda world: " " + world.east.token(), MalformedTokenError),
    "the other base64 alphabet": (
        lambda world: world.east.token().replace("-", "+").replace("_", "/") + "+",
        MalformedTokenError,
    ),
    "stray bits in the header": (stray_bits(0), MalformedTokenError),
    "stray bits in the payload": (stray_bits(1), MalformedTokenError),
    "stray bits in the signature": (stray_bits(2), MalformedTokenError),
    "empty": (lambda _: "", MalformedTokenError),
    "three dots": (lambda _: "...", MalformedTokenError),
    "not ASCII": (lambda world: world.east.token() + "é", MalformedTokenError),
    "signature of zeros": (
        lambda world: world.east.token().rpartition(".")[0] + "." + encode(bytes(256)),
        SignatureError,
    ),
    "signature of another token": (
        lambda world: (
            world.east.token(scope="admin").rpartition(".")[0]
            + "."
            + world.east.token().rpartition(".")[2]
        ),
        SignatureError,
    ),
}


def attack(name: str, world: World) -> str:
    return ATTACKS[name][0](world)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_with_its_error_and_causes_no_fetch(name: str) -> None:
    world = World()
    verifier = world.verifier()
    verifier.load_keys()
    world.server.asked.clear()
    with pytest.raises(ATTACKS[name][1]) as refused:
        verifier.verify(attack(name, world))
    assert type(refused.value) is ATTACKS[name][1]
    assert not world.server.asked


def test_all_attacks_together_cost_one_fetch_per_issuer_and_pause() -> None:
    world = World()
    verifier = world.verifier()
    verifier.load_keys()
    world.server.asked.clear()
    world.monotonic.now += 10
    for _ in range(3):
        for name in ATTACKS:
            with pytest.raises(TokenError):
                verifier.verify(attack(name, world))
    assert world.server.asked == [world.east.issuer.key_set_url]


@pytest.mark.parametrize("name", ATTACKS)
def test_the_error_for_an_attack_has_no_part_of_the_token(name: str) -> None:
    world = World()
    token = attack(name, world)
    with pytest.raises(VerifierError) as refused:
        world.verifier().verify(token)
    said = f"{refused.value} {refused.value!r} {refused.value.__cause__}"
    assert refused.value.__cause__ is None
    assert len(said) < 200
    for part in filter(None, token.split(".")):
        assert part[:12] not in said


def test_the_unmodified_tokens_of_the_attacks_are_accepted() -> None:
    world = World()
    assert world.verifier().verify(world.east.token()).issuer == world.east.issuer.url
    assert world.verifier().verify(world.west.token()).issuer == world.west.issuer.url


WORLD = World()
TOKEN = WORLD.east.token()
VERIFIER = WORLD.verifier()
VERIFIER.load_keys()


@given(at=st.integers(0, len(TOKEN) - 1), character=st.characters(max_codepoint=0x2FF))
def test_no_token_survives_the_change_of_one_character(at: int, character: str) -> None:
    mutated = TOKEN[:at] + character + TOKEN[at + 1 :]
    if mutated == TOKEN:
        assert VERIFIER.verify(mutated)
        return
    with pytest.raises(TokenError):
        VERIFIER.verify(mutated)


@given(start=st.integers(0, len(TOKEN)), end=st.integers(0, len(TOKEN)), put=st.text(max_size=20))
def test_no_token_survives_a_cut_or_an_insertion(start: int, end: int, put: str) -> None:
    mutated = TOKEN[:start] + put + TOKEN[max(start, end) :]
    if mutated == TOKEN:
        return
    with pytest.raises(TokenError):
        VERIFIER.verify(mutated)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    changes=st.dictionaries(
        st.sampled_from([*WORLD.east.claims(), "nbf", "aud"]), json_values, min_size=1
    )
)
def test_any_signed_token_is_verified_or_raises_token_error(
    changes: dict[str, object],
) -> None:
    payload = json.dumps({**WORLD.east.claims(), **changes})
    token = WORLD.east.sign(json.dumps(WORLD.east.header()), payload)
    try:
        verified = VERIFIER.verify(token)
    except TokenError:
        return
    assert verified.issuer == WORLD.east.issuer.url
    assert verified.expires_at > NOW - 30
    assert isinstance(verified.app_client_id, str)
    assert isinstance(verified.client_id, str)


@given(content=st.text() | st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"))
def test_any_garbage_is_refused_and_causes_no_fetch(content: str) -> None:
    before = len(WORLD.server.asked)
    with pytest.raises(TokenError):
        VERIFIER.verify(content)
    assert len(WORLD.server.asked) == before
