"""IAM: resources and condition keys of requests as AWS's documentation has them."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import aws
from local.cloud import Cloud
from local.state import Identity

pytestmark = pytest.mark.cloud

Statement = dict[str, Any]
Connect = Callable[[str, Statement], Any]


@pytest.fixture
def allowed(cloud: Cloud) -> Iterator[Connect]:
    """Return a client of a service for a user with one statement."""
    iam, name = cloud.client("iam", "primary", "root"), f"user-{uuid.uuid4()}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]

    def allowed(service: str, statement: Statement) -> Any:
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
        iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(document))
        return aws.client(
            service,
            region=cloud.endpoints["regions"]["primary"],
            endpoint=cloud.endpoints["region_endpoints"]["primary"],
            identity=Identity(key["AccessKeyId"], key["SecretAccessKey"]),
        )

    yield allowed
    iam.delete_user_policy(UserName=name, PolicyName="only")
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=name)


def is_refused(call: Callable[..., Any], **arguments: object) -> bool:
    try:
        call(**arguments)
    except ClientError as err:
        if err.response["Error"]["Code"] not in {"AccessDenied", "AccessDeniedException"}:
            raise
        return True
    return False


@pytest.mark.parametrize(("ending", "refused"), [("", True), (":*", False)])
def test_a_log_group_is_authorized_with_its_streams(
    cloud: Cloud, allowed: Connect, ending: str, *, refused: bool
) -> None:
    group = f"/group/{uuid.uuid4()}"
    cloud.client("logs", "primary", "root").create_log_group(logGroupName=group)
    resource = f"arn:aws:logs:*:*:log-group:{group}{ending}"
    logs = allowed("logs", {"Action": "logs:FilterLogEvents", "Resource": resource})
    assert is_refused(logs.filter_log_events, logGroupName=group) is refused


def test_a_secret_is_replicated_only_where_the_condition_allows(
    cloud: Cloud, allowed: Connect
) -> None:
    name = f"app/{uuid.uuid4()}"
    store = allowed(
        "secretsmanager",
        {
            "Action": ["secretsmanager:CreateSecret", "secretsmanager:ReplicateSecretToRegions"],
            "Resource": "*",
            "Condition": {
                "ForAllValues:StringEquals": {"secretsmanager:AddReplicaRegions": ["us-west-2"]}
            },
        },
    )
    there, elsewhere = [{"Region": "us-west-2"}], [{"Region": "eu-west-1"}]
    both = [*there, *elsewhere]
    assert not is_refused(store.create_secret, Name=name, SecretString="a")
    for regions in (elsewhere, both):
        assert is_refused(
            store.replicate_secret_to_regions, SecretId=name, AddReplicaRegions=regions
        )
        other = f"app/{uuid.uuid4()}"
        assert is_refused(
            store.create_secret, Name=other, SecretString="a", AddReplicaRegions=regions
        )
    assert not is_refused(store.replicate_secret_to_regions, SecretId=name, AddReplicaRegions=there)
    root = cloud.client("secretsmanager", "primary", "root")
    root.remove_regions_from_replication(SecretId=name, RemoveReplicaRegions=["us-west-2"])
    root.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


@pytest.mark.parametrize("operator", ["Bool", "BoolIfExists"])
def test_a_deletion_without_recovery_can_be_refused(
    cloud: Cloud, allowed: Connect, operator: str
) -> None:
    name = f"app/{uuid.uuid4()}"
    cloud.client("secretsmanager", "primary", "root").create_secret(Name=name, SecretString="a")
    store = allowed(
        "secretsmanager",
        {
            "Action": "secretsmanager:DeleteSecret",
            "Resource": "*",
            "Condition": {operator: {"secretsmanager:ForceDeleteWithoutRecovery": "false"}},
        },
    )
    assert is_refused(store.delete_secret, SecretId=name, ForceDeleteWithoutRecovery=True)
    given = {} if operator == "BoolIfExists" else {"ForceDeleteWithoutRecovery": False}
    assert not is_refused(store.delete_secret, SecretId=name, **given)
