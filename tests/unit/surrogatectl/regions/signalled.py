"""
Process that signals itself at every call of a failover or failback over `fake_aws`.

`python -m tests.unit.surrogatectl.regions.signalled RUN SIGNAL` prints a line of JSON for each
call: who writes after the signal, the text for the operator, and who writes after its commands.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from chalicelib.errors import OperationError
from chalicelib.model import Status
from surrogatectl.cli.common import Failure
from surrogatectl.cli.signals import interruptible
from surrogatectl.regions.failover_command import region_failures
from tests.aws_worlds import REGIONS, AwsWorld, Operators
from tests.fake_aws import Call, CarryOut
from tests.rescue import Rescue, state
from tests.unit.chalicelib.clients.crash_scenes import Scene
from tests.worlds import EAST, WEST

LATER = 1_200
_COMMAND = re.compile(r"surrogatectl (failover --to secondary(?: --force)?|failback(?: --abort)?)")
RUNS: dict[str, Callable[[Rescue], object]] = {
    "failover --to secondary": lambda rescue: rescue.failover(),
    "failover --to secondary --force": lambda rescue: rescue.failover(force=True),
    "failback": lambda rescue: rescue.failback(),
    "failback --abort": lambda rescue: rescue.failing_back().abort(),
}


def made(run: str) -> AwsWorld:
    """Return a world in which *run* has work to do."""
    scene = Scene()
    world = scene.world
    world.clock.advance(LATER)
    client_ids = [scene.enroll(name) for name in ("renamed", "disabled")]
    world.clock.advance(LATER)
    if run.startswith("failback"):
        Rescue(world).failover()
        world.clock.advance(60)
        there = Operators(world, WEST)
        there.clients.change(client_ids[0], {"client_name": "another"})
        there.clients.change(client_ids[1], {"status": Status.DISABLED})
        world.clock.advance(60)
    world.aws.watch()
    return world


def writers(world: AwsWorld) -> list[str]:
    found = []
    for region in REGIONS:
        with suppress(OperationError):
            Operators(world, region).admin.require_writer()
            found.append(region)
    return found


def signalled(run: str, sent: signal.Signals, at: int, *, late: bool) -> dict[str, Any] | None:
    """Run it, and signal this process at a call, or *late*; `None` if it has fewer calls."""
    world = made(run)
    rescue = Rescue(world)

    def accident(number: int, call: Call, carry_out: CarryOut) -> Any:
        if number != at:
            return carry_out()
        if late:
            carry_out()
        os.kill(os.getpid(), sent)
        return carry_out()

    world.aws.watch(accident)
    told = ""
    try:
        with interruptible(), region_failures(rescue.sides, f"surrogatectl {run}"):
            RUNS[run](rescue)
    except Failure as err:
        told = err.message
    if len(world.aws.calls) <= at:
        return None
    world.aws.watch()
    result = {
        "at": at,
        "late": late,
        "told": told,
        "writers": writers(world),
        "leased": state(world, WEST).lease is not None,
        "commands": _COMMAND.findall(told),
    }
    return result | {"after": _after(result["commands"], world)}


def _after(commands: Any, world: AwsWorld) -> list[str]:
    """Return who writes after the last command that the text names: the one that goes on."""
    world.clock.advance(60)
    if commands:
        RUNS[commands[-1]](Rescue(world))
    return writers(world)


def results(run: str, sent: signal.Signals) -> Iterator[dict[str, Any]]:
    for late in (False, True):
        at = 0
        while (result := signalled(run, sent, at, late=late)) is not None:
            yield result
            at += 1


def main() -> None:
    run, name = sys.argv[1:]
    for result in results(run, signal.Signals[name]):
        sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    assert {EAST, WEST} == set(REGIONS)
    main()
