"""`status` on a live deployment: complete, after a failover, and with a Region gone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from local.cloud import Cloud
from tests.e2e.administration import _SCHEDULED as SCHEDULED
from tests.e2e.conftest import CommandLine, Credential

Json = dict[str, Any]
# Its own limit is 3 seconds for all concurrent calls; the rest allows for a slow machine.
SECONDS = 25.0


def status(surrogatectl: CommandLine, *options: str) -> tuple[int, Json]:
    began = time.monotonic()
    done = surrogatectl.run("status", "--output=json", *options)
    assert time.monotonic() - began < SECONDS
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_both_regions_are_shown_side_by_side(
    breakable_cloud: Cloud,
    surrogatectl: CommandLine,
    enroll_everywhere: Callable[[], Credential],
) -> None:
    enroll_everywhere()  # both Regions are back
    _, before = status(surrogatectl)
    enroll_everywhere()
    for _ in range(60):  # functions start
        _, shown = status(surrogatectl)
        if all(each["ready"] and each["healthy"] for each in shown["regions"].values()):
            break
        time.sleep(0.5)
    east, west = (shown["regions"][name] for name in ("us-east-1", "us-west-2"))
    assert shown["name"] == {"leads_to": "us-east-1", "should_lead_to": "us-east-1"}
    assert (east["writer"], west["writer"]) == (True, False)
    for each in (east, west):
        assert each["answers"]
        assert each["healthy"]
        assert each["ready"] == {"secrets_manager": True, "token_endpoint": True}
    # Other tests of this process may have left records whose replication has stopped.
    looked_at, was_looked_at = (each["replication"]["looked_at"] for each in (shown, before))
    in_sync, was_in_sync = (each["replication"]["in_sync"] for each in (shown, before))
    assert looked_at > was_looked_at > 0
    assert looked_at - in_sync <= was_looked_at - was_in_sync
    breakable_cloud.client("lambda", "primary", "root").invoke(
        FunctionName="surrogate-credentials-primary-upkeep", Payload=json.dumps(SCHEDULED)
    )
    _, shown = status(surrogatectl, "--quick")
    assert shown["regions"]["us-east-1"]["drift"]["complete"] is True
    assert shown["regions"]["us-west-2"]["drift"] is None
    table = surrogatectl.run("status", "--quick")
    assert table.returncode in {0, 1}
    for words in ("us-east-1 (primary)", "us-west-2 (secondary)", "denied clients", "--quick"):
        assert words in table.stdout


@pytest.mark.parametrize("mode", ["refused", "hanging"])
def test_a_lost_region_is_shown_within_seconds(
    breakable_cloud: Cloud, surrogatectl: CommandLine, mode: str
) -> None:
    breakable_cloud.set_region("primary", mode)
    code, shown = status(surrogatectl)
    assert code == 1
    assert shown["attention"][0] == "us-east-1 (primary) does not answer."
    assert shown["regions"]["us-east-1"]["answers"] is False
    assert shown["regions"]["us-west-2"]["answers"] is True
    assert shown["replication"] is None
