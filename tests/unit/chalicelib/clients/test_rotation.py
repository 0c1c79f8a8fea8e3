from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.clients.rotation import DEFAULT_OVERLAP_SECONDS, LATELY_SECONDS
from chalicelib.errors import LogUnavailableError, OperationError, VersionConflictError
from chalicelib.model import ClientId, SecretId, Status, VersionId
from tests.problems import as_problem
from tests.unit.chalicelib.clients.lifecycle_world import DAY, LifecycleWorld
from tests.worlds import EAST, WEST


@pytest.fixture
def world() -> LifecycleWorld:
    return LifecycleWorld()


def test_the_new_secret_is_current_and_the_previous_one_ends_by_itself(
    world: LifecycleWorld,
) -> None:
    old = world.enrolled().issued
    new = world.rotation.rotate(old.client_id, DEFAULT_OVERLAP_SECONDS).issued
    assert [each.secret_id for each in world.record(old.client_id).secrets] == [
        new.secret_id,
        old.secret_id,
    ]
    assert world.authenticates(old.client_id, new.client_secret)
    assert world.authenticates(old.client_id, old.client_secret)
    world.clock.advance(7 * DAY - 1)
    assert world.authenticates(old.client_id, old.client_secret)
    world.clock.advance(1)
    assert not world.authenticates(old.client_id, old.client_secret)
    assert world.authenticates(old.client_id, new.client_secret)


def test_without_an_overlap_the_previous_secret_ends_now(world: LifecycleWorld) -> None:
    old = world.enrolled().issued
    new = world.rotation.rotate(old.client_id, 0).issued
    assert not world.authenticates(old.client_id, old.client_secret)
    assert world.authenticates(old.client_id, new.client_secret)


def test_at_most_two_secrets_are_live(world: LifecycleWorld) -> None:
    old = world.enrolled().issued
    new = world.rotation.rotate(old.client_id, DAY).issued
    with pytest.raises(OperationError) as refused:
        world.rotation.rotate(old.client_id, DAY)
    assert as_problem(refused.value).slug == "two-secrets-live"
    assert set(as_problem(refused.value).extensions["secret_ids"]) == {old.secret_id, new.secret_id}
    world.clock.advance(DAY)
    newest = world.rotation.rotate(old.client_id, DAY).issued
    assert [each.secret_id for each in world.record(old.client_id).secrets] == [
        newest.secret_id,
        new.secret_id,
    ]


def test_an_earlier_expiry_is_not_postponed(world: LifecycleWorld) -> None:
    old = world.enrolled().issued
    found = world.store.read(old.client_id)
    soon = int(world.clock()) + 60
    ending = replace(found.value.secrets[0], expires_at=soon)
    world.store.replace(replace(found.value, secrets=(ending,)), found.version)
    world.rotation.rotate(old.client_id, DAY)
    assert world.record(old.client_id).secrets[1].expires_at == soon


def test_the_replica_has_the_new_secret(world: LifecycleWorld) -> None:
    old = world.enrolled().issued
    rotated = world.rotation.rotate(old.client_id, DAY)
    assert world.store.replicas[old.client_id].version == rotated.version


def test_rotation_with_an_outdated_version_changes_nothing(world: LifecycleWorld) -> None:
    enrolled = world.enrolled()
    client_id = enrolled.issued.client_id
    world.rotation.rotate(client_id, DAY, enrolled.version)
    with pytest.raises(OperationError) as refused:
        world.rotation.rotate(client_id, DAY, enrolled.version)
    assert as_problem(refused.value).status == 412
    assert len(world.record(client_id).secrets) == 2


