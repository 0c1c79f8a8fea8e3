"""A failback of many clients stays within AWS's quotas, and how long it takes is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.aws_worlds import Operators
from tests.fake_aws import Call
from tests.rescue import Rescue
from tests.unit.chalicelib.clients.crash_scenes import DAY, Scene
from tests.worlds import WEST

pytestmark = pytest.mark.slow

CLIENTS = 500
CHANGED = 40
# AWS's quotas in a second, and what of them an operator may take.
WRITES, BATCHES, LISTS, LOOKS = 50, 100, 15, 10_000


def _quota(operation: str) -> int:
    if operation == "BatchGetSecretValue":
        return BATCHES
    if operation.startswith("List"):
        return LISTS
    return LOOKS if operation.startswith(("Get", "Describe")) else WRITES // 4


def test_failback_of_many_clients_stays_within_the_quotas_of_aws() -> None:
    scene = Scene()
    clock = scene.world.clock
    client_ids = [scene.client_id, *(scene.enroll(f"number {each}") for each in range(CLIENTS - 1))]
    clock.advance(1_200)
    Rescue(scene.world).failover()
    scene.operators = Operators(scene.world, WEST)
    for scene.client_id in client_ids[:CHANGED]:
        scene.rotate(7 * DAY)
    clock.advance(1_200)
    asked: Counter[tuple[str, str, int]] = Counter()

    def count(number: int, call: Call, carry_out: Callable[[], Any]) -> Any:
        asked[call.region, call.operation, int(clock())] += 1
        return carry_out()

    scene.world.aws.watch(count)
    outcome = Rescue(scene.world, paced=True).failback()
    scene.world.aws.watch()
    assert outcome.left == ()
    for (region, operation, _), number in asked.items():
        assert number <= _quota(operation), (region, operation)
    steps = outcome.steps
    # Nobody writes: calls under way end, records are compared once more, resolvers forget.
    compared = steps["writer"] - steps["fenced"] - 30 - 120
    assert 0 < compared <= 7.5 * CLIENTS / 1_000
