"""
Distribution of the tests over several processes (`pytest -n 4`, as in `make test`).

The end-to-end tests wait more than they compute, and each process waits for its own local cloud.
Tests that share an expensive fixture stay in one process and in order: the tests of a file, and
those of the local cloud itself, which use another cloud.
"""

from __future__ import annotations

from xdist.scheduler.loadscope import LoadScopeScheduling

_ONE_UNIT = ("tests/local/",)


class Units(LoadScopeScheduling):  # type: ignore[misc]
    """Scheduler that gives each unit in turn to the first idle process."""

    def _split_scope(self, nodeid: str) -> str:
        return next(
            (unit for unit in _ONE_UNIT if nodeid.startswith(unit)), nodeid.partition("::")[0]
        )
