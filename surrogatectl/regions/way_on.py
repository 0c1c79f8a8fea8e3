"""Which Region writes, and the commands that go on from there: for `status` and stopped runs."""

from __future__ import annotations

from chalicelib.model import RegionState
from surrogatectl.regions.state import writes


def way_on(
    regions: tuple[str, str], primary: RegionState | None, secondary: RegionState | None
) -> str:
    """
    Say which of *regions* writes, the primary one first, and how to go on or back from there.

    A state is `None` if it cannot be read.
    """
    here, there = regions
    if secondary is None:
        return f"The state of {there} cannot be read: repeat surrogatectl status until it can."
    role = writes(primary, secondary)
    if role == "secondary":
        return f"{there} writes since a failover. When {here} works again: surrogatectl failback."
    if role == "primary":
        return f"{here} has the traffic, and writes."
    if secondary.took_over:
        return (
            f"No Region writes, and {there} has the traffic. To go on to {here}: surrogatectl "
            f"failback. To have {there} write again: surrogatectl failback --abort."
        )
    if primary is None:
        return (
            f"The state of {here} cannot be read, and {there} does not write. To have {there} take "
            "over: surrogatectl failover --to secondary --force."
        )
    return (
        f"No Region writes, and {here} has the traffic. To have {here} write: surrogatectl "
        f"failback. To have {there} take over: surrogatectl failover --to secondary."
    )
