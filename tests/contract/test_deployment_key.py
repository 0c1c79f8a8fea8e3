"""`DeploymentKeyReader`: common contract of the fake and the adapter."""

from __future__ import annotations

import base64
import json

import pytest

from chalicelib.errors import MalformedSecretError
from tests.contract.conftest import CLOUD
from tests.contract.implementations import AwsKey, FakeKey, KeyWorld
from tests.contract.samples import assert_tells_nothing

KEY = bytes(range(200, 232))
SHORT = base64.b64encode(KEY[:31]).decode()

CANNOT = {
    ("fake", "test_an_invalid_key_is_malformed_and_not_shown"): "the fake keeps bytes, not a text",
    ("fake", "test_a_staged_key_is_not_read"): "the fake has no labels",
}


@pytest.fixture(params=["fake", "memory", "moto", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(implementation: str, request: pytest.FixtureRequest) -> KeyWorld:
    if implementation == "fake":
        return FakeKey(KEY)
    return AwsKey(request.getfixturevalue("regions"), KEY)


def test_the_key_is_read_as_it_was_written(world: KeyWorld) -> None:
    assert world.reader.read() == KEY


def test_a_missing_key_is_malformed(world: KeyWorld) -> None:
    world.lose()
    with pytest.raises(MalformedSecretError):
        world.reader.read()


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        SHORT,
        json.dumps({"schema": 1, "key": SHORT}),
        json.dumps({"schema": 1, "key": SHORT + "!!!!"}),
        json.dumps({"schema": 2, "key": base64.b64encode(KEY).decode()}),
        json.dumps({"schema": 1, "key": list(KEY)}),
    ],
)
def test_an_invalid_key_is_malformed_and_not_shown(world: KeyWorld, text: str) -> None:
    assert isinstance(world, AwsKey)
    world.here.put_secret_value(SecretId=world.name, SecretString=text)
    with pytest.raises(MalformedSecretError) as caught:
        world.reader.read()
    assert_tells_nothing(caught.value, SHORT)


def test_a_staged_key_is_not_read(world: KeyWorld) -> None:
    assert isinstance(world, AwsKey)
    world.here.put_secret_value(
        SecretId=world.name, SecretString="{}", VersionStages=["AWSPENDING"]
    )
    assert world.reader.read() == KEY
