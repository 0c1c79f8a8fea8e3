"""Cognito's app clients: one per surrogate and Region, named after the surrogate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from .errors import (
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
)
from .model import AppClientId, ClientId

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

_THROTTLED = frozenset(
    {"TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded"}
)
_SERVER_ERROR = 500
_RESOURCE_SERVERS_PER_PAGE = 50

T = TypeVar("T")


def app_client_name(prefix: str, client_id: ClientId) -> str:
    """Return the name of *client_id*'s app client: the mark of what is ours."""
    return f"{prefix}-{client_id}"


def _ask(call: Callable[[], T]) -> T:
    try:
        return call()
    except ClientError as err:
        code = str(err.response.get("Error", {}).get("Code", ""))
        status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _THROTTLED:
            raise AppClientsThrottledError(code) from None
        if status >= _SERVER_ERROR or code == "InternalErrorException":
            raise AppClientsUnreachableError(code) from None
        raise AppClientsRefusedError(code) from None
    except (BotoCoreError, ResponseParserError, KeyError) as err:
        raise AppClientsUnreachableError(type(err).__name__) from None


@dataclass(frozen=True, slots=True)
class PoolAppClients:
    """
    `AppClients` of one user pool.

    *client* may repeat a call, *once* never does.
    """

    client: Callable[[], CognitoIdentityProviderClient] = field(repr=False)
    once: Callable[[], CognitoIdentityProviderClient] = field(repr=False)
    user_pool_id: str
    prefix: str
    access_token_seconds: int

    def unknown_scopes(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """See `AppClients.unknown_scopes`."""
        known = set(self._scopes())
        return tuple(scope for scope in scopes if scope not in known)

    def _scopes(self) -> Iterator[str]:
        pages = (
            self.client()
            .get_paginator("list_resource_servers")
            .paginate(
                UserPoolId=self.user_pool_id,
                PaginationConfig={"PageSize": _RESOURCE_SERVERS_PER_PAGE},
            )
        )
        for page in _ask(lambda: list(pages)):
            for server in page["ResourceServers"]:
                for scope in server.get("Scopes", []):
                    yield f"{server['Identifier']}/{scope['ScopeName']}"

    def create(self, client_id: ClientId, scopes: tuple[str, ...]) -> tuple[AppClientId, str]:
        """See `AppClients.create`."""
        made = _ask(
            lambda: self.once().create_user_pool_client(
                UserPoolId=self.user_pool_id,
                ClientName=app_client_name(self.prefix, client_id),
                GenerateSecret=True,
                AllowedOAuthFlows=["client_credentials"],
                AllowedOAuthFlowsUserPoolClient=True,
                AllowedOAuthScopes=list(scopes),
                # Left out, Cognito switches on flows for users; this one is of
                # no use to anybody who has no user's refresh token.
                ExplicitAuthFlows=["ALLOW_REFRESH_TOKEN_AUTH"],
                PreventUserExistenceErrors="ENABLED",
                AccessTokenValidity=self.access_token_seconds,
                TokenValidityUnits={"AccessToken": "seconds"},
            )["UserPoolClient"]
        )
        app_client_id, client_secret = made.get("ClientId"), made.get("ClientSecret")
        if not app_client_id or not client_secret:
            raise AppClientsUnreachableError("an answer that is none")
        return AppClientId(app_client_id), client_secret

    def delete(self, app_client_id: AppClientId) -> None:
        """See `AppClients.delete`."""
        try:
            _ask(
                lambda: self.client().delete_user_pool_client(
                    UserPoolId=self.user_pool_id, ClientId=app_client_id
                )
            )
        except AppClientsRefusedError as err:
            if err.code != "ResourceNotFoundException":
                raise
