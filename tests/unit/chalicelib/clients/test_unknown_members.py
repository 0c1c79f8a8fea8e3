"""A newer version's members of a record survive every rewrite by this one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib import record_json
from chalicelib.errors import MalformedSecretError
from chalicelib.model import ClientId
from surrogatectl.regions.failback_plan import Choices
from tests.aws_worlds import Operators
from tests.rescue import Rescue
from tests.unit.chalicelib.clients.crash_scenes import (
    DAY,
    OPERATIONS,
    OUTAGES,
    Operation,
    Scene,
    messy,
)
from tests.worlds import EAST, WEST

KNOWN: Final = frozenset(
    {
        *("schema", "after", "client_id", "client_name", "status", "origin", "created_at"),
        *("expires_at", "secrets", "scopes", "allowed_cidrs", "app_clients", "enrollment"),
        *("deletion", "secret_id", "hash", "pending", "user_pool_id", "app_client_id"),
        *("client_secret", "mac", "secret_since", "retiring", "outdated", "since", "reason"),
        *("cognito_secret_id", "replicated_at", "caller", "body_digest", "at", "was"),
        "recovery_days",
    }
)
CANARY: Final = "a-secret-of-a-newer-version"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
members = st.dictionaries(st.text().filter(lambda name: name not in KNOWN), values, min_size=1)


def objects(content: Any) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield every object of a stored record, by what tells it from the others."""
    yield (), content
    for name in ("enrollment", "deletion"):
        if content[name] is not None:
            yield (name,), content[name]
    for secret in content["secrets"]:
        yield ("secrets", secret["secret_id"]), secret
    for region, app_client in content["app_clients"].items():
        yield (region,), app_client
        for name in ("pending", "outdated", "retiring"):
            if app_client.get(name) is not None:
                identity = app_client[name].get("cognito_secret_id", "")
                yield (region, name, identity), app_client[name]


def add_members(scene: Scene, draw: Callable[[], dict[str, Any]], region: str = EAST) -> None:
    """Have a newer version write every record: with more members wherever there may be any."""
    for secret in scene.world.record_secrets(region).values():
        content = json.loads(secret.current.text)
        for _, found in list(objects(content)):
            found.update(draw())
        secret.current.text = json.dumps(content)


def kept(scene: Scene, region: str = EAST) -> dict[ClientId, dict[tuple[str, ...], Any]]:
    """Return every object's unknown members."""
    return {
        client_id: {
            place: {name: value for name, value in found.items() if name not in KNOWN}
            for place, found in objects(json.loads(secret.current.text))
        }
        for client_id, secret in scene.world.record_secrets(region).items()
    }


def require_kept(before: dict[ClientId, Any], after: dict[ClientId, Any]) -> None:
    for client_id, places in after.items():
        for place, found in places.items():
            if place in before.get(client_id, {}):
                assert found == before[client_id][place], place


def repeat_the_enrollment(scene: Scene) -> None:
    scene.enroll("another", key="k")


EVERY_OPERATION: Final = {
    **OPERATIONS,
    **OUTAGES,
    "repeat an enrollment": Operation(repeat_the_enrollment, prepare=repeat_the_enrollment),
    "reconcile": Operation(Scene.reconcile),
}


@given(st.data(), st.sampled_from(sorted(EVERY_OPERATION)))
@settings(max_examples=120)
def test_unknown_members_survive_every_operation(data: st.DataObject, name: str) -> None:
    operation = EVERY_OPERATION[name]
    scene = operation.scene()
    add_members(scene, lambda: data.draw(members))
    before, versions = kept(scene), written(scene)
    operation.run(scene)
    require_kept(before, kept(scene))
    rewrites = "deny" not in name and "allow" not in name and "adopt " not in name
    made = name in {"enroll", "enroll with a key", "reconcile"} or name.startswith("enroll")
    assert made or not rewrites or written(scene) != versions


def written(scene: Scene) -> dict[ClientId, str | None]:
    """Return every record's current version."""
    return {
        client_id: secret.holder("AWSCURRENT")
        for client_id, secret in scene.world.record_secrets(EAST).items()
    }


def numbered() -> Callable[[], dict[str, Any]]:
    numbers = count()
    return lambda: {"newer": {"number": next(numbers), "secret": CANARY}}


def test_unknown_members_survive_the_repair_of_drift() -> None:
    scene = messy()
    add_members(scene, numbered())
    before = kept(scene)
    assert scene.reconcile()
    scene.world.clock.advance(DAY)
    scene.reconcile()
    require_kept(before, kept(scene))


def test_unknown_members_survive_each_step_of_an_app_clients_rotation() -> None:
    scene = Scene()
    add_members(scene, numbered())
    before = kept(scene)
    for _ in range(8):
        scene.operators.app_client_rotation.advance(scene.client_id, due_before=scene.now)
        require_kept(before, kept(scene))
        # A newer version writes what this one has added since, too.
        add_members(scene, numbered())
        before = kept(scene)
        scene.world.clock.advance(400)


def test_unknown_members_survive_a_takeover_and_failback() -> None:
    scene = Scene(strict=True)
    rescue = Rescue(scene.world, scene.handed_out[0])
    scene.world.aws.down.add(EAST)
    rescue.failover(force=True)
    scene.operators = Operators(scene.world, WEST)
    during = scene.enroll("during the outage")
    add_members(scene, numbered(), WEST)
    before = kept(scene, WEST)
    scene.rotate(7 * DAY)
    scene.world.aws.down.clear()
    scene.world.clock.advance(10)
    assert rescue.failback(Choices()).left == ()
    after = kept(scene)
    assert {scene.client_id, during} <= after.keys()
    require_kept(before, after)
    assert after[during][EAST,] == before[during][EAST,]  # it was pending, and was made


def test_unknown_members_of_a_new_app_client_are_those_of_its_regions_entry() -> None:
    """Restoring makes app clients anew; the entry stays."""
    scene = OPERATIONS["restore"].scene()
    add_members(scene, numbered())
    before = kept(scene)[scene.client_id]
    scene.operators.deletion.restore(scene.client_id)
    after = kept(scene)[scene.client_id]
    assert [after[each,] for each in (EAST, WEST)] == [before[each,] for each in (EAST, WEST)]
    assert ("deletion",) not in after


def test_unknown_members_show_in_no_repr() -> None:
    scene = Scene()
    add_members(scene, numbered())
    text = scene.world.record_secrets(EAST)[scene.client_id].current.text
    record = record_json.record_from_json(text)
    assert CANARY in record_json.record_to_json(record)
    assert CANARY not in repr(record) + repr(record.unknown)


@pytest.mark.parametrize("name", ["app_clients", "secrets"])
def test_a_record_with_an_object_in_place_of_another_kind_is_malformed(name: str) -> None:
    scene = Scene()
    content = json.loads(scene.world.record_secrets(EAST)[scene.client_id].current.text)
    content[name] = {"us-east-1": 1} if name == "app_clients" else [1]
    with pytest.raises(MalformedSecretError):
        record_json.record_from_json(json.dumps(content))
