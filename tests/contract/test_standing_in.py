"""
Secrets Manager operations of a takeover and of failback.

The same suite runs over the AWS of the crash tests and over the local cloud.
(moto has no StopReplicationToReplica.)
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from chalicelib.aws.client_records import ClientSecrets
from chalicelib.aws.secrets_calls import CURRENT, STAGED
from chalicelib.errors import StoreRefusedError, VersionConflictError
from chalicelib.model import ClientRecord, Status, Versioned, VersionId
from chalicelib.record_json import record_to_json
from surrogatectl.regions.region_records import RegionRecords
from surrogatectl.regions.stored_record import StoredRecord, was_current
from tests.contract.conftest import CLOUD
from tests.contract.implementations import AwsRecords, TwoRegions
from tests.contract.samples import new_client_id, record
from tests.worlds import EAST, WEST

_SECONDS = 20.0


@pytest.fixture(params=["memory", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class World(AwsRecords):
    """Records of the primary Region, and of the secondary after a takeover."""

    def __init__(self, regions: TwoRegions) -> None:
        super().__init__(regions)
        self.standing_in = ClientSecrets(
            lambda: self.there,
            lambda: self.here,
            EAST,
            self.prefix,
            secrets.token_bytes,
            promotes=True,
        )
        self.records = RegionRecords(lambda: self.here, WEST, self.prefix)
        self.records_there = RegionRecords(lambda: self.there, EAST, self.prefix)

    def replicated(self) -> tuple[ClientRecord, VersionId]:
        created = record()
        version = self.store.create(created)
        self.store.replicate(created.client_id)
        until(lambda: self.records_there.stored([created.client_id]))
        return created, version


@pytest.fixture
def world(regions: TwoRegions) -> World:
    return World(regions)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_first_write_promotes_a_replica(world: World) -> None:
    created, version = world.replicated()
    described = world.records_there.describe(created.client_id)
    assert described is not None
    assert described.replica_of == EAST
    changed = replace(created, client_name="written there")
    second = world.standing_in.replace(changed, version)
    assert world.standing_in.read(created.client_id) == Versioned(changed, second)
    described = world.records_there.describe(created.client_id)
    assert described is not None
    assert (described.replica_of, described.current) == (None, second)
    assert version in world.records_there.labels(created.client_id)
    assert world.store.read(created.client_id) == Versioned(created, version)
    third = world.standing_in.replace(created, second)
    assert world.standing_in.read(created.client_id).version == third


def test_only_the_region_that_took_over_promotes_replicas(world: World) -> None:
    created, version = world.replicated()
    with pytest.raises(StoreRefusedError):
        world.writer_there().replace(replace(created, client_name="there"), version)
    described = world.records_there.describe(created.client_id)
    assert described is not None
    assert described.replica_of == EAST


def test_a_write_over_another_version_is_a_conflict_after_promotion_too(world: World) -> None:
    created, version = world.replicated()
    world.standing_in.replace(replace(created, client_name="first"), version)
    with pytest.raises(VersionConflictError):
        world.standing_in.replace(replace(created, client_name="too late"), version)


def test_lists_show_records_written_in_the_secondary(world: World) -> None:
    created, version = world.replicated()
    world.standing_in.replace(replace(created, client_name="there"), version)
    assert world.standing_in.describe(created.client_id).value.client_name == "there"


def test_canceling_the_deletion_of_a_live_replica_changes_nothing(world: World) -> None:
    created, version = world.replicated()
    world.standing_in.cancel_deletion(created.client_id)
    assert world.standing_in.read(created.client_id) == Versioned(created, version)


def test_a_record_names_the_version_it_replaced(world: World) -> None:
    created, version = world.replicated()
    second = world.standing_in.replace(replace(created, client_name="second"), version)
    third = world.standing_in.replace(replace(created, client_name="third"), second)
    found = world.records_there.stored([created.client_id])[created.client_id]
    assert (found.version, found.after) == (third, second)
    before = world.records_there.version(created.client_id, second)
    assert before is not None
    assert before.after == version
    assert before.record == replace(created, client_name="second")
    first = world.records_there.version(created.client_id, version)
    assert first is not None
    assert first.after is None


def test_an_unknown_version_is_none(world: World) -> None:
    created, _ = world.replicated()
    assert world.records.version(created.client_id, VersionId("0" * 32)) is None
    assert world.records.describe(new_client_id()) is None
    assert world.records.stored([new_client_id()]) == {}


def test_a_record_is_copied_under_its_own_version(world: World) -> None:
    created, version = world.replicated()
    changed = replace(created, client_name="written there", status=Status.ACTIVE)
    second = world.standing_in.replace(changed, version)
    found = world.records_there.stored([created.client_id])[created.client_id]
    for _ in range(2):
        world.records.stage(created.client_id, found)
    assert not was_current(world.records.labels(created.client_id), second)
    assert world.store.read(created.client_id).version == version
    for _ in range(2):  # a repeat has no effect
        world.records.move(created.client_id, CURRENT, to=second, instead_of=version)
    assert world.store.read(created.client_id) == Versioned(changed, second)
    assert was_current(world.records.labels(created.client_id), second)
    world.records.update_listing(created.client_id, changed)
    assert world.store.describe(created.client_id).value.client_name == "written there"


def test_a_label_on_another_version_is_not_moved(world: World) -> None:
    created, version = world.replicated()
    second = world.store.replace(replace(created, client_name="somebody else's"), version)
    staged = StoredRecord(record_to_json(created, version), VersionId("f" * 32))
    world.records.stage(created.client_id, staged)
    with pytest.raises(VersionConflictError):
        world.records.move(created.client_id, CURRENT, to=staged.version, instead_of=version)
    assert world.store.read(created.client_id).version == second


def test_a_version_is_added_without_becoming_current(world: World) -> None:
    created, version = world.replicated()
    current = world.store.replace(replace(created, client_name="kept"), version)
    behind = StoredRecord(record_to_json(created, version), VersionId("e" * 32))
    world.records.stage(created.client_id, behind)
    world.records.move(created.client_id, STAGED, to=current, instead_of=behind.version)
    labels = world.records.labels(created.client_id)
    assert labels[behind.version] == frozenset()
    assert was_current(labels, behind.version)
    assert world.store.read(created.client_id).version == current


def test_a_record_is_created_once_and_unchanged(world: World) -> None:
    created = record()
    stored = StoredRecord(record_to_json(created), VersionId("a" * 32))
    for _ in range(2):
        world.records.create(created.client_id, stored)
    assert world.store.read(created.client_id) == Versioned(created, stored.version)
    assert world.store.describe(created.client_id).value.status == created.status
    with pytest.raises(VersionConflictError):
        world.records.create(
            created.client_id, StoredRecord(record_to_json(record()), VersionId("b" * 32))
        )


def test_a_scheduled_deletion_is_reported_and_can_be_canceled(world: World) -> None:
    created = record()
    version = world.store.create(created)
    world.store.schedule_deletion(created.client_id, 7)
    described = world.records.describe(created.client_id)
    assert described is not None
    assert described.deletion_scheduled
    assert world.records.stored([created.client_id]) == {}
    assert version in world.records.labels(created.client_id)
    world.records.cancel_deletion(created.client_id)
    assert created.client_id in world.records.stored([created.client_id])


def test_replication_overwrites_a_promoted_secret(world: World) -> None:
    created, version = world.replicated()
    second = world.standing_in.replace(replace(created, client_name="there"), version)
    found = world.records_there.stored([created.client_id])[created.client_id]
    world.records.stage(created.client_id, found)
    world.records.move(created.client_id, CURRENT, to=second, instead_of=version)
    described = world.records.describe(created.client_id)
    assert described is not None
    if described.replica is not None:
        world.records.unreplicate(created.client_id)
        until(lambda: getattr(world.records.describe(created.client_id), "replica", "") is None)
    world.records.replicate(created.client_id, overwrite=True)
    until(
        lambda: getattr(world.records_there.describe(created.client_id), "replica_of", "") == EAST
    )
    third = world.store.replace(replace(created, client_name="and on"), second)
    until(
        lambda: world.records_there.stored([created.client_id])[created.client_id].version == third
    )


def test_replication_overwrites_an_existing_secret_only_on_request(world: World) -> None:
    created = record()
    world.store.create(created)
    stored = StoredRecord(record_to_json(created), VersionId("c" * 32))
    world.records_there.create(created.client_id, stored)
    world.records.replicate(created.client_id, overwrite=False)
    until(lambda: getattr(world.records.describe(created.client_id), "replica", "") == "Failed")
    assert world.records_there.stored([created.client_id])[created.client_id] == stored


def test_a_promoted_secret_can_be_deleted(world: World) -> None:
    created, version = world.replicated()
    world.standing_in.replace(replace(created, client_name="there"), version)
    for _ in range(2):
        world.records_there.delete_now(created.client_id)
    until(lambda: world.records_there.describe(created.client_id) is None)
    assert world.store.read(created.client_id).version == version


def test_records_made_by_failback_are_encrypted_with_each_regions_key(
    world: World, implementation: str
) -> None:
    if implementation == "memory":
        pytest.skip("the memory has no keys")
    created = record()
    records = replace(world.records, kms_key="alias/here", replica_kms_key="alias/there")
    records.create(created.client_id, StoredRecord(record_to_json(created), VersionId("a" * 32)))
    records.replicate(created.client_id, overwrite=True)
    name = world.name(created.client_id)
    until(lambda: world.records_there.describe(created.client_id))
    for client, key in ((world.here, "alias/here"), (world.there, "alias/there")):
        assert client.describe_secret(SecretId=name)["KmsKeyId"] == key
