"""
One cloud for the tests of the cloud itself, with a small application instead of the project's.

Its state is restored after every test, so that a test may break any part of it.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import Cloud

PROJECT = Path(__file__).parent / "project"
# Twice as fast as a demo: a minute of TTL passes in a second.
TIME_SCALE = 60.0


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("mirror") / "project"
    shutil.copytree(PROJECT, copy)
    return copy


@pytest.fixture(scope="session")
def running_cloud(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    state = tmp_path_factory.mktemp("cloud") / "state"
    with Cloud.up(state, project=project, quiet=True, time_scale=TIME_SCALE) as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: Cloud) -> Iterator[Cloud]:
    running_cloud.reset()
    yield running_cloud
    running_cloud.reset()
