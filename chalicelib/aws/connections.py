"""
AWS clients with short timeouts, and without proxies from the environment.

A call of the exchange makes at most two attempts, with botocore's pause of up to one
second in between.  An attempt takes up to 0.25 seconds for each address of the name,
and 0.75 for the answer: in all 3 seconds with one address, 3.5 with five that do not
connect (`exchange.STORE_SECONDS`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar, cast

from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import EndpointConnectionError, HTTPClientError
from botocore.session import Session, get_session

from chalicelib.ports import unlimited
from chalicelib.settings import RegionSettings
from chalicelib.timing import CircuitBreaker

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

# Standard mode includes botocore's retry quota: when many calls fail, retries stop.
_EXCHANGE = Config(
    connect_timeout=0.25,
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
# For calls without retries: a second CreateUserPoolClient makes a second app client.
_ADMIN_ONCE = _ADMIN.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))


UNREACHABLE: Final = (NoConnectionError, HTTPClientError)
"""botocore's errors for an unreachable endpoint; neither is the base of the other."""

LOST_SECONDS: Final = 5.0
"""How long the circuit breaker of admin calls is open after a Region did not answer."""

C = TypeVar("C", bound=BaseClient)

# botocore's session: boto3 adds resources and transfers, which nothing here uses, to a
# cold start's imports.  One for all clients, as each session loads AWS's endpoints.
_session: Final = cache(get_session)


class Connections:
    """
    The AWS clients of one Region, each constructed at its first use.

    With the circuit breaker *lost*, administrators' calls fail together: after one
    does not reach the Region, those of the next seconds fail at once, so that an
    operation of many calls ends in time.

    They call *require_time* before each of their requests, retries included; an
    error of it ends the call.
    """

    def __init__(
        self,
        region: RegionSettings,
        lost: CircuitBreaker | None = None,
        require_time: Callable[[], None] = unlimited,
        session: Callable[[], Session] = _session,
    ) -> None:
        """Connect to *region*, with *session*'s credentials."""
        self._region = region
        self._lost = lost
        self._require_time = require_time
        self._session = session
        self.exchange_secrets = cache(lambda: self._secrets(_EXCHANGE))
        self.admin_secrets = cache(lambda: self._bounded(self._secrets(_ADMIN)))
        self.admin_cognito = cache(lambda: self._bounded(self._cognito(_ADMIN)))
        self.admin_cognito_once = cache(lambda: self._bounded(self._cognito(_ADMIN_ONCE)))
        self.admin_logs = cache(lambda: self._bounded(self._logs()))

    def _bounded(self, client: C) -> C:
        def require_time(**_: object) -> None:
            self._require_time()

        # Not before-call, which botocore emits once, however many retries follow.
        client.meta.events.register("before-send", require_time)
        return self._with_breaker(client)

    def _with_breaker(self, client: C) -> C:
        lost = self._lost
        if lost is None:
            return client

        def refuse_if_lost(**_: object) -> None:
            if not lost.closed:
                raise EndpointConnectionError(endpoint_url=self._region.name)

        def note_if_lost(caught_exception: Exception | None = None, **_: object) -> None:
            if isinstance(caught_exception, UNREACHABLE):
                lost.trip()
            elif caught_exception is None:
                lost.reset()  # the second attempt got an answer

        client.meta.events.register("before-call", refuse_if_lost)
        client.meta.events.register("needs-retry", note_if_lost)
        return client

    def _secrets(self, config: Config) -> SecretsManagerClient:
        return cast(
            "SecretsManagerClient",
            self._session().create_client(
                "secretsmanager",
                region_name=self._region.name,
                endpoint_url=self._region.endpoint_url,
                config=config,
            ),
        )

    def _cognito(self, config: Config) -> CognitoIdentityProviderClient:
        return cast(
            "CognitoIdentityProviderClient",
            self._session().create_client(
                "cognito-idp",
                region_name=self._region.name,
                endpoint_url=self._region.endpoint_url,
                config=config,
            ),
        )

    def _logs(self) -> CloudWatchLogsClient:
        return cast(
            "CloudWatchLogsClient",
            self._session().create_client(
                "logs",
                region_name=self._region.name,
                endpoint_url=self._region.endpoint_url,
                config=_ADMIN_ONCE,
            ),
        )
