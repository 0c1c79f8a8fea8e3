"""Issued credentials, their stored hashes, and the cost of a refusal."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from base64 import b32encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Lock
from time import sleep
from typing import Literal
from urllib.parse import quote, unquote_plus

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import VerifyMismatchError
from argon2.low_level import verify_secret
from hypothesis import assume, example, given
from hypothesis import strategies as st

from chalicelib import credentials
from chalicelib.credentials import (
    ADOPTED_CLIENT_ID,
    CLIENT_ID,
    CLIENT_SECRET,
    OWASP_19_MIB,
    OWASP_19_MIB_DECOY,
    SecretHasher,
    Verified,
)
from chalicelib.errors import InvalidClientError
from chalicelib.model import (
    AppClientId,
    ClientId,
    IssuedCredentials,
    SecretId,
    Status,
    StoredSecret,
)
from tests.fakes import CountingArgon2, CountingBytes
from tests.gateway import TokenApi, basic
from tests.worlds import ADOPTED, FRESH, ExchangeWorld, cheap_hasher, request

NOW = 1_800_000_000
KEY = bytes(range(32))
GRANT = ("grant_type", "client_credentials")

# The formats as in README and secret scanners, repeated here: a change breaks
# their users.
PUBLISHED_CLIENT_ID = re.compile(r"sgc_[a-z2-7]{26}")
PUBLISHED_CLIENT_SECRET = re.compile(r"sgs_[0-9A-Za-z]{49}")

random_sources = st.randoms(use_true_random=False).map(lambda random: random.randbytes)
client_secrets = random_sources.map(credentials.new_client_secret)
# Possible ARNs and Idempotency-Keys, and texts that are easily confused.
texts = st.text(max_size=12) | st.text("ab\0\x01", max_size=4)


# Formats


@given(random_sources)
def test_ids_and_secrets_have_the_published_formats(random_bytes: credentials.RandomBytes) -> None:
    client_id = credentials.new_client_id(random_bytes)
    client_secret = credentials.new_client_secret(random_bytes)
    assert PUBLISHED_CLIENT_ID.fullmatch(client_id)
    assert PUBLISHED_CLIENT_SECRET.fullmatch(client_secret)
    assert CLIENT_ID.fullmatch(client_id)
    assert CLIENT_SECRET.fullmatch(client_secret)
    assert credentials.is_client_id(client_id)
    assert credentials.is_client_secret(client_secret)
    assert len(client_secret) == 53


def test_the_published_formats_have_not_changed() -> None:
    """Secret scanners have copies of these, and of the checksum rule."""
    assert CLIENT_ID.pattern == PUBLISHED_CLIENT_ID.pattern
    assert CLIENT_SECRET.pattern == PUBLISHED_CLIENT_SECRET.pattern
    zeros = credentials.new_client_secret(bytes)
    assert zeros == "sgs_" + "0" * 43 + "3emcwS"
    assert credentials.new_client_id(bytes) == "sgc_" + "a" * 26


@given(st.binary(min_size=17, max_size=17), st.integers(0, 129))
def test_130_random_bits_make_a_client_id(seed: bytes, bit: int) -> None:
    """Each of the first 130 bits counts: different values make different IDs."""
    byte, place = divmod(bit, 8)
    flipped = bytearray(seed)
    flipped[byte] ^= 0x80 >> place
    changed = bytes(flipped)
    assert credentials.new_client_id(lambda _: seed) != credentials.new_client_id(lambda _: changed)


def test_43_characters_of_62_are_256_bits() -> None:
    assert 43 * math.log2(62) >= 256
    random_part = re.compile(r"sgs_([0-9A-Za-z]{43})[0-9A-Za-z]{6}")
    found = random_part.fullmatch(credentials.new_client_secret(CountingBytes()))
    assert found
    assert len(set(found[1])) > 10


def test_no_character_of_a_secret_is_likelier_than_another() -> None:
    """Every byte value below 248 gives a character, four values each; the rest give none."""
    counts: Counter[str] = Counter()
    for value in range(256):
        stream = iter([bytes([value]) * 43, bytes(64)])
        secret = credentials.new_client_secret(_source(stream))
        first = secret[4]
        if value >= 248:
            assert secret[4:47] == "0" * 43
        else:
            assert secret[4:47] == first * 43
            counts[first] += 1
    assert len(counts) == 62
    assert set(counts.values()) == {4}


def _source(answers: Iterator[bytes]) -> credentials.RandomBytes:
    return lambda _: next(answers)


def test_rejected_random_bytes_are_drawn_again() -> None:
    answers = iter([b"\xff" * 64, b"\xf8" * 64, bytes(64)])
    assert credentials.new_client_secret(lambda _: next(answers)).startswith("sgs_0000")


@given(random_sources)
def test_no_id_ends_like_the_suffix_that_secrets_manager_appends(
    random_bytes: credentials.RandomBytes,
) -> None:
    """A name ending in a hyphen and six characters confuses partial ARNs."""
    client_id = credentials.new_client_id(random_bytes)
    assert "-" not in client_id
    assert not re.search(r"-[0-9A-Za-z]{6}$", f"surrogate/clients/{client_id}")


@pytest.mark.parametrize(
    "text", ["a-bcdefghijklmnopqr", "x" * 15, "x" * 41, "a/b" * 8, "", "é" * 20]
)
def test_an_invalid_client_id_is_recognized(text: str) -> None:
    assert not credentials.is_client_id(text)


@given(random_sources)
def test_a_generated_client_id_never_looks_like_cognitos(
    random_bytes: credentials.RandomBytes,
) -> None:
    assert not ADOPTED_CLIENT_ID.fullmatch(credentials.new_client_id(random_bytes))


def test_a_cognito_client_id_is_valid_but_not_generated() -> None:
    assert credentials.is_client_id(ADOPTED)
    assert not CLIENT_ID.fullmatch(ADOPTED)


@given(random_sources)
def test_percent_encoding_changes_nothing(random_bytes: credentials.RandomBytes) -> None:
    issued = credentials.issue(credentials.new_client_id(random_bytes), random_bytes)
    for text in (issued.client_id, issued.client_secret, issued.secret_id):
        assert quote(text, safe="") == text
        assert unquote_plus(text) == text


def test_two_secrets_and_two_ids_differ() -> None:
    source = CountingBytes()
    assert len({credentials.new_client_secret(source) for _ in range(100)}) == 100
    assert len({credentials.new_client_id(source) for _ in range(100)}) == 100


# The checksum


ALPHABET = st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@given(client_secrets, st.integers(0, 52), ALPHABET)
def test_any_changed_character_is_detected(secret: str, place: int, character: str) -> None:
    assume(secret[place] != character)
    assert not credentials.is_client_secret(secret[:place] + character + secret[place + 1 :])


@given(client_secrets, st.integers(0, 51))
def test_any_transposed_neighbors_are_detected(secret: str, place: int) -> None:
    assume(secret[place] != secret[place + 1])
    swapped = secret[:place] + secret[place + 1] + secret[place] + secret[place + 2 :]
    assert not credentials.is_client_secret(swapped)


def test_every_change_and_transposition_of_one_secret_is_detected() -> None:
    secret = credentials.new_client_secret(CountingBytes())
    for place in range(4, 53):
        for character in "09AZaz":
            if character != secret[place]:
                changed = secret[:place] + character + secret[place + 1 :]
                assert not credentials.is_client_secret(changed)
        if place < 52 and secret[place] != secret[place + 1]:
            swapped = secret[:place] + secret[place + 1] + secret[place] + secret[place + 2 :]
            assert not credentials.is_client_secret(swapped)


@given(client_secrets, st.sampled_from(["", " ", "\n", "a", "=", "é"]))
def test_a_longer_or_shorter_text_is_no_secret(secret: str, tail: str) -> None:
    assert credentials.is_client_secret(secret + tail) is (tail == "")
    assert not credentials.is_client_secret(secret[:-1])
    assert not credentials.is_client_secret(secret[1:])


# Derived IDs, handles, MACs


@given(st.binary(min_size=32, max_size=40), texts, texts)
def test_a_derived_id_is_the_same_for_every_repeat(key: bytes, caller: str, idem: str) -> None:
    client_id = credentials.derived_client_id(key, caller, idem)
    assert client_id == credentials.derived_client_id(key, caller, idem)
    assert PUBLISHED_CLIENT_ID.fullmatch(client_id)


@given(st.tuples(texts, texts), st.tuples(texts, texts))
@example(("ab", "c"), ("a", "bc"))
@example(("a", ""), ("", "a"))
@example(("a\0", "b"), ("a", "\0b"))
def test_derived_ids_differ_by_caller_and_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    """The boundary between the two texts is unambiguous."""
    same = credentials.derived_client_id(KEY, *one) == credentials.derived_client_id(KEY, *other)
    assert same is (one == other)


@given(texts, texts)
def test_derived_ids_differ_by_deployment_key(caller: str, idempotency_key: str) -> None:
    ids = {credentials.derived_client_id(key, caller, idempotency_key) for key in (KEY, KEY[::-1])}
    assert len(ids) == 2


def test_derivations_are_stable_across_releases() -> None:
    assert credentials.derived_client_id(KEY, "arn:aws:iam::1:user/o", "order-1") == (
        "sgc_fiepzkpujg3mbgbk3f4so3un6r"
    )
    assert credentials.secret_id("sgs_" + "0" * 43 + "3emcwS") == "i6sdwmsh"


@given(client_secrets, client_secrets)
def test_a_secret_id_is_a_stable_handle(one: str, other: str) -> None:
    assert credentials.secret_id(one) == credentials.secret_id(one)
    assert re.fullmatch(r"[a-z2-7]{8}", credentials.secret_id(one))
    assert (credentials.secret_id(one) == credentials.secret_id(other)) is (one == other)
    assert credentials.secret_id(one) not in one.lower()


def test_issued_credentials_carry_the_handle_of_their_secret() -> None:
    client_id = ClientId("sgc_" + "a" * 26)
    issued = credentials.issue(client_id, CountingBytes())
    assert issued.client_id == client_id
    assert issued.secret_id == credentials.secret_id(issued.client_secret)


def test_logs_use_generated_client_ids_and_handles_of_adopted_ones() -> None:
    ours = credentials.new_client_id(CountingBytes())
    assert credentials.loggable(ours) == ours
    handle = credentials.loggable(ADOPTED)
    assert re.fullmatch(r"adopted_[0-9a-f]{16}", handle)
    assert handle == credentials.loggable(ADOPTED)
    assert handle != credentials.loggable(ClientId(ADOPTED[:-1] + "f"))
    assert ADOPTED not in handle


def _expected_mac(key: bytes, client_id: str, app_client_id: str) -> str:
    """Compute the MAC as a pre token generation trigger does, from the documentation."""
    message = b"app-client"
    for part in (client_id.encode(), app_client_id.encode()):
        message += len(part).to_bytes(4, "big") + part
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def test_the_mac_is_the_documented_one() -> None:
    client_id, app_client_id = ClientId("sgc_" + "a" * 26), AppClientId("1example")
    mac = credentials.app_client_mac(KEY, client_id, app_client_id)
    assert mac == _expected_mac(KEY, client_id, app_client_id)


@given(st.tuples(texts, texts), st.tuples(texts, texts))
@example(("ab", "c"), ("a", "bc"))
def test_the_mac_binds_both_ids(one: tuple[str, str], other: tuple[str, str]) -> None:
    macs = {
        credentials.app_client_mac(KEY, ClientId(client_id), AppClientId(app_client_id))
        for client_id, app_client_id in (one, other)
    }
    assert len(macs) == (1 if one == other else 2)


def test_the_mac_is_bound_to_the_deployment_key_and_is_no_derived_id() -> None:
    client_id, app_client_id = ClientId("a"), AppClientId("b")
    mac = credentials.app_client_mac(KEY, client_id, app_client_id)
    assert mac != credentials.app_client_mac(KEY[::-1], client_id, app_client_id)
    derived = credentials.derived_client_id(KEY, client_id, app_client_id)
    assert b32encode(bytes.fromhex(mac)).decode().lower()[:26] != derived.removeprefix("sgc_")


# Hashes


def test_the_profile_is_the_one_that_owasp_names() -> None:
    assert OWASP_19_MIB.type is Type.ID
    assert OWASP_19_MIB.version == 19
    assert OWASP_19_MIB.memory_cost == 19 * 1024
    assert OWASP_19_MIB.time_cost == 2
    assert OWASP_19_MIB.parallelism == 1
    assert OWASP_19_MIB.salt_len >= 16
    assert OWASP_19_MIB.hash_len >= 32


def test_the_stored_hash_has_that_profile() -> None:
    issued = credentials.issue(ClientId("sgc_" + "a" * 26), CountingBytes())
    stored = SecretHasher(CountingBytes()).hash(issued, now=NOW)
    assert stored.hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert extract_parameters(stored.hash) == OWASP_19_MIB
    assert stored == StoredSecret(issued.secret_id, stored.hash, NOW, None)
    assert issued.client_secret not in stored.hash
    assert PasswordHasher().verify(stored.hash, issued.client_secret)


def test_the_salt_comes_from_the_given_random_source() -> None:
    """Invariant 7: no hash has a random source of its own."""
    issued = credentials.issue(ClientId("sgc_" + "a" * 26), CountingBytes())
    once, again = (SecretHasher(CountingBytes()).hash(issued, now=NOW) for _ in range(2))
    other = SecretHasher(lambda size: b"s" * size).hash(issued, now=NOW)
    assert once == again
    assert once.hash != other.hash


def test_the_decoy_costs_a_real_verification() -> None:
    """The decoy is compared and does not match; a malformed one would be refused in no time."""
    assert extract_parameters(OWASP_19_MIB_DECOY) == OWASP_19_MIB
    with pytest.raises(VerifyMismatchError):
        verify_secret(OWASP_19_MIB_DECOY.encode(), b"anything", Type.ID)


def test_the_same_secret_is_hashed_with_another_salt_each_time() -> None:
    hasher = cheap_hasher(CountingBytes())
    issued = credentials.issue(ClientId("sgc_" + "a" * 26), CountingBytes())
    assert hasher.hash(issued, now=NOW).hash != hasher.hash(issued, now=NOW).hash


class Hashed:
    """Hasher with its argon2, and one client's credentials."""

    def __init__(self, *, remembered: int = 10_000) -> None:
        self.random_bytes = CountingBytes()
        self.argon2 = CountingArgon2()
        self.hasher = SecretHasher(
            self.random_bytes,
            argon2=self.argon2,
            decoy=self.argon2.hash("a secret thrown away"),
            remembered=remembered,
        )
        self.issued = self.issue()
        self.stored = (self.hasher.hash(self.issued, now=NOW),)

    def issue(self) -> IssuedCredentials:
        return credentials.issue(credentials.new_client_id(self.random_bytes), self.random_bytes)

    def verify(
        self,
        client_secret: str | None = None,
        stored: tuple[StoredSecret, ...] | None = None,
        client_id: ClientId | None = None,
    ) -> SecretId | None:
        """Return the ID of the verified secret, if any."""
        found = self.hasher.verify(
            client_id or self.issued.client_id,
            self.issued.client_secret if client_secret is None else client_secret,
            self.stored if stored is None else stored,
        )
        return found.secret.secret_id if found else None

    @property
    def count(self) -> int:
        return len(self.argon2.verified)


