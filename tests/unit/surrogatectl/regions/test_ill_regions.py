"""A Region whose Secrets Manager is ill in part: what failover and failback do without it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.errors import OperationError
from surrogatectl.cli.common import Unavailable
from surrogatectl.regions.failover import Result
from surrogatectl.regions.failover_command import region_failures
from surrogatectl.regions.state import NoAnswerError
from tests.aws_worlds import REGIONS, Operators
from tests.fake_aws import Accident, Call, CarryOut
from tests.rescue import Rescue, state
from tests.unit.chalicelib.clients.crash_scenes import Scene
from tests.worlds import EAST, WEST


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.world.clock.advance(1_200)
    scene.world.aws.watch()
    return scene


def writers(scene: Scene) -> list[str]:
    found = []
    for region in REGIONS:
        with suppress(OperationError):
            Operators(scene.world, region).admin.require_writer()
            found.append(region)
    return found


def ill(*operations: str, region: str = EAST, after: int = 0) -> Accident:
    """Have some operations time out in a Region, from a call on."""

    def accident(number: int, call: Call, carry_out: CarryOut) -> Any:
        if call.region == region and call.operation in operations and number >= after:
            raise ReadTimeoutError(endpoint_url=region)
        return carry_out()

    return accident


READS = ("GetSecretValue", "BatchGetSecretValue", "ListSecrets", "DescribeSecret")
WRITES = ("PutSecretValue", "UpdateSecretVersionStage")


@pytest.mark.parametrize(
    "operations", [READS, WRITES, (*READS, *WRITES), ("BatchGetSecretValue",), ("ListSecrets",)]
)
def test_a_planned_failover_from_an_ill_primary_says_what_force_loses(
    scene: Scene, operations: tuple[str, ...]
) -> None:
    scene.world.aws.watch(ill(*operations))
    with pytest.raises(NoAnswerError) as told:
        Rescue(scene.world).failover()
    assert "--force" in str(told.value)
    assert EAST in str(told.value), "the text says which Region is ill"
    if "GetSecretValue" in operations or operations == WRITES:
        assert f"changes of its last seconds may be missing in {WEST} until failback" in str(
            told.value
        )
    scene.world.aws.watch()
    assert writers(scene) == [EAST]
    assert state(scene.world, WEST).lease is None
    scene.world.aws.watch(ill(*operations))
    taken = Rescue(scene.world).failover(force=True)
    scene.world.aws.watch()
    assert taken.checks["canary"].result is Result.PASSED
    assert writers(scene) == [WEST]


@pytest.mark.parametrize("operations", [READS, WRITES, (*READS, *WRITES)])
@pytest.mark.parametrize("force", [False, True])
def test_a_primary_that_falls_ill_at_any_call_of_a_failover_leaves_one_writer_or_the_way_on(
    scene: Scene,
    operations: tuple[str, ...],
    force: bool,  # noqa: FBT001 - drawn
) -> None:
    Rescue(scene.world).failover(force=force)
    for number in range(len(scene.world.aws.calls)):
        each = Scene()
        each.world.clock.advance(1_200)
        each.world.aws.watch(ill(*operations, after=number))
        rescue = Rescue(each.world)
        told = _told(rescue, lambda r=rescue: r.failover(force=force))  # type: ignore[misc]
        each.world.aws.watch()
        writing = writers(each)
        if force:
            assert writing == [WEST], (number, told)
        elif not writing:
            assert "surrogatectl failover --to secondary --force" in told, (number, told)
            Rescue(each.world).failover(force=True)
            assert writers(each) == [WEST]
        else:
            assert len(writing) == 1


def _told(rescue: Rescue, run: Callable[[], object]) -> str:
    try:
        with region_failures(rescue.sides, "surrogatectl failover --to secondary"):
            run()
    except Unavailable as err:
        return err.message
    return ""


def test_a_fence_that_cannot_be_repeated_does_not_fail_a_failover_that_took_place(
    scene: Scene,
) -> None:
    Rescue(scene.world).failover()
    # As if somebody had taken the fence away, just as the primary Region fell ill.
    Rescue(scene.world).sides[0].update_state(lambda found: type(found)(True, False, epoch=1))
    scene.world.aws.watch(ill(*WRITES))
    again = Rescue(scene.world).failover()
    scene.world.aws.watch()
    assert again.already
    assert not again.fenced
    assert writers(scene) == [WEST]


def test_a_failback_to_an_ill_primary_is_given_up_and_can_be_aborted_without_it(
    scene: Scene,
) -> None:
    Rescue(scene.world).failover()
    scene.world.clock.advance(60)
    scene.world.aws.watch(ill(*READS, *WRITES))
    with pytest.raises(NoAnswerError, match=f"{WEST} goes on as before"):
        Rescue(scene.world).failback()
    assert not Rescue(scene.world).failing_back().abort()
    scene.world.aws.watch()
    assert writers(scene) == [WEST]
