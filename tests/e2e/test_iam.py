"""
The roles of the split stages have exactly the permissions that they need.

Tested for the stages of the primary Region while it writes, and for the token stage of the other
one. The policies of the other stages are the same with the Regions exchanged, or with both
surfaces: tests/unit/surrogatectl/setup/test_policies.py.

The emulator enforces IAM. Each permission (an action on a resource) is removed from a role's policy
in turn; then an operation of the stage must fail. Not covered: Lambda's own use of the role, which
is to write the function's log.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pytest
import requests
from botocore.exceptions import ClientError

from local import aws
from local.cloud import ROOT, Cloud
from local.state import Identity
from tests.e2e.administration import (
    OPERATIONS,
    ClientRepository,
    Outcome,
    enroll,
    refresh_keys,
    restore_replicas,
    upkeep,
)
from tests.e2e.split import Split, SplitStage
from tests.e2e.tokens import post_token

Document = dict[str, Any]
Operation = Callable[[ClientRepository], Outcome]

_DONE_BY_LAMBDA = "Logs"
_LOG_GROUPS = {
    "primary": "/aws/lambda/surrogate-credentials-primary-token",
    "secondary": "/aws/lambda/surrogate-credentials-secondary-token",
}


@dataclass(frozen=True)
class Permission:
    sid: str
    action: str
    resource: str

    @property
    def region(self) -> str | None:
        return self.resource.split(":")[3] if self.resource != "*" else None


def _policy(stage: str) -> Document:
    document: Document = json.loads((ROOT / ".chalice" / f"policy-{stage}.json").read_text())
    return document


def _list(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _permissions(policy: Document) -> list[Permission]:
    return [
        Permission(statement["Sid"], action, resource)
        for statement in policy["Statement"]
        if statement["Sid"] != _DONE_BY_LAMBDA
        for action in _list(statement["Action"])
        for resource in _list(statement["Resource"])
        # The form of AWS's reference; its authorization takes the other one.
        if f"{resource}:*" not in _list(statement["Resource"])
    ]


def _without(policy: Document, taken: Permission) -> Document:
    """Return *policy* without *taken*."""
    statements = []
    for statement in policy["Statement"]:
        if statement["Sid"] != taken.sid:
            statements.append(statement)
            continue
        kept = [
            {**statement, "Sid": f"{taken.sid}{number}", "Action": action, "Resource": resource}
            for number, (action, resource) in enumerate(
                (action, resource)
                for action in _list(statement["Action"])
                for resource in _list(statement["Resource"])
            )
            if (action, resource) != (taken.action, taken.resource)
        ]
        statements.extend(copy.deepcopy(kept))
    return {**policy, "Statement": statements}


@dataclass(frozen=True)
class Roles:
    """Roles of a stage's functions, which share one policy."""

    cloud: Cloud
    names: tuple[str, ...]
    policy: Document

    def restrict(self, document: Document) -> None:
        iam = self.cloud.client("iam", "primary", "root")
        for role in self.names:
            (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    def used(self) -> set[tuple[str, str]]:
        """Return the actions that the roles used in each Region since the log was cleared."""
        return {
            (f"{call['service']}:{call['action']}", call["region"])
            for call in self.cloud.calls()
            if any(f"/{role}/" in call["caller"] for role in self.names)
        }


def _roles(cloud: Cloud, stage: SplitStage, functions: Sequence[str]) -> Roles:
    client = cloud.client("lambda", stage.region, "root")
    found = [client.get_function_configuration(FunctionName=name)["Role"] for name in functions]
    names = tuple(arn.rpartition("/")[2] for arn in found)
    return Roles(cloud, names, _policy(stage.name))


@pytest.fixture
def admin_roles(breakable_cloud: Cloud, split: Split) -> Iterator[Roles]:
    function = split.admin.function
    roles = _roles(breakable_cloud, split.admin, [function, f"{function}-upkeep"])
    yield roles
    roles.restrict(roles.policy)


@pytest.fixture
def token_roles(breakable_cloud: Cloud, split: Split) -> Iterator[Roles]:
    roles = _roles(breakable_cloud, split.token, [split.token.function])
    yield roles
    roles.restrict(roles.policy)


@pytest.fixture
def standby_roles(breakable_cloud: Cloud, split: Split) -> Iterator[Roles]:
    roles = _roles(breakable_cloud, split.standby, [split.standby.function])
    yield roles
    roles.restrict(roles.policy)


@pytest.fixture
def administration(breakable_cloud: Cloud, split: Split) -> ClientRepository:
    for role, group in _LOG_GROUPS.items():
        logs = breakable_cloud.client("logs", role, "root")
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            logs.create_log_group(logGroupName=group)
    return ClientRepository(breakable_cloud, split.admin.base_url, f"{split.admin.function}-upkeep")


def test_the_deployed_roles_have_the_policies_of_the_files(
    admin_roles: Roles, token_roles: Roles, standby_roles: Roles
) -> None:
    for roles in (admin_roles, token_roles, standby_roles):
        iam = roles.cloud.client("iam", "primary", "root")
        for role in roles.names:
            (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
            found = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            assert (json.loads(found) if isinstance(found, str) else found) == roles.policy


def test_the_admin_role_has_no_unneeded_permission(
    admin_roles: Roles, administration: ClientRepository
) -> None:
    administration.enrolled()  # or upkeep has nothing to survey
    expected, users = _rehearse(admin_roles, administration)
    not_needed = []
    permissions = _permissions(admin_roles.policy)
    # Upkeep first: the more clients there are, the longer it takes.
    quickest = (upkeep, refresh_keys, restore_replicas)
    permissions.sort(key=lambda each: not set(quickest) & set(_users(users, each)))
    for permission in permissions:
        admin_roles.restrict(_without(admin_roles.policy, permission))
        if not any(
            _outcome(operation, administration) != expected[operation]
            for operation in _users(users, permission)
        ):
            not_needed.append(permission)
    admin_roles.restrict(admin_roles.policy)
    assert not_needed == []
    assert enroll(administration) == expected[enroll]  # with the complete policy


def _rehearse(
    roles: Roles, administration: ClientRepository
) -> tuple[dict[Operation, Outcome], dict[tuple[str, str], list[Operation]]]:
    """Run every operation once; return the outcomes, and the users of each action by Region."""
    expected: dict[Operation, Outcome] = {}
    users: dict[tuple[str, str], list[Operation]] = {}
    for operation in OPERATIONS:
        roles.cloud.clear_calls()
        expected[operation] = operation(administration)
        for used in roles.used():
            users.setdefault(used, []).append(operation)
    return expected, users


def _users(
    users: Mapping[tuple[str, str], list[Operation]], permission: Permission
) -> list[Operation]:
    return [
        operation
        for (action, region), operations in users.items()
        if action == permission.action and permission.region in {None, region}
        for operation in operations
    ]


def _outcome(operation: Operation, administration: ClientRepository) -> Outcome:
    """Return the outcome of *operation*; failure to start is an outcome, too."""
    try:
        return operation(administration)
    except (AssertionError, KeyError, StopIteration, TypeError, AttributeError) as err:
        return type(err).__name__


def test_the_token_role_has_no_unneeded_permission(
    token_roles: Roles, administration: ClientRepository, split: Split
) -> None:
    _assert_all_is_needed(token_roles, administration, split.token)


def test_the_token_role_of_the_other_region_has_no_unneeded_permission(
    standby_roles: Roles, administration: ClientRepository, split: Split
) -> None:
    _assert_all_is_needed(standby_roles, administration, split.standby)


def _assert_all_is_needed(
    roles: Roles, administration: ClientRepository, stage: SplitStage
) -> None:
    def serves() -> set[int]:
        status, credential = administration.call(
            "POST", "/clients", {"client_name": "iam", "scope": "demo/read"}
        )
        assert status == 201
        _await_replica(administration, credential["client_id"])
        _start_cold(roles.cloud, stage)
        pair = (credential["client_id"], credential["client_secret"])
        token = post_token(stage.base_url, pair)
        # The key set, and the Region's state.
        paths = ("/.well-known/jwks.json", "/health/ready")
        others = [requests.get(f"{stage.base_url}{path}", timeout=10) for path in paths]
        return {answer.status_code for answer in (token, *others)}

    permissions = _permissions(roles.policy)
    assert serves() == {200}
    for permission in permissions:
        roles.restrict(_without(roles.policy, permission))
        assert 503 in serves(), permission
    roles.restrict(roles.policy)
    assert serves() == {200}


def _await_replica(administration: ClientRepository, client_id: str) -> None:
    for _ in range(120):
        if administration.call("GET", f"/clients/{client_id}")[1]["replication"] == "in_sync":
            return
        time.sleep(0.5)
    raise AssertionError("The other Region does not have the record.")


def _start_cold(cloud: Cloud, stage: SplitStage) -> None:
    """Restart the function with empty caches."""
    client = cloud.client("lambda", stage.region, "root")
    name = stage.function
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    again = str(int(variables.get("COLD_STARTS", "0")) + 1)
    client.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**variables, "COLD_STARTS": again}}
    )


