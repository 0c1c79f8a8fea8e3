"""
AWS clients with bounded patience, and no proxy from the environment.

The worst case of a call for the exchange is two tries of 0.5 and 0.75 seconds,
and up to one second of botocore's backoff between: `exchange.STORE_SECONDS`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from .settings import RegionSettings

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

# `retries` in standard mode come with botocore's retry quota: when many calls
# fail, retrying stops before it becomes a stampede.
_EXCHANGE = Config(
    connect_timeout=0.5,
    read_timeout=0.75,
    retries={"mode": "standard", "total_max_attempts": 2},
    proxies={},
)
_ADMIN = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 2},
    proxies={},
)
# For what must not be repeated blindly: a second CreateUserPoolClient makes a
# second app client.
_ADMIN_ONCE = _ADMIN.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))


class Connections:
    """The AWS clients of one Region, each made when it is first asked for."""

    def __init__(self, region: RegionSettings) -> None:
        """Connect to *region*."""
        self._region = region
        self.exchange_secrets = cache(lambda: self._secrets(_EXCHANGE))
        self.admin_secrets = cache(lambda: self._secrets(_ADMIN))
        self.admin_cognito = cache(lambda: self._cognito(_ADMIN))
        self.admin_cognito_once = cache(lambda: self._cognito(_ADMIN_ONCE))
        self.admin_logs = cache(self._logs)

    def _secrets(self, config: Config) -> SecretsManagerClient:
        return boto3.client(
            "secretsmanager",
            region_name=self._region.name,
            endpoint_url=self._region.endpoint_url,
            config=config,
        )

    def _cognito(self, config: Config) -> CognitoIdentityProviderClient:
        return boto3.client(
            "cognito-idp",
            region_name=self._region.name,
            endpoint_url=self._region.endpoint_url,
            config=config,
        )

    def _logs(self) -> CloudWatchLogsClient:
        return boto3.client(
            "logs",
            region_name=self._region.name,
            endpoint_url=self._region.endpoint_url,
            config=_ADMIN_ONCE,
        )
