"""
Cognito: app clients with two secrets, the token endpoint, and Regional pools.

`app_clients` has the rules; this module connects them to MiniStack.
"""

import base64
import binascii
import json
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

from local.aws_gaps import app_clients, token_trigger, user_pools
from local.aws_gaps.app_clients import AppClient, UserPool
from local.aws_gaps.errors import AwsError
from local.aws_gaps.token_trigger import TriggerError
from local.doors import current_region
from local.emulated import Handler, Response, answer, error, module, replace, wrap_service

_TARGET = "AWSCognitoIdentityProviderService."
_JSON = {"Content-Type": "application/json;charset=UTF-8"}

Found = tuple[str, UserPool, AppClient] | tuple[None, None, None]


def install() -> None:
    """Replace the parts of MiniStack's Cognito that differ from AWS."""
    emulated = module("services.cognito")
    actions = AppClientActions(emulated, time.time)
    wrap_service("cognito-idp", actions.wrap)
    replace(emulated, "_create_user_pool", _checked_pool)
    replace(emulated, "_update_user_pool", lambda update: _resetting(emulated, update))
    token_trigger.install(emulated)
    pools = RegionalPools(emulated)
    replace(emulated, "_find_pool_by_client_id", lambda _: pools.find_by_client_id)
    replace(emulated, "_get_pool_unscoped", lambda _: pools.get)
    replace(emulated, "_client_id", lambda _: app_clients.new_client_id)
    replace(emulated, "_oauth2_token", lambda others: TokenEndpoint(emulated, pools, others))
    replace(emulated, "_signed_jwt", _with_machine_claims)


class AppClientActions:
    """API actions on app clients."""

    def __init__(self, emulated: ModuleType, clock: Callable[[], float]) -> None:
        self._emulated = emulated
        self._clock = clock
        self._actions: dict[str, Callable[[Mapping[str, Any]], Mapping[str, object]]] = {
            "CreateUserPoolClient": self._create,
            "DescribeUserPoolClient": self._describe,
            "UpdateUserPoolClient": self._update,
            "AddUserPoolClientSecret": self._add_secret,
            "ListUserPoolClientSecrets": self._list_secrets,
            "DeleteUserPoolClientSecret": self._delete_secret,
        }

    def wrap(self, handler: Handler) -> Handler:
        """Answer the actions of this class, and pass the others to *handler*."""

        async def handle(
            method: str,
            path: str,
            headers: dict[str, str],
            body: bytes,
            query: dict[str, list[str]],
        ) -> Response:
            target = headers.get("x-amz-target", "")
            action = self._actions.get(target.removeprefix(_TARGET))
            if not target.startswith(_TARGET) or action is None:
                return await handler(method, path, headers, body, query)
            try:
                return answer(action(json.loads(body or b"{}")))
            except ValueError:
                return error("SerializationException", "The request is not valid JSON.")
            except AwsError as err:
                return error(err.code, err.message, err.status)

        return handle

    def _pool(self, data: Mapping[str, Any]) -> UserPool:
        pool_id = data.get("UserPoolId", "")
        pool: UserPool | None = self._emulated._user_pools.get(pool_id)  # noqa: SLF001
        if pool is None:
            msg = f"User pool {pool_id} does not exist."
            raise AwsError("ResourceNotFoundException", msg)
        return pool

    def _client(self, data: Mapping[str, Any]) -> AppClient:
        client_id = data.get("ClientId", "")
        client: AppClient | None = self._pool(data)["_clients"].get(client_id)
        if client is None:
            msg = f"User pool client {client_id} does not exist."
            raise AwsError("ResourceNotFoundException", msg)
        return client

    def _create(self, data: Mapping[str, Any]) -> Mapping[str, object]:
        client = app_clients.create(self._pool(data), data, self._clock())
        return {"UserPoolClient": app_clients.describe(client)}

    def _describe(self, data: Mapping[str, Any]) -> Mapping[str, object]:
        return {"UserPoolClient": app_clients.describe(self._client(data))}

    def _update(self, data: Mapping[str, Any]) -> Mapping[str, object]:
        client = self._client(data)
        app_clients.update(self._pool(data), client, data, self._clock())
        return {"UserPoolClient": app_clients.describe(client)}

    def _add_secret(self, data: Mapping[str, Any]) -> Mapping[str, object]:
        made = app_clients.add_secret(self._client(data), data.get("ClientSecret"), self._clock())
        return {"ClientSecretDescriptor": made}

    def _list_secrets(self, data: Mapping[str, Any]) -> Mapping[str, object]:
        return {"ClientSecrets": app_clients.list_secrets(self._client(data))}

    def _delete_secret(self, data: Mapping[str, Any]) -> Mapping[str, object]:
        app_clients.delete_secret(self._client(data), data.get("ClientSecretId", ""))
        return {}


