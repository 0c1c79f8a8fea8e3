"""
Cognito of `fake_aws`: one user pool per Region, its app clients and their secrets.

It covers the operations that the adapters use; the behavior is AWS's documented one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError

from chalicelib.errors import AppClientRefusedError, TokenEndpointUnavailableError
from chalicelib.model import AccessToken, AppClient
from chalicelib.ports import Deadline
from tests.fake_aws import TOKEN_ENDPOINT, Answer, AwsError, Call, FakeAws

_NAME = re.compile(r"[\w\s+=,.@-]{1,128}")
_SECRET = re.compile(r"[\w+]{24,64}", re.ASCII)
_TWO: Final = 2
_STANDARD_SCOPES: Final = ("openid", "email", "phone", "profile", "aws.cognito.signin.user.admin")
_DEFAULTS: Mapping[str, Any] = {
    "ExplicitAuthFlows": [],
    "AllowedOAuthFlows": [],
    "AllowedOAuthScopes": [],
    "AllowedOAuthFlowsUserPoolClient": False,
    "TokenValidityUnits": {},
    "RefreshTokenValidity": 30,
    "EnableTokenRevocation": True,
    "AuthSessionValidity": 3,
}


@dataclass
class PoolClient:
    """App client; *secrets* maps Cognito's secret ID to value and time, oldest first."""

    settings: Answer
    created_at: float
    secrets: dict[str, tuple[str, float]]
    managed: bool = False

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.settings["AllowedOAuthScopes"])

    def accepts(self, value: str) -> bool:
        """Return whether *value* is one of its secrets."""
        return any(value == each for each, _ in self.secrets.values())


@dataclass
class Cognito:
    """Cognito in *region*, with one user pool, which defines *scopes*."""

    aws: FakeAws
    region: str
    user_pool_id: str
    scopes: Sequence[str] = ("demo/read", "demo/write")
    clients: dict[str, PoolClient] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def list_resource_servers(
        self, *, UserPoolId: str, MaxResults: int, NextToken: str = ""
    ) -> Answer:
        self._check_pool(UserPoolId)
        servers: dict[str, list[dict[str, str]]] = {}
        for scope in self.scopes:
            identifier, _, name = scope.partition("/")
            described = {"ScopeName": name, "ScopeDescription": name}
            servers.setdefault(identifier, []).append(described)
        page, more = _page(sorted(servers), MaxResults, NextToken)
        shown = [{"Identifier": each, "Name": each, "Scopes": servers[each]} for each in page]
        return {"ResourceServers": shown, **more}

    def create_user_pool_client(
        self, *, UserPoolId: str, ClientName: str, GenerateSecret: bool, **settings: Any
    ) -> Answer:
        self._check_pool(UserPoolId)
        self._check_settings(ClientName, settings)
        number, now = next(self._numbers), self.aws.clock()
        client_id = f"{self.region[3:7].replace('-', '')}{number:022d}"
        secret = {f"{client_id}--{int(now)}": (f"cognito_secret_{client_id}_{'x' * 10}", now)}
        described = {**_DEFAULTS, **settings, "ClientName": ClientName}
        self.clients[client_id] = PoolClient(described, now, secret if GenerateSecret else {})
        return {"UserPoolClient": self._described(client_id)}

    def describe_user_pool_client(self, *, UserPoolId: str, ClientId: str) -> Answer:
        self._find(UserPoolId, ClientId)
        return {"UserPoolClient": self._described(ClientId)}

    def update_user_pool_client(
        self, *, UserPoolId: str, ClientId: str, ClientName: str = "", **settings: Any
    ) -> Answer:
        found = self._find(UserPoolId, ClientId)
        managed = settings.pop("PublishSecretsInAWSSecretsManager", found.managed)
        name = ClientName or found.settings["ClientName"]
        self._check_settings(name, settings)
        # Omitted settings are reset.
        found.settings = {**_DEFAULTS, **settings, "ClientName": name}
        if managed and not found.managed:
            # It is exchanged at once, and of two secrets, the older one goes.
            self._append(ClientId, f"managed_secret_{ClientId}_{next(self._numbers)}")
            found.secrets = dict([*found.secrets.items()][-_TWO:])
        found.managed = managed
        return {"UserPoolClient": self._described(ClientId)}

    def delete_user_pool_client(self, *, UserPoolId: str, ClientId: str) -> None:
        self._find(UserPoolId, ClientId)
        del self.clients[ClientId]

    def list_user_pool_clients(
        self, *, UserPoolId: str, MaxResults: int, NextToken: str = ""
    ) -> Answer:
        self._check_pool(UserPoolId)
        page, more = _page(sorted(self.clients), MaxResults, NextToken)
        shown = [
            {
                "ClientId": each,
                "UserPoolId": self.user_pool_id,
                "ClientName": self.clients[each].settings["ClientName"],
            }
            for each in page
        ]
        return {"UserPoolClients": shown, **more}

    def list_user_pool_client_secrets(self, *, UserPoolId: str, ClientId: str) -> Answer:
        found = self._find(UserPoolId, ClientId)
        return {"ClientSecrets": [_secret(each, at) for each, (_, at) in found.secrets.items()]}

    def add_user_pool_client_secret(
        self, *, UserPoolId: str, ClientId: str, ClientSecret: str
    ) -> Answer:
        found = self._find(UserPoolId, ClientId)
        if len(found.secrets) >= _TWO:
            raise AwsError("LimitExceededException", "two at most")
        if not _SECRET.fullmatch(ClientSecret):
            raise AwsError("InvalidParameterException", "malformed secret")
        return {"ClientSecretDescriptor": self._append(ClientId, ClientSecret)}

    def delete_user_pool_client_secret(
        self, *, UserPoolId: str, ClientId: str, ClientSecretId: str
    ) -> None:
        found = self._find(UserPoolId, ClientId)
        if ClientSecretId not in found.secrets:
            raise AwsError("ResourceNotFoundException", "no such secret")
        if len(found.secrets) == 1:
            raise AwsError("InvalidParameterException", "the last secret")
        del found.secrets[ClientSecretId]

    def _append(self, client_id: str, value: str) -> Answer:
        secrets, now = self.clients[client_id].secrets, self.aws.clock()
        stamp = int(now)
        while f"{client_id}--{stamp}" in secrets:
            stamp += 1
        secrets[f"{client_id}--{stamp}"] = (value, now)
        return _secret(f"{client_id}--{stamp}", now)

    def _check_pool(self, user_pool_id: str) -> None:
        if user_pool_id != self.user_pool_id:
            raise AwsError("ResourceNotFoundException", "no such pool")

    def _find(self, user_pool_id: str, client_id: str) -> PoolClient:
        self._check_pool(user_pool_id)
        try:
            return self.clients[client_id]
        except KeyError:
            raise AwsError("ResourceNotFoundException", "no such app client") from None

    def _check_settings(self, name: str, settings: Mapping[str, Any]) -> None:
        if not _NAME.fullmatch(name):
            raise AwsError("InvalidParameterException", "malformed name")
        known = {*self.scopes, *_STANDARD_SCOPES}
        if not known.issuperset(settings.get("AllowedOAuthScopes", ())):
            raise AwsError("ScopeDoesNotExistException")

    def _described(self, client_id: str) -> Answer:
        found = self.clients[client_id]
        created = datetime.fromtimestamp(found.created_at, UTC)
        shown = {} if not found.secrets else {"ClientSecret": next(iter(found.secrets.values()))[0]}
        if found.managed:
            shown = {
                "ClientSecretArn": f"arn:aws:secretsmanager:{self.region}:1:secret:{client_id}"
            }
        return {
            **found.settings,
            **shown,
            "UserPoolId": self.user_pool_id,
            "ClientId": client_id,
            "CreationDate": created,
            "LastModifiedDate": created,
        }


