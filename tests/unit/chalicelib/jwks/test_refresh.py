"""Scheduled refresh over fakes: its fetches, writes and report."""

from __future__ import annotations

import json

import pytest

from chalicelib.errors import (
    OutcomeUnknownError,
    StoreRefusedError,
    StoreUnavailableError,
    VersionConflictError,
)
from chalicelib.jwks import document as jwks
from chalicelib.jwks.document import HEARTBEAT_SECONDS, RETIRED_SECONDS
from chalicelib.jwks.refresh import KeyRefresh
from tests.fake_keys import EAST_ISSUER, WEST_ISSUER, FakeIssuers, FakeKeyStore, key
from tests.fakes import FakeClock


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeKeyStore.of(jwks.EMPTY)
        self.issuers = FakeIssuers({EAST_ISSUER: (key("east"),), WEST_ISSUER: (key("west"),)})
        self.refresh = KeyRefresh(self.store, self.issuers.fetches(), self.clock)

    @property
    def kept(self) -> set[str]:
        found = self.store.read().value
        return {each.key_id for keys in found.keys.values() for each in keys}


@pytest.fixture
def world() -> World:
    return World()


def test_both_issuers_keys_are_kept(world: World) -> None:
    done = world.refresh.refresh()
    assert done == {"event": "jwks", "outcome": "written", "failed": {}, "age": 0}
    assert world.kept == {"east", "west"}


def test_unchanged_keys_are_not_written_again(world: World) -> None:
    world.refresh.refresh()
    writes = world.store.calls.count("replace")
    for _ in range(4 * 6):
        world.clock.advance(899)
        assert world.refresh.refresh()["outcome"] == "unchanged"
    assert world.store.calls.count("replace") == writes


def test_a_day_costs_one_version_per_heartbeat(world: World) -> None:
    """A secret has about 100 versions, none of which is removed within a day."""
    for _ in range(24 * 4):
        world.refresh.refresh()
        world.clock.advance(900)
    assert world.store.calls.count("replace") <= RETIRED_SECONDS / HEARTBEAT_SECONDS + 1


def test_an_issuer_that_does_not_answer_keeps_its_keys_and_is_named(world: World) -> None:
    world.refresh.refresh()
    world.issuers[EAST_ISSUER] = None
    world.clock.advance(30 * RETIRED_SECONDS)
    done = world.refresh.refresh()
    assert done["failed"] == {EAST_ISSUER: "It does not answer."}
    assert done["age"] == 30 * RETIRED_SECONDS
    assert world.kept == {"east", "west"}


def test_an_issuer_that_never_answered_has_the_age_of_the_epoch(world: World) -> None:
    world.issuers[WEST_ISSUER] = None
    assert world.refresh.refresh()["age"] == world.clock()
    assert world.kept == {"east"}


def test_a_new_key_is_added_and_the_old_one_kept(world: World) -> None:
    world.refresh.refresh()
    world.issuers[EAST_ISSUER] = (key("newer"),)
    assert world.refresh.refresh()["outcome"] == "written"
    assert world.kept == {"east", "newer", "west"}
    world.clock.advance(RETIRED_SECONDS)
    world.refresh.refresh()
    assert world.kept == {"newer", "west"}


def test_a_refresh_over_a_replica_is_reported_and_writes_nothing(world: World) -> None:
    world.store.replica = True
    world.clock.advance(1)
    done = world.refresh.refresh()
    assert done == {"event": "jwks", "outcome": "replica", "failed": {}, "age": world.clock()}
    assert "replace" not in world.store.calls


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("read", StoreUnavailableError("text")),
        ("read", StoreRefusedError("text")),
        ("writable", StoreUnavailableError("text")),
        ("replace", VersionConflictError()),
        ("replace", OutcomeUnknownError()),
        ("replace", StoreRefusedError("text")),
    ],
)
def test_a_failing_store_is_named(world: World, call: str, error: Exception) -> None:
    world.store.failures[call] = [error]
    assert world.refresh.refresh()["outcome"] == type(error).__name__
    assert world.refresh.refresh()["outcome"] == "written"


def test_a_missing_snapshot_is_reported(world: World) -> None:
    world.store.stored = None
    assert world.refresh.refresh()["outcome"] == "MalformedSecretError"


def test_unknown_members_of_a_snapshot_survive_its_rewrite(world: World) -> None:
    """A newer version may have written them; a key's go with the key."""
    world.refresh.refresh()
    found = world.store.read()
    content = json.loads(jwks.snapshot_to_json(found.value))
    content["newer"] = {"canary": 1}
    for issuer, keys in content["keys"].items():
        keys[0]["newer"] = issuer
    world.store.replace(jwks.snapshot_from_json(json.dumps(content)), found.version)
    world.issuers[EAST_ISSUER] = (key("newer"),)
    assert world.refresh.refresh()["outcome"] == "written"
    written = world.store.read().value
    after = json.loads(jwks.snapshot_to_json(written))
    assert after["newer"] == {"canary": 1}
    members = {each["kid"]: each.get("newer") for keys in after["keys"].values() for each in keys}
    assert members == {"east": EAST_ISSUER, "newer": None, "west": WEST_ISSUER}
    assert "canary" not in repr(written)
