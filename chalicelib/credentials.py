"""
Client IDs, client secrets, their hashes, and the MAC that binds both Regions.

Formats, published so that secret scanners and clients can rely on them:

- client ID: `sgc_` and 26 characters of lower-case base32 (130 bits);
- client secret: `sgs_`, 43 base62 characters (256 bits) and a CRC-32 of all
  before it in 6 base62 characters, as in GitHub's tokens.  Only
  `[A-Za-z0-9_]`, so that clients that percent-encode Basic credentials
  (RFC 6749 §2.3.1) and those that do not send the same bytes;
- secret ID: 8 characters of lower-case base32 taken from a SHA-256 of the
  client secret.  It says which stored hash a presented secret claims to be,
  so that one attempt costs one argon2 verification however many secrets a
  client has; and a leaked secret can be matched to its client offline.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock

from argon2 import Parameters, PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from cachetools import LRUCache

from chalicelib.model import AppClientId, ClientId, IssuedCredentials, SecretId, StoredSecret

RandomBytes = Callable[[int], bytes]
"""A source of that many unpredictable bytes, like `secrets.token_bytes`."""

CLIENT_ID = re.compile(r"sgc_[a-z2-7]{26}")
CLIENT_SECRET = re.compile(r"sgs_[0-9A-Za-z]{49}")
SECRET_ID = re.compile(r"[a-z2-7]{8}")
# What Cognito makes (26 characters), and adopted clients therefore hold.  The
# shape keeps the ID safe as the end of a Secrets Manager name (no hyphen, no
# slash), and is too short for a secret of Cognito's (51) in the ID's place,
# which CloudTrail would keep as the name that was asked for.
ADOPTED_CLIENT_ID = re.compile(r"[0-9A-Za-z]{16,40}")

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_DIGITS = bytes.maketrans(_BASE62.encode(), bytes(range(62)))
_SECRET_PREFIX = "sgs_"  # noqa: S105 - a format, not a secret
_RANDOM_CHARACTERS = 43
_CHECKSUM_CHARACTERS = 6
_TURNS = 64

OWASP_19_MIB = Parameters(
    type=Type.ID,
    version=19,
    salt_len=16,
    hash_len=32,
    time_cost=2,
    memory_cost=19 * 1024,  # KiB
    parallelism=1,
)
"""
The profile of every hash we store (OWASP Password Storage Cheat Sheet).

A secret with 256 random bits cannot be guessed whatever its hash costs; argon2
is here for the policies that ask for it.  So the cheapest of the profiles that
OWASP calls equivalent is right: it fits the smallest Lambda, and one lane is
all that a fraction of a vCPU can use.
"""

# The hash, in the profile above, of a random secret that was thrown away.
# Whoever names an unknown client has it verified, and so learns nothing from
# the time that takes.
OWASP_19_MIB_DECOY = (
    "$argon2id$v=19$m=19456,t=2,p=1"
    "$795mNf4AFqyRpIzmbf46uQ$XLiBRgqouAeNBsLsQ/W2tY/b8XQ9/beQSLgHPexkpeE"
)


def new_client_id(random_bytes: RandomBytes) -> ClientId:
    """Return a client ID that nobody can predict."""
    return _client_id(random_bytes(17))


def derived_client_id(deployment_key: bytes, caller: str, idempotency_key: str) -> ClientId:
    """
    Return the client ID that belongs to *idempotency_key* of *caller* (an ARN).

    The same for every repeat, so that creating its record is the lock; nobody
    without the deployment key can predict it.
    """
    return _client_id(_mac(deployment_key, b"client-id", caller, idempotency_key))


def _client_id(random: bytes) -> ClientId:
    return ClientId("sgc_" + base64.b32encode(random).decode().lower()[:26])


def is_client_id(text: str) -> bool:
    """Whether *text* could be a client ID, of ours or an adopted one."""
    return bool(CLIENT_ID.fullmatch(text) or ADOPTED_CLIENT_ID.fullmatch(text))


def loggable(client_id: ClientId) -> str:
    """
    Return what a log may call this client.

    An adopted client's ID is Cognito's own, which stays concealed; a handle of
    it stands in.
    """
    if CLIENT_ID.fullmatch(client_id):
        return client_id
    return "adopted_" + hashlib.sha256(client_id.encode()).hexdigest()[:16]


def new_client_secret(random_bytes: RandomBytes) -> str:
    """Return a client secret with 256 random bits."""
    characters: list[str] = []
    while len(characters) < _RANDOM_CHARACTERS:
        # 248 is the greatest multiple of 62 in a byte: no character is likelier.
        characters += [_BASE62[byte % 62] for byte in random_bytes(64) if byte < 248]  # noqa: PLR2004
    body = _SECRET_PREFIX + "".join(characters[:_RANDOM_CHARACTERS])
    return body + _checksum(body)


def is_client_secret(text: str) -> bool:
    """Whether *text* has the form and the checksum of a client secret: a typo has not."""
    if not CLIENT_SECRET.fullmatch(text):
        return False
    number = 0
    for digit in text[-_CHECKSUM_CHARACTERS:].encode().translate(_DIGITS):
        number = number * 62 + digit
    return number == zlib.crc32(text[:-_CHECKSUM_CHARACTERS].encode())


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def secret_id(client_secret: str) -> SecretId:
    """Return the handle of *client_secret*."""
    digest = hashlib.sha256(b"secret-id\0" + client_secret.encode()).digest()
    return SecretId(base64.b32encode(digest).decode().lower()[:8])


def issue(client_id: ClientId, random_bytes: RandomBytes) -> IssuedCredentials:
    """Return new credentials for *client_id*."""
    client_secret = new_client_secret(random_bytes)
    return IssuedCredentials(client_id, secret_id(client_secret), client_secret)


def app_client_mac(deployment_key: bytes, client_id: ClientId, app_client_id: AppClientId) -> str:
    """
    Return the proof, in hex, that *app_client_id* is *client_id*'s.

    A pre token generation trigger stamps the surrogate's ID into a token only
    if this fits: whoever holds a real Cognito secret cannot name another client.
    """
    return _mac(deployment_key, b"app-client", client_id, app_client_id).hex()


def _mac(key: bytes, purpose: bytes, *parts: str) -> bytes:
    # Lengths in front keep ("ab", "c") and ("a", "bc") apart.
    message = purpose + b"".join(
        len(encoded).to_bytes(4, "big") + encoded for encoded in map(str.encode, parts)
    )
    return hmac.digest(key, message, hashlib.sha256)


@dataclass(frozen=True, slots=True)
class Verified:
    """Which stored secret was presented; *needs_rehash* if its hash is of an older profile."""

    secret: StoredSecret
    needs_rehash: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of an attempt."""

    right: bool
    needs_rehash: bool


