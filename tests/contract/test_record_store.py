"""`RecordStore` and `RecordReader`: common contract of the fake and the adapter."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from chalicelib.errors import (
    ClientExistsError,
    InvalidCursorError,
    RecordMissingError,
    StoreRefusedError,
    UnknownClientError,
    VersionConflictError,
)
from chalicelib.model import (
    ClientId,
    ClientRecord,
    ClientSummary,
    Replication,
    Status,
    Versioned,
    VersionId,
)
from chalicelib.ports import BATCH, RecordStore
from tests.contract.conftest import CLOUD
from tests.contract.implementations import AwsRecords, FakeRecords, RecordsWorld
from tests.contract.samples import new_client_id, record

WRITERS = 6
RECOVERY_DAYS = 7

CANNOT = {
    ("moto", "test_a_record_scheduled_for_deletion_is_not_replaced"): (
        "moto takes PutSecretValue for a secret that is marked for deletion"
    ),
    ("moto", "test_a_foreign_cursor_is_invalid"): (
        "moto's ListSecrets fails with 500 on a token that it did not make"
    ),
}


@pytest.fixture(params=["fake", "memory", "moto", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(implementation: str, request: pytest.FixtureRequest) -> RecordsWorld:
    if implementation == "fake":
        return FakeRecords()
    return AwsRecords(request.getfixturevalue("regions"))


def test_a_created_record_is_read_unchanged(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    assert world.store.read(created.client_id) == Versioned(created, version)
    assert world.reader.read(created.client_id) == Versioned(created, version)


def test_a_client_id_is_taken_once(world: RecordsWorld) -> None:
    first = record()
    version = world.store.create(first)
    with pytest.raises(ClientExistsError):
        world.store.create(replace(first, client_name="another"))
    assert world.store.read(first.client_id) == Versioned(first, version)


def test_records_are_independent(world: RecordsWorld) -> None:
    one, other = record(client_name="one"), record(client_name="other")
    world.store.create(one)
    version = world.store.create(other)
    world.store.replace(replace(other, status=Status.ACTIVE), version)
    assert world.store.read(one.client_id).value == one


@pytest.mark.parametrize(
    "use",
    [
        lambda world, client_id: world.store.read(client_id),
        lambda world, client_id: world.reader.read(client_id),
        lambda world, client_id: world.store.replicate(client_id),
        lambda world, client_id: world.store.unreplicate(client_id),
        lambda world, client_id: world.store.describe(client_id),
        lambda world, client_id: world.store.update_listing(record(client_id=client_id)),
        lambda world, client_id: world.store.cancel_deletion(client_id),
        lambda world, client_id: world.store.replication(client_id, VersionId("any")),
        lambda world, client_id: world.store.replace(record(client_id=client_id), VersionId("any")),
    ],
    ids=[
        "read",
        "reader",
        "replicate",
        "unreplicate",
        "describe",
        "update_listing",
        "cancel_deletion",
        "replication",
        "replace",
    ],
)
def test_a_client_that_was_never_created_is_unknown(
    world: RecordsWorld, use: Callable[[RecordsWorld, ClientId], object]
) -> None:
    with pytest.raises(UnknownClientError):
        use(world, new_client_id())


def test_a_replaced_record_is_read_by_everybody(world: RecordsWorld) -> None:
    created = record()
    first = world.store.create(created)
    changed = replace(created, status=Status.ACTIVE, client_name="renamed", secrets=())
    second = world.store.replace(changed, first)
    assert second != first
    assert world.store.read(created.client_id) == Versioned(changed, second)
    assert world.reader.read(created.client_id) == Versioned(changed, second)


def test_a_record_can_be_replaced_again_and_again(world: RecordsWorld) -> None:
    current = record()
    version = world.store.create(current)
    for number in range(5):
        current = replace(current, client_name=f"number {number}")
        version = world.store.replace(current, version)
    assert world.store.read(current.client_id) == Versioned(current, version)


def test_a_replacement_with_an_outdated_version_is_a_conflict(world: RecordsWorld) -> None:
    created = record()
    read = world.store.create(created)
    winner = replace(created, client_name="winner")
    version = world.store.replace(winner, read)
    with pytest.raises(VersionConflictError):
        world.store.replace(replace(created, client_name="too late"), read)
    assert world.store.read(created.client_id) == Versioned(winner, version)


def test_a_conflict_does_not_block_later_writes(world: RecordsWorld) -> None:
    created = record()
    read = world.store.create(created)
    version = world.store.replace(replace(created, client_name="winner"), read)
    with pytest.raises(VersionConflictError):
        world.store.replace(replace(created, client_name="too late"), read)
    again = replace(created, client_name="in time")
    world.store.replace(again, version)
    assert world.store.read(created.client_id).value == again


def test_one_of_several_writers_of_the_same_version_wins(world: RecordsWorld) -> None:
    created = record()
    read = world.store.create(created)
    start = Barrier(WRITERS)

    def write(number: int) -> Versioned[ClientRecord] | None:
        mine = replace(created, client_name=f"writer {number}")
        start.wait()
        try:
            return Versioned(mine, world.store.replace(mine, read))
        except VersionConflictError:
            return None

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = list(pool.map(write, range(WRITERS)))
    winners = [outcome for outcome in outcomes if outcome is not None]
    assert len(winners) == 1
    assert world.store.read(created.client_id) == winners[0]


def test_conflicting_writers_that_read_again_lose_no_change(world: RecordsWorld) -> None:
    created = record(scopes=())
    world.store.create(created)
    start = Barrier(3)

    def add(number: int) -> None:
        start.wait()
        while True:
            found = world.store.read(created.client_id)
            wider = replace(found.value, scopes=(*found.value.scopes, f"demo/{number}"))
            try:
                world.store.replace(wider, found.version)
            except VersionConflictError:
                continue
            return

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(add, range(3)))
    assert set(world.store.read(created.client_id).value.scopes) == {"demo/0", "demo/1", "demo/2"}


def test_a_record_scheduled_for_deletion_is_unknown_and_not_missing(world: RecordsWorld) -> None:
    created = record()
    world.store.create(created)
    world.store.schedule_deletion(created.client_id, RECOVERY_DAYS)
    for reader in (world.store, world.reader):
        with pytest.raises(UnknownClientError) as caught:
            reader.read(created.client_id)
        assert not isinstance(caught.value, RecordMissingError)


def test_a_record_that_was_never_created_is_missing(world: RecordsWorld) -> None:
    for reader in (world.store, world.reader):
        with pytest.raises(RecordMissingError):
            reader.read(new_client_id())


def test_a_record_scheduled_for_deletion_is_not_replaced(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    world.store.schedule_deletion(created.client_id, RECOVERY_DAYS)
    with pytest.raises(UnknownClientError):
        world.store.replace(replace(created, client_name="too late"), version)


def test_scheduling_deletion_is_repeatable_and_accepts_missing_records(world: RecordsWorld) -> None:
    created = record()
    world.store.create(created)
    world.store.schedule_deletion(created.client_id, RECOVERY_DAYS)
    world.store.schedule_deletion(created.client_id, RECOVERY_DAYS)
    world.store.schedule_deletion(new_client_id(), RECOVERY_DAYS)


def test_canceling_a_deletion_restores_the_record_unchanged(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    world.store.schedule_deletion(created.client_id, RECOVERY_DAYS)
    world.store.cancel_deletion(created.client_id)
    assert world.store.read(created.client_id) == Versioned(created, version)
    world.store.replace(replace(created, client_name="again"), version)


def test_canceling_without_a_scheduled_deletion_changes_nothing(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    world.store.cancel_deletion(created.client_id)
    assert world.store.read(created.client_id) == Versioned(created, version)


def test_canceling_the_deletion_of_a_missing_record_is_an_error(world: RecordsWorld) -> None:
    with pytest.raises(UnknownClientError):
        world.store.cancel_deletion(new_client_id())


def test_deletion_of_a_replicated_record_is_not_scheduled(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    world.store.replicate(created.client_id)
    with pytest.raises(StoreRefusedError):
        world.store.schedule_deletion(created.client_id, RECOVERY_DAYS)
    assert world.store.read(created.client_id) == Versioned(created, version)


def test_deletion_of_a_record_can_be_scheduled_after_removal_of_its_replica(
    world: RecordsWorld,
) -> None:
    created = record()
    version = world.store.create(created)
    world.store.replicate(created.client_id)
    world.store.unreplicate(created.client_id)
    assert world.store.replication(created.client_id, version) is Replication.MISSING
    with pytest.raises(UnknownClientError):
        world.reader_there.read(created.client_id)
    world.store.schedule_deletion(created.client_id, RECOVERY_DAYS)
    with pytest.raises(UnknownClientError):
        world.store.read(created.client_id)


def test_removing_a_missing_replica_changes_nothing(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    world.store.unreplicate(created.client_id)
    assert world.store.read(created.client_id) == Versioned(created, version)


def test_a_removed_replica_can_be_made_again(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    world.store.replicate(created.client_id)
    world.store.unreplicate(created.client_id)
    world.store.replicate(created.client_id)
    assert world.store.replication(created.client_id, version) is Replication.IN_SYNC


def every_page(store: RecordStore, limit: int) -> list[ClientSummary]:
    """Return the entries of all pages; assert that none is longer than *limit*."""
    page = store.list(None, limit)
    found = list(page.items)
    while page.cursor is not None:
        page = store.list(page.cursor, limit)
        assert len(page.items) <= limit
        found += page.items
    return found


def summary(of: ClientRecord) -> ClientSummary:
    return ClientSummary(
        of.client_id, of.client_name, of.status, of.origin, of.created_at, of.expires_at
    )


def test_every_client_is_on_exactly_one_page(world: RecordsWorld) -> None:
    created = [record(expires_at=None) for _ in range(3)] + [record() for _ in range(2)]
    for each in created:
        world.store.create(each)
    expected = sorted(map(summary, created), key=str)
    for limit in (2, 5, 10):
        assert sorted(every_page(world.store, limit), key=str) == expected


def test_without_clients_a_list_is_empty(world: RecordsWorld) -> None:
    assert every_page(world.store, 10) == []


def test_a_list_shows_the_current_client(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    changed = replace(created, status=Status.DISABLED, expires_at=None)
    world.store.replace(changed, version)
    assert every_page(world.store, 10) == [summary(changed)]


def test_a_list_shows_a_renamed_client_under_its_new_name(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    renamed = replace(created, client_name="renamed")
    second = world.store.replace(renamed, version)
    assert every_page(world.store, 10) == [summary(renamed)]
    assert world.store.read(created.client_id) == Versioned(renamed, second)


def test_a_list_leaves_out_records_scheduled_for_deletion(world: RecordsWorld) -> None:
    scheduled, left = record(), record()
    for each in (scheduled, left):
        world.store.create(each)
    world.store.schedule_deletion(scheduled.client_id, RECOVERY_DAYS)
    assert every_page(world.store, 10) == [summary(left)]


@pytest.mark.parametrize("cursor", ["no cursor", "ü" * 100])
def test_a_foreign_cursor_is_invalid(world: RecordsWorld, cursor: str) -> None:
    world.store.create(record())
    with pytest.raises(InvalidCursorError):
        world.store.list(cursor, 10)


def test_an_empty_cursor_is_invalid(world: RecordsWorld) -> None:
    with pytest.raises(InvalidCursorError):
        world.store.list("", 10)


def test_many_records_are_read_at_once(world: RecordsWorld) -> None:
    created = [record() for _ in range(BATCH)]
    versions = [world.store.create(each) for each in created]
    changed = replace(created[0], status=Status.ACTIVE)
    versions[0] = world.store.replace(changed, versions[0])
    assert world.store.read_many([each.client_id for each in created]) == {
        each.client_id: Versioned(each, version)
        for each, version in zip([changed, *created[1:]], versions, strict=True)
    }


def test_read_many_leaves_out_missing_records(world: RecordsWorld) -> None:
    left, scheduled = record(), record()
    version = world.store.create(left)
    world.store.create(scheduled)
    world.store.schedule_deletion(scheduled.client_id, RECOVERY_DAYS)
    asked = [scheduled.client_id, left.client_id, new_client_id()]
    assert world.store.read_many(asked) == {left.client_id: Versioned(left, version)}


def test_read_many_of_no_records_is_empty(world: RecordsWorld) -> None:
    assert world.store.read_many([]) == {}


def test_a_client_id_marked_for_deletion_is_taken(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    world.store.schedule_deletion(created.client_id, RECOVERY_DAYS)
    with pytest.raises(ClientExistsError):
        world.store.create(replace(created, client_name="again"))
    world.store.cancel_deletion(created.client_id)
    assert world.store.read(created.client_id) == Versioned(created, version)


def test_without_a_replica_replication_is_missing(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    assert world.store.replication(created.client_id, version) is Replication.MISSING
    with pytest.raises(UnknownClientError):
        world.reader_there.read(created.client_id)


def test_a_replicated_record_is_read_in_the_other_region(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    world.store.replicate(created.client_id)
    assert world.store.replication(created.client_id, version) is Replication.IN_SYNC
    assert world.reader_there.read(created.client_id) == Versioned(created, version)


def test_repeated_replication_changes_nothing(world: RecordsWorld) -> None:
    created = record()
    version = world.store.create(created)
    world.store.replicate(created.client_id)
    world.store.replicate(created.client_id)
    assert world.store.replication(created.client_id, version) is Replication.IN_SYNC
    changed = replace(created, status=Status.ACTIVE)
    second = world.store.replace(changed, version)
    assert world.store.replication(created.client_id, second) is Replication.IN_SYNC


def test_a_failed_replication_stays_so_until_it_is_removed_and_asked_for_again(
    world: RecordsWorld,
) -> None:
    created = record()
    client_id = created.client_id
    version = world.store.create(created)
    world.put_in_the_way(client_id)
    assert world.store.stands_alone(client_id)
    world.store.replicate(client_id)
    assert world.store.replication(client_id, version) is Replication.FAILED
    world.clear_the_way(client_id)
    assert not world.store.stands_alone(client_id)
    changed = world.store.replace(replace(created, status=Status.ACTIVE), version)
    world.store.replicate(client_id)
    assert world.store.replication(client_id, changed) is Replication.FAILED
    world.store.unreplicate(client_id)
    assert world.store.replication(client_id, changed) is Replication.MISSING
    world.store.replicate(client_id)
    assert world.store.replication(client_id, changed) is Replication.IN_SYNC
    assert not world.store.stands_alone(client_id), "it is a replica"


def test_removing_a_failed_replica_leaves_the_secret_in_its_place(world: RecordsWorld) -> None:
    created = record()
    world.store.create(created)
    world.put_in_the_way(created.client_id)
    world.store.replicate(created.client_id)
    world.store.unreplicate(created.client_id)
    assert world.store.stands_alone(created.client_id)


def test_in_sync_is_reported_for_the_replicated_version_only(world: RecordsWorld) -> None:
    created = record()
    first = world.store.create(created)
    world.store.replicate(created.client_id)
    changed = replace(created, status=Status.ACTIVE)
    second = world.store.replace(changed, first)
    assert world.store.replication(created.client_id, second) is Replication.IN_SYNC
    assert world.store.replication(created.client_id, first) is Replication.IN_PROGRESS
    assert world.reader_there.read(created.client_id) == Versioned(changed, second)


def test_replication_to_an_unreachable_region_is_unknown(world: RecordsWorld) -> None:
    replicated, alone = record(), record()
    version = world.store.create(replicated)
    world.store.replicate(replicated.client_id)
    lonely = world.store.create(alone)
    world.other_region_is_gone()
    assert world.store.replication(replicated.client_id, version) is Replication.UNKNOWN
    assert world.store.replication(alone.client_id, lonely) is Replication.MISSING
    with pytest.raises(UnknownClientError):
        world.store.replication(new_client_id(), version)


def test_a_lost_region_does_not_keep_this_one_from_writing(world: RecordsWorld) -> None:
    world.other_region_is_gone()
    created = record()
    version = world.store.create(created)
    changed = replace(created, status=Status.ACTIVE)
    world.store.replace(changed, version)
    assert world.store.read(created.client_id).value == changed
    world.store.schedule_deletion(created.client_id, RECOVERY_DAYS)
