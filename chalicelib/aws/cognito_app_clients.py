"""App clients in Cognito: one per surrogate and Region, named after the surrogate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from chalicelib.credentials import CLIENT_ID
from chalicelib.errors import (
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    UnknownAppClientError,
)
from chalicelib.model import AppClientId, AppClientView, ClientId, CognitoSecret
from chalicelib.ports import unlimited

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_cognito_idp.literals import OAuthFlowTypeType
    from mypy_boto3_cognito_idp.type_defs import (
        UserPoolClientDescriptionTypeDef,
        UserPoolClientTypeTypeDef,
    )

_THROTTLED = frozenset(
    {"TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded"}
)
# Errors of botocore about an answer that is not UTF-8, or not a JSON object, and our
# errors about one that lacks a member.
_UNUSABLE_ANSWER = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_RESOURCE_SERVERS_PER_PAGE = 50

_APP_CLIENTS_PER_PAGE = 60
_FLOWS: list[OAuthFlowTypeType] = ["client_credentials"]
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
# The parameters of UpdateUserPoolClient; DescribeUserPoolClient returns them all.
_UPDATABLE = frozenset(
    {
        "AccessTokenValidity",
        "AnalyticsConfiguration",
        "AuthSessionValidity",
        "CallbackURLs",
        "ClientId",
        "ClientName",
        "DefaultRedirectURI",
        "EnablePropagateAdditionalUserContextData",
        "EnableTokenRevocation",
        "ExplicitAuthFlows",
        "IdTokenValidity",
        "LogoutURLs",
        "PreventUserExistenceErrors",
        "ReadAttributes",
        "RefreshTokenRotation",
        "RefreshTokenValidity",
        "SupportedIdentityProviders",
        "TokenValidityUnits",
        "UserPoolId",
        "WriteAttributes",
    }
)

T = TypeVar("T")


def app_client_name(prefix: str, client_id: ClientId) -> str:
    """Return the name of *client_id*'s app client: our mark."""
    return f"{prefix}-{client_id}"


def _ask(call: Callable[[], T]) -> T:
    """Make an AWS call, and translate its errors."""
    try:
        return call()
    except ClientError as err:
        code = str(err.response.get("Error", {}).get("Code", ""))
        status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _THROTTLED or status == _TOO_MANY_REQUESTS:
            raise AppClientsThrottledError(code) from None
        if status >= _SERVER_ERROR or code == "InternalErrorException":
            raise AppClientsUnreachableError(code) from None
        raise AppClientsRefusedError(code) from None
    except (BotoCoreError, ResponseParserError, *_UNUSABLE_ANSWER) as err:
        # Unreachable, or an unusable answer.
        raise AppClientsUnreachableError(type(err).__name__) from None


Connect = Callable[[], "CognitoIdentityProviderClient"]
"""Returns an AWS client, constructed at the first call."""


