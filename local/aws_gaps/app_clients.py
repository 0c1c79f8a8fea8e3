"""
App clients as Cognito documents them: their settings, defaults, limits and secrets.

The functions work on the records that MiniStack stores per user pool. A record's secrets are under
`_Secrets`, at most two of them; `ClientSecret` shows the first. A secret that Cognito manages in
Secrets Manager is exchanged at once, and `ClientSecretArn` shown instead; no secret there has it.
"""

import re
import secrets as random_source
import string
from collections.abc import Mapping, Sequence
from typing import Any

from local.aws_gaps.errors import AwsError

AppClient = dict[str, Any]
UserPool = dict[str, Any]

MAX_APP_CLIENTS = 1000
MAX_SCOPES = 50
MAX_SECRETS = 2

_ID_LENGTH = 26
_SECRET_LENGTH = 52
_ID_ALPHABET = string.ascii_lowercase + string.digits
_NAME = re.compile(r"[\w\s+=,.@-]{1,128}")
_SECRET = re.compile(r"[\w+]{24,64}", re.ASCII)
_STANDARD_SCOPES = frozenset(
    {"openid", "email", "phone", "profile", "aws.cognito.signin.user.admin"}
)
_MACHINE_FLOW = "client_credentials"

# UpdateUserPoolClient resets these when the request omits them.
_DEFAULTS: Mapping[str, Any] = {
    "RefreshTokenValidity": 30,
    "AccessTokenValidity": None,
    "IdTokenValidity": None,
    "TokenValidityUnits": {},
    "ReadAttributes": [],
    "WriteAttributes": [],
    "ExplicitAuthFlows": [],
    "SupportedIdentityProviders": [],
    "CallbackURLs": [],
    "LogoutURLs": [],
    "DefaultRedirectURI": None,
    "AllowedOAuthFlows": [],
    "AllowedOAuthScopes": [],
    "AllowedOAuthFlowsUserPoolClient": False,
    "AnalyticsConfiguration": None,
    "PreventUserExistenceErrors": None,
    "EnableTokenRevocation": True,
    "EnablePropagateAdditionalUserContextData": False,
    "AuthSessionValidity": 3,
    "RefreshTokenRotation": None,
}
_ALWAYS_SHOWN = frozenset({"TokenValidityUnits"})