def test_rotation_is_retried_on_the_winners_record(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id

    def somebody_renames_it() -> None:
        del world.store.meanwhile["replace"]
        found = world.store.read(client_id)
        world.store.replace(replace(found.value, client_name="renamed"), found.version)

    world.store.meanwhile["replace"] = somebody_renames_it
    world.rotation.rotate(client_id, DAY)
    assert world.record(client_id).client_name == "renamed"
    assert len(world.record(client_id).secrets) == 2


def test_repeated_conflicts_end_in_a_conflict(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.store.failures["replace"] = [VersionConflictError() for _ in range(10)]
    with pytest.raises(OperationError) as refused:
        world.rotation.rotate(client_id, DAY)
    assert (as_problem(refused.value).status, as_problem(refused.value).slug) == (409, "conflict")


@pytest.mark.parametrize("status", [Status.ENROLLING, Status.DELETED])
def test_only_a_live_client_rotates(world: LifecycleWorld, status: Status) -> None:
    client_id = world.enrolled().issued.client_id
    found = world.store.read(client_id)
    world.store.replace(replace(found.value, status=status), found.version)
    with pytest.raises(OperationError):
        world.rotation.rotate(client_id, DAY)


def test_an_unknown_client_is_named(world: LifecycleWorld) -> None:
    with pytest.raises(OperationError) as refused:
        world.rotation.rotate(ClientId("sgc_" + "a" * 26), DAY)
    assert (as_problem(refused.value).status, as_problem(refused.value).fields) == (
        404,
        {"client_id": "unknown"},
    )


def test_the_standby_does_not_rotate(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.state.hand_over_to(world.other_state)
    for change in (
        lambda: world.rotation.rotate(client_id, DAY),
        lambda: world.rotation.retire(client_id, SecretId("x"), force=True),
        lambda: world.deletion.delete(client_id, 7),
        lambda: world.deletion.restore(client_id),
        lambda: world.clients.change(client_id, {"client_name": "x"}),
        lambda: world.app_client_rotation.advance(client_id, due_before=2**40),
    ):
        with pytest.raises(OperationError) as refused:
            change()
        assert as_problem(refused.value).extensions["writing_region"] == WEST


class TestRetire:
    def two(self, world: LifecycleWorld) -> tuple[ClientId, SecretId, SecretId]:
        """Return a client, and the IDs of its previous and current secrets."""
        old = world.enrolled().issued
        new = world.rotation.rotate(old.client_id, 30 * DAY).issued
        return old.client_id, old.secret_id, new.secret_id

    def used(
        self, world: LifecycleWorld, secret_id: SecretId, ago: int, region: str = EAST
    ) -> None:
        world.logs[region].uses[secret_id] = int(world.clock()) - ago

    def test_an_unused_secret_is_retired_without_force(self, world: LifecycleWorld) -> None:
        client_id, old, new = self.two(world)
        world.rotation.retire(client_id, old, force=False)
        assert [each.secret_id for each in world.record(client_id).secrets] == [new]

    def test_the_current_secret_can_be_retired_as_well(self, world: LifecycleWorld) -> None:
        client_id, old, new = self.two(world)
        self.used(world, old, DAY)
        world.rotation.retire(client_id, new, force=False)
        assert [each.secret_id for each in world.record(client_id).secrets] == [old]

    @pytest.mark.parametrize("region", [EAST, WEST])
    def test_retiring_a_recently_used_secret_needs_force(
        self, world: LifecycleWorld, region: str
    ) -> None:
        client_id, old, new = self.two(world)
        self.used(world, old, LATELY_SECONDS, region)
        self.used(world, new, 0)
        with pytest.raises(OperationError) as refused:
            world.rotation.retire(client_id, old, force=False)
        assert as_problem(refused.value).slug == "secret-in-use"
        assert len(world.record(client_id).secrets) == 2
        world.rotation.retire(client_id, old, force=True)
        assert len(world.record(client_id).secrets) == 1

    def test_a_secret_used_long_ago_is_retired_if_the_other_is_in_use(
        self, world: LifecycleWorld
    ) -> None:
        client_id, old, new = self.two(world)
        self.used(world, old, LATELY_SECONDS + 1)
        self.used(world, new, 0, WEST)
        world.rotation.retire(client_id, old, force=False)
        assert len(world.record(client_id).secrets) == 1

    def test_retiring_the_only_used_secret_needs_force(self, world: LifecycleWorld) -> None:
        client_id, old, _ = self.two(world)
        self.used(world, old, LATELY_SECONDS + 1)
        with pytest.raises(OperationError) as refused:
            world.rotation.retire(client_id, old, force=False)
        assert "only secret with a use" in as_problem(refused.value).detail

    @pytest.mark.parametrize("region", [EAST, WEST])
    def test_an_unreadable_log_means_unknown_use_and_needs_force(
        self, world: LifecycleWorld, region: str
    ) -> None:
        client_id, old, _ = self.two(world)
        world.logs[region].failures["last_uses"] = [LogUnavailableError()]
        with pytest.raises(OperationError) as refused:
            world.rotation.retire(client_id, old, force=False)
        assert region in as_problem(refused.value).detail
        assert as_problem(refused.value).extensions["last_used"][region] == "unknown"

    def test_with_force_no_log_is_read(self, world: LifecycleWorld) -> None:
        client_id, old, _ = self.two(world)
        world.rotation.retire(client_id, old, force=True)
        assert world.logs[EAST].calls == []

    def test_the_only_live_secret_is_never_retired(self, world: LifecycleWorld) -> None:
        issued = world.enrolled().issued
        with pytest.raises(OperationError) as refused:
            world.rotation.retire(issued.client_id, issued.secret_id, force=True)
        assert as_problem(refused.value).slug == "only-secret"

    def test_an_expired_secret_does_not_count_as_live(self, world: LifecycleWorld) -> None:
        client_id, old, new = self.two(world)
        world.clock.advance(30 * DAY)
        with pytest.raises(OperationError) as refused:
            world.rotation.retire(client_id, new, force=True)
        assert as_problem(refused.value).slug == "only-secret"
        world.rotation.retire(client_id, old, force=True)

    def test_an_unknown_secret_is_named(self, world: LifecycleWorld) -> None:
        client_id, _, _ = self.two(world)
        with pytest.raises(OperationError) as refused:
            world.rotation.retire(client_id, SecretId("aaaaaaaa"), force=True)
        assert (as_problem(refused.value).status, as_problem(refused.value).fields) == (
            404,
            {"secret_id": "unknown"},
        )

    def test_with_an_outdated_version_nothing_is_retired(self, world: LifecycleWorld) -> None:
        client_id, old, _ = self.two(world)
        with pytest.raises(OperationError) as refused:
            world.rotation.retire(client_id, old, force=True, if_match=VersionId("outdated"))
        assert as_problem(refused.value).status == 412
        assert len(world.record(client_id).secrets) == 2
