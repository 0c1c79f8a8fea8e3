"""Common fixtures of the unit tests: no network, and no time limits of Hypothesis."""

import pytest
from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=60)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def _no_network(socket_disabled: None) -> None:
    """Fail a test that opens a socket."""
