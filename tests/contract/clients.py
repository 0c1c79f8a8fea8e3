"""
SDK clients for the contract suite: independent of the environment, with injectable
failures of requests.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

# No profile, no configuration files: only explicit parameters.
_ISOLATED = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}

_ANY = "any"  # the account of moto


def _config(attempts: int, seconds: float) -> Config:
    return Config(
        connect_timeout=seconds,
        read_timeout=seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
        proxies={},
    )


PATIENT = _config(attempts=1, seconds=20)
REPEATING = _config(attempts=2, seconds=20)
IMPATIENT = _config(attempts=1, seconds=0.3)


class Aws:
    """Factory of clients that sign with one access key."""

    def __init__(self, access_key_id: str = "AKIATESTS", secret_access_key: str = _ANY) -> None:
        self.botocore_session = botocore.session.Session(session_vars=_ISOLATED)
        self.session = boto3.Session(
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            botocore_session=self.botocore_session,
        )

    def secrets(self, region: str, endpoint: str, config: Config = PATIENT) -> SecretsManagerClient:
        return self.session.client(
            "secretsmanager", region_name=region, endpoint_url=endpoint, config=config
        )

    def cognito(
        self, region: str, endpoint: str, config: Config = PATIENT
    ) -> CognitoIdentityProviderClient:
        return self.session.client(
            "cognito-idp", region_name=region, endpoint_url=endpoint, config=config
        )

    def logs(self, region: str, endpoint: str, config: Config = PATIENT) -> CloudWatchLogsClient:
        return self.session.client("logs", region_name=region, endpoint_url=endpoint, config=config)


def lose_answer(client: SecretsManagerClient, operation: str) -> None:
    """Lose the answer to the next request of *operation*, which arrives."""

    def happen(request: Any) -> None:
        session = URLLib3Session()
        session.send(request)
        session.close()
        raise ReadTimeoutError(endpoint_url=request.url)

    _once(client, operation, happen)


def lose_request(client: SecretsManagerClient, operation: str) -> None:
    """Lose the next request of *operation* before it arrives."""

    def happen(request: Any) -> None:
        raise ConnectTimeoutError(endpoint_url=request.url)

    _once(client, operation, happen)


def meanwhile(client: SecretsManagerClient, operation: str, action: Callable[[], object]) -> None:
    """Run *action* just before the next request of *operation* is sent."""

    def happen(request: Any) -> None:
        action()

    _once(client, operation, happen)


def _once(client: SecretsManagerClient, operation: str, happen: Callable[[Any], None]) -> None:
    event = f"before-send.secrets-manager.{operation}"

    def handler(request: Any, **_: object) -> None:
        client.meta.events.unregister(event, handler)
        happen(request)

    client.meta.events.register(event, handler)
