from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from chalicelib.errors import (
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    InvalidCursorError,
    OperationError,
    OutcomeUnknownError,
    UnknownClientError,
)
from chalicelib.model import AppClient, ClientId, Origin, Replication, Status
from tests.problems import as_problem
from tests.unit.chalicelib.clients.lifecycle_world import LifecycleWorld
from tests.worlds import EAST, WEST


@pytest.fixture
def world() -> LifecycleWorld:
    return LifecycleWorld()


def test_omitted_members_are_unchanged(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    before = world.record(client_id)
    world.clients.change(client_id, {"client_name": "renamed"})
    assert world.record(client_id) == replace(before, client_name="renamed")


def test_all_members_can_change_in_one_call(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    shown = world.clients.change(
        client_id,
        {
            "client_name": "renamed",
            "scopes": ("demo/read",),
            "allowed_cidrs": (ip_network("10.0.0.0/8"),),
            "expires_at": 2_000_000_000,
            "status": Status.DISABLED,
        },
    )
    record = world.record(client_id)
    assert record == shown.record
    assert (record.client_name, record.scopes, record.status, record.expires_at) == (
        "renamed",
        ("demo/read",),
        Status.DISABLED,
        2_000_000_000,
    )
    assert shown.replication is Replication.IN_SYNC


def test_an_empty_change_writes_nothing(world: LifecycleWorld) -> None:
    enrolled = world.enrolled()
    shown = world.clients.change(enrolled.issued.client_id, {"client_name": "billing"})
    assert shown.version == enrolled.version


class TestScopes:
    def granted(self, world: LifecycleWorld, client_id: ClientId) -> list[frozenset[str]]:
        """Return the scopes of both app clients."""
        return [
            pool.made[world.regional(client_id, region).app_client_id].scopes
            for region, pool in ((EAST, world.east), (WEST, world.west))
        ]

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("demo/read", "demo/read demo/write"),
            ("demo/read demo/write", "demo/write"),
            ("demo/read", "demo/write"),
        ],
    )
    def test_record_and_app_clients_agree_in_the_end(
        self, world: LifecycleWorld, before: str, after: str
    ) -> None:
        client_id = world.enrolled(before).issued.client_id
        world.clients.change(client_id, {"scopes": tuple(after.split())})
        assert world.record(client_id).scopes == tuple(after.split())
        assert self.granted(world, client_id) == [frozenset(after.split())] * 2

    def test_app_clients_have_the_granted_scopes_throughout_a_change(
        self, world: LifecycleWorld
    ) -> None:
        client_id = world.enrolled("demo/read").issued.client_id
        seen: list[list[frozenset[str]]] = []
        world.store.meanwhile["replace"] = lambda: seen.append(self.granted(world, client_id))
        world.clients.change(client_id, {"scopes": ("demo/write",)})
        assert seen == [[frozenset({"demo/read", "demo/write"})] * 2]

    def test_an_unknown_scope_is_named_and_nothing_changes(self, world: LifecycleWorld) -> None:
        client_id = world.enrolled("demo/read").issued.client_id
        world.west.scopes = frozenset({"demo/read"})
        with pytest.raises(OperationError) as refused:
            world.clients.change(client_id, {"scopes": ("demo/write",)})
        assert "demo/write" in as_problem(refused.value).fields["scope"]
        assert WEST in as_problem(refused.value).detail
        assert self.granted(world, client_id) == [frozenset({"demo/read"})] * 2

    def test_with_the_other_region_gone_its_app_client_is_marked_outdated(
        self, world: LifecycleWorld
    ) -> None:
        client_id = world.enrolled("demo/read").issued.client_id
        world.west.failures["unknown_scopes"] = [AppClientsUnreachableError()]
        world.west.failures["align"] = [AppClientsUnreachableError()]
        world.clients.change(client_id, {"scopes": ("demo/read", "demo/write")})
        assert world.regional(client_id, EAST).outdated is None
        assert world.regional(client_id, WEST).outdated is not None

    def test_with_this_regions_cognito_gone_nothing_changes(self, world: LifecycleWorld) -> None:
        client_id = world.enrolled("demo/read").issued.client_id
        world.east.failures["align"] = [AppClientsUnreachableError()]
        with pytest.raises(OperationError) as refused:
            world.clients.change(client_id, {"scopes": ("demo/read", "demo/write")})
        assert as_problem(refused.value).status == 503
        assert world.record(client_id).scopes == ("demo/read",)

    @pytest.mark.parametrize(
        ("failure", "status"),
        [(AppClientsThrottledError(), 429), (AppClientsRefusedError("X"), 502)],
    )
    def test_a_pool_that_refuses_changes_nothing(
        self, world: LifecycleWorld, failure: Exception, status: int
    ) -> None:
        client_id = world.enrolled("demo/read").issued.client_id
        world.west.failures["align"] = [failure]
        with pytest.raises(OperationError) as refused:
            world.clients.change(client_id, {"scopes": ("demo/read", "demo/write")})
        assert as_problem(refused.value).status == status
        assert world.record(client_id).scopes == ("demo/read",)

    def test_a_failed_narrowing_of_an_app_client_is_left_to_reconcile(
        self, world: LifecycleWorld
    ) -> None:
        client_id = world.enrolled().issued.client_id
        world.west.failures["align"] = [AppClientsThrottledError()]
        world.clients.change(client_id, {"scopes": ("demo/read",)})
        assert world.record(client_id).scopes == ("demo/read",)
        assert self.granted(world, client_id)[0] == frozenset({"demo/read"})

    def test_a_change_overtaken_by_another_is_a_conflict(self, world: LifecycleWorld) -> None:
        client_id = world.enrolled("demo/read").issued.client_id

        def somebody_renames_it() -> None:
            del world.store.meanwhile["replace"]
            found = world.store.read(client_id)
            world.store.replace(replace(found.value, client_name="renamed"), found.version)

        world.store.meanwhile["replace"] = somebody_renames_it
        with pytest.raises(OperationError) as refused:
            world.clients.change(client_id, {"scopes": ("demo/write",)})
        assert as_problem(refused.value).slug == "conflict"
        assert world.record(client_id).client_name == "renamed"
        assert world.record(client_id).scopes == ("demo/read",)

    def test_an_adopted_app_client_keeps_its_token_lifetime(self, world: LifecycleWorld) -> None:
        client_id = world.enrolled("demo/read").issued.client_id
        found = world.store.read(client_id)
        world.store.replace(replace(found.value, origin=Origin.ADOPTED), found.version)
        app_client = world.east.made[world.regional(client_id, EAST).app_client_id]
        app_client.access_token_seconds = 900
        world.clients.change(client_id, {"scopes": ("demo/write",)})
        assert app_client.access_token_seconds == 900
        assert app_client.scopes == frozenset({"demo/write"})


