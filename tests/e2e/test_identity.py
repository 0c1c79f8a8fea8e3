"""What backends verify tokens with: the keys of both Regions, whichever Region is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest
import requests

from local.cloud import Cloud
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import SECONDS, post_token

ROLES = ("primary", "secondary")


def published(base_url: str, **headers: str) -> requests.Response:
    return requests.get(
        f"{base_url}/.well-known/jwks.json",
        headers=headers,
        timeout=SECONDS,
        allow_redirects=False,
    )


def verified_by(keys: list[dict[str, Any]], token: str) -> dict[str, Any]:
    """Return the claims of *token*, verified with the published keys and nothing else."""
    kid = jwt.get_unverified_header(token)["kid"]
    iss = jwt.decode(token, options={"verify_signature": False})["iss"]
    (key,) = [each for each in keys if (each["kid"], each["iss"]) == (kid, iss)]
    claims: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(key).key, algorithms=["RS256"], issuer=key["iss"]
    )
    return claims


def issuer(cloud: Cloud, role: str) -> str:
    region, pool = cloud.endpoints["regions"][role], cloud.endpoints["user_pools"][role]
    return f"https://cognito-idp.{region}.amazonaws.com/{pool}"


def test_each_region_publishes_the_keys_of_both_from_the_first_minute(cloud: Cloud) -> None:
    for role in ROLES:
        answer = published(cloud.endpoints[role])
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        issuers = {each["iss"] for each in answer.json()["keys"]}
        assert issuers == {issuer(cloud, each) for each in ROLES}
        again = published(cloud.endpoints[role], **{"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(("lost", "left"), [ROLES, ROLES[::-1]])
def test_tokens_of_both_regions_are_verified_while_one_is_lost(
    breakable_cloud: Cloud, enroll_everywhere: Callable[[], Credential], lost: str, left: str
) -> None:
    credential = enroll_everywhere()
    endpoints = breakable_cloud.endpoints
    tokens = {
        role: post_token(endpoints[role], credential.pair).json()["access_token"] for role in ROLES
    }
    breakable_cloud.set_region(lost, "refused")
    keys = published(endpoints[left]).json()["keys"]
    for role, token in tokens.items():
        assert verified_by(keys, token)["iss"] == issuer(breakable_cloud, role)


def test_refreshing_by_hand_finds_nothing_new(surrogatectl: CommandLine) -> None:
    done = surrogatectl("refresh-jwks")
    assert (done["outcome"], done["failed"]) == ("unchanged", {})


def test_a_refresh_with_a_region_lost_keeps_its_keys(
    breakable_cloud: Cloud, surrogatectl: CommandLine
) -> None:
    before = published(breakable_cloud.endpoints["primary"]).json()
    breakable_cloud.set_region("secondary", "refused")
    done = surrogatectl("refresh-jwks")
    assert set(done["failed"]) == {issuer(breakable_cloud, "secondary")}
    assert published(breakable_cloud.endpoints["primary"]).json() == before