def test_no_policy_of_the_token_stages_has_an_action_that_writes() -> None:
    for role in ("primary", "secondary"):
        policy = _policy(f"{role}-token")
        actions = {permission.action for permission in _permissions(policy)}
        assert actions == {"secretsmanager:GetSecretValue"}
        assert "*" not in {permission.resource for permission in _permissions(policy)}


_SECRET = {"SecretId": "surrogate/region"}
_POOL_CALLS: dict[str, dict[str, Any]] = {
    "add_user_pool_client_secret": {"ClientId": "x"},
    "create_user_pool_client": {"ClientName": "x"},
    "delete_user_pool_client": {"ClientId": "x"},
    "delete_user_pool_client_secret": {"ClientId": "x", "ClientSecretId": "x--1"},
    "describe_user_pool_client": {"ClientId": "x"},
    "list_resource_servers": {},
    "list_user_pool_client_secrets": {"ClientId": "x"},
    "list_user_pool_clients": {},
    "update_user_pool_client": {"ClientId": "x"},
}
_SECRET_CALLS: dict[str, dict[str, Any]] = {
    "create_secret": {"Name": "surrogate/clients/x", "SecretString": "x"},
    "delete_secret": _SECRET,
    "describe_secret": _SECRET,
    "put_secret_value": {**_SECRET, "SecretString": "x"},
    "remove_regions_from_replication": {**_SECRET, "RemoveReplicaRegions": ["us-west-2"]},
    "replicate_secret_to_regions": {**_SECRET, "AddReplicaRegions": [{"Region": "us-west-2"}]},
    "restore_secret": _SECRET,
    "tag_resource": {**_SECRET, "Tags": [{"Key": "x", "Value": "x"}]},
    "update_secret": {**_SECRET, "Description": "x"},
    "update_secret_version_stage": {**_SECRET, "VersionStage": "AWSCURRENT"},
    "list_secrets": {},
    "batch_get_secret_value": {"SecretIdList": ["surrogate/region"]},
}