def test_an_unknown_write_outcome_is_reported(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.store.failures["replace"] = [OutcomeUnknownError()]
    with pytest.raises(OperationError) as refused:
        world.clients.change(client_id, {"client_name": "renamed"})
    assert (as_problem(refused.value).status, as_problem(refused.value).slug) == (
        503,
        "outcome-unknown",
    )


@pytest.mark.parametrize("status", [Status.ENROLLING, Status.DELETED])
def test_only_a_live_client_changes(world: LifecycleWorld, status: Status) -> None:
    client_id = world.enrolled().issued.client_id
    found = world.store.read(client_id)
    world.store.replace(replace(found.value, status=status), found.version)
    with pytest.raises(OperationError) as refused:
        world.clients.change(client_id, {"client_name": "x"})
    assert as_problem(refused.value).status == 409


def test_one_of_two_writers_of_the_same_version_wins_and_the_other_can_retry(
    world: LifecycleWorld,
) -> None:
    enrolled = world.enrolled()
    client_id = enrolled.issued.client_id
    world.clients.change(client_id, {"client_name": "first"}, enrolled.version)
    with pytest.raises(OperationError) as refused:
        world.clients.change(client_id, {"expires_at": 2_000_000_000}, enrolled.version)
    assert as_problem(refused.value).status == 412
    again = world.clients.show(client_id)
    world.clients.change(client_id, {"expires_at": 2_000_000_000}, again.version)
    record = world.record(client_id)
    assert (record.client_name, record.expires_at) == ("first", 2_000_000_000)


def test_a_client_deleted_while_it_is_shown_is_unknown(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.store.failures["replication"] = [UnknownClientError()]
    with pytest.raises(OperationError) as problem:
        world.clients.show(client_id)
    assert (as_problem(problem.value).status, as_problem(problem.value).slug) == (
        404,
        "unknown-client",
    )


def test_show_reports_the_replication_status(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    assert world.clients.show(client_id).replication is Replication.IN_SYNC
    world.store.lag = True
    world.clients.change(client_id, {"client_name": "renamed"})
    assert world.clients.show(client_id).replication is Replication.IN_PROGRESS


def test_the_list_has_every_client_once_over_its_pages(world: LifecycleWorld) -> None:
    enrolled = {world.enrolled().issued.client_id for _ in range(5)}
    seen: list[ClientId] = []
    cursor: str | None = None
    while True:
        page = world.clients.list(cursor, 2)
        seen += [summary.client_id for summary in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(enrolled)


def test_an_expired_cursor_is_named(world: LifecycleWorld) -> None:
    world.store.failures["list"] = [InvalidCursorError()]
    with pytest.raises(OperationError) as refused:
        world.clients.list("stale", 10)
    assert (as_problem(refused.value).status, list(as_problem(refused.value).fields)) == (
        400,
        ["cursor"],
    )


def test_no_app_client_is_made_or_lost_by_a_change(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    before = {region: world.regional(client_id, region) for region in (EAST, WEST)}
    world.clients.change(client_id, {"scopes": ("demo/read",), "status": Status.DISABLED})
    assert {region: world.regional(client_id, region) for region in (EAST, WEST)} == before
    assert all(isinstance(regional, AppClient) for regional in before.values())
    assert world.stranded == set()
