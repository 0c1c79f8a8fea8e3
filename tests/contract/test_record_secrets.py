"""
Adapter-specific storage of records in Secrets Manager: labels, tags, lost answers, replicas.

`test_record_store` has the contract shared with the fake.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from chalicelib.aws.secrets_calls import CURRENT, STAGED
from chalicelib.errors import (
    MalformedSecretError,
    OutcomeUnknownError,
    RecordMissingError,
    StoreRefusedError,
    StoreUnavailableError,
    UnknownClientError,
    VersionConflictError,
)
from chalicelib.model import ClientRecord, Replication, Status, Versioned, VersionId
from tests.contract.clients import lose_answer, lose_request, meanwhile
from tests.contract.conftest import CLOUD
from tests.contract.implementations import AwsRecords, TwoRegions
from tests.contract.samples import assert_tells_nothing, record

PUT, MOVE, LOOK = "PutSecretValue", "UpdateSecretVersionStage", "DescribeSecret"

CANNOT = {
    ("moto", "test_a_record_and_its_replica_are_each_encrypted_with_their_regions_key"): (
        "moto ignores the key of a replica"
    ),
    ("moto", "test_a_record_scheduled_for_deletion_between_staging_and_moving_is_unknown"): (
        "moto takes UpdateSecretVersionStage for a secret that is marked for deletion"
    ),
}


@pytest.fixture(params=["moto", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(regions: TwoRegions) -> AwsRecords:
    return AwsRecords(regions)


@pytest.fixture
def repeating_world(regions: TwoRegions) -> AwsRecords:
    """Return a world whose SDK repeats a request once after a missing answer."""
    return AwsRecords(regions, repeating=True)


def created_in(world: AwsRecords) -> tuple[ClientRecord, VersionId]:
    created = record()
    return created, world.store.create(created)


# Labels


def test_a_record_without_a_current_version_is_missing(world: AwsRecords) -> None:
    """Secrets Manager answers as if there were no such secret; the caches know better."""
    client_id = record().client_id
    world.behind.create_secret(Name=world.name(client_id))
    for reader in (world.store, world.reader):
        with pytest.raises(RecordMissingError):
            reader.read(client_id)


def test_a_staged_version_is_not_read(world: AwsRecords) -> None:
    created, version = created_in(world)
    for label in (STAGED, "AWSPENDING"):
        world.behind.put_secret_value(
            SecretId=world.name(created.client_id),
            SecretString=json.dumps({"waiting": label}),
            VersionStages=[label],
        )
        assert world.store.read(created.client_id) == Versioned(created, version)
        assert world.reader.read(created.client_id) == Versioned(created, version)


def test_a_version_staged_by_a_crashed_writer_does_not_block_other_writers(
    world: AwsRecords,
) -> None:
    created, version = created_in(world)
    world.behind.put_secret_value(
        SecretId=world.name(created.client_id), SecretString="{}", VersionStages=[STAGED]
    )
    changed = replace(created, status=Status.ACTIVE)
    second = world.store.replace(changed, version)
    assert world.store.read(created.client_id) == Versioned(changed, second)


def test_a_record_under_another_clients_name_is_malformed(world: AwsRecords) -> None:
    """It would let the other client's secret authenticate in spite of the other client's denial."""
    created, _ = created_in(world)
    stored = world.here.get_secret_value(SecretId=f"{world.prefix}/clients/{created.client_id}")
    other = record().client_id
    name = f"{world.prefix}/clients/{other}"
    world.here.create_secret(Name=name, SecretString=stored["SecretString"])
    with pytest.raises(MalformedSecretError):
        world.reader.read(other)


def test_a_replacement_does_not_move_the_pending_label(world: AwsRecords) -> None:
    # PutSecretValue moves AWSPENDING from any holder: it cannot be this project's label.
    created, version = created_in(world)
    name = world.name(created.client_id)
    pending = world.behind.put_secret_value(
        SecretId=name, SecretString="{}", VersionStages=["AWSPENDING"]
    )["VersionId"]
    world.store.replace(replace(created, status=Status.ACTIVE), version)
    stages = world.behind.describe_secret(SecretId=name)["VersionIdsToStages"]
    assert [each for each, labels in stages.items() if "AWSPENDING" in labels] == [pending]


def test_the_replica_shows_the_current_version_too(world: AwsRecords) -> None:
    created, version = created_in(world)
    world.store.replicate(created.client_id)
    world.behind.put_secret_value(
        SecretId=world.name(created.client_id), SecretString="{}", VersionStages=[STAGED]
    )
    assert world.reader_there.read(created.client_id) == Versioned(created, version)
    changed = replace(created, status=Status.ACTIVE)
    second = world.store.replace(changed, version)
    assert world.reader_there.read(created.client_id) == Versioned(changed, second)


# Lists


def listed(world: AwsRecords, created: ClientRecord) -> tuple[str, dict[str, str]]:
    """Return Description and tags as ListSecrets shows them, without decryption."""
    pages = world.behind.get_paginator("list_secrets").paginate(
        Filters=[{"Key": "name", "Values": [world.name(created.client_id)]}]
    )
    (found,) = [
        secret
        for page in pages
        for secret in page["SecretList"]
        if secret["Name"] == world.name(created.client_id)
    ]
    return found["Description"], {tag["Key"]: tag["Value"] for tag in found["Tags"]}


def test_a_list_shows_name_and_status_of_a_client(world: AwsRecords) -> None:
    created, _ = created_in(world)
    description, tags = listed(world, created)
    assert description == created.client_name
    assert tags == {
        "surrogate:kind": "client",
        "surrogate:status": "enrolling",
        "surrogate:origin": "enrolled",
        "surrogate:created-at": "1800000000",
        "surrogate:expires-at": "1900000000",
    }


def test_a_list_shows_the_current_status_of_a_client(world: AwsRecords) -> None:
    created, version = created_in(world)
    world.store.replace(replace(created, status=Status.DISABLED, expires_at=None), version)
    _, tags = listed(world, created)
    assert tags["surrogate:status"] == "disabled"
    assert tags["surrogate:expires-at"] == "0"
    assert tags["surrogate:kind"] == "client"


def test_a_long_name_is_cut_in_lists_only(world: AwsRecords) -> None:
    created = record(client_name="n" * 2_100)
    world.store.create(created)
    description, _ = listed(world, created)
    assert description == "n" * 2_048
    assert world.store.read(created.client_id).value == created


def test_a_record_is_replaced_even_if_its_listing_is_not(world: AwsRecords) -> None:
    created, version = created_in(world)
    lose_request(world.here, "TagResource")
    changed = replace(created, status=Status.ACTIVE)
    world.store.replace(changed, version)
    assert world.store.read(created.client_id).value == changed


# Lost answers and requests


def test_a_replacement_whose_last_answer_is_lost_has_succeeded(world: AwsRecords) -> None:
    created, version = created_in(world)
    changed = replace(created, status=Status.ACTIVE)
    lose_answer(world.here, MOVE)
    second = world.store.replace(changed, version)
    assert world.store.read(created.client_id) == Versioned(changed, second)


def test_a_replacement_repeated_by_the_sdk_after_arrival_has_succeeded(
    repeating_world: AwsRecords,
) -> None:
    # The repeat is refused: the version to move the label from is no longer current.
    world = repeating_world
    created, version = created_in(world)
    changed = replace(created, status=Status.ACTIVE)
    lose_answer(world.here, MOVE)
    second = world.store.replace(changed, version)
    assert world.store.read(created.client_id) == Versioned(changed, second)


def test_staging_repeated_by_the_sdk_after_arrival_has_succeeded(
    repeating_world: AwsRecords,
) -> None:
    world = repeating_world
    created, version = created_in(world)
    changed = replace(created, status=Status.ACTIVE)
    lose_answer(world.here, PUT)
    second = world.store.replace(changed, version)
    assert world.store.read(created.client_id) == Versioned(changed, second)


def test_a_creation_repeated_by_the_sdk_after_arrival_has_succeeded(
    repeating_world: AwsRecords,
) -> None:
    world = repeating_world
    created = record()
    lose_answer(world.here, "CreateSecret")
    version = world.store.create(created)
    assert world.store.read(created.client_id) == Versioned(created, version)


@pytest.mark.parametrize("operation", [PUT, MOVE])
def test_a_replacement_that_never_arrived_changes_nothing(
    world: AwsRecords, operation: str
) -> None:
    created, version = created_in(world)
    lose_request(world.here, operation)
    with pytest.raises(StoreUnavailableError) as caught:
        world.store.replace(replace(created, status=Status.ACTIVE), version)
    # An unanswered move may still arrive; a staged version never counts.
    assert isinstance(caught.value, OutcomeUnknownError) == (operation == MOVE)
    assert world.store.read(created.client_id) == Versioned(created, version)
    assert_tells_nothing(caught.value)


def test_a_staged_version_whose_answer_is_lost_is_not_made_current(world: AwsRecords) -> None:
    created, version = created_in(world)
    lose_answer(world.here, PUT)
    with pytest.raises(StoreUnavailableError):
        world.store.replace(replace(created, status=Status.ACTIVE), version)
    assert world.store.read(created.client_id) == Versioned(created, version)
    changed = replace(created, status=Status.DISABLED)
    world.store.replace(changed, version)
    assert world.store.read(created.client_id).value == changed


@pytest.mark.parametrize("accident", [lose_answer, lose_request])
def test_a_replacement_that_cannot_be_verified_has_an_unknown_outcome(
    world: AwsRecords, accident: Callable[..., None]
) -> None:
    created, version = created_in(world)
    accident(world.here, MOVE)
    lose_request(world.here, LOOK)
    with pytest.raises(OutcomeUnknownError) as caught:
        world.store.replace(replace(created, status=Status.ACTIVE), version)
    assert_tells_nothing(caught.value)
    arrived = accident is lose_answer
    current = world.store.read(created.client_id).value.status
    assert current is (Status.ACTIVE if arrived else Status.ENROLLING)


def test_a_replacement_overwritten_before_verification_has_an_unknown_outcome(
    world: AwsRecords,
) -> None:
    created, version = created_in(world)
    elsewhere = world.writer_elsewhere()
    theirs = replace(created, client_name="theirs")

    def somebody_writes() -> None:
        elsewhere.replace(theirs, elsewhere.read(created.client_id).version)

    lose_answer(world.here, MOVE)
    meanwhile(world.here, LOOK, somebody_writes)
    with pytest.raises(OutcomeUnknownError):
        world.store.replace(replace(created, client_name="ours"), version)
    assert world.store.read(created.client_id).value == theirs


def test_a_writer_overtaken_between_staging_and_moving_gets_a_conflict(world: AwsRecords) -> None:
    created, version = created_in(world)
    elsewhere = world.writer_elsewhere()
    theirs = replace(created, client_name="theirs")
    meanwhile(world.here, MOVE, lambda: elsewhere.replace(theirs, version))
    with pytest.raises(VersionConflictError):
        world.store.replace(replace(created, client_name="ours"), version)
    assert world.store.read(created.client_id).value == theirs


def test_a_record_deleted_between_staging_and_moving_is_unknown(world: AwsRecords) -> None:
    created, version = created_in(world)
    name = world.name(created.client_id)
    meanwhile(
        world.here,
        MOVE,
        lambda: world.behind.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True),
    )
    with pytest.raises(UnknownClientError):
        world.store.replace(replace(created, client_name="ours"), version)


def test_a_record_scheduled_for_deletion_between_staging_and_moving_is_unknown(
    world: AwsRecords,
) -> None:
    created, version = created_in(world)
    elsewhere = world.writer_elsewhere()
    meanwhile(world.here, MOVE, lambda: elsewhere.schedule_deletion(created.client_id, 7))
    with pytest.raises(UnknownClientError):
        world.store.replace(replace(created, client_name="ours"), version)


# Foreign content


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "not JSON at all", '{"schema":2}', '{"schema":1,"client_id":"x"}'],
)
def test_a_secret_without_a_record_is_malformed(world: AwsRecords, text: str) -> None:
    created, _ = created_in(world)
    world.behind.put_secret_value(SecretId=world.name(created.client_id), SecretString=text or " ")
    for reader in (world.store, world.reader):
        with pytest.raises(MalformedSecretError) as caught:
            reader.read(created.client_id)
        assert_tells_nothing(caught.value)


def test_a_binary_secret_is_malformed(world: AwsRecords) -> None:
    created, _ = created_in(world)
    world.behind.put_secret_value(
        SecretId=world.name(created.client_id), SecretBinary=b"\x00\x01\x02"
    )
    with pytest.raises(MalformedSecretError):
        world.store.read(created.client_id)


def test_the_error_for_a_truncated_record_has_none_of_its_text(world: AwsRecords) -> None:
    created, _ = created_in(world)
    name = world.name(created.client_id)
    whole = world.behind.get_secret_value(SecretId=name, VersionStage=CURRENT)["SecretString"]
    world.behind.put_secret_value(SecretId=name, SecretString=whole[:-20])
    with pytest.raises(MalformedSecretError) as caught:
        world.store.read(created.client_id)
    assert_tells_nothing(caught.value)


def test_read_many_marks_malformed_records(world: AwsRecords) -> None:
    (good, version), (bad, _), (binary, _) = (created_in(world) for _ in range(3))
    world.behind.put_secret_value(SecretId=world.name(bad.client_id), SecretString="{}")
    world.behind.put_secret_value(SecretId=world.name(binary.client_id), SecretBinary=b"\x00")
    assert world.store.read_many([good.client_id, bad.client_id, binary.client_id]) == {
        good.client_id: Versioned(good, version),
        bad.client_id: None,
        binary.client_id: None,
    }


def test_read_many_reads_only_current_versions(world: AwsRecords) -> None:
    created, version = created_in(world)
    world.behind.put_secret_value(
        SecretId=world.name(created.client_id), SecretString="{}", VersionStages=[STAGED]
    )
    assert world.store.read_many([created.client_id]) == {
        created.client_id: Versioned(created, version)
    }


# Replicas


def test_a_replica_is_not_written(world: AwsRecords) -> None:
    created, version = created_in(world)
    world.store.replicate(created.client_id)
    with pytest.raises(StoreRefusedError):
        world.writer_there().replace(replace(created, client_name="there"), version)
    assert world.store.read(created.client_id) == Versioned(created, version)
    assert world.reader_there.read(created.client_id) == Versioned(created, version)


def test_repeated_replication_makes_one_replica(world: AwsRecords) -> None:
    created, _ = created_in(world)
    for _ in range(3):
        world.store.replicate(created.client_id)
    described = world.behind.describe_secret(SecretId=world.name(created.client_id))
    assert [replica["Region"] for replica in described["ReplicationStatus"]] == ["us-west-2"]


def test_replication_fails_where_another_secret_has_the_name(world: AwsRecords) -> None:
    created, version = created_in(world)
    world.there.create_secret(Name=world.name(created.client_id), SecretString="{}")
    world.store.replicate(created.client_id)
    assert world.store.replication(created.client_id, version) is Replication.FAILED


def test_a_standalone_secret_of_the_same_name_is_no_replica(world: AwsRecords) -> None:
    created, version = created_in(world)
    world.there.create_secret(Name=world.name(created.client_id), SecretString="{}")
    assert world.store.replication(created.client_id, version) is Replication.MISSING


# Encryption


def test_a_record_and_its_replica_are_each_encrypted_with_their_regions_key(
    world: AwsRecords,
) -> None:
    store, created = world.with_keys("alias/here", "alias/there"), record()
    version = store.create(created)
    store.replicate(created.client_id)
    name = world.name(created.client_id)
    assert world.behind.describe_secret(SecretId=name)["KmsKeyId"] == "alias/here"
    assert world.there.describe_secret(SecretId=name)["KmsKeyId"] == "alias/there"
    assert store.replication(created.client_id, version) is Replication.IN_SYNC
    store.replace(created, version)
    assert world.behind.describe_secret(SecretId=name)["KmsKeyId"] == "alias/here"


def test_without_a_configured_kms_key_none_is_named(world: AwsRecords) -> None:
    created, _ = created_in(world)
    world.store.replicate(created.client_id)
    name = world.name(created.client_id)
    for client in (world.behind, world.there):
        assert "KmsKeyId" not in client.describe_secret(SecretId=name)
