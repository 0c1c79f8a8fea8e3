"""
How the tests are spread over several processes (`pytest -n 4`, what `make test` does).

The end-to-end tests wait more than they compute, and each process has a local cloud of its own to
wait for. What shares something dear stays in one process and in its order: the tests of a file, and
those of the local cloud itself, which have another cloud.
"""

from __future__ import annotations

from xdist.scheduler.loadscope import LoadScopeScheduling

_ONE_UNIT = ("tests/local/",)


class Units(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out one unit after the other, each to the process that is the first to be free."""

    def _split_scope(self, nodeid: str) -> str:
        return next(
            (unit for unit in _ONE_UNIT if nodeid.startswith(unit)), nodeid.partition("::")[0]
        )
