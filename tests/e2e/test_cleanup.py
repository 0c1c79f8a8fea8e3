"""
Operators' policy and `cleanup`, on a cloud whose operator has exactly the shipped policy.

These tests run in order: the last one removes everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.cloud import ROOT, Cloud
from surrogatectl.setup.policies import adoption_policy
from tests.e2e.conftest import CommandLine

POLICY = ROOT / "infra" / "operators-policy.json"
ROLES = ("primary", "secondary")
THEIRS = ("elsewhere/clients/x", "surrogate-else/region", "surrogate/else")


@pytest.fixture(scope="module")
def own_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    # Its `surrogatectl init` runs with the operators' policy already.
    state = tmp_path_factory.mktemp("cleanup") / "state"
    with Cloud.up(state, quiet=True, operator_policy=POLICY) as running:
        yield running


@pytest.fixture
def ctl(own_cloud: Cloud) -> CommandLine:
    return CommandLine(own_cloud)


def secrets(cloud: Cloud) -> set[str]:
    return {
        f"{role} {each['Name']}"
        for role in ROLES
        for page in cloud.client("secretsmanager", role, "root")
        .get_paginator("list_secrets")
        .paginate(IncludePlannedDeletion=True)
        for each in page["SecretList"]
    }


def app_clients(cloud: Cloud) -> set[str]:
    return {
        f"{role} {each['ClientName']}"
        for role in ROLES
        for each in cloud.client("cognito-idp", role, "root").list_user_pool_clients(
            UserPoolId=cloud.endpoints["user_pools"][role], MaxResults=60
        )["UserPoolClients"]
    }


def test_the_operators_policy_suffices_for_every_operator_command(
    own_cloud: Cloud, ctl: CommandLine
) -> None:
    enrolled = ctl("enroll", "--name=x", "--scope=demo/read")
    ctl("show", enrolled["client_id"])
    rotated = ctl("rotate", enrolled["client_id"])
    ctl("retire", enrolled["client_id"], rotated["secret_id"], "--yes")
    ctl("init")
    assert ctl("reconcile")["drift"] == []
    assert ctl("doctor")["failed"] == 0
    ctl("canary", "--scope=demo/read")
    ctl("failover", "--to=secondary", "--settle=0")
    during = ctl("enroll", "--name=during", "--scope=demo/read")
    ctl("rotate", enrolled["client_id"])
    ctl("delete", during["client_id"], "--yes")
    ctl("failback", "--settle=0", "--ttl=0")


def test_the_operators_policy_allows_nothing_else(own_cloud: Cloud) -> None:
    store = own_cloud.client("secretsmanager", "primary", "root")
    store.create_secret(Name="elsewhere/clients/x", SecretString="theirs")
    operator = own_cloud.client("secretsmanager", "primary", "operator")
    refused: tuple[Callable[[], object], ...] = (
        lambda: operator.get_secret_value(SecretId="elsewhere/clients/x"),
        lambda: operator.delete_secret(SecretId="elsewhere/clients/x"),
        lambda: operator.create_secret(Name="elsewhere/y", SecretString="x"),
        lambda: own_cloud.client("cognito-idp", "primary").delete_user_pool(
            UserPoolId=own_cloud.endpoints["user_pools"]["primary"]
        ),
        lambda: own_cloud.client("iam", "primary").list_users(),
        lambda: own_cloud.client("dynamodb", "primary").scan(TableName="oauth-clients"),
        lambda: operator.create_secret(
            Name="surrogate/clients/y",
            SecretString="x",
            AddReplicaRegions=[{"Region": "eu-west-1"}],
        ),
        lambda: operator.create_secret(
            Name="surrogate/region", SecretString="x", AddReplicaRegions=[{"Region": "us-west-2"}]
        ),
    )
    for each in refused:
        with pytest.raises(operator.exceptions.ClientError, match="AccessDenied"):
            each()


def test_a_table_is_read_with_a_policy_of_its_own(own_cloud: Cloud) -> None:
    tables = own_cloud.client("dynamodb", "primary", "root")
    for name in ("oauth-clients", "others"):
        tables.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    iam = own_cloud.client("iam", "primary", "root")
    adoption = json.dumps(adoption_policy("us-east-1", "oauth-clients"))
    iam.put_user_policy(UserName="operator", PolicyName="adopt", PolicyDocument=adoption)
    try:
        operator = own_cloud.client("dynamodb", "primary")
        assert operator.scan(TableName="oauth-clients")["Count"] == 0
        with pytest.raises(operator.exceptions.ClientError, match="AccessDenied"):
            operator.scan(TableName="others")
    finally:
        iam.delete_user_policy(UserName="operator", PolicyName="adopt")


def test_a_dry_run_lists_and_removes_nothing(own_cloud: Cloud, ctl: CommandLine) -> None:
    client_id = ctl("enroll", "--name=x", "--scope=demo/read")["client_id"]
    before = secrets(own_cloud), app_clients(own_cloud)
    listed = ctl("cleanup", "--dry-run")
    assert (secrets(own_cloud), app_clients(own_cloud)) == before
    named = {(each["region"], each["name"], each["replica_of"]) for each in listed["secrets"]}
    assert {
        ("us-east-1", f"surrogate/clients/{client_id}", None),
        ("us-west-2", f"surrogate/clients/{client_id}", "us-east-1"),
        ("us-west-2", "surrogate/region", None),
        ("us-west-2", "surrogate/deployment", "us-east-1"),
    } <= named
    assert {(each["region"], each["client_id"]) for each in listed["app_clients"]} >= {
        ("us-east-1", client_id),
        ("us-west-2", client_id),
    }


def test_a_wrong_or_missing_prefix_removes_nothing(own_cloud: Cloud, ctl: CommandLine) -> None:
    before = secrets(own_cloud), app_clients(own_cloud)
    done = ctl.run("cleanup")  # nobody answers
    assert done.returncode == 1
    assert (secrets(own_cloud), app_clients(own_cloud)) == before


def test_with_a_region_lost_nothing_is_removed(own_cloud: Cloud, ctl: CommandLine) -> None:
    before = secrets(own_cloud), app_clients(own_cloud)
    own_cloud.set_region("secondary", "refused")
    done = ctl.run("cleanup", "--yes")
    own_cloud.set_region("secondary", "up")
    assert done.returncode == 4
    assert (secrets(own_cloud), app_clients(own_cloud)) == before


KINDS = ("replica of", "/clients/", "/denials/", "/region", "/deployment", "")


def test_cleanup_removes_all_owned_resources_and_no_others(
    own_cloud: Cloud, ctl: CommandLine
) -> None:
    deleted = ctl("enroll", "--name=deleted", "--scope=demo/read")["client_id"]
    ctl("delete", deleted, "--yes")  # marked for deletion, and still there
    theirs = make_theirs(own_cloud)
    done = ctl("cleanup", "--yes")
    assert (secrets(own_cloud), app_clients(own_cloud)) == theirs
    assert [each for each in done["remaining_steps"] if "chalice delete --stage" in each]
    order = [
        next(number for number, kind in enumerate(KINDS) if kind in step)
        for step in done["removed"]
    ]
    assert order == sorted(order)
    again = ctl("cleanup", "--yes")
    assert again["removed"] == []


def make_theirs(cloud: Cloud) -> tuple[set[str], set[str]]:
    """Make foreign resources with similar names in both Regions; return the names."""
    for role in ROLES:
        store = cloud.client("secretsmanager", role, "root")
        for name in THEIRS:
            if f"{role} {name}" not in secrets(cloud):
                store.create_secret(Name=name, SecretString=json.dumps({}))
        pool: dict[str, Any] = {"UserPoolId": cloud.endpoints["user_pools"][role]}
        cognito = cloud.client("cognito-idp", role, "root")
        for name in ("surrogate", "surrogate-portal web", "surrogates"):
            cognito.create_user_pool_client(**pool, ClientName=name)
    names = ("surrogate", "surrogate-portal web", "surrogates")
    return (
        {f"{role} {name}" for role in ROLES for name in THEIRS},
        {f"{role} {name}" for role in ROLES for name in names},
    )
