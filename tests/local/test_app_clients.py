"""App clients have the limits, defaults and secrets that Cognito documents."""

import re
from typing import Any

import pytest

from local.aws_gaps import app_clients
from local.aws_gaps.errors import AwsError

NOW = 1_800_000_000.5
MACHINE = {
    "ClientName": "surrogate-abc",
    "GenerateSecret": True,
    "AllowedOAuthFlows": ["client_credentials"],
    "AllowedOAuthScopes": ["demo/read"],
    "AllowedOAuthFlowsUserPoolClient": True,
}


def a_pool() -> dict[str, Any]:
    scopes = [{"ScopeName": f"s{number}"} for number in range(60)] + [{"ScopeName": "read"}]
    return {
        "Id": "us-east-1_aaaaaaaaa",
        "_clients": {},
        "_resource_servers": {"demo": {"Scopes": scopes}},
    }


def a_client(**changes: object) -> dict[str, Any]:
    return app_clients.create(a_pool(), {**MACHINE, **changes}, NOW)


def refusal(**changes: object) -> str:
    with pytest.raises(AwsError) as raised:
        a_client(**changes)
    return raised.value.code


def test_ids_and_secrets_have_the_form_of_cognito() -> None:
    client = a_client()
    assert re.fullmatch(r"[0-9a-z]{26}", client["ClientId"])
    assert re.fullmatch(r"[\w+]{24,64}", client["ClientSecret"])


def test_a_caller_may_supply_the_secret() -> None:
    assert a_client(GenerateSecret=False, ClientSecret="a" * 24)["ClientSecret"] == "a" * 24


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ClientName": "surrogate/abc"}, "InvalidParameterException"),
        ({"ClientName": ""}, "InvalidParameterException"),
        ({"ClientName": "x" * 129}, "InvalidParameterException"),
        ({"ClientSecret": "a" * 24}, "InvalidParameterException"),
        ({"GenerateSecret": False, "ClientSecret": "a" * 23}, "InvalidParameterException"),
        ({"GenerateSecret": False, "ClientSecret": "a-" * 20}, "InvalidParameterException"),
        ({"AllowedOAuthScopes": ["demo/write"]}, "ScopeDoesNotExistException"),
        (
            {"AllowedOAuthScopes": [f"demo/s{number}" for number in range(51)]},
            "InvalidParameterException",
        ),
        ({"AllowedOAuthFlows": ["client_credentials", "code"]}, "InvalidOAuthFlowException"),
        ({"GenerateSecret": False}, "InvalidOAuthFlowException"),
    ],
)
def test_invalid_parameters_are_refused_with_cognitos_error(
    changes: dict[str, object], code: str
) -> None:
    assert refusal(**changes) == code


def test_fifty_scopes_are_allowed() -> None:
    scopes = [f"demo/s{number}" for number in range(50)]
    assert a_client(AllowedOAuthScopes=scopes)["AllowedOAuthScopes"] == scopes


def test_a_full_pool_takes_no_more() -> None:
    pool = a_pool()
    pool["_clients"] = {str(number): {} for number in range(app_clients.MAX_APP_CLIENTS)}
    with pytest.raises(AwsError) as raised:
        app_clients.create(pool, MACHINE, NOW)
    assert raised.value.code == "LimitExceededException"


def test_an_update_resets_what_it_leaves_out() -> None:
    pool = a_pool()
    client = app_clients.create(pool, {**MACHINE, "AccessTokenValidity": 5}, NOW)
    app_clients.update(pool, client, {"AllowedOAuthScopes": ["demo/read"]}, NOW)
    shown = app_clients.describe(client)
    assert shown["AllowedOAuthScopes"] == ["demo/read"]
    assert "AllowedOAuthFlows" not in shown
    assert "AccessTokenValidity" not in shown
    assert shown["AllowedOAuthFlowsUserPoolClient"] is False
    assert shown["ClientSecret"] == client["ClientSecret"]


def test_a_second_secret_works_beside_the_first() -> None:
    client = a_client()
    first = client["ClientSecret"]
    made = app_clients.add_secret(client, None, NOW)
    assert app_clients.accepts_secret(client, first)
    assert app_clients.accepts_secret(client, made["ClientSecretValue"])
    assert not app_clients.accepts_secret(client, "")


def test_a_supplied_secret_is_not_returned() -> None:
    assert "ClientSecretValue" not in app_clients.add_secret(a_client(), "b" * 30, NOW)


def test_secret_ids_name_the_client_and_the_second() -> None:
    client = a_client()
    app_clients.add_secret(client, None, NOW)
    ids = [item["ClientSecretId"] for item in app_clients.list_secrets(client)]
    assert ids == [f"{client['ClientId']}--1800000000", f"{client['ClientId']}--1800000001"]
    assert all("ClientSecretValue" not in item for item in app_clients.list_secrets(client))


def test_there_are_at_most_two_secrets() -> None:
    client = a_client()
    app_clients.add_secret(client, None, NOW)
    with pytest.raises(AwsError) as raised:
        app_clients.add_secret(client, None, NOW)
    assert raised.value.code == "LimitExceededException"


def test_a_public_client_gets_no_secret() -> None:
    client = a_client(GenerateSecret=False, AllowedOAuthFlows=[])
    with pytest.raises(AwsError):
        app_clients.add_secret(client, None, NOW)


def test_the_old_secret_can_be_deleted_and_the_last_cannot() -> None:
    client = a_client()
    first = client["ClientSecret"]
    second = app_clients.add_secret(client, None, NOW)
    app_clients.delete_secret(client, f"{client['ClientId']}--1800000000")
    assert not app_clients.accepts_secret(client, first)
    assert app_clients.describe(client)["ClientSecret"] == second["ClientSecretValue"]
    with pytest.raises(AwsError):
        app_clients.delete_secret(client, second["ClientSecretId"])
    with pytest.raises(AwsError) as raised:
        app_clients.delete_secret(client, "unknown")
    assert raised.value.code == "ResourceNotFoundException"


def test_a_managed_secret_is_exchanged_at_once_and_not_shown() -> None:
    pool = a_pool()
    client = app_clients.create(pool, MACHINE, NOW)
    older = client["ClientSecret"]
    newer = app_clients.add_secret(client, None, NOW)["ClientSecretValue"]
    managed = {**MACHINE, "PublishSecretsInAWSSecretsManager": True}
    app_clients.update(pool, client, managed, NOW)
    shown = app_clients.describe(client)
    assert "ClientSecret" not in shown
    assert shown["ClientSecretArn"].startswith("arn:aws:secretsmanager:us-east-1:")
    assert not app_clients.accepts_secret(client, older)
    assert app_clients.accepts_secret(client, newer)
    # The parameter left out, or said again, changes nothing.
    before = app_clients.list_secrets(client)
    app_clients.update(pool, client, MACHINE, NOW)
    app_clients.update(pool, client, managed, NOW)
    assert app_clients.list_secrets(client) == before
    assert app_clients.describe(client)["ClientSecretArn"] == shown["ClientSecretArn"]
    app_clients.update(pool, client, {**MACHINE, "PublishSecretsInAWSSecretsManager": False}, NOW)
    assert "ClientSecretArn" not in app_clients.describe(client)
    assert app_clients.accepts_secret(client, app_clients.describe(client)["ClientSecret"])


def test_only_a_secret_can_be_managed() -> None:
    assert (
        refusal(
            GenerateSecret=False,
            AllowedOAuthFlows=["code"],
            CallbackURLs=["https://app.example.com"],
            PublishSecretsInAWSSecretsManager=True,
        )
        == "InvalidParameterException"
    )
