"""
Client IDs, client secrets, their hashes, and the MAC that binds both Regions.

Formats, published so that secret scanners and clients can rely on them:

- client ID: `sgc_` and 26 characters of lower-case base32 (130 bits);
- client secret: `sgs_`, 43 base62 characters (256 bits) and a CRC-32 of all
  before it in 6 base62 characters, as in GitHub's tokens.  Only
  `[A-Za-z0-9_]`, so that clients that percent-encode Basic credentials
  (RFC 6749 §2.3.1) and those that do not send the same bytes;
- secret ID: 8 characters of lower-case base32 taken from a SHA-256 of the
  client secret.  It selects the stored hash for a presented secret, so that one
  attempt costs one argon2 verification however many secrets a client has.  With
  it, operators can match a leaked secret to its client offline.
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
"""Returns that many unpredictable bytes, as `secrets.token_bytes` does."""

CLIENT_ID = re.compile(r"sgc_[a-z2-7]{26}")
CLIENT_SECRET = re.compile(r"sgs_[0-9A-Za-z]{49}")
SECRET_ID = re.compile(r"[a-z2-7]{8}")
# Cognito's client IDs (26 characters), which adopted clients keep.  The pattern is
# safe at the end of a Secrets Manager name (no hyphen, no slash).  It excludes
# Cognito secrets (51 characters) sent in place of the ID, because CloudTrail
# would record them as the name of a secret.
ADOPTED_CLIENT_ID = re.compile(r"[0-9A-Za-z]{16,40}")

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_DIGITS = bytes.maketrans(_BASE62.encode(), bytes(range(62)))
_SECRET_PREFIX = "sgs_"  # noqa: S105 - a format, not a secret
_RANDOM_CHARACTERS = 43
_CHECKSUM_CHARACTERS = 6
_CLIENT_LOCKS = 64

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
The profile of every stored hash (OWASP Password Storage Cheat Sheet).

A secret with 256 random bits cannot be guessed, whatever its hash costs; argon2
satisfies the policies that require it.  So the cheapest of the profiles that
OWASP calls equivalent suffices: it fits the smallest Lambda, and a fraction of a
vCPU has no use for a second lane.
"""

# The hash, in the profile above, of a discarded random secret.  A request with an
# unknown client ID is verified against it, so that response times do not reveal
# which clients exist.
OWASP_19_MIB_DECOY = (
    "$argon2id$v=19$m=19456,t=2,p=1"
    "$795mNf4AFqyRpIzmbf46uQ$XLiBRgqouAeNBsLsQ/W2tY/b8XQ9/beQSLgHPexkpeE"
)


def new_client_id(random_bytes: RandomBytes) -> ClientId:
    """Return an unpredictable client ID."""
    return _client_id(random_bytes(17))


def derived_client_id(deployment_key: bytes, caller: str, idempotency_key: str) -> ClientId:
    """
    Return the client ID that belongs to *idempotency_key* of *caller* (an ARN).

    A repeat gets the same ID, so the creation of its record acts as the lock.
    Nobody without the deployment key can predict it.
    """
    return _client_id(_mac(deployment_key, b"client-id", caller, idempotency_key))


def _client_id(random: bytes) -> ClientId:
    return ClientId("sgc_" + base64.b32encode(random).decode().lower()[:26])


def is_client_id(text: str) -> bool:
    """Return whether *text* has the form of a client ID, ours or an adopted one."""
    return bool(CLIENT_ID.fullmatch(text) or ADOPTED_CLIENT_ID.fullmatch(text))


def loggable(client_id: ClientId) -> str:
    """
    Return the name of this client in logs.

    An adopted client's ID is Cognito's own and stays concealed: a handle replaces it.
    """
    if CLIENT_ID.fullmatch(client_id):
        return client_id
    return "adopted_" + hashlib.sha256(client_id.encode()).hexdigest()[:16]


def new_client_secret(random_bytes: RandomBytes) -> str:
    """Return a client secret with 256 random bits."""
    characters: list[str] = []
    while len(characters) < _RANDOM_CHARACTERS:
        # 248 is the greatest multiple of 62 in a byte: all characters are equally likely.
        characters += [_BASE62[byte % 62] for byte in random_bytes(64) if byte < 248]  # noqa: PLR2004
    body = _SECRET_PREFIX + "".join(characters[:_RANDOM_CHARACTERS])
    return body + _checksum(body)


def is_client_secret(text: str) -> bool:
    """Return whether *text* has the form and the checksum of a client secret (detects typos)."""
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

    The pre token generation trigger stamps the surrogate's ID into a token only if
    this MAC matches.  So the holder of a real Cognito secret cannot name another client.
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
    """The stored secret that matched; *needs_rehash* if its hash has an older profile."""

    secret: StoredSecret
    needs_rehash: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Result of one verification."""

    right: bool
    needs_rehash: bool


class SecretHasher:
    """
    Hashes client secrets and verifies them, at the same cost for known and unknown clients.

    It caches outcomes by an HMAC of client ID, secret ID, stored hash and presented
    secret, whose key never leaves the process: neither a client's next request nor a
    repeated wrong guess runs argon2 again.  Right and wrong outcomes are in separate
    caches, so that a flood of guesses evicts no right ones.

    Among threads, at most *at_once* verify at a time, and only one for each client.
    So guesses at one client take neither cores nor memory from the others, and
    simultaneous equal guesses cost one verification.
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
        Hash with *argon2*, in the profile above if `None`.

        *decoy* is a hash of the same profile, which no secret matches.  Each cache
        keeps at most *remembered* outcomes; at most *at_once* verifications run.
        """
        self._argon2 = argon2 or PasswordHasher.from_parameters(OWASP_19_MIB)
        self._decoy = decoy
        self._random_bytes = random_bytes
        self._process_key: bytes | None = None
        self._right: LRUCache[bytes, _Outcome] = LRUCache(remembered)
        self._wrong: LRUCache[bytes, _Outcome] = LRUCache(remembered)
        self._lock = Lock()
        self._slots = BoundedSemaphore(at_once)
        self._client_locks = [Lock() for _ in range(_CLIENT_LOCKS)]

    def hash(self, credentials: IssuedCredentials, *, now: int) -> StoredSecret:
        """Return the stored form of *credentials*."""
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
        Return the one of *stored* that is the hash of *client_secret*, or `None`.

        An unknown client has no stored secrets; its attempt costs the same.
        Expiry is **not** checked.
        """
        claimed = secret_id(client_secret)
        candidate = next((each for each in stored if each.secret_id == claimed), None)
        hashed = candidate.hash if candidate else self._decoy
        attempt = self._attempt(client_id, claimed, hashed, client_secret)
        outcome = self._remembered(attempt)
        if outcome is None:
            with self._client_locks[hash(client_id) % _CLIENT_LOCKS], self._slots:
                # Another thread may have cached it during the wait.
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
            # Not made at import: processes must not share it through a SnapStart snapshot.
            self._process_key = self._random_bytes(32)
        return _mac(self._process_key, b"attempt", client_id, claimed, hashed, client_secret)
