"""Common fixtures of these tests: no network, and no time limits of Hypothesis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from pytest_socket import disable_socket, enable_socket

settings.register_profile("unit", deadline=None, max_examples=60)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """Fail a test that opens a socket, except for the pair that an event loop wakes itself with."""
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