@dataclass(frozen=True, slots=True)
class PoolAppClients:
    """
    `AppClients` of one user pool.

    *client* may retry a call, *once* never does.
    """

    client: Connect = field(repr=False)
    once: Connect = field(repr=False)
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
        for server in _ask(lambda: [each for page in pages for each in page["ResourceServers"]]):
            for scope in server.get("Scopes", []):
                yield f"{server['Identifier']}/{scope['ScopeName']}"

    def create(self, client_id: ClientId, scopes: tuple[str, ...]) -> tuple[AppClientId, str]:
        """See `AppClients.create`."""
        made = _ask(
            lambda: self.once().create_user_pool_client(
                UserPoolId=self.user_pool_id,
                ClientName=app_client_name(self.prefix, client_id),
                GenerateSecret=True,
                # Without this parameter, Cognito enables flows for users; this flow is
                # useless without a user's refresh token.
                ExplicitAuthFlows=["ALLOW_REFRESH_TOKEN_AUTH"],
                PreventUserExistenceErrors="ENABLED",
                AllowedOAuthFlows=_FLOWS,
                AllowedOAuthFlowsUserPoolClient=True,
                AllowedOAuthScopes=list(scopes),
                AccessTokenValidity=self.access_token_seconds,
                TokenValidityUnits={"AccessToken": "seconds"},
            )["UserPoolClient"]
        )
        app_client_id, client_secret = made.get("ClientId"), made.get("ClientSecret")
        if not app_client_id or not client_secret:
            raise AppClientsUnreachableError("an unusable answer")
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

    def describe(self, app_client_id: AppClientId) -> AppClientView:
        """See `AppClients.describe`."""
        return _parsed(lambda: self._view(app_client_id, self._described(app_client_id)))

    @staticmethod
    def _view(app_client_id: AppClientId, described: UserPoolClientTypeTypeDef) -> AppClientView:
        unit = described.get("TokenValidityUnits", {}).get("AccessToken", "hours")
        # The flows have no effect while the switch for them all is off.
        flows = described.get("AllowedOAuthFlows", [])
        enabled = described.get("AllowedOAuthFlowsUserPoolClient", False)
        return AppClientView(
            app_client_id=app_client_id,
            name=described.get("ClientName", ""),
            scopes=frozenset(described.get("AllowedOAuthScopes", [])),
            flows=frozenset(flows if enabled else []),
            access_token_seconds=described.get("AccessTokenValidity", 1) * _SECONDS[unit],
            created_at=int(described["CreationDate"].timestamp()),
            client_secret=described.get("ClientSecret", ""),
            managed="ClientSecretArn" in described,
        )

    def _described(self, app_client_id: AppClientId) -> UserPoolClientTypeTypeDef:
        return _of_app_client(
            lambda: self.client().describe_user_pool_client(
                UserPoolId=self.user_pool_id, ClientId=app_client_id
            )["UserPoolClient"]
        )

    def align(self, app_client_id: AppClientId, scopes: tuple[str, ...], *, adopted: bool) -> None:
        """See `AppClients.align`."""
        # UpdateUserPoolClient resets omitted parameters: read, modify, write.
        described = self._described(app_client_id)
        wanted: dict[str, Any] = {
            name: value for name, value in described.items() if name in _UPDATABLE
        }
        wanted |= {
            "AllowedOAuthFlows": _FLOWS,
            "AllowedOAuthFlowsUserPoolClient": True,
            "AllowedOAuthScopes": list(scopes),
        }
        if not adopted:
            wanted["AccessTokenValidity"] = self.access_token_seconds
            units = dict(described.get("TokenValidityUnits", {}))
            wanted["TokenValidityUnits"] = units | {"AccessToken": "seconds"}
        _of_app_client(lambda: self.client().update_user_pool_client(**wanted))

    def aligned(self, view: AppClientView, scopes: tuple[str, ...], *, adopted: bool) -> bool:
        """See `AppClients.aligned`."""
        return (
            view.scopes == frozenset(scopes)
            and view.flows == frozenset(_FLOWS)
            and (adopted or view.access_token_seconds == self.access_token_seconds)
        )

    def ours(
        self, before_page: Callable[[], object] = unlimited
    ) -> Iterator[tuple[AppClientId, ClientId]]:
        """See `AppClients.ours`."""
        mark = app_client_name(self.prefix, ClientId(""))
        more: dict[str, str] = {}
        while True:
            before_page()
            page, token = self._page(more)
            for listed in page:
                client_id = listed.get("ClientName", "").removeprefix(mark)
                if listed.get("ClientName", "").startswith(mark) and CLIENT_ID.fullmatch(client_id):
                    yield AppClientId(listed["ClientId"]), ClientId(client_id)
            if token is None:
                return
            more = {"NextToken": token}

    def _page(
        self, more: dict[str, str]
    ) -> tuple[Sequence[UserPoolClientDescriptionTypeDef], str | None]:
        def ask() -> tuple[Sequence[UserPoolClientDescriptionTypeDef], str | None]:
            answer = self.client().list_user_pool_clients(
                UserPoolId=self.user_pool_id, MaxResults=_APP_CLIENTS_PER_PAGE, **more
            )
            return answer["UserPoolClients"], answer.get("NextToken")

        return _ask(ask)

    def is_marked(self, view: AppClientView, client_id: ClientId) -> bool:
        """See `AppClients.is_marked`."""
        return view.name == app_client_name(self.prefix, client_id)

    def secrets(self, app_client_id: AppClientId) -> tuple[CognitoSecret, ...]:
        """See `AppClients.secrets`."""
        listed = _of_app_client(
            lambda: self.client().list_user_pool_client_secrets(
                UserPoolId=self.user_pool_id, ClientId=app_client_id
            )["ClientSecrets"]
        )
        secrets = _parsed(lambda: [_cognito_secret(each) for each in listed])
        return tuple(sorted(secrets, key=lambda secret: secret.created_at))

    def add_secret(self, app_client_id: AppClientId, value: str) -> CognitoSecret:
        """See `AppClients.add_secret`."""
        return _cognito_secret(
            _of_app_client(
                lambda: self.once().add_user_pool_client_secret(
                    UserPoolId=self.user_pool_id, ClientId=app_client_id, ClientSecret=value
                )["ClientSecretDescriptor"]
            )
        )

    def delete_secret(self, app_client_id: AppClientId, cognito_secret_id: str) -> None:
        """See `AppClients.delete_secret`."""
        if all(each.cognito_secret_id != cognito_secret_id for each in self.secrets(app_client_id)):
            return
        _of_app_client(
            lambda: self.client().delete_user_pool_client_secret(
                UserPoolId=self.user_pool_id,
                ClientId=app_client_id,
                ClientSecretId=cognito_secret_id,
            )
        )


def _of_app_client(call: Callable[[], T]) -> T:
    """Make an AWS call about one app client."""
    try:
        return _ask(call)
    except AppClientsRefusedError as err:
        if err.code == "ResourceNotFoundException":
            raise UnknownAppClientError from None
        raise


def _parsed(parse: Callable[[], T]) -> T:
    """
    Return the result of *parse* for the answer about one app client.

    Raises:
        AppClientsRefusedError: If it is unusable; other app clients' may be sound.
    """
    try:
        return parse()
    except _UNUSABLE_ANSWER:
        raise AppClientsRefusedError("UnusableAnswer") from None


def _cognito_secret(described: Any) -> CognitoSecret:  # noqa: ANN401 - a botocore shape
    return CognitoSecret(
        described["ClientSecretId"], int(described["ClientSecretCreateDate"].timestamp())
    )
