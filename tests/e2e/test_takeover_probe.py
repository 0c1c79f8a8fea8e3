"""
Route 53's probes of the deployed standby: a "no" is no server error, and nothing but the switch
moves the name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from chalicelib.token.health import CACHED_SECONDS
from local.cloud import Cloud
from tests.e2e.conftest import CommandLine
from tests.e2e.tokens import SECONDS

WEST = "us-west-2"
_WAIT_SECONDS = 60


def probes(cloud: Cloud) -> int:
    (check,) = cloud.network_status()["front_door"]["health_checks"].values()
    return int(check["observations"])


def await_probes(cloud: Cloud, more: int) -> None:
    wanted, deadline = probes(cloud) + more, time.monotonic() + _WAIT_SECONDS
    while probes(cloud) < wanted:
        assert time.monotonic() < deadline, "nobody probes"
        time.sleep(0.1)


def errors(cloud: Cloud, metric: str) -> int:
    """Return what the standby's alarm on server errors counts, or another metric of its stage."""
    now = datetime.now(UTC)
    base = cloud.endpoints["secondary"]
    api = cloud.client("apigateway", "secondary", "root").get_rest_api(
        restApiId=base.split("/")[-2]
    )
    found = cloud.client("cloudwatch", "secondary", "root").get_metric_statistics(
        Namespace="AWS/ApiGateway",
        MetricName=metric,
        Dimensions=[{"Name": "ApiName", "Value": api["name"]}, {"Name": "Stage", "Value": "api"}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=7200,
        Statistics=["Sum"],
    )["Datapoints"]
    return int(sum(each["Sum"] for each in found))


def test_probes_of_a_standby_are_no_server_errors(breakable_cloud: Cloud) -> None:
    before = {name: errors(breakable_cloud, name) for name in ("4XXError", "5XXError")}
    await_probes(breakable_cloud, 10)
    assert errors(breakable_cloud, "5XXError") == before["5XXError"]
    assert errors(breakable_cloud, "4XXError") >= before["4XXError"] + 9


@pytest.fixture
def taken_over(breakable_cloud: Cloud) -> Iterator[Cloud]:
    """Lose the primary Region, and fail over; fail back afterwards."""
    ctl = CommandLine(breakable_cloud)
    breakable_cloud.set_region("primary", "refused")
    ctl("failover", "--to=secondary", "--force")
    yield breakable_cloud
    breakable_cloud.reset()
    ctl("failback", "--settle=0", "--ttl=0", "--keep-all=secondary", "--force")


def leads_to(cloud: Cloud) -> Any:
    return cloud.network_status()["front_door"]["region"]


@pytest.mark.parametrize("mode", ["deny", "throttle", "error500", "reset"])
def test_an_ill_secrets_manager_does_not_move_the_name_back(taken_over: Cloud, mode: str) -> None:
    await_probes(taken_over, 3)
    assert leads_to(taken_over) == WEST
    taken_over.add_fault("secretsmanager", mode, "secondary")
    # Longer than the answer is cached, and than it takes a checker to change its mind.
    time.sleep(CACHED_SECONDS + 1)
    await_probes(taken_over, 10)
    assert leads_to(taken_over) == WEST


def test_a_throttled_stage_does_not_move_the_name_back(taken_over: Cloud) -> None:
    gateway = taken_over.client("apigateway", "secondary", "root")
    base = taken_over.endpoints["secondary"]
    stage = {"restApiId": base.split("/")[-2], "stageName": "api"}

    def limit(rate: int) -> None:
        for name in ("rateLimit", "burstLimit"):
            change = {"op": "replace", "path": f"/*/*/throttling/{name}", "value": str(rate)}
            gateway.update_stage(**stage, patchOperations=[change])

    limit(0)
    try:
        tokens = {
            requests.post(f"{base}/oauth2/token", timeout=SECONDS).status_code for _ in range(5)
        }
        await_probes(taken_over, 10)
        assert leads_to(taken_over) == WEST
    finally:
        limit(200)
    assert tokens == {429}