def test_the_right_secret_is_verified() -> None:
    hashed = Hashed()
    assert hashed.verify() == hashed.issued.secret_id


def test_a_wrong_secret_is_not_verified() -> None:
    hashed = Hashed()
    assert hashed.verify(hashed.issue().client_secret) is None
    assert hashed.verify("") is None


def test_each_of_two_secrets_is_verified_as_itself() -> None:
    hashed = Hashed()
    newer = credentials.issue(hashed.issued.client_id, hashed.random_bytes)
    both = (hashed.hasher.hash(newer, now=NOW), *hashed.stored)
    assert hashed.verify(stored=both) == hashed.issued.secret_id
    assert hashed.verify(newer.client_secret, both) == newer.secret_id
    assert hashed.count == 2


def test_a_client_with_two_secrets_costs_one_hash_like_any_other() -> None:
    hashed = Hashed()
    newer = credentials.issue(hashed.issued.client_id, hashed.random_bytes)
    both = (hashed.hasher.hash(newer, now=NOW), *hashed.stored)
    assert hashed.verify(hashed.issue().client_secret, both) is None
    assert hashed.count == 1


def test_a_secret_whose_handle_fits_but_whose_hash_does_not_is_refused() -> None:
    hashed = Hashed()
    other = hashed.hasher.hash(hashed.issue(), now=NOW)
    forged = (replace(other, secret_id=hashed.issued.secret_id),)
    assert hashed.verify(stored=forged) is None
    assert hashed.verify(stored=forged) is None
    assert hashed.count == 1


