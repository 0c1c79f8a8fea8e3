"""
What verifying a token costs, beside plain PyJWT: `python -m benchmarks.verifier`.

Both verify the same token with the same key, in turns, so that whatever else the machine
does meets both.  The ratio is what to look at; the times are this machine's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from surrogate_verifier import Verifier, user_pool

ISSUER = user_pool("us-east-1_EXAMPLE11")
OTHER = user_pool("us-west-2_EXAMPLE22")
ROUNDS = 40
CALLS = 100


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    key = generate_private_key(65537, 2048)
    measured = _in_turns(_contenders(key, _token(key)), arguments.rounds)
    base = measured["PyJWT, issuer's key at hand"]
    rows = [
        {"what": what, "us": round(us, 1), "ratio": round(us / base, 2)}
        for what, us in measured.items()
    ]
    if arguments.output == "json":
        print(json.dumps({"rounds": arguments.rounds, "calls": CALLS, "results": rows}, indent=2))
        return
    print(f"median of {arguments.rounds} rounds of {CALLS} calls each, in turns; RS256, 2048 bits")
    for row in rows:
        print(f"{row['us']:>9} µs  {row['ratio']:>5}  {row['what']}")


def _contenders(key: RSAPrivateKey, token: str) -> dict[str, Callable[[], object]]:
    public = key.public_key()
    keys = {ISSUER.url: {"kid-1": public}}
    issuers = [ISSUER.url, OTHER.url]
    verifier = Verifier.from_snapshot(
        _snapshot(key),
        [ISSUER, OTHER],
        token_use="access",  # noqa: S106 - a kind of token
        scopes={"demo/read"},
        clients={"sgc_" + "a" * 26},
    )
    bad_signature = token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBB")

    def plain() -> object:
        return jwt.decode(
            token,
            public,
            algorithms=["RS256"],
            issuer=issuers,
            options={"require": ["exp", "iat", "iss"], "verify_aud": False},
        )

    def with_choice_of_key() -> object:
        """Do what a backend with two issuers has to do by hand."""
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
        found = keys[unverified["payload"]["iss"]][unverified["header"]["kid"]]
        claims = jwt.decode(
            token,
            found,
            algorithms=["RS256"],
            issuer=unverified["payload"]["iss"],
            options={"require": ["exp", "iat", "iss"], "verify_aud": False},
        )
        return claims["token_use"] == "access" and "demo/read" in claims["scope"].split()  # noqa: S105

    def refused() -> object:
        try:
            return verifier.verify(bad_signature)
        except Exception as err:  # noqa: BLE001 - the outcome is what is timed
            return err

    return {
        "PyJWT, issuer's key at hand": plain,
        "PyJWT, issuer and key chosen by hand": with_choice_of_key,
        "surrogate_verifier, all checks": lambda: verifier.verify(token),
        "surrogate_verifier, a forged signature": refused,
    }


def _in_turns(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median microseconds per call of each."""
    times: dict[str, list[float]] = {what: [] for what in contenders}
    for turn in range(rounds + 1):
        for what, call in contenders.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            if turn:  # the first round warms up
                times[what].append((time.perf_counter() - began) / CALLS * 1e6)
    return {what: statistics.median(each) for what, each in times.items()}


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


if __name__ == "__main__":
    main()
