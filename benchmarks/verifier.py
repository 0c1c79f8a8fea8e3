"""
Cost of verifying a token, beside plain PyJWT: `make bench ONLY=verifier`.

All contenders verify the same token with the same key, in turns, so that other load on the
machine slows all of them.  Read the ratio; the times are this machine's.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from benchmarks.measure import Plan, in_turns, pin, summary
from surrogate_verifier import NO_AUDIENCE, TokenError, Verifier, user_pool

ISSUER = user_pool("us-east-1_EXAMPLE11")
OTHER = user_pool("us-west-2_EXAMPLE22")
SCOPE = "demo/read"
PLAIN = "pyjwt_with_the_key_at_hand"


def run(*, quick: bool) -> dict[str, Any]:
    """Measure in this process."""
    key = generate_private_key(65537, 2048)
    contenders = _contenders(key, _token(key))
    plan = Plan(3, 20) if quick else Plan(101, 200)
    pin()
    found = summary(in_turns(contenders, plan), PLAIN)
    return {
        "subjects": found,
        "rounds": plan.rounds,
        "calls": plan.calls,
        "bars": {
            "all_checks": {
                "says": "verifying a token, all checks ÷ plain PyJWT",
                "at_most": 1.5,
                "found": _ratio(found, "verifier_all_checks"),
            },
            "a_forged_signature": {
                "says": "refusing a forged signature ÷ verifying with plain PyJWT",
                "at_most": 1.5,
                "found": _ratio(found, "verifier_forged"),
            },
        },
    }


def _ratio(found: dict[str, Any], subject: str) -> float:
    return float(found[subject][f"ratio_to_{PLAIN}"])


def _contenders(key: RSAPrivateKey, token: str) -> dict[str, Callable[[], object]]:
    public = key.public_key()
    keys = {ISSUER.url: {"kid-1": public}}
    issuers = [ISSUER.url, OTHER.url]
    verifier = Verifier.from_snapshot(
        _snapshot(key),
        [ISSUER, OTHER],
        token_use="access",  # noqa: S106 - a kind of token
        audiences=NO_AUDIENCE,
        scopes={SCOPE},
        clients={"sgc_" + "a" * 26},
    )
    forged = token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BAAA")
    oversized = token + "A" * 20_000

    def plain() -> object:
        return jwt.decode(
            token,
            public,
            algorithms=["RS256"],
            issuer=issuers,
            options={"require": ["exp", "iat", "iss"], "verify_aud": False},
        )

    def with_choice_of_key() -> object:
        """Choose the key by issuer and key ID, as a backend with two issuers must."""
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
        found = keys[unverified["payload"]["iss"]][unverified["header"]["kid"]]
        claims = jwt.decode(
            token,
            found,
            algorithms=["RS256"],
            issuer=unverified["payload"]["iss"],
            options={"require": ["exp", "iat", "iss"], "verify_aud": False},
        )
        if claims["token_use"] != "access" or SCOPE not in claims["scope"].split():  # noqa: S105
            raise AssertionError
        return claims

    def refused(bad: str) -> Callable[[], None]:
        def call() -> None:
            try:
                verifier.verify(bad)
            except TokenError:
                return
            raise AssertionError

        return call

    return {
        PLAIN: plain,
        "pyjwt_with_key_chosen_by_hand": with_choice_of_key,
        "verifier_all_checks": lambda: verifier.verify(token),
        "verifier_forged": refused(forged),
        "verifier_oversized": refused(oversized),
    }


def _token(key: RSAPrivateKey) -> str:
    now = int(time.time())
    claims = {
        "sub": "1h57kf5cpq17m0eml12EXAMPLE",
        "token_use": "access",
        "scope": "demo/read demo/write",
        "auth_time": now,
        "iss": ISSUER.url,
        "exp": now + 3600,
        "iat": now,
        "version": 2,
        "jti": "0b2c7e0e-5a64-4b0f-8d0a-2f3a5a1c9d11",
        "client_id": "1h57kf5cpq17m0eml12EXAMPLE",
        "surrogate_client_id": "sgc_" + "a" * 26,
    }
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "kid-1"})


def _snapshot(key: RSAPrivateKey) -> dict[str, object]:
    numbers = key.public_key().public_numbers()
    jwk = {
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "kid": "kid-1",
        "n": urlsafe_b64encode(numbers.n.to_bytes(256)).rstrip(b"=").decode(),
        "e": "AQAB",
    }
    return {"keys": [{**jwk, "iss": ISSUER.url}, {**jwk, "iss": OTHER.url}]}