def test_a_malformed_hash_does_not_authenticate() -> None:
    hashed = Hashed()
    for text in ["", "x", "$argon2id$v=19$m=8,t=1,p=1$x$y", hashed.issued.client_secret]:
        assert hashed.verify(stored=(replace(hashed.stored[0], hash=text),)) is None


def test_an_exact_repeat_is_not_hashed_again() -> None:
    hashed = Hashed()
    wrong = hashed.issue().client_secret
    for _ in range(3):
        assert hashed.verify() == hashed.issued.secret_id
        assert hashed.verify(wrong) is None
        assert hashed.verify(stored=()) is None
    assert hashed.count == 3


def test_a_remembered_outcome_is_bound_to_client_secret_and_hash() -> None:
    hashed = Hashed()
    assert hashed.verify()
    again = (hashed.hasher.hash(hashed.issued, now=NOW),)
    assert hashed.verify(stored=again), "another hash of the same secret"
    assert hashed.verify(client_id=hashed.issue().client_id), "another client, the same secret"
    assert hashed.verify(stored=()) is None, "the hash is gone"
    assert hashed.count == 4


def test_a_wrong_outcome_does_not_outlive_its_hash() -> None:
    """A secret refused before its hash was stored is accepted afterwards."""
    hashed = Hashed()
    assert hashed.verify(stored=()) is None
    assert hashed.verify() == hashed.issued.secret_id


