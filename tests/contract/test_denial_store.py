"""`DenialStore`: common contract of the fake and the adapter."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from chalicelib import denial_shards
from chalicelib.clients.denials import Denials
from chalicelib.denial_shards import SHARDS, WRITES_A_DAY, home
from chalicelib.errors import MalformedSecretError, VersionConflictError, VersionsUsedUpError
from chalicelib.model import ClientId, DenialShard, VersionId, Word
from tests.contract.conftest import CLOUD
from tests.contract.implementations import AwsDenials, DenialWorld, FakeDenials
from tests.contract.samples import assert_tells_nothing
from tests.worlds import EAST

CLIENT = ClientId("sgc_aaaaaaaaaaaaaaaaaaaaaaaaaa")
DENIED = DenialShard({CLIENT: Word(denied=True, at=7)}, (7,), unknown={"of": "a newer version"})

_UNLIMITED = "moto keeps any number of versions"
_NO_TEXT = "the fake keeps the shards themselves, not their text"
CANNOT = {
    ("moto", "test_a_shard_is_written_about_a_hundred_times_in_a_day"): _UNLIMITED,
    ("moto", "test_any_number_of_single_denials_is_in_force"): _UNLIMITED,
    ("moto", "test_a_missing_shard_is_not_replaced"): (
        "moto takes PutSecretValue for a secret that is marked for deletion"
    ),
    ("fake", "test_a_foreign_shard_is_malformed"): _NO_TEXT,
    ("fake", "test_denials_of_the_first_edition_count_until_there_are_shards"): _NO_TEXT,
    ("fake", "test_a_lost_shard_is_not_replaced_by_denials_that_were_moved"): _NO_TEXT,
}


@pytest.fixture(params=["fake", "memory", "moto", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(implementation: str, request: pytest.FixtureRequest) -> DenialWorld:
    if implementation == "fake":
        return FakeDenials()
    return AwsDenials(request.getfixturevalue("regions"))


@pytest.fixture
def aws_world(world: DenialWorld) -> AwsDenials:
    assert isinstance(world, AwsDenials)
    return world


def test_a_shard_is_read_as_it_was_written(world: DenialWorld) -> None:
    read = world.store.read(3)
    assert read.value == DenialShard()
    version = world.store.replace(3, DENIED, read.version)
    assert version != read.version
    assert world.store.read(3).value == DENIED
    assert world.store.read(3).version == version
    assert world.store.read(4).value == DenialShard()


def test_all_shards_are_read_at_once_as_they_are(world: DenialWorld) -> None:
    world.store.replace(15, DENIED, world.store.read(15).version)
    found = world.store.read_all()
    assert sorted(found) == list(range(SHARDS))
    assert found[15] == DENIED
    assert found[14] == DenialShard()


def test_a_replacement_of_another_version_is_a_conflict(world: DenialWorld) -> None:
    read = world.store.read(0)
    world.store.replace(0, DENIED, read.version)
    for version in (read.version, VersionId("00000000-0000-4000-8000-000000000000")):
        with pytest.raises(VersionConflictError):
            world.store.replace(0, DenialShard(), version)
    assert world.store.read(0).value == DENIED


def test_a_missing_shard_is_malformed_and_not_an_empty_one(world: DenialWorld) -> None:
    world.lose(5)
    with pytest.raises(MalformedSecretError):
        world.store.read(5)
    with pytest.raises((MalformedSecretError, KeyError)):
        world.store.read_all()


def test_a_missing_shard_is_not_replaced(world: DenialWorld) -> None:
    read = world.store.read(5)
    world.lose(5)
    with pytest.raises(MalformedSecretError):
        world.store.replace(5, DENIED, read.version)


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"schema":1,"words":{}}', f"{CLIENT}, but"])
def test_a_foreign_shard_is_malformed(aws_world: AwsDenials, text: str) -> None:
    aws_world.behind.put_secret_value(SecretId=aws_world.name(0), SecretString=text)
    for read in (lambda: aws_world.store.read(0), aws_world.store.read_all):
        with pytest.raises(MalformedSecretError) as caught:
            read()
        assert_tells_nothing(caught.value, CLIENT)


def test_a_shard_is_written_about_a_hundred_times_in_a_day(world: DenialWorld) -> None:
    """So much that Secrets Manager keeps of a secret; the limit that the shards are for."""
    written = [world.store.read(2).version]
    with suppress(VersionsUsedUpError):
        while len(written) < 200:
            written.append(world.store.replace(2, DENIED, written[-1]))
    assert WRITES_A_DAY < len(written) <= 100
    assert world.store.read(2).version == written[-1]


def test_any_number_of_single_denials_is_in_force(world: DenialWorld) -> None:
    """Of one client, and so in one shard: its neighbors take what it does not."""
    denials = Denials(EAST, world.store, lambda: 1_800_000_000.0)
    for _ in range(WRITES_A_DAY + 15):
        denials.change(deny=[CLIENT], allow=[])
        denials.change(deny=[], allow=[CLIENT])
    assert denials.list() == frozenset()
    assert denials.change(deny=[CLIENT], allow=[]) == {CLIENT}
    assert world.store.read(home(CLIENT)).value.overflow


OLD = {"schema": 1, "writer": True, "took_over": True, "epoch": 4}


def test_denials_of_the_first_edition_count_until_there_are_shards(aws_world: AwsDenials) -> None:
    state = OLD | {"denied": [CLIENT], "allowed": ["sgc_bbbbbbbbbbbbbbbbbbbbbbbbbb"]}
    aws_world.behind.create_secret(
        Name=f"{aws_world.prefix}/region", SecretString=json.dumps(state)
    )
    for number in range(SHARDS):
        aws_world.lose(number)
    shard = aws_world.store.read(home(CLIENT))
    assert shard.value.words[CLIENT].denied
    assert denial_shards.denied_in(Denials(EAST, aws_world.store, lambda: 0).words()) == {CLIENT}


def test_a_lost_shard_is_not_replaced_by_denials_that_were_moved(aws_world: AwsDenials) -> None:
    state = OLD | {"denied": [CLIENT], "denials_moved": True}
    aws_world.behind.create_secret(
        Name=f"{aws_world.prefix}/region", SecretString=json.dumps(state)
    )
    aws_world.lose(home(CLIENT))
    with pytest.raises(MalformedSecretError):
        aws_world.store.read(home(CLIENT))