@dataclass(frozen=True)
class CognitoTokens:
    """`TokenEndpoint` of a pool of `Cognito`; a token request is a call like any other."""

    pool: Cognito
    clock: Callable[[], float]

    def request_token(
        self, app_client: AppClient, scope: str, metadata: Mapping[str, str], deadline: Deadline
    ) -> AccessToken:
        call = Call(self.pool.region, TOKEN_ENDPOINT, "RequestToken")
        try:
            token: AccessToken = self.pool.aws.carry_out(
                call, lambda: self._token(app_client, scope)
            )
        except BotoCoreError:
            raise TokenEndpointUnavailableError("out of reach") from None
        return token

    def _token(self, app_client: AppClient, scope: str) -> AccessToken:
        found = self.pool.clients.get(app_client.app_client_id)
        if found is None or not found.accepts(app_client.client_secret):
            raise AppClientRefusedError("invalid_client")
        if not found.scopes.issuperset(scope.split()):
            raise AppClientRefusedError("invalid_grant")
        return AccessToken(f"token-of-{app_client.app_client_id}", int(self.clock()) + 3600)

    def reachable(self, deadline: Deadline) -> bool:
        return self.pool.region not in self.pool.aws.down


def _page(items: Sequence[str], limit: int, after: str) -> tuple[Sequence[str], Mapping[str, str]]:
    rest = [each for each in items if each > after]
    more = {"NextToken": rest[limit - 1]} if len(rest) > limit else {}
    return rest[:limit], more


def _secret(cognito_secret_id: str, at: float) -> Answer:
    created = datetime.fromtimestamp(at, UTC)
    return {"ClientSecretId": cognito_secret_id, "ClientSecretCreateDate": created}