def test_the_token_role_is_refused_every_admin_action(
    token_roles: Roles, admin_roles: Roles
) -> None:
    cloud = token_roles.cloud
    with _AsRole(cloud, token_roles.names[0]) as role:
        for region_role in ("primary", "secondary"):
            store = role.client("secretsmanager", region_role)
            cognito = role.client("cognito-idp", region_role)
            pool = cloud.endpoints["user_pools"][region_role]
            for name, arguments in _SECRET_CALLS.items():
                _assert_refused(getattr(store, name), arguments)
            for name, arguments in _POOL_CALLS.items():
                _assert_refused(getattr(cognito, name), {"UserPoolId": pool, **arguments})
        store = role.client("secretsmanager", "primary")
        assert store.get_secret_value(**_SECRET)["SecretString"]  # the role itself is valid
        _assert_refused(store.get_secret_value, {"SecretId": "surrogate/deployment"})
        elsewhere = role.client("secretsmanager", "secondary")
        _assert_refused(elsewhere.get_secret_value, _SECRET)
    named = {f"secretsmanager:{_action(name)}" for name in _SECRET_CALLS}
    named |= {f"cognito-idp:{_action(name)}" for name in _POOL_CALLS}
    granted = {permission.action for permission in _permissions(admin_roles.policy)}
    assert granted - named == {"secretsmanager:GetSecretValue", "logs:FilterLogEvents"}


def test_the_admin_role_deletes_nothing_at_once_and_replicates_nowhere_else(
    admin_roles: Roles, administration: ClientRepository
) -> None:
    secret = {"SecretId": f"surrogate/clients/{administration.enrolled()}"}
    third = [{"Region": "eu-west-1"}]
    with _AsRole(admin_roles.cloud, admin_roles.names[0]) as role:
        store = role.client("secretsmanager", "primary")
        _assert_refused(store.delete_secret, {**secret, "ForceDeleteWithoutRecovery": True})
        _assert_refused(store.replicate_secret_to_regions, {**secret, "AddReplicaRegions": third})
        made = {"Name": "surrogate/clients/x", "SecretString": "x", "AddReplicaRegions": third}
        _assert_refused(store.create_secret, made)
        assert store.describe_secret(**secret)["Name"]  # the role itself is valid


def _action(method: str) -> str:
    return "".join(word.capitalize() for word in method.split("_"))


def _assert_refused(call: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    code = refused.value.response["Error"]["Code"]
    assert code in {"AccessDenied", "AccessDeniedException"}, (call, code)


class _AsRole:
    """Sessions of *role*, which normally only Lambda may assume."""

    def __init__(self, cloud: Cloud, role: str) -> None:
        self._cloud = cloud
        self._iam = cloud.client("iam", "primary", "root")
        self._role = role

    def __enter__(self) -> Self:
        found = self._iam.get_role(RoleName=self._role)["Role"]
        self._trust = found["AssumeRolePolicyDocument"]
        operator = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        self._trust_in({"Version": "2012-10-17", "Statement": [operator]})
        keys = self._cloud.client("sts").assume_role(RoleArn=found["Arn"], RoleSessionName="test")[
            "Credentials"
        ]
        self._token = keys["SessionToken"]
        self._identity = Identity(keys["AccessKeyId"], keys["SecretAccessKey"])
        return self

    def __exit__(self, *_: object) -> None:
        self._trust_in(self._trust)

    def _trust_in(self, document: Document) -> None:
        self._iam.update_assume_role_policy(
            RoleName=self._role, PolicyDocument=json.dumps(document)
        )

    def client(self, service: str, region_role: str) -> Any:
        client = aws.client(
            service,
            region=self._cloud.endpoints["regions"][region_role],
            endpoint=self._cloud.endpoints["region_endpoints"][region_role],
            identity=self._identity,
        )
        client._request_signer._credentials.token = self._token
        return client


def test_the_gateway_refuses_callers_without_admin_permission(split: Split, cloud: Cloud) -> None:
    assert requests.get(f"{split.admin.base_url}/clients", timeout=10).status_code == 403
