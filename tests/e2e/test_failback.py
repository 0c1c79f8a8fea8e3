"""Loss of the primary Region, work in the secondary, and failback; and the same planned."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from local.cloud import Cloud
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import post_token, verified

ROLES = ("primary", "secondary")
EAST, WEST = "us-east-1", "us-west-2"
# The exchange caches a record for 30 seconds.
_FRESH_SECONDS = 45


@pytest.fixture
def ctl(breakable_cloud: Cloud) -> Iterator[CommandLine]:
    """Restore the primary Region as the serving and writing one afterwards."""
    ctl = CommandLine(breakable_cloud)
    yield ctl
    breakable_cloud.reset()
    ctl("failback", "--settle=0", "--ttl=0", "--keep-all=secondary", "--force")


def becomes(cloud: Cloud, credential: Credential, status: int) -> None:
    """Fail unless both Regions eventually answer *credential* with *status*."""
    deadline = time.monotonic() + _FRESH_SECONDS
    found: dict[str, int] = {}
    while time.monotonic() < deadline:
        found = {
            role: post_token(cloud.endpoints[role], credential.pair).status_code for role in ROLES
        }
        if set(found.values()) == {status}:
            return
        time.sleep(0.5)
    raise AssertionError(found)


def failed_over(cloud: Cloud, credential: Credential) -> None:
    token = post_token(cloud.endpoints["front_door"], credential.pair).json()["access_token"]
    verified(cloud, "secondary", token)


def test_failover_and_failback_after_loss_of_the_primary(
    breakable_cloud: Cloud, ctl: CommandLine, enroll_everywhere: Callable[[], Credential]
) -> None:
    cloud = breakable_cloud
    before, rotated, disabled, deleted = (enroll_everywhere() for _ in range(4))
    cloud.set_region("primary", "refused")

    refused = ctl.run("failover", "--to=secondary")
    assert refused.returncode == 4
    assert "--force" in refused.stderr
    told = ctl.run("enroll", "--name=x", "--scope=demo/read")
    assert told.returncode == 4
    assert "failover --to secondary" in told.stderr
    taken = ctl("failover", "--to=secondary", "--force")
    assert taken["checks"]["canary"]["result"] == "passed"
    assert taken["checks"]["replicas"]["result"] == "skipped"
    assert not taken["fenced"]
    failed_over(cloud, before)

    answer = ctl("enroll", "--name=during", "--scope=demo/read")
    assert answer["app_clients"] == {EAST: "pending", WEST: "ready"}
    assert answer["replication"] == "suspended"
    during = Credential(answer["client_id"], answer["client_secret"], answer)
    answer = ctl("rotate", rotated.client_id)
    newer = Credential(rotated.client_id, answer["client_secret"], answer)
    ctl("disable", disabled.client_id)
    ctl("delete", deleted.client_id, "--yes")
    # In the other direction only failback leads back.
    assert ctl.run("failover", "--to=primary").returncode == 3

    cloud.set_region("primary", "up")
    still = ctl.run("enroll", "--name=x", "--scope=demo/read", "--region=primary")
    assert still.returncode == 3
    assert WEST in still.stderr

    back = ctl("failback", "--settle=1", "--ttl=1")
    assert back["left"] == back["splits"] == []
    assert back["counts"]["created"] == 1
    assert back["counts"]["brought_forward"] == 3
    for each in (before, rotated, newer, during):
        becomes(cloud, each, 200)
    for each in (disabled, deleted):
        becomes(cloud, each, 401)
    assert ctl("show", during.client_id)["app_clients"] == {EAST: "ready", WEST: "ready"}
    assert ctl("show", rotated.client_id)["replication"] == "in_sync"
    ours = {each.client_id for each in (before, rotated, disabled, deleted, during)}
    # Other tests of this process may have left drift, for which the command exits with 1.
    reconciled = ctl.run("reconcile", "--output=json")
    assert reconciled.returncode in {0, 1}, reconciled.stderr
    drift = json.loads(reconciled.stdout)["drift"]
    assert not [each for each in drift if each["kind"] == "replica" and each["client_id"] in ours]
    assert ctl("failover", "--to=primary")["already"]


def test_planned_failover_and_failback(
    breakable_cloud: Cloud, ctl: CommandLine, enroll_everywhere: Callable[[], Credential]
) -> None:
    cloud = breakable_cloud
    before = enroll_everywhere()
    taken = ctl("failover", "--to=secondary", "--settle=1")
    assert {each["result"] for each in taken["checks"].values()} == {"passed"}
    assert taken["fenced"]
    failed_over(cloud, before)
    answer = ctl("enroll", "--name=during", "--scope=demo/read")
    assert answer["app_clients"] == {EAST: "ready", WEST: "ready"}
    during = Credential(answer["client_id"], answer["client_secret"], answer)
    back = ctl("failback", "--settle=1", "--ttl=1")
    assert back["left"] == []
    for each in (before, during):
        becomes(cloud, each, 200)
    after = enroll_everywhere()
    assert after.enrolled["replication"] == "in_sync"


def test_a_killed_failback_is_taken_over_after_the_end_of_its_lease(
    breakable_cloud: Cloud, ctl: CommandLine, enroll_everywhere: Callable[[], Credential]
) -> None:
    cloud = breakable_cloud
    before = enroll_everywhere()
    ctl("failover", "--to=secondary", "--settle=0")
    with ctl.started("failback", "--settle=60") as process:
        assert process.stdout is not None
        assert any("nobody writes" in line for line in process.stdout)
        process.kill()
    shown = json.loads(ctl.run("status", "--quick", "--output=json").stdout)
    assert shown["writer"] is None
    assert shown["lease"]["command"] == "failback"
    for options in (["--take-over"], ["--abort", "--take-over"]):
        refused = ctl.run("failback", *options)
        assert refused.returncode == 3
        assert shown["lease"]["holder"] in refused.stderr
    store = cloud.client("secretsmanager", "secondary", "root")
    state = json.loads(store.get_secret_value(SecretId="surrogate/region")["SecretString"])
    state["lease"]["until"] = 1
    store.put_secret_value(SecretId="surrogate/region", SecretString=json.dumps(state))
    refused = ctl.run("failback")
    assert refused.returncode == 3
    assert "--take-over" in refused.stderr
    ctl("failback", "--take-over", "--settle=0", "--ttl=1")
    shown = json.loads(ctl.run("status", "--quick", "--output=json").stdout)
    assert (shown["writer"], shown["lease"]) == (EAST, None)
    becomes(cloud, before, 200)


def test_promotion_in_the_secondary_needs_its_own_permission(
    breakable_cloud: Cloud, ctl: CommandLine, enroll_everywhere: Callable[[], Credential]
) -> None:
    credential = enroll_everywhere()
    ctl("failover", "--to=secondary", "--settle=1")
    with without(breakable_cloud, "secretsmanager:StopReplicationToReplica"):
        refused = ctl.run("disable", credential.client_id)
        assert refused.returncode != 0
        assert post_token(breakable_cloud.endpoints["secondary"], credential.pair).ok
    ctl("disable", credential.client_id)


@contextmanager
def without(cloud: Cloud, action: str) -> Iterator[None]:
    """Remove *action* from the policy of the secondary Region's role."""
    functions = cloud.client("lambda", "secondary", "root").list_functions()["Functions"]
    (role,) = {
        each["Role"].rpartition("/")[2]
        for each in functions
        if each["FunctionName"] == "surrogate-credentials-secondary"
    }
    iam = cloud.client("iam", "primary", "root")
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    found = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    policy = json.loads(found) if isinstance(found, str) else found
    assert action in json.dumps(policy)
    less = json.dumps(policy).replace(action, "sts:GetCallerIdentity")
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=less)
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))
