"""What holds for every unit test: no network, and no clock that hurries anybody."""

import pytest
from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=60)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def _no_network(socket_disabled: None) -> None:
    """Fail whoever opens a socket."""
