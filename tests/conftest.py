"""
Local two-Region cloud, for every suite that needs it.

One cloud serves a whole process of the session.  A test that uses it is marked `cloud`,
so that `-m "not cloud"` is fast and needs only this process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer

    from local.cloud import Cloud
    from tests.distribution import Units

# The longest tests start first, so that the many fast ones fill the gaps at the end.
_LONGEST_FIRST = (
    "tests/e2e/test_iam.py",
    "tests/e2e/",
    "tests/local/",
    "tests/contract/",
    "tests/unit/",
)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cloud" in getattr(item, "fixturenames", ()):
            item.add_marker("cloud")
    items.sort(key=lambda item: _rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)  # there is none with `-p no:xdist`
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Units:
    from tests.distribution import Units  # noqa: PLC0415 - needs xdist

    config.option.loadscopereorder = False  # they are in their order
    return Units(config, log)


def _rank(nodeid: str) -> int:
    ranks = (rank for rank, start in enumerate(_LONGEST_FIRST) if nodeid.startswith(start))
    return next(ranks, len(_LONGEST_FIRST))


@pytest.fixture(autouse=True)
def _sdk_says_what_it_is() -> Iterator[None]:
    """Reset the SDK's User-Agent: each Chalice() extends it, until servers refuse the header."""
    before = os.environ.get("AWS_EXECUTION_ENV")
    yield
    if before is None:
        os.environ.pop("AWS_EXECUTION_ENV", None)
    else:
        os.environ["AWS_EXECUTION_ENV"] = before


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Start a cloud with both stages deployed; for tests that do not break it."""
    from local.cloud import Cloud  # noqa: PLC0415 - most runs do without

    state = tmp_path_factory.mktemp("cloud") / "state"
    # Changes take effect sooner, or the tests would wait for half a minute.
    with Cloud.up(state, quiet=True, settings={"FRESH_SECONDS": "3"}) as running:
        yield running


@pytest.fixture
def breakable_cloud(cloud: Cloud) -> Iterator[Cloud]:
    """Lend the same cloud to a test that breaks it or counts its calls; repair it afterwards."""
    cloud.reset()
    yield cloud
    cloud.reset()
