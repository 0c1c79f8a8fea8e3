"""Map from app clients to surrogates, for backends of pools without the claim."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib.model import ClientId, Pending, Status
from chalicelib.settings import Settings
from chalicelib.timing import RateLimiter
from surrogatectl.clients.app_clients import BATCHES_PER_SECOND, map_of, write
from tests.operator_fakes import settings
from tests.unit.chalicelib.clients.lifecycle_world import LifecycleWorld
from tests.worlds import EAST, EAST_POOL, WEST, WEST_POOL


def configured() -> Settings:
    found = settings()
    return replace(
        found,
        primary=replace(found.primary, user_pool_id=EAST_POOL),
        secondary=replace(found.secondary, user_pool_id=WEST_POOL),
    )


SETTINGS = configured()
EAST_ISSUER, WEST_ISSUER = SETTINGS.primary.issuer, SETTINGS.secondary.issuer


@pytest.fixture
def world() -> LifecycleWorld:
    return LifecycleWorld()


def mapped(world: LifecycleWorld) -> tuple[dict[str, dict[str, str]], list[ClientId]]:
    limiter = RateLimiter(BATCHES_PER_SECOND, world.clock, world.clock.advance)
    return map_of(world.store, SETTINGS, limiter)


def change(world: LifecycleWorld, client_id: ClientId, **changes: Any) -> None:
    found = world.store.read(client_id)
    world.store.replace(replace(found.value, **changes), found.version)


def test_the_map_leads_from_every_app_client_to_its_surrogate(world: LifecycleWorld) -> None:
    clients = [world.enrolled().issued.client_id for _ in range(45)]
    found, unreadable = mapped(world)
    assert unreadable == []
    assert found.keys() == {EAST_ISSUER, WEST_ISSUER}
    for region, issuer in ((EAST, EAST_ISSUER), (WEST, WEST_ISSUER)):
        assert found[issuer] == {
            world.regional(client_id, region).app_client_id: client_id for client_id in clients
        }


def test_the_map_omits_deleted_clients_and_keeps_disabled_ones(world: LifecycleWorld) -> None:
    """A disabled client's last token is still valid, and must lead to its surrogate."""
    deleted, disabled = (world.enrolled().issued.client_id for _ in range(2))
    change(world, deleted, status=Status.DELETED)
    change(world, disabled, status=Status.DISABLED)
    found, _ = mapped(world)
    assert set(found[EAST_ISSUER].values()) == {disabled}


def test_the_map_omits_app_clients_that_are_pending_or_of_another_pool(
    world: LifecycleWorld,
) -> None:
    client_id = world.enrolled().issued.client_id
    regional = replace(world.regional(client_id, WEST), user_pool_id="us-west-2_Before001")
    change(world, client_id, app_clients={EAST: Pending(1, "x"), WEST: regional})
    assert mapped(world)[0] == {EAST_ISSUER: {}, WEST_ISSUER: {}}


def test_an_unreadable_record_is_named(world: LifecycleWorld) -> None:
    client_id = world.enrolled().issued.client_id
    world.store.malformed.add(client_id)
    assert mapped(world)[1] == [client_id]


@pytest.mark.slow
def test_ten_thousand_clients_are_read_in_rate_limited_batches(world: LifecycleWorld) -> None:
    one = world.record(world.enrolled().issued.client_id)
    for number in range(9_999):
        client_id = ClientId(f"sgc_{number:026}")
        world.store.create(replace(one, client_id=client_id))
    world.store.calls.clear()
    began = world.clock()
    mapped(world)
    assert world.store.calls.count("read_many") == 500
    assert "read" not in world.store.calls
    assert world.clock() - began > 490 / BATCHES_PER_SECOND


def test_the_map_contains_no_secret(world: LifecycleWorld, tmp_path: Path) -> None:
    enrolled = world.enrolled()
    regional = world.regional(enrolled.issued.client_id, EAST)
    write(tmp_path / "map.json", {"clients": mapped(world)[0]})
    text = (tmp_path / "map.json").read_text()
    for secret in (regional.client_secret, regional.mac, enrolled.issued.client_secret):
        assert secret not in text


def test_the_map_file_is_replaced_atomically(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    write(path, {"clients": {}})
    assert json.loads(path.read_text()) == {"clients": {}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    with pytest.raises(TypeError):
        write(path, {"clients": object()})
    assert json.loads(path.read_text()) == {"clients": {}}
    assert [each.name for each in tmp_path.iterdir()] == ["map.json"]
