"""
The local two-Region cloud, for every suite that wants it.

One cloud serves the whole session.  A test that asks for it is marked `cloud`,
so that `-m "not cloud"` is quick and needs nothing but this process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from local.cloud import Cloud


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cloud" in getattr(item, "fixturenames", ()):
            item.add_marker("cloud")


@pytest.fixture(autouse=True)
def _sdk_says_what_it_is() -> Iterator[None]:
    """Each Chalice() adds to what the SDK says of itself, until servers refuse so long a header."""
    before = os.environ.get("AWS_EXECUTION_ENV")
    yield
    if before is None:
        os.environ.pop("AWS_EXECUTION_ENV", None)
    else:
        os.environ["AWS_EXECUTION_ENV"] = before


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Start a cloud with both stages deployed; for tests that leave it whole."""
    from local.cloud import Cloud  # noqa: PLC0415 - most runs do without

    state = tmp_path_factory.mktemp("cloud") / "state"
    # What changes takes hold sooner, or the tests would wait for half a minute.
    with Cloud.up(state, quiet=True, settings={"FRESH_SECONDS": "3"}) as running:
        yield running


@pytest.fixture
def breakable_cloud(cloud: Cloud) -> Iterator[Cloud]:
    """Lend the same cloud to a test that breaks it or counts its calls; mend it afterwards."""
    cloud.reset()
    yield cloud
    cloud.reset()
