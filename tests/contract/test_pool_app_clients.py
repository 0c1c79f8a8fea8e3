"""Adapter-specific handling of app clients in a user pool; see also `test_app_clients`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.errors import AppClientsRefusedError
from chalicelib.ports import AppClients
from tests.contract.conftest import CLOUD
from tests.contract.implementations import AwsPool, TwoRegions
from tests.contract.samples import assert_tells_nothing, new_client_id, unique
from tests.worlds import EAST

SCOPES = ("demo/read", "demo/write")
NOWHERE = f"{EAST}_Nowhere00"

CANNOT = {
    ("moto", "test_the_token_lifetime_is_read_in_every_unit"): (
        "moto's DescribeUserPoolClient does not tell when the app client was made"
    ),
    ("moto", "test_scopes_of_a_missing_pool_are_refused"): (
        "moto's ListResourceServers fails with 500 on a pool that does not exist"
    ),
}


@pytest.fixture(params=["moto", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool(regions: TwoRegions) -> AwsPool:
    return AwsPool(regions)


def test_an_app_client_has_the_client_credentials_grant_and_nothing_else(pool: AwsPool) -> None:
    client_id = new_client_id()
    app_client_id, client_secret = pool.clients.create(client_id, SCOPES)
    described = pool.cognito.describe_user_pool_client(
        UserPoolId=pool.user_pool_id, ClientId=app_client_id
    )["UserPoolClient"]
    assert described["ClientName"] == f"{pool.prefix}-{client_id}"
    assert described["ClientSecret"] == client_secret
    assert described["AllowedOAuthFlows"] == ["client_credentials"]
    assert described["AllowedOAuthFlowsUserPoolClient"] is True
    assert sorted(described["AllowedOAuthScopes"]) == sorted(SCOPES)
    # No flow for people: without this setting Cognito would enable others.
    assert described["ExplicitAuthFlows"] == ["ALLOW_REFRESH_TOKEN_AUTH"]
    assert described["PreventUserExistenceErrors"] == "ENABLED"
    assert described["AccessTokenValidity"] == pool.access_token_seconds
    assert described["TokenValidityUnits"]["AccessToken"] == "seconds"


def test_the_token_lifetime_is_read_in_every_unit(pool: AwsPool) -> None:
    app_client_id = pool.make_foreign(f"people-{unique()}")
    for amount, unit, seconds in ((7, "minutes", 420), (2, "hours", 7_200), (1, "days", 86_400)):
        pool.cognito.update_user_pool_client(
            UserPoolId=pool.user_pool_id,
            ClientId=app_client_id,
            AccessTokenValidity=amount,
            TokenValidityUnits={"AccessToken": unit},  # type: ignore[typeddict-item]
        )
        assert pool.clients.describe(app_client_id).access_token_seconds == seconds


def test_alignment_keeps_every_other_property(pool: AwsPool) -> None:
    # UpdateUserPoolClient resets omitted settings.
    app_client_id = pool.make_foreign(f"people-{unique()}")
    pool.clients.align(app_client_id, SCOPES, adopted=True)
    described = pool.cognito.describe_user_pool_client(
        UserPoolId=pool.user_pool_id, ClientId=app_client_id
    )["UserPoolClient"]
    assert described["CallbackURLs"] == ["https://app.example.com/callback"]
    assert described["SupportedIdentityProviders"] == ["COGNITO"]
    assert sorted(described["ExplicitAuthFlows"]) == [
        "ALLOW_REFRESH_TOKEN_AUTH",
        "ALLOW_USER_SRP_AUTH",
    ]
    assert described["RefreshTokenValidity"] == 12
    assert described["AccessTokenValidity"] == 2
    assert described["TokenValidityUnits"]["AccessToken"] == "hours"
    assert described["TokenValidityUnits"]["RefreshToken"] == "hours"
    assert described["EnableTokenRevocation"] is False
    assert sorted(described["AllowedOAuthScopes"]) == sorted(SCOPES)


def test_scopes_of_many_resource_servers_are_known(regions: TwoRegions, pool: AwsPool) -> None:
    user_pool_id = pool.cognito.create_user_pool(PoolName=f"contract-{unique()}")["UserPool"]["Id"]
    for number in range(55):
        pool.cognito.create_resource_server(
            UserPoolId=user_pool_id,
            Identifier=f"server-{number}",
            Name=f"server {number}",
            Scopes=[{"ScopeName": "read", "ScopeDescription": "Read"}] if number % 5 else [],
        )
    clients = pool.clients_of(user_pool_id)
    assert clients.unknown_scopes(tuple(f"server-{number}/read" for number in range(56))) == tuple(
        f"server-{number}/read" for number in (*range(0, 55, 5), 55)
    )
    pool.cognito.delete_user_pool(UserPoolId=user_pool_id)


@pytest.mark.parametrize(
    "use",
    [
        lambda clients: clients.create(new_client_id(), SCOPES),
        lambda clients: list(clients.ours()),
    ],
    ids=["create", "ours"],
)
def test_calls_to_a_missing_pool_are_refused(
    pool: AwsPool, use: Callable[[AppClients], object]
) -> None:
    with pytest.raises(AppClientsRefusedError) as caught:
        use(pool.clients_of(NOWHERE))
    assert caught.value.code == "ResourceNotFoundException"
    assert_tells_nothing(caught.value, NOWHERE)


def test_scopes_of_a_missing_pool_are_refused(pool: AwsPool) -> None:
    with pytest.raises(AppClientsRefusedError) as caught:
        pool.clients_of(NOWHERE).unknown_scopes(SCOPES)
    assert_tells_nothing(caught.value, NOWHERE)
