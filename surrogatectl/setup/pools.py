"""Checks of a live user pool: its scopes, its domain, and its token endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from chalicelib.settings import RegionSettings
from surrogatectl.cli.operators import Connect, NoAnswerError, call_aws

_LOOPBACK = "127.0.0.1"
_EMPTY_FORM_REFUSED = 400
_SECONDS = 5.0
_PER_PAGE = 50

Post = Callable[[str], int]
"""Function that posts an empty form to a URL; returns the status, 0 without an answer."""


def post_nothing(url: str) -> int:
    """See `Post`.  Only tokens are billed."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(url, data={}, timeout=_SECONDS, allow_redirects=False)
    except requests.RequestException:
        return 0
    return answer.status_code


def problems(region: RegionSettings, connect: Connect, post: Post) -> list[str]:
    """Return the problems of *region*'s pool and its domain, with their remedies."""
    try:
        cognito = connect("cognito-idp", region)
        pool = call_aws(lambda: cognito.describe_user_pool(UserPoolId=region.user_pool_id))[
            "UserPool"
        ]
        scopes = scopes_of(cognito, region.user_pool_id)
    except NoAnswerError as err:
        return [f"The user pool {region.user_pool_id} cannot be described: {err}."]
    wrong = []
    if not scopes:
        wrong.append(
            f"The user pool {region.user_pool_id} has no resource server with a scope, which "
            "client_credentials needs. Create it in infra/region.yaml or in the console."
        )
    host = urlsplit(region.token_endpoint).hostname or ""
    if host != _LOOPBACK and host not in _hosts(pool, region.name):
        wrong.append(
            f"{host} is not the domain of the user pool {region.user_pool_id}: "
            f"{' or '.join(_hosts(pool, region.name)) or 'it has none; create one'}."
        )
    status = post(region.token_endpoint)
    if status != _EMPTY_FORM_REFUSED:
        outcome = f"answers {status}" if status else "does not answer"
        wrong.append(
            f"{region.token_endpoint} {outcome}. A token endpoint answers an empty form with 400. "
            "Check the domain (a new one takes minutes) and name resolution."
        )
    return wrong


def scopes_of(cognito: Any, user_pool_id: str) -> frozenset[str]:  # noqa: ANN401 - a client
    """
    Return the scopes that the resource servers of a pool define.

    Raises:
        NoAnswerError: If Cognito refuses or does not answer.
    """
    found: set[str] = set()
    more: dict[str, str] = {}
    while True:
        page = call_aws(
            lambda more=more: cognito.list_resource_servers(  # type: ignore[misc]
                UserPoolId=user_pool_id, MaxResults=_PER_PAGE, **more
            )
        )
        for server in page["ResourceServers"]:
            names = (scope["ScopeName"] for scope in server.get("Scopes", []))
            found.update(f"{server['Identifier']}/{name}" for name in names)
        if not page.get("NextToken"):
            return frozenset(found)
        more = {"NextToken": page["NextToken"]}


def _hosts(pool: Mapping[str, Any], region: str) -> list[str]:
    hosts = [pool["CustomDomain"]] if pool.get("CustomDomain") else []
    if pool.get("Domain"):
        hosts.append(f"{pool['Domain']}.auth.{region}.amazoncognito.com")
    return hosts