class SecretHasher:
    """
    Hashes client secrets and verifies them, at the same cost whoever asks.

    An outcome is remembered, bound to client ID, secret ID, stored hash and the
    presented secret by an HMAC whose key never leaves the process, so that
    neither a client's next request nor a repeated wrong guess pays for argon2
    again.  Right and wrong outcomes are kept apart: no flood of guesses evicts
    what is known of those who are right.

    Where threads share it, few verify at a time, and those of one client one
    after the other: guesses at one client take neither the cores nor the memory
    of the others, and who guesses the same twice at once pays once.
    """

    def __init__(
        self,
        random_bytes: RandomBytes,
        *,
        argon2: PasswordHasher | None = None,
        decoy: str = OWASP_19_MIB_DECOY,
        remembered: int = 10_000,
        at_once: int = 1,
    ) -> None:
        """
        Hash with *argon2*, of the profile above if `None`.

        *decoy* is a hash of the same profile, which no secret fits.

        At most *remembered* outcomes of each kind are kept, and *at_once*
        verifications run.
        """
        self._argon2 = argon2 or PasswordHasher.from_parameters(OWASP_19_MIB)
        self._decoy = decoy
        self._random_bytes = random_bytes
        self._process_key: bytes | None = None
        self._right: LRUCache[bytes, _Outcome] = LRUCache(remembered)
        self._wrong: LRUCache[bytes, _Outcome] = LRUCache(remembered)
        self._lock = Lock()
        self._slots = BoundedSemaphore(at_once)
        self._turns = [Lock() for _ in range(_TURNS)]

    def hash(self, credentials: IssuedCredentials, *, now: int) -> StoredSecret:
        """Return what is stored of *credentials*."""
        return StoredSecret(
            secret_id=credentials.secret_id,
            hash=self._argon2.hash(
                credentials.client_secret, salt=self._random_bytes(self._argon2.salt_len)
            ),
            created_at=now,
        )

    def verify(
        self, client_id: ClientId, client_secret: str, stored: tuple[StoredSecret, ...]
    ) -> Verified | None:
        """
        Return which of *stored* is the hash of *client_secret*, or `None`.

        An unknown client has no stored secrets; its attempt costs the same.
        Expiry is **not** looked at.
        """
        claimed = secret_id(client_secret)
        candidate = next((each for each in stored if each.secret_id == claimed), None)
        hashed = candidate.hash if candidate else self._decoy
        attempt = self._attempt(client_id, claimed, hashed, client_secret)
        outcome = self._remembered(attempt)
        if outcome is None:
            with self._turns[hash(client_id) % _TURNS], self._slots:
                # Somebody may have been told the same while this one waited.
                outcome = self._remembered(attempt) or self._judge(
                    attempt, hashed, client_secret, decoy=candidate is None
                )
        return Verified(candidate, outcome.needs_rehash) if candidate and outcome.right else None

    def _remembered(self, attempt: bytes) -> _Outcome | None:
        with self._lock:
            return self._right.get(attempt) or self._wrong.get(attempt)

    def _judge(self, attempt: bytes, hashed: str, client_secret: str, *, decoy: bool) -> _Outcome:
        right = self._fits(hashed, client_secret) and not decoy
        outcome = _Outcome(right, right and self._argon2.check_needs_rehash(hashed))
        with self._lock:
            (self._right if right else self._wrong)[attempt] = outcome
        return outcome

    def _fits(self, hashed: str, client_secret: str) -> bool:
        try:
            return self._argon2.verify(hashed, client_secret)
        except (VerificationError, InvalidHashError):
            return False

    def _attempt(self, client_id: str, claimed: str, hashed: str, client_secret: str) -> bytes:
        if self._process_key is None:
            # Not at import: a SnapStart snapshot must not share it.
            self._process_key = self._random_bytes(32)
        return _mac(self._process_key, b"attempt", client_id, claimed, hashed, client_secret)
