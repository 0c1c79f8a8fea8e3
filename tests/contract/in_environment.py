"""
Requests to servers from a process of its own, whose environment names proxies and the like.

    python -m tests.contract.in_environment NAME=URL...

It prints one JSON object with the outcome of each request.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence

import requests

from chalicelib.aws.cognito_app_clients import PoolAppClients
from chalicelib.aws.connections import Connections
from chalicelib.aws.region_state import DeploymentKeySecret
from chalicelib.aws.token_endpoint import CognitoTokenEndpoint
from chalicelib.errors import ServiceError
from tests.contract.deadlines import AMPLE
from tests.contract.samples import app_client, region_at
from tests.worlds import EAST_POOL


def token(url: str) -> None:
    endpoint = CognitoTokenEndpoint(f"{url}/oauth2/token", time.time)
    endpoint.request_token(app_client(), "demo/read", {}, AMPLE)


def aws(url: str) -> Connections:
    return Connections(region_at(url))


def exchange_secrets(url: str) -> None:
    DeploymentKeySecret(aws(url).exchange_secrets, "surrogate").read()


def admin_secrets(url: str) -> None:
    DeploymentKeySecret(aws(url).admin_secrets, "surrogate").read()


def cognito(url: str) -> None:
    connections = aws(url)
    PoolAppClients(
        connections.admin_cognito, connections.admin_cognito_once, EAST_POOL, "surrogate", 3600
    ).unknown_scopes(())


def obedient(url: str) -> None:
    """Send a request that follows the environment, which is the default of requests."""
    requests.post(f"{url}/oauth2/token", data={"a": "b"}, timeout=10)


ASK: dict[str, Callable[[str], None]] = {
    "token": token,
    "exchange secrets": exchange_secrets,
    "admin secrets": admin_secrets,
    "cognito": cognito,
    "obedient": obedient,
}


def outcome(ask: Callable[[str], None], url: str) -> str:
    try:
        ask(url)
    except (ServiceError, requests.RequestException) as err:
        return type(err).__name__
    return "answered"


def main(arguments: Sequence[str]) -> None:
    outcomes = {}
    for argument in arguments:
        name, _, url = argument.partition("=")
        outcomes[argument] = outcome(ASK[name], url)
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main(sys.argv[1:])
