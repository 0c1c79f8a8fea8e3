from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.errors import (
    AppClientsThrottledError,
    AppClientsUnreachableError,
    OperationError,
    OutcomeUnknownError,
    StoreRefusedError,
    StoreUnavailableError,
)
from chalicelib.model import ClientId, Origin, Pending, Status
from tests.problems import as_problem
from tests.unit.chalicelib.clients.lifecycle_world import LifecycleWorld
from tests.worlds import EAST, WEST


@pytest.fixture
def world() -> LifecycleWorld:
    return LifecycleWorld()


def test_deletion_leaves_only_the_restorable_record(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    deleted = world.deletion.delete(client_id, 7)
    assert deleted.left == ()
    assert world.east.made == world.west.made == {}
    assert world.store.replicas == {}
    assert world.store.scheduled == {client_id}
    record = world.record(client_id)
    assert record.status is Status.DELETED
    assert record.deletion is not None
    assert (record.deletion.was, record.deletion.recovery_days) == (Status.ACTIVE, 7)


def test_a_deleted_client_stops_authenticating_before_anything_is_removed(
    world: LifecycleWorld,
) -> None:
    client_id = world.enrolled().issued.client_id
    seen: list[Status] = []
    world.east.meanwhile["delete"] = lambda: seen.append(world.record(client_id).status)
    world.deletion.delete(client_id, 7)
    assert seen == [Status.DELETED]


def test_a_repeated_deletion_continues(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.west.failures["delete"] = [AppClientsUnreachableError()]
    deleted = world.deletion.delete(client_id, 7)
    assert deleted.left == (f"the app client in {WEST}",)
    assert world.store.scheduled == set()
    assert isinstance(world.record(client_id).app_clients[EAST], Pending)
    assert world.deletion.delete(client_id, 30).left == ()
    assert world.store.scheduled == {client_id}
    deletion = world.record(client_id).deletion
    assert deletion is not None
    assert deletion.recovery_days == 7  # as the first one said


def test_deletion_waits_for_a_slow_replica_removal(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.store.failures["schedule_deletion"] = [StoreRefusedError(), StoreRefusedError()]
    assert world.deletion.delete(client_id, 7).left == ()
    assert len(world.pauses) > 0


@pytest.mark.parametrize(
    "failures", [[StoreRefusedError() for _ in range(9)], [StoreUnavailableError()]]
)
def test_a_record_that_cannot_be_deleted_yet_is_reported(
    world: LifecycleWorld, failures: list[Exception | None]
) -> None:
    client_id = world.enrolled().issued.client_id
    world.store.failures["schedule_deletion"] = failures
    assert world.deletion.delete(client_id, 7).left == ("the record and its replica",)


def test_the_app_clients_of_an_adopted_client_are_kept(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    found = world.store.read(client_id)
    world.store.replace(replace(found.value, origin=Origin.ADOPTED), found.version)
    app_clients = world.record(client_id).app_clients
    assert world.deletion.delete(client_id, 7).left == ()
    assert len(world.east.made) == len(world.west.made) == 1
    restored = world.deletion.restore(client_id)
    assert restored.record.app_clients == app_clients


def test_a_client_that_is_being_enrolled_is_not_deleted(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    found = world.store.read(client_id)
    world.store.replace(replace(found.value, status=Status.ENROLLING), found.version)
    with pytest.raises(OperationError) as refused:
        world.deletion.delete(client_id, 7)
    assert as_problem(refused.value).slug == "enrolling"


def test_with_an_outdated_version_nothing_is_deleted(world: LifecycleWorld) -> None:
    enrolled = world.enrolled()
    client_id = enrolled.issued.client_id
    world.clients.change(client_id, {"client_name": "renamed"})
    with pytest.raises(OperationError) as refused:
        world.deletion.delete(client_id, 7, enrolled.version)
    assert as_problem(refused.value).status == 412
    assert world.record(client_id).status is Status.ACTIVE


def restored_by_somebody(world: LifecycleWorld, client_id: ClientId, at: str) -> None:
    """Restore the client just before the call *at*."""

    def restore() -> None:
        world.store.meanwhile.clear()
        world.deletion.restore(client_id)

    world.store.meanwhile[at] = restore


def test_a_client_restored_before_the_record_is_removed_is_not_deleted(
    world: LifecycleWorld,
) -> None:
    client_id = world.enrolled().issued.client_id
    restored_by_somebody(world, client_id, "describe")
    with pytest.raises(OperationError) as refused:
        world.deletion.delete(client_id, 7)
    assert as_problem(refused.value).slug == "conflict"
    assert world.record(client_id).status is Status.ACTIVE
    assert not {"unreplicate", "schedule_deletion"} & set(world.store.calls)
    assert world.store.replicas[client_id] == world.store.stored[client_id]


@pytest.mark.parametrize("at", ["unreplicate", "schedule_deletion"])
def test_a_client_restored_during_scheduling_has_its_deletion_canceled(
    world: LifecycleWorld, at: str
) -> None:
    client_id = world.enrolled().issued.client_id
    restored_by_somebody(world, client_id, at)
    with pytest.raises(OperationError) as refused:
        world.deletion.delete(client_id, 7)
    assert as_problem(refused.value).slug == "conflict"
    assert world.store.scheduled == set()
    assert world.store.replicas[client_id] == world.store.stored[client_id]


def test_a_client_restored_during_replica_removal_gets_its_replica_back(
    world: LifecycleWorld,
) -> None:
    client_id = world.enrolled().issued.client_id
    world.store.failures["schedule_deletion"] = [StoreRefusedError()]
    restored_by_somebody(world, client_id, "unreplicate")
    with pytest.raises(OperationError) as refused:
        world.deletion.delete(client_id, 7)
    assert as_problem(refused.value).slug == "conflict"
    assert world.store.calls.count("schedule_deletion") == 1
    assert world.store.replicas[client_id] == world.store.stored[client_id]


class TestRestore:
    def deleted(self, world: LifecycleWorld) -> tuple[ClientId, str]:
        issued = world.enrolled().issued
        world.deletion.delete(issued.client_id, 7)
        return issued.client_id, issued.client_secret

    def test_the_credentials_work_again_with_new_app_clients(self, world: LifecycleWorld) -> None:
        client_id, client_secret = self.deleted(world)
        restored = world.deletion.restore(client_id)
        assert restored.record.status is Status.ACTIVE
        assert restored.record.deletion is None
        assert world.authenticates(client_id, client_secret)
        assert world.regional(client_id, EAST).app_client_id in world.east.made
        assert world.regional(client_id, WEST).app_client_id in world.west.made
        assert world.store.replicas[client_id].version == restored.version

    def test_a_disabled_client_comes_back_disabled(self, world: LifecycleWorld) -> None:
        client_id = world.enrolled().issued.client_id
        world.clients.change(client_id, {"status": Status.DISABLED})
        world.deletion.delete(client_id, 7)
        assert world.deletion.restore(client_id).record.status is Status.DISABLED

    def test_a_repeat_changes_nothing(self, world: LifecycleWorld) -> None:
        client_id, _ = self.deleted(world)
        first = world.deletion.restore(client_id)
        assert world.deletion.restore(client_id).version == first.version
        assert world.stranded == set()

    def test_restoring_a_permanently_deleted_client_is_refused(self, world: LifecycleWorld) -> None:
        with pytest.raises(OperationError) as refused:
            world.deletion.restore(ClientId("sgc_" + "a" * 26))
        assert (as_problem(refused.value).status, as_problem(refused.value).slug) == (404, "gone")

    def test_with_the_other_region_gone_its_app_client_is_pending(
        self, world: LifecycleWorld
    ) -> None:
        client_id, _ = self.deleted(world)
        world.west.failures["create"] = [AppClientsUnreachableError()]
        world.deletion.restore(client_id)
        assert isinstance(world.record(client_id).app_clients[WEST], Pending)

    def test_a_throttling_pool_leaves_the_client_deleted_and_no_app_client(
        self, world: LifecycleWorld
    ) -> None:
        client_id, _ = self.deleted(world)
        world.west.failures["create"] = [AppClientsThrottledError()]
        with pytest.raises(OperationError) as refused:
            world.deletion.restore(client_id)
        assert as_problem(refused.value).status == 429
        assert world.record(client_id).status is Status.DELETED
        assert world.stranded == set()
        world.deletion.restore(client_id)
        assert world.record(client_id).status is Status.ACTIVE

    def test_an_unknown_write_outcome_undoes_nothing(self, world: LifecycleWorld) -> None:
        client_id, _ = self.deleted(world)
        world.store.lost["replace"] = [OutcomeUnknownError()]
        with pytest.raises(OperationError) as refused:
            world.deletion.restore(client_id)
        assert as_problem(refused.value).slug == "outcome-unknown"
        assert world.regional(client_id, EAST).app_client_id in world.east.made

    def test_a_client_that_is_being_enrolled_is_not_restored(self, world: LifecycleWorld) -> None:
        client_id = world.enrolled().issued.client_id
        world.store.unreplicate(client_id)
        found = world.store.read(client_id)
        world.store.replace(replace(found.value, status=Status.ENROLLING), found.version)
        reserved = world.store.read(client_id)
        with pytest.raises(OperationError) as refused:
            world.deletion.restore(client_id)
        assert (as_problem(refused.value).status, as_problem(refused.value).slug) == (
            409,
            "enrolling",
        )
        assert world.store.read(client_id) == reserved
        assert world.store.replicated == set()
