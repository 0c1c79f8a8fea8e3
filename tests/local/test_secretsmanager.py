"""Secrets Manager, called through the SDK as the application calls it."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud

pytestmark = pytest.mark.cloud

WEST = [{"Region": "us-west-2"}]


@pytest.fixture
def primary(cloud: Cloud) -> Any:
    return cloud.client("secretsmanager", "primary")


@pytest.fixture
def secondary(cloud: Cloud) -> Any:
    return cloud.client("secretsmanager", "secondary")


@pytest.fixture
def name() -> str:
    return f"app/{uuid.uuid4()}"


def code_of(call: Any, **arguments: object) -> str:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return str(raised.value.response["Error"]["Code"])


def status_of(client: Any, name: str) -> list[str]:
    rows = client.describe_secret(SecretId=name).get("ReplicationStatus", [])
    return [row["Status"] for row in rows]


def test_creation_is_idempotent_by_its_token(primary: Any, name: str) -> None:
    token = str(uuid.uuid4())
    same = {"Name": name, "ClientRequestToken": token}
    first = primary.create_secret(**same, SecretString="a")
    assert first["VersionId"] == token
    assert primary.create_secret(**same, SecretString="a")["ARN"] == first["ARN"]
    for other in ({**same, "SecretString": "b"}, {"Name": name, "SecretString": "a"}):
        assert code_of(primary.create_secret, **other) == "ResourceExistsException"


@pytest.mark.parametrize("bad", ["has space", "ümlaut", "x" * 513])
def test_a_name_has_the_characters_that_aws_allows(primary: Any, bad: str) -> None:
    code = code_of(primary.create_secret, Name=bad, SecretString="a")
    assert code == "ValidationException"


def test_a_name_that_is_being_deleted_is_taken(primary: Any, name: str) -> None:
    primary.create_secret(Name=name, SecretString="a")
    primary.delete_secret(SecretId=name)
    code = code_of(primary.create_secret, Name=name, SecretString="a")
    assert code == "InvalidRequestException"
    assert code_of(primary.get_secret_value, SecretId=name) == "InvalidRequestException"
    primary.restore_secret(SecretId=name)
    assert primary.get_secret_value(SecretId=name)["SecretString"] == "a"


def test_creation_with_replicas_starts_in_progress_and_gets_in_sync(
    primary: Any, secondary: Any, name: str
) -> None:
    made = primary.create_secret(
        Name=name,
        SecretString="a",
        Tags=[{"Key": "k", "Value": "v"}],
        Description="d",
        AddReplicaRegions=WEST,
    )
    assert [row["Status"] for row in made["ReplicationStatus"]] == ["InProgress"]
    assert status_of(primary, name) == ["InSync"]
    replica = secondary.describe_secret(SecretId=name)
    assert replica["ARN"] == made["ARN"].replace("us-east-1", "us-west-2")
    assert replica["PrimaryRegion"] == "us-east-1"
    assert replica["VersionIdsToStages"] == {made["VersionId"]: ["AWSCURRENT"]}
    assert replica["Tags"] == [{"Key": "k", "Value": "v"}]
    assert replica["Description"] == "d"


def test_tags_and_labels_reach_the_replica(primary: Any, secondary: Any, name: str) -> None:
    made = primary.create_secret(Name=name, SecretString="a", AddReplicaRegions=WEST)
    primary.tag_resource(SecretId=name, Tags=[{"Key": "k", "Value": "v"}])
    staged = primary.put_secret_value(SecretId=name, SecretString="b", VersionStages=["STAGED"])
    assert secondary.get_secret_value(SecretId=name)["SecretString"] == "a"
    primary.update_secret_version_stage(
        SecretId=name,
        VersionStage="AWSCURRENT",
        MoveToVersionId=staged["VersionId"],
        RemoveFromVersionId=made["VersionId"],
    )
    replica = secondary.describe_secret(SecretId=name)
    assert replica["Tags"] == [{"Key": "k", "Value": "v"}]
    assert replica["VersionIdsToStages"] == {
        made["VersionId"]: ["AWSPREVIOUS"],
        staged["VersionId"]: ["STAGED", "AWSCURRENT"],
    }
    read = secondary.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")
    assert read["SecretString"] == "b"


def test_one_of_many_compare_and_swaps_wins(primary: Any, name: str) -> None:
    made = primary.create_secret(Name=name, SecretString="start")

    def swap(number: int) -> str:
        put = primary.put_secret_value(
            SecretId=name, SecretString=str(number), VersionStages=["STAGED"]
        )
        try:
            primary.update_secret_version_stage(
                SecretId=name,
                VersionStage="AWSCURRENT",
                MoveToVersionId=put["VersionId"],
                RemoveFromVersionId=made["VersionId"],
            )
        except ClientError as err:
            return str(err.response["Error"]["Code"])
        return "won"

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(swap, range(8)))
    assert outcomes == ["InvalidParameterException"] * 7 + ["won"]


def test_versions_without_labels_are_listed_only_on_request(primary: Any, name: str) -> None:
    primary.create_secret(Name=name, SecretString="a")
    for value in ("b", "c"):
        primary.put_secret_value(SecretId=name, SecretString=value)
    listed = primary.list_secret_version_ids(SecretId=name)["Versions"]
    everything = primary.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
    assert (len(listed), len(everything)) == (2, 3)
    (deprecated,) = [v["VersionId"] for v in everything if v not in listed]
    read = primary.get_secret_value(SecretId=name, VersionId=deprecated)
    assert read["SecretString"] == "a"


def test_a_batch_reads_the_current_versions(primary: Any, name: str) -> None:
    primary.create_secret(Name=name, SecretString="a")
    primary.put_secret_value(SecretId=name, SecretString="b", VersionStages=["STAGED"])
    answer = primary.batch_get_secret_value(SecretIdList=[name, "app/missing"])
    assert [value["SecretString"] for value in answer["SecretValues"]] == ["a"]
    assert [error["ErrorCode"] for error in answer["Errors"]] == ["ResourceNotFoundException"]


def test_lists_are_filtered_by_prefix_and_come_in_pages(primary: Any) -> None:
    prefix = f"list-{uuid.uuid4()}/"
    for number in range(5):
        primary.create_secret(Name=f"{prefix}{number}", SecretString="a")
    wanted = [{"Key": "name", "Values": [prefix]}]
    pages = primary.get_paginator("list_secrets").paginate(
        Filters=wanted, PaginationConfig={"PageSize": 2}
    )
    names = [[secret["Name"] for secret in page["SecretList"]] for page in pages]
    assert names == [[f"{prefix}{n}" for n in group] for group in ((0, 1), (2, 3), (4,))]
    newest = primary.list_secrets(Filters=wanted, SortOrder="desc", MaxResults=1)["SecretList"]
    assert newest[0]["Name"] == f"{prefix}4"


def test_a_replica_cannot_be_changed(primary: Any, secondary: Any, name: str) -> None:
    primary.create_secret(Name=name, SecretString="a", AddReplicaRegions=WEST)
    calls: list[tuple[Any, dict[str, Any]]] = [
        (secondary.put_secret_value, {"SecretString": "b"}),
        (secondary.update_secret, {"Description": "b"}),
        (secondary.tag_resource, {"Tags": [{"Key": "k", "Value": "v"}]}),
        (secondary.put_resource_policy, {"ResourcePolicy": "{}"}),
        (secondary.delete_secret, {"ForceDeleteWithoutRecovery": True}),
        (secondary.replicate_secret_to_regions, {"AddReplicaRegions": [{"Region": "us-east-1"}]}),
    ]
    for call, arguments in calls:
        assert code_of(call, SecretId=name, **arguments) == "InvalidParameterException"


def test_a_secret_with_replicas_cannot_be_deleted(primary: Any, secondary: Any, name: str) -> None:
    primary.create_secret(Name=name, SecretString="a", AddReplicaRegions=WEST)
    assert code_of(primary.delete_secret, SecretId=name) == "InvalidParameterException"
    primary.remove_regions_from_replication(SecretId=name, RemoveReplicaRegions=["us-west-2"])
    assert code_of(secondary.describe_secret, SecretId=name) == "ResourceNotFoundException"
    primary.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert code_of(primary.describe_secret, SecretId=name) == "ResourceNotFoundException"


def test_replication_waits_for_a_lost_region(
    cloud: Cloud, primary: Any, secondary: Any, name: str
) -> None:
    primary.create_secret(Name=name, SecretString="a", AddReplicaRegions=WEST)
    cloud.set_region("secondary", "refused")
    primary.put_secret_value(SecretId=name, SecretString="b")
    assert status_of(primary, name) == ["InProgress"]
    cloud.set_region("secondary", "up")
    assert status_of(primary, name) == ["InSync"]
    assert secondary.get_secret_value(SecretId=name)["SecretString"] == "b"


def test_replication_takes_the_configured_lag(
    cloud: Cloud, primary: Any, secondary: Any, name: str
) -> None:
    primary.create_secret(Name=name, SecretString="a", AddReplicaRegions=WEST)
    cloud.set_replication_lag(60)
    primary.put_secret_value(SecretId=name, SecretString="b")
    assert secondary.get_secret_value(SecretId=name)["SecretString"] == "a"
    assert status_of(primary, name) == ["InProgress"]


def test_a_replica_is_promoted_while_its_primary_is_away(
    cloud: Cloud, primary: Any, secondary: Any, name: str
) -> None:
    made = primary.create_secret(Name=name, SecretString="a", AddReplicaRegions=WEST)
    cloud.set_region("primary", "refused")
    secondary.stop_replication_to_replica(SecretId=name)
    secondary.put_secret_value(SecretId=name, SecretString="b")
    promoted = secondary.describe_secret(SecretId=name)
    assert "PrimaryRegion" not in promoted
    assert made["VersionId"] in promoted["VersionIdsToStages"]
    cloud.set_region("primary", "up")
    assert status_of(primary, name) == []
    primary.replicate_secret_to_regions(SecretId=name, AddReplicaRegions=WEST)
    assert status_of(primary, name) == ["Failed"]
    assert secondary.get_secret_value(SecretId=name)["SecretString"] == "b"


POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%s,"Resource":"*"}]}'


def test_creation_with_tags_and_replicas_needs_their_permissions(cloud: Cloud, name: str) -> None:
    iam = cloud.client("iam", identity="root")
    limited = cloud.client("secretsmanager", identity="nobody")
    full = {
        "Name": name,
        "SecretString": "a",
        "Tags": [{"Key": "k", "Value": "v"}],
        "AddReplicaRegions": WEST,
    }
    granted: list[str] = []
    try:
        for action in ("CreateSecret", "TagResource"):
            granted.append(f'"secretsmanager:{action}"')
            document = POLICY % f"[{','.join(granted)}]"
            iam.put_user_policy(UserName="nobody", PolicyName="p", PolicyDocument=document)
            assert code_of(limited.create_secret, **full) == "AccessDeniedException"
        granted.append('"secretsmanager:ReplicateSecretToRegions"')
        document = POLICY % f"[{','.join(granted)}]"
        iam.put_user_policy(UserName="nobody", PolicyName="p", PolicyDocument=document)
        assert limited.create_secret(**full)["Name"] == name
        code = code_of(limited.stop_replication_to_replica, SecretId=name)
        assert code == "AccessDeniedException"
    finally:
        iam.delete_user_policy(UserName="nobody", PolicyName="p")