class RegionalPools:
    """User pools behind the unsigned endpoints: those of the endpoint's own Region."""

    def __init__(self, emulated: ModuleType) -> None:
        self._emulated = emulated

    def find_by_client_id(self, client_id: str) -> Found:
        """Return the pool ID, pool and app client, and set the request's Region to theirs."""
        for account, region, pool in self._visible():
            client = pool["_clients"].get(client_id)
            if client is not None:
                self._enter(account, region)
                return pool["Id"], pool, client
        return None, None, None

    def get(self, pool_id: str) -> UserPool | None:
        """Return a pool, and set the request's Region to its Region."""
        for account, region, pool in self._visible():
            if pool["Id"] == pool_id:
                self._enter(account, region)
                return pool
        return None

    def _visible(self) -> Iterator[tuple[str, str, UserPool]]:
        here = current_region()
        for (account, region, _), pool in self._emulated._user_pools.all_items():  # noqa: SLF001
            if here in (None, region):
                yield account, region, pool

    @staticmethod
    def _enter(account: str, region: str) -> None:
        responses = module("core.responses")
        responses.set_request_account_id(account)
        responses.set_request_region(region)


class TokenEndpoint:
    """`POST /oauth2/token` for machines; MiniStack answers the users' grants."""

    def __init__(
        self, emulated: ModuleType, pools: RegionalPools, others: Callable[..., Response]
    ) -> None:
        self._emulated = emulated
        self._pools = pools
        self._others = others

    def __call__(
        self,
        data: object,
        query: object,
        raw_body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer a token request."""
        form = parse_qs(raw_body.decode("utf-8", "replace"), keep_blank_values=True)
        grant = form.get("grant_type", [""])[0]
        if grant in ("authorization_code", "refresh_token"):
            return self._others(data, query, raw_body, headers)
        if any(len(values) > 1 for values in form.values()) or not grant:
            return _oauth_error("invalid_request")
        if grant != "client_credentials":
            return _oauth_error("unsupported_grant_type")
        fields = {name: values[0] for name, values in form.items()}
        return self._client_credentials(fields, headers or {})

    def _client_credentials(self, form: Mapping[str, str], headers: Mapping[str, str]) -> Response:
        credentials = _credentials(form, headers)
        if credentials is None:
            return _oauth_error("invalid_request")
        client_id, secret = credentials
        pool_id, pool, client = self._pools.find_by_client_id(client_id)
        if pool is None or client is None or not app_clients.accepts_secret(client, secret):
            return _oauth_error("invalid_client")
        scope = form.get("scope")
        refusal: Response | None = self._emulated._client_credentials_scope_error(  # noqa: SLF001
            pool, client, scope
        )
        if refusal is not None:
            return refusal
        if not client.get("AllowedOAuthFlowsUserPoolClient"):
            return _oauth_error("invalid_grant")
        granted = self._emulated._granted_scopes(client, scope, "client_credentials")  # noqa: SLF001
        try:
            token = self._emulated._fake_token(  # noqa: SLF001
                client_id,
                pool_id,
                client_id,
                "access",
                trigger_source=token_trigger.SOURCE,
                client_metadata=_client_metadata(form),
                scope=granted,
            )
        except TriggerError as err:
            # The error code of this endpoint is not documented.
            return _oauth_error("invalid_request", str(err))
        lifetime = self._emulated._token_validity(pool_id, client_id, "access")  # noqa: SLF001
        document = {"access_token": token, "expires_in": lifetime, "token_type": "Bearer"}
        return 200, dict(_JSON), json.dumps(document).encode()


def _credentials(form: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Return client ID and secret from the header or, without one, from the form."""
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return client_id, secret
    if not form.get("client_id"):
        return None
    return form["client_id"], form.get("client_secret", "")


def _client_metadata(form: Mapping[str, str]) -> dict[str, Any]:
    try:
        metadata = json.loads(form.get("aws_client_metadata", "{}"))
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _oauth_error(code: str, description: str | None = None) -> Response:
    said = {} if description is None else {"error_description": description}
    return 400, dict(_JSON), json.dumps({"error": code, **said}).encode()


def _checked_pool(create: Callable[[dict[str, Any]], Response]) -> Callable[..., Response]:
    """Refuse settings that the pool's tier does not have."""

    def create_user_pool(data: dict[str, Any]) -> Response:
        try:
            user_pools.check(data, data.get("UserPoolTier", "ESSENTIALS"))
        except AwsError as err:
            return error(err.code, err.message, err.status)
        return create(data)

    return create_user_pool


def _resetting(
    emulated: ModuleType, update: Callable[[dict[str, Any]], Response]
) -> Callable[..., Response]:
    """Reset settings that an update omits to their defaults."""

    def update_user_pool(data: dict[str, Any]) -> Response:
        pool = emulated._user_pools.get(data.get("UserPoolId", ""))  # noqa: SLF001
        if pool is not None:
            try:
                user_pools.check(data, data.get("UserPoolTier", pool["UserPoolTier"]))
            except AwsError as err:
                return error(err.code, err.message, err.status)
        answer = update(data)
        if pool is not None and answer[0] == HTTPStatus.OK:
            user_pools.reset(pool, data)
        return answer

    return update_user_pool


def _with_machine_claims(sign: Callable[..., str]) -> Callable[..., str]:
    """Give a machine's access token Cognito's claims: no sign-in, a version."""

    def signed_jwt(claims: dict[str, Any], *args: Any, **kwargs: Any) -> str:  # noqa: ANN401
        is_machine = claims.get("sub") is not None and claims.get("sub") == claims.get("client_id")
        if claims.get("token_use") == "access" and is_machine:
            claims = {**claims, "version": 2}
            claims.pop("origin_jti", None)
        return sign(claims, *args, **kwargs)

    return signed_jwt
