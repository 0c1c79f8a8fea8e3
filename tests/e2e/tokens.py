"""Exchanging and verifying, as clients and backends do."""

from __future__ import annotations

from typing import Any

import jwt
import requests

from local.cloud import Cloud

SECONDS = 10


def post_token(base_url: str, pair: tuple[str, str] | None, **form: str) -> requests.Response:
    """Ask for a token."""
    return requests.post(
        f"{base_url}/oauth2/token",
        auth=pair,
        data={"grant_type": "client_credentials", **form},
        timeout=SECONDS,
        allow_redirects=False,
    )


def verified(cloud: Cloud, role: str, token: str) -> dict[str, Any]:
    """Return the claims of *token* if the pool of the Region that is *role* issued it."""
    region, pool = cloud.endpoints["regions"][role], cloud.endpoints["user_pools"][role]
    keys = jwt.PyJWKClient(
        f"{cloud.endpoints['region_endpoints'][role]}/{pool}/.well-known/jwks.json"
    )
    claims: dict[str, Any] = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token).key,
        algorithms=["RS256"],
        issuer=f"https://cognito-idp.{region}.amazonaws.com/{pool}",
        options={"require": ["exp", "iat", "iss"], "verify_aud": False},
    )
    return claims
