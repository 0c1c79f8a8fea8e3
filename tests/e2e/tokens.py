"""Exchange and verification of tokens, as by clients and backends."""

from __future__ import annotations

import json
from typing import Any

import jwt
import requests

from chalicelib import record_json
from chalicelib.model import AppClient
from local.cloud import Cloud

SECONDS = 10


def post_token(base_url: str, pair: tuple[str, str] | None, **form: str) -> requests.Response:
    """Request a token."""
    return requests.post(
        f"{base_url}/oauth2/token",
        auth=pair,
        data={"grant_type": "client_credentials", **form},
        timeout=SECONDS,
        allow_redirects=False,
    )


def verified(cloud: Cloud, role: str, token: str) -> dict[str, Any]:
    """Return the claims of *token*, verified with the keys of the pool in the Region of *role*."""
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


def regional(cloud: Cloud, client_id: str, role: str) -> AppClient:
    """Return a client's app client with its secret, as a thief would have it."""
    text = cloud.client("secretsmanager", role, "root").get_secret_value(
        SecretId=f"surrogate/clients/{client_id}", VersionStage="AWSCURRENT"
    )["SecretString"]
    found = record_json.record_from_json(text).app_clients[cloud.endpoints["regions"][role]]
    assert isinstance(found, AppClient)
    return found


def token_without_exchange(cloud: Cloud, role: str, stolen: AppClient, **metadata: str) -> str:
    """Return a token for the *stolen* app client, requested directly from Cognito."""
    told = {"aws_client_metadata": json.dumps(metadata)} if metadata else {}
    answer = requests.post(
        f"{cloud.endpoints['region_endpoints'][role]}/oauth2/token",
        auth=(stolen.app_client_id, stolen.client_secret),
        data={"grant_type": "client_credentials", **told},
        timeout=SECONDS,
    )
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token