def test_an_old_profile_is_reported_on_every_verification() -> None:
    old = Hashed()
    newer = CountingArgon2(time_cost=2)
    hasher = SecretHasher(CountingBytes(), argon2=newer, decoy=newer.hash("x"))
    for _ in range(2):
        found = hasher.verify(old.issued.client_id, old.issued.client_secret, old.stored)
        assert found
        assert found.needs_rehash
    found = old.hasher.verify(old.issued.client_id, old.issued.client_secret, old.stored)
    assert found
    assert not found.needs_rehash


def test_remembered_outcomes_are_bounded() -> None:
    hashed = Hashed(remembered=3)
    guesses = [hashed.issue().client_secret for _ in range(4)]
    for guess in guesses:
        hashed.verify(guess)
    assert hashed.count == 4
    hashed.verify(guesses[-1])
    assert hashed.count == 4
    hashed.verify(guesses[0])
    assert hashed.count == 5, "the oldest outcome was forgotten"


def test_remembered_successes_are_bounded() -> None:
    hashed = Hashed(remembered=2)
    clients = [hashed.issue() for _ in range(3)]
    stored = {each.client_id: (hashed.hasher.hash(each, now=NOW),) for each in clients}

    def verify(each: IssuedCredentials) -> bool:
        kept = stored[each.client_id]
        return hashed.hasher.verify(each.client_id, each.client_secret, kept) is not None

    assert all(map(verify, clients))
    assert verify(clients[0])
    assert hashed.count == 4


