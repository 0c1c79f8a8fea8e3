"""The filters of ListSecrets match as the API reference says, key by key."""

from typing import Any

import pytest

from local.aws_gaps.errors import AwsError
from local.aws_gaps.secret_filters import matches

SECRET: dict[str, Any] = {
    "ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:app/clients/One-AbCdEf",
    "Name": "app/clients/One",
    "Description": "Nightly Batch job",
    "Tags": [{"Key": "Status", "Value": "active"}, {"Key": "kind", "Value": "record"}],
    "ReplicationStatus": [{"Region": "us-west-2"}],
}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("name", "app/clients/", True),
        ("name", "clients/", False),
        ("name", "App/", False),
        ("name", "!app/", False),
        ("name", "!other/", True),
        ("description", "nightly", True),
        ("description", "batch", True),
        ("description", "atch", False),
        ("tag-key", "Stat", True),
        ("tag-key", "status", False),
        ("tag-value", "act", True),
        ("tag-value", "Active", False),
        ("primary-region", "us-east-1", True),
        ("primary-region", "us-west-2", False),
        ("owning-service", "rds", False),
        ("all", "ONE", True),
        ("all", "nothing", False),
    ],
)
def test_a_filter_matches_by_key_and_value(key: str, value: str, *, expected: bool) -> None:
    assert matches(SECRET, [{"Key": key, "Values": [value]}]) is expected


def test_values_are_combined_with_or_and_filters_with_and() -> None:
    by_name = {"Key": "name", "Values": ["nothing", "app/"]}
    by_tag = {"Key": "tag-value", "Values": ["nothing"]}
    assert matches(SECRET, [by_name])
    assert not matches(SECRET, [by_name, by_tag])


@pytest.mark.parametrize("bad", [{"Key": "color", "Values": ["red"]}, {"Key": "name"}])
def test_a_filter_that_does_not_exist_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(AwsError):
        matches(SECRET, [bad])
