"""Trust settings of the example: the user pools of a local cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surrogate_verifier import ANY, NO_AUDIENCE, ClientNames, Issuer, Verifier, user_pool

_ROLES = ("primary", "secondary")


def verifier_for(
    endpoints: Mapping[str, Any], *, client_names: ClientNames | None = None
) -> Verifier:
    """
    Return a verifier for the local cloud whose `endpoints.json` has *endpoints*.

    Keys come from the service's own key set, under the name that follows a failover.  On
    AWS, `surrogatectl trust --for python` prints these settings.
    """
    issuers = [_pool(endpoints, role) for role in _ROLES]
    verifier = Verifier(
        issuers,
        keys=f"{endpoints['front_door']}/.well-known/jwks.json",
        token_use="access",  # noqa: S106 - a kind of token
        audiences=NO_AUDIENCE,  # Cognito's machine tokens have none
        scopes=ANY,  # each route states its own
        clients=ANY,
        client_names=client_names,
        loopback_http=True,  # the local cloud has no TLS
    )
    verifier.load_keys()
    return verifier


def _pool(endpoints: Mapping[str, Any], role: str) -> Issuer:
    pool_id, region = endpoints["user_pools"][role], endpoints["region_endpoints"][role]
    return user_pool(pool_id, f"{region}/{pool_id}/.well-known/jwks.json")
