"""`doctor` on a live deployment: complete, with a Region lost, and with deliberate faults."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chalicelib import record_json
from chalicelib.model import RegionState
from local.cloud import Cloud
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.test_lifecycle import eventually

Json = dict[str, Any]
STATE = "surrogate/region"


def failed(surrogatectl: CommandLine) -> dict[str, Json]:
    """Return the failed checks, by check and Region."""
    done = surrogatectl.run("doctor", "--output=json")
    report = json.loads(done.stdout)
    assert done.returncode == (1 if report["failed"] else 0), done.stderr
    assert all(bool(each["remedy"]) == (each["level"] != "ok") for each in report["checks"])
    return {
        f"{each['check']} {each['region']}": each
        for each in report["checks"]
        if each["level"] == "failed"
    }


def test_a_complete_deployment_passes_every_check(
    cloud: Cloud, surrogatectl: CommandLine, enroll_everywhere: Callable[[], Credential]
) -> None:
    enroll_everywhere()
    report = surrogatectl("doctor")
    assert report["failed"] == 0
    stamped = [each for each in report["checks"] if each["check"] == "trigger"]
    assert [each["level"] for each in stamped] == ["ok", "ok"]
    seen = {(each["check"], each["region"]) for each in report["checks"]}
    for region in cloud.endpoints["regions"].values():
        checks = ("region", "state", "deployment key", "function", "readiness", "role", "pool")
        for check in (*checks, "signing keys", "trigger"):
            assert (check, region) in seen
    assert {("writer", None), ("name", None), ("replication", "us-west-2")} <= seen


@pytest.mark.parametrize("lost", ["primary", "secondary"])
def test_a_lost_region_is_named_once_and_the_other_is_checked(
    breakable_cloud: Cloud, surrogatectl: CommandLine, lost: str
) -> None:
    regions = breakable_cloud.endpoints["regions"]
    breakable_cloud.set_region(lost, "refused")
    found = failed(surrogatectl)
    assert [each for each in found if regions[lost] in each] == [f"region {regions[lost]}"]
    (there,) = {*regions.values()} - {regions[lost]}
    # The name still resolves to a lost primary.
    assert set(found) - {"name None"} == {f"region {regions[lost]}"}
    report = json.loads(surrogatectl.run("doctor", "--output=json").stdout)
    seen = {each["check"] for each in report["checks"] if each["region"] == there}
    assert {"state", "function", "readiness", "role", "pool"} <= seen


def test_a_missing_state_is_found_and_its_remedy_works(
    cloud: Cloud, surrogatectl: CommandLine
) -> None:
    store = cloud.client("secretsmanager", "secondary", "root")
    store.delete_secret(SecretId=STATE, ForceDeleteWithoutRecovery=True)
    found = failed(surrogatectl)
    assert "surrogatectl init" in found["state us-west-2"]["remedy"]
    surrogatectl("init")
    assert eventually(lambda: failed(surrogatectl) == {})


def test_two_writers_are_found(cloud: Cloud, surrogatectl: CommandLine) -> None:
    store = cloud.client("secretsmanager", "secondary", "root")
    before = store.get_secret_value(SecretId=STATE, VersionStage="AWSCURRENT")["SecretString"]
    both = record_json.state_to_json(RegionState(writer=True, took_over=False))
    store.put_secret_value(SecretId=STATE, SecretString=both)
    try:
        assert "Both Regions" in failed(surrogatectl)["writer None"]["detail"]
    finally:
        store.put_secret_value(SecretId=STATE, SecretString=before)
    assert "writer None" not in failed(surrogatectl)


@contextmanager
def without_policies(cloud: Cloud, role: str) -> Iterator[None]:
    """Remove the inline policies of a stage's role temporarily."""
    name = f"surrogate-credentials-{role}"
    function = cloud.client("lambda", role, "root").get_function_configuration(FunctionName=name)
    iam_role = function["Role"].rpartition("/")[2]
    iam = cloud.client("iam", role, "root")
    taken = [
        iam.get_role_policy(RoleName=iam_role, PolicyName=each)
        for each in iam.list_role_policies(RoleName=iam_role)["PolicyNames"]
    ]
    for each in taken:
        iam.delete_role_policy(RoleName=iam_role, PolicyName=each["PolicyName"])
    try:
        yield
    finally:
        for each in taken:
            iam.put_role_policy(
                RoleName=iam_role,
                PolicyName=each["PolicyName"],
                PolicyDocument=json.dumps(each["PolicyDocument"]),
            )


def test_missing_permissions_of_a_role_are_named(cloud: Cloud, surrogatectl: CommandLine) -> None:
    with without_policies(cloud, "secondary"):
        found = failed(surrogatectl)
    assert "secretsmanager:GetSecretValue" in found["role us-west-2"]["detail"]
    assert "role us-east-1" not in found


def test_a_pool_without_scopes_is_found(cloud: Cloud, surrogatectl: CommandLine) -> None:
    client = cloud.client("cognito-idp", "secondary", "root")
    pool = cloud.endpoints["user_pools"]["secondary"]
    (server,) = client.list_resource_servers(UserPoolId=pool, MaxResults=50)["ResourceServers"]
    client.delete_resource_server(UserPoolId=pool, Identifier=server["Identifier"])
    try:
        assert "no resource server" in failed(surrogatectl)["pool us-west-2"]["detail"]
    finally:
        client.create_resource_server(**server)


def test_checks_without_permission_fail(cloud: Cloud, surrogatectl: CommandLine) -> None:
    nobody = cloud.identity("nobody")
    done = surrogatectl.run(
        "doctor",
        "--output=json",
        AWS_ACCESS_KEY_ID=nobody.access_key_id,
        AWS_SECRET_ACCESS_KEY=nobody.secret_access_key,
    )
    assert done.returncode == 1
    bad = [each for each in json.loads(done.stdout)["checks"] if each["level"] == "failed"]
    assert {each["check"] for each in bad} >= {"region", "state", "deployment key", "pool"}
    assert all(
        "operators-policy.json" in each["remedy"] for each in bad if each["check"] == "state"
    )


def test_the_default_output_is_a_table(cloud: Cloud, surrogatectl: CommandLine) -> None:
    done = surrogatectl.run("doctor")
    assert re.search(r"[0-9]+ failed, [0-9]+ warnings, [0-9]+ ok\.", done.stdout)
    assert "us-west-2" in done.stdout