def test_wrong_guesses_do_not_evict_remembered_successes() -> None:
    hashed = Hashed(remembered=2)
    assert hashed.verify()
    for _ in range(10):
        hashed.verify(hashed.issue().client_secret)
    before = hashed.count
    assert hashed.verify()
    assert hashed.count == before


class _Recording:
    """Source of bytes that records the requested counts."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, count: int) -> bytes:
        self.asked.append(count)
        return bytes(count)


def test_the_process_key_is_made_at_the_first_verification() -> None:
    """A snapshot of an initialized function must not hold a key that its copies share."""
    random_bytes = _Recording()
    hasher = SecretHasher(random_bytes, argon2=CountingArgon2())
    assert random_bytes.asked == []
    issued = credentials.issue(ClientId("sgc_" + "a" * 26), CountingBytes())
    stored = (cheap_hasher(CountingBytes()).hash(issued, now=NOW),)
    hasher.verify(issued.client_id, issued.client_secret, stored)
    hasher.verify(issued.client_id, "x", stored)
    assert random_bytes.asked == [32]


def test_remembered_outcomes_hold_no_secret() -> None:
    hashed = Hashed()
    hashed.verify()
    hashed.verify(hashed.issue().client_secret)
    kept = repr(vars(hashed.hasher))
    assert hashed.issued.client_secret not in kept
    assert hashed.issued.client_secret.encode().hex() not in kept


# Threads that share a hasher


class SlowArgon2(CountingArgon2):
    """argon2 that blocks until released, and records its concurrency."""

    def __init__(self) -> None:
        super().__init__()
        self.running, self.most = 0, 0
        self.go_on, self._counted = Event(), Lock()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        with self._counted:
            self.running += 1
            self.most = max(self.most, self.running)
        self.go_on.wait(10)
        try:
            return super().verify(hash, password)
        finally:
            with self._counted:
                self.running -= 1


def _in_threads(
    hasher: SecretHasher, argon2: SlowArgon2, attempts: list[tuple[ClientId, str]], *, until: int
) -> list[Verified | None]:
    """Run *attempts* concurrently; release argon2 when *until* of them run and no more arrive."""
    with ThreadPoolExecutor(len(attempts)) as threads:
        started = [threads.submit(hasher.verify, who, secret, ()) for who, secret in attempts]
        while argon2.running < until:
            sleep(0.001)
        sleep(0.05)  # time for one more, if it were allowed
        argon2.go_on.set()
        return [each.result() for each in started]


def test_the_same_guess_at_the_same_time_is_hashed_once() -> None:
    argon2 = SlowArgon2()
    hasher = SecretHasher(CountingBytes(), argon2=argon2, decoy=argon2.hash("x"), at_once=4)
    guess = credentials.new_client_secret(CountingBytes())
    attempts = [(ClientId("sgc_" + "a" * 26), guess)] * 6
    assert _in_threads(hasher, argon2, attempts, until=1) == [None] * 6
    assert len(argon2.verified) == 1


def test_guesses_at_one_client_do_not_block_another() -> None:
    argon2 = SlowArgon2()
    hasher = SecretHasher(CountingBytes(), argon2=argon2, decoy=argon2.hash("x"), at_once=8)
    random_bytes = CountingBytes()
    attempts = [
        (ClientId("sgc_" + "a" * 26), credentials.new_client_secret(random_bytes)) for _ in range(6)
    ]
    _in_threads(hasher, argon2, attempts, until=1)
    assert (argon2.most, len(argon2.verified)) == (1, 6)


def test_concurrent_verifications_are_limited() -> None:
    argon2 = SlowArgon2()
    hasher = SecretHasher(CountingBytes(), argon2=argon2, decoy=argon2.hash("x"), at_once=2)
    random_bytes = CountingBytes()
    attempts = [
        (credentials.new_client_id(random_bytes), credentials.new_client_secret(random_bytes))
        for _ in range(6)
    ]
    _in_threads(hasher, argon2, attempts, until=2)
    assert (argon2.most, len(argon2.verified)) == (2, 6)


# Cost of a refusal, through the exchange


def cost(world: ExchangeWorld, issued: IssuedCredentials, secret: str | None = None) -> list[int]:
    """Return the argon2 verifications of a refused attempt, of an exact repeat, and later on."""
    costs = []
    for pause in (0, 0, FRESH + 1):
        world.clock.advance(pause)
        before = len(world.argon2.verified)
        with pytest.raises(InvalidClientError):
            world.exchange.exchange(request(issued, secret=secret))
        costs.append(len(world.argon2.verified) - before)
    return costs


Arrange = Callable[[ExchangeWorld], tuple[IssuedCredentials, str | None]]


def _unknown(world: ExchangeWorld) -> tuple[IssuedCredentials, str | None]:
    return credentials.issue(
        credentials.new_client_id(world.random_bytes), world.random_bytes
    ), None


def _unknown_adopted(_world: ExchangeWorld) -> tuple[IssuedCredentials, str | None]:
    return IssuedCredentials(ADOPTED, SecretId("x"), "guessed"), None


def _wrong(world: ExchangeWorld) -> tuple[IssuedCredentials, str | None]:
    return world.client(), credentials.new_client_secret(world.random_bytes)


def _disabled(world: ExchangeWorld) -> tuple[IssuedCredentials, str | None]:
    return world.client(status=Status.DISABLED), None


def _disabled_and_wrong(world: ExchangeWorld) -> tuple[IssuedCredentials, str | None]:
    return world.client(status=Status.DISABLED), credentials.new_client_secret(world.random_bytes)


def _denied(world: ExchangeWorld) -> tuple[IssuedCredentials, str | None]:
    issued = world.client()
    world.deny(issued.client_id)
    return issued, None


def _denied_and_wrong(world: ExchangeWorld) -> tuple[IssuedCredentials, str | None]:
    return _denied(world)[0], credentials.new_client_secret(world.random_bytes)


def _expired(world: ExchangeWorld) -> tuple[IssuedCredentials, str | None]:
    return world.client(expires_at=int(world.clock()) - 1), None


@pytest.mark.parametrize(
    "arrange",
    [
        _unknown,
        _unknown_adopted,
        _wrong,
        _disabled,
        _disabled_and_wrong,
        _denied,
        _denied_and_wrong,
        _expired,
    ],
)
def test_every_refusal_costs_one_hash_and_an_exact_repeat_none(arrange: Arrange) -> None:
    world = ExchangeWorld()
    issued, secret = arrange(world)
    assert cost(world, issued, secret) == [1, 0, 0]


def test_every_hash_that_is_verified_is_of_the_current_profile() -> None:
    for arrange in (_unknown, _wrong, _disabled, _denied):
        world = ExchangeWorld()
        cost(world, *arrange(world))
        (verified,) = world.argon2.verified
        assert not world.argon2.check_needs_rehash(verified)


def test_a_typo_costs_nothing() -> None:
    api = TokenApi()
    secret = api.client.client_secret
    typo = secret[:-1] + ("b" if secret.endswith("a") else "a")
    answer = api.form([GRANT], headers=[basic(api.client.client_id, typo)])
    assert answer.error == "invalid_client"
    assert api.hashed == 0


@pytest.mark.parametrize("adopted", [False, True], ids=["enrolled", "adopted"])
def test_a_stored_hash_never_authenticates(adopted: bool) -> None:  # noqa: FBT001
    """A reader of the store cannot authenticate as any client."""
    api = TokenApi()
    issued = api.world.adopted() if adopted else api.client
    stored = api.world.hash_of(issued)
    as_form = [GRANT, ("client_id", issued.client_id), ("client_secret", stored)]
    for answer in (
        api.form([GRANT], headers=[basic(issued.client_id, stored)]),
        api.form([GRANT], headers=[basic(issued.client_id, quote(stored, safe=""))]),
        api.form(as_form),
    ):
        assert (answer.status, answer.error) == (401, "invalid_client")
    assert not api.world.endpoint.requests
    assert stored not in api.world.argon2.verified
