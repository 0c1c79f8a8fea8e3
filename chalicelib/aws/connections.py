"""
AWS clients with bounded patience, and no proxy from the environment.

The worst case of a call for the exchange is two tries, each of 0.25 seconds for
every address that the name has and 0.75 for the answer, and up to one second of
botocore's backoff between.  Up to five addresses that is `exchange.STORE_SECONDS`.
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

from chalicelib.ports import at_once
from chalicelib.settings import RegionSettings
from chalicelib.timing import CircuitBreaker

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

# `retries` in standard mode come with botocore's retry quota: when many calls
# fail, retrying stops before it becomes a stampede.
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
# For what must not be repeated blindly: a second CreateUserPoolClient makes a
# second app client.
_ADMIN_ONCE = _ADMIN.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))


UNREACHABLE: Final = (NoConnectionError, HTTPClientError)
"""What botocore raises where nobody answers: neither of the two is the other's base."""

LOST_SECONDS: Final = 5.0
"""How long a Region that did not answer is taken for lost by administrators' calls."""

C = TypeVar("C", bound=BaseClient)

# botocore's own session: boto3 adds resources and transfers, which nothing here uses and
# which a cold start would import.  One for all, since each reads AWS's endpoints for itself.
_session: Final = cache(get_session)


class Connections:
    """
    The AWS clients of one Region, each made when it is first asked for.

    With *lost*, administrators' calls fail together: when one finds the Region
    out of reach, those of the next seconds do not wait for it again, so that an
    operation of many calls ends in time.

    *require_time* is called before each of their requests, repeated ones as
    well; what it raises ends the call.
    """

    def __init__(
        self,
        region: RegionSettings,
        lost: CircuitBreaker | None = None,
        require_time: Callable[[], None] = at_once,
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

        # Not before-call, which comes once however often a request is repeated.
        client.meta.events.register("before-send", require_time)
        return self._together(client)

    def _together(self, client: C) -> C:
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
                lost.reset()  # the second try arrived

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
