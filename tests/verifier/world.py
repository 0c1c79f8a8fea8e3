"""Two issuers with their own keys, a counting key server, and clocks that stand still."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from surrogate_verifier import (
    ANY,
    FROM_ISSUERS,
    NO_AUDIENCE,
    FetchError,
    Issuer,
    Verifier,
    user_pool,
)

Json = dict[str, Any]

EAST = "us-east-1_EXAMPLE11"
WEST = "us-west-2_EXAMPLE22"
SHARED_URL = "https://auth.example.com/.well-known/jwks.json"
CLIENT = "sgc_" + "a" * 26
NOW = 1_800_000_000.0


@cache
def private_key(name: str, bits: int = 2048) -> RSAPrivateKey:
    """Return the key named *name*, the same at every call."""
    return generate_private_key(65537, bits)


def encode(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def jwk(key: RSAPrivateKey, kid: str, **members: Any) -> Json:
    numbers = key.public_key().public_numbers()
    return {
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "kid": kid,
        "n": encode(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
        "e": encode(numbers.e.to_bytes(3)),
        **members,
    }


@dataclass(frozen=True)
class Pool:
    """Issuer that signs as a user pool does."""

    issuer: Issuer
    key: RSAPrivateKey
    kid: str
    app_client_id: str

    def claims(self, **changes: Any) -> Json:
        """Return the claims of a machine's token; None removes a claim."""
        claims = {
            "sub": self.app_client_id,
            "token_use": "access",
            "scope": "demo/read demo/write",
            "auth_time": int(NOW),
            "iss": self.issuer.url,
            "exp": int(NOW) + 3600,
            "iat": int(NOW),
            "version": 2,
            "jti": "0b2c7e0e-5a64-4b0f-8d0a-2f3a5a1c9d11",
            "client_id": self.app_client_id,
            "surrogate_client_id": CLIENT,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def header(self, **changes: Any) -> Json:
        header = {"kid": self.kid, "alg": "RS256", **changes}
        return {name: value for name, value in header.items() if value is not None}

    def token(self, header: Json | None = None, **claims: Any) -> str:
        return self.sign(
            json.dumps(self.header(**(header or {}))), json.dumps(self.claims(**claims))
        )

    def sign(self, header: str | bytes, payload: str | bytes) -> str:
        """Sign any *header* and *payload*, even invalid ones."""
        parts = [part.encode() if isinstance(part, str) else part for part in (header, payload)]
        signed = ".".join(map(encode, parts))
        signature = self.key.sign(signed.encode(), PKCS1v15(), SHA256())
        return f"{signed}.{encode(signature)}"

    @property
    def jwk(self) -> Json:
        return jwk(self.key, self.kid)

    @property
    def jwks(self) -> Json:
        return {"keys": [self.jwk]}


def pool(pool_id: str, kid: str | None = None, key: str | None = None) -> Pool:
    return Pool(
        user_pool(pool_id),
        private_key(key or pool_id),
        kid or f"kid-of-{pool_id}",
        f"app{pool_id[-2:]}",
    )


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class KeyServer:
    """Server of key sets by URL, which can fail and records requests."""

    documents: dict[str, object]
    asked: list[str] = field(default_factory=list)
    down: set[str] = field(default_factory=set)

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if url in self.down or url not in self.documents:
            raise FetchError(f"{url}: is down")
        document = self.documents[url]
        return document if isinstance(document, bytes) else json.dumps(document).encode()


@dataclass
class World:
    east: Pool = field(default_factory=lambda: pool(EAST))
    west: Pool = field(default_factory=lambda: pool(WEST))
    clock: Clock = field(default_factory=Clock)
    monotonic: Clock = field(default_factory=lambda: Clock(0.0))
    later: list[Callable[[], None]] = field(default_factory=list)
    server: KeyServer = field(init=False)

    def __post_init__(self) -> None:
        pools = (self.east, self.west)
        self.server = KeyServer(
            {
                **{each.issuer.key_set_url: each.jwks for each in pools},
                SHARED_URL: self.shared(),
            }
        )

    def shared(self, *pools: Pool) -> Json:
        """Return one key set in which each key names its issuer."""
        return {
            "keys": [
                {**each.jwk, "iss": each.issuer.url} for each in pools or (self.east, self.west)
            ]
        }

    def verifier(self, **changes: Any) -> Verifier:
        choices: Json = {
            "keys": FROM_ISSUERS,
            "token_use": "access",
            "audiences": NO_AUDIENCE,
            "scopes": ANY,
            "clients": ANY,
            "fetch": self.server,
            "clock": self.clock,
            "monotonic": self.monotonic,
            "background": self.later.append,
            **changes,
        }
        issuers = choices.pop("issuers", [self.east.issuer, self.west.issuer])
        return Verifier(issuers, **choices)

    def run_background(self) -> None:
        while self.later:
            self.later.pop(0)()