def new_client_id() -> str:
    """Return an app client ID of Cognito's form."""
    return "".join(random_source.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def create(pool: UserPool, request: Mapping[str, Any], now: float) -> AppClient:
    """
    Create an app client in *pool*.

    Raises:
        AwsError: If a setting is not valid or the pool is full.
    """
    own_secret = request.get("ClientSecret")
    generate = bool(request.get("GenerateSecret"))
    if own_secret is not None and generate:
        msg = "You cannot specify both GenerateSecret as true and provide a ClientSecret value."
        raise AwsError("InvalidParameterException", msg)
    _check_name(request.get("ClientName"))
    settings = _settings(pool, request, confidential=generate or own_secret is not None)
    if len(pool["_clients"]) >= MAX_APP_CLIENTS:
        msg = f"The maximum number of app clients ({MAX_APP_CLIENTS}) has been reached."
        raise AwsError("LimitExceededException", msg)
    client: AppClient = {
        "UserPoolId": pool["Id"],
        "ClientName": request["ClientName"],
        "ClientId": new_client_id(),
        "ClientSecret": None,
        "CreationDate": now,
        "LastModifiedDate": now,
        **settings,
        "_Secrets": [],
    }
    if generate or own_secret is not None:
        _append_secret(client, own_secret, now)
    _manage(pool, client, request, now)
    pool["_clients"][client["ClientId"]] = client
    return client


def update(pool: UserPool, client: AppClient, request: Mapping[str, Any], now: float) -> None:
    """
    Replace the settings of *client*; those missing in *request* are reset to their defaults.

    Raises:
        AwsError: If a setting is not valid.
    """
    if "ClientName" in request:
        _check_name(request["ClientName"])
        client["ClientName"] = request["ClientName"]
    client.update(_settings(pool, request, confidential=bool(client.get("ClientSecret"))))
    _manage(pool, client, request, now)
    client["LastModifiedDate"] = now


def _manage(pool: UserPool, client: AppClient, request: Mapping[str, Any], now: float) -> None:
    """Begin or end the management of *client*'s secret; without the parameter, nothing changes."""
    wanted = request.get("PublishSecretsInAWSSecretsManager")
    managed = bool(client.get("ClientSecretArn"))
    if wanted is None or bool(wanted) == managed:
        return
    if not wanted:
        client["ClientSecretArn"] = None
        return
    present = secrets_of(client)
    if not present:
        msg = "Only the secret of an app client that has one can be managed."
        raise AwsError("InvalidParameterException", msg)
    _append_secret(client, None, now)
    client["_Secrets"] = present[-MAX_SECRETS:]
    client["ClientSecret"] = client["_Secrets"][0]["ClientSecretValue"]
    region = pool["Id"].partition("_")[0]
    client["ClientSecretArn"] = (
        f"arn:aws:secretsmanager:{region}:000000000000:secret:cognito-{client['ClientId']}"
    )


def describe(client: AppClient) -> dict[str, Any]:
    """Return *client* as the API shows it: without empty members."""
    hidden = "ClientSecret" if client.get("ClientSecretArn") else ""
    return {
        key: value
        for key, value in client.items()
        if not key.startswith("_")
        and key != hidden
        and (key in _ALWAYS_SHOWN or value not in (None, "", [], {}))
    }


def secrets_of(client: AppClient) -> list[dict[str, Any]]:
    """Return the secrets of *client*, also of one that MiniStack created."""
    if "_Secrets" not in client:
        client["_Secrets"] = []
        if client.get("ClientSecret"):
            _append_secret(client, client["ClientSecret"], client["CreationDate"])
    found: list[dict[str, Any]] = client["_Secrets"]
    return found


def add_secret(client: AppClient, value: str | None, now: float) -> dict[str, Any]:
    """
    Add a secret; return it, with its value only if Cognito generated it.

    Raises:
        AwsError: If the client has no secret or already two, or *value* is not allowed.
    """
    present = secrets_of(client)
    if not present:
        msg = "A secret can be added to an app client only if it was created with one."
        raise AwsError("InvalidParameterException", msg)
    if len(present) >= MAX_SECRETS:
        msg = f"An app client can have at most {MAX_SECRETS} secrets."
        raise AwsError("LimitExceededException", msg)
    made = _append_secret(client, value, now)
    return made if value is None else _without_value(made)


def list_secrets(client: AppClient) -> list[dict[str, Any]]:
    """Return the secrets without their values."""
    return [_without_value(item) for item in secrets_of(client)]


def delete_secret(client: AppClient, secret_id: str) -> None:
    """
    Delete a secret.

    Raises:
        AwsError: If there is no such secret, or it is the only one.
    """
    present = secrets_of(client)
    remaining = [item for item in present if item["ClientSecretId"] != secret_id]
    if len(remaining) == len(present):
        msg = f"Client secret {secret_id} does not exist."
        raise AwsError("ResourceNotFoundException", msg)
    if not remaining:
        msg = "You cannot delete the last remaining secret of an app client."
        raise AwsError("InvalidParameterException", msg)
    client["_Secrets"] = remaining
    client["ClientSecret"] = remaining[0]["ClientSecretValue"]


def accepts_secret(client: AppClient, value: str) -> bool:
    """Return whether *value* is one of the secrets of *client*."""
    matches = [
        random_source.compare_digest(item["ClientSecretValue"].encode(), value.encode())
        for item in secrets_of(client)
    ]
    return any(matches)


def _append_secret(client: AppClient, value: str | None, now: float) -> dict[str, Any]:
    if value is None:
        value = "".join(random_source.choice(_ID_ALPHABET) for _ in range(_SECRET_LENGTH))
    elif not _SECRET.fullmatch(value):
        raise _constraint("clientSecret", r"pattern: [\w+]+ and length between 24 and 64")
    stamp = int(now)
    taken = {item["ClientSecretId"] for item in client["_Secrets"]}
    while f"{client['ClientId']}--{stamp}" in taken:
        stamp += 1
    made = {
        "ClientSecretId": f"{client['ClientId']}--{stamp}",
        "ClientSecretValue": value,
        "ClientSecretCreateDate": now,
    }
    client["_Secrets"].append(made)
    client["ClientSecret"] = client["_Secrets"][0]["ClientSecretValue"]
    return made


def _without_value(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "ClientSecretValue"}


def _settings(pool: UserPool, request: Mapping[str, Any], *, confidential: bool) -> dict[str, Any]:
    settings = {key: request.get(key, default) for key, default in _DEFAULTS.items()}
    _check_flows(settings["AllowedOAuthFlows"], confidential=confidential)
    _check_scopes(pool, settings["AllowedOAuthScopes"])
    return settings


def _check_name(name: str | None) -> None:
    if not name or not _NAME.fullmatch(name):
        raise _constraint("clientName", r"pattern: [\w\s+=,.@-]+ and length between 1 and 128")


def _check_flows(flows: Sequence[str], *, confidential: bool) -> None:
    if _MACHINE_FLOW not in flows:
        return
    if len(flows) > 1:
        msg = "client_credentials flow can not be selected along with code flow or implicit flow."
        raise AwsError("InvalidOAuthFlowException", msg)
    if not confidential:
        msg = "client_credentials flow can not be selected if client does not have a client secret."
        raise AwsError("InvalidOAuthFlowException", msg)


def _check_scopes(pool: UserPool, scopes: Sequence[str]) -> None:
    if len(scopes) > MAX_SCOPES:
        raise _constraint("allowedOAuthScopes", f"length less than or equal to {MAX_SCOPES}")
    defined = {
        f"{identifier}/{scope['ScopeName']}"
        for identifier, server in pool.get("_resource_servers", {}).items()
        for scope in server["Scopes"]
    }
    for scope in scopes:
        if scope not in defined and scope not in _STANDARD_SCOPES:
            msg = f"Invalid scope requested: {scope}"
            raise AwsError("ScopeDoesNotExistException", msg)


def _constraint(member: str, constraint: str) -> AwsError:
    msg = (
        f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
        f"Member must satisfy {constraint}"
    )
    return AwsError("InvalidParameterException", msg)
