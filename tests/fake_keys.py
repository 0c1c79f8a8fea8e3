"""Signing keys of pools, and a fake of their snapshot's store."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from chalicelib.errors import KeysUnavailableError, MalformedSecretError, VersionConflictError
from chalicelib.jwks.document import KeySnapshot, SigningKey
from chalicelib.model import Versioned, VersionId
from tests.fakes import Failing

EAST_ISSUER = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Fake00001"
WEST_ISSUER = "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_Fake00002"
_versions = itertools.count(1)


def base64url(number: int) -> str:
    """Return a Base64urlUInt (RFC 7518 §2)."""
    raw = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@cache
def modulus(name: str, bits: int = 2_048) -> str:
    """Return the modulus of a key pair, the same one for the same *name*."""
    assert name
    return base64url(rsa.generate_private_key(65_537, bits).public_key().public_numbers().n)


def key(name: str, missing_since: int | None = None) -> SigningKey:
    """Return a key whose ID is *name*."""
    return SigningKey(name, modulus(name), "AQAB", missing_since)


def jwk(name: str, **changes: Any) -> dict[str, Any]:
    """Return a key as Cognito publishes it; a change to `None` leaves a member out."""
    made = {"alg": "RS256", "e": "AQAB", "kid": name, "kty": "RSA", "n": "", "use": "sig"}
    made |= {"n": changes["n"] if "n" in changes else modulus(name)} | changes
    return {member: value for member, value in made.items() if value is not None}


def both_pools() -> KeySnapshot:
    """Return the snapshot of two pools with a key each."""
    keys = {EAST_ISSUER: (key("east"),), WEST_ISSUER: (key("west"),)}
    return KeySnapshot(keys, {EAST_ISSUER: 1, WEST_ISSUER: 1})


@dataclass
class FakeKeyStore(Failing):
    """`KeyStore` in memory; a *replica* cannot be written."""

    stored: Versioned[KeySnapshot] | None = None
    replica: bool = False

    @classmethod
    def of(cls, snapshot: KeySnapshot) -> FakeKeyStore:
        return cls(stored=Versioned(snapshot, VersionId(str(next(_versions)))))

    def read(self) -> Versioned[KeySnapshot]:
        self._called("read")
        if self.stored is None:
            raise MalformedSecretError("The snapshot of keys is missing.")
        return self.stored

    def writable(self) -> bool:
        self._called("writable")
        return not self.replica

    def replace(self, snapshot: KeySnapshot, read: VersionId) -> VersionId:
        self._called("replace")
        assert not self.replica
        if self.stored is None or self.stored.version != read:
            raise VersionConflictError
        self.stored = Versioned(snapshot, VersionId(str(next(_versions))))
        return self.stored.version


class FakeIssuers(dict[str, tuple[SigningKey, ...] | None]):
    """Answers of the issuers; `None` for one that does not answer."""

    def fetches(self) -> Mapping[str, Any]:
        return {issuer: self._fetch(issuer) for issuer in self}

    def _fetch(self, issuer: str) -> Any:
        def fetch() -> tuple[SigningKey, ...]:
            keys = self[issuer]
            if keys is None:
                raise KeysUnavailableError("It does not answer.")
            return keys

        return fetch
