"""The front door follows Route 53's records, health checks and TTLs."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local.cloud import Cloud

pytestmark = pytest.mark.cloud

NAME = "auth.surrogate.test"


class Records:
    """The zone of the cloud, and its state before the test."""

    def __init__(self, cloud: Cloud) -> None:
        self._route53 = cloud.client("route53", identity="root")
        zones = self._route53.list_hosted_zones()["HostedZones"]
        self.zone_id = zones[0]["Id"]
        self.saved = self.all()
        self.check: dict[str, Any] = self._route53.list_health_checks()["HealthChecks"][0]

    def all(self) -> list[dict[str, Any]]:
        found = self._route53.list_resource_record_sets(HostedZoneId=self.zone_id)
        return [r for r in found["ResourceRecordSets"] if r["Name"].startswith(NAME)]

    def replace(self, *records: dict[str, Any]) -> None:
        changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in self.all()]
        changes += [{"Action": "CREATE", "ResourceRecordSet": record} for record in records]
        self._route53.change_resource_record_sets(
            HostedZoneId=self.zone_id, ChangeBatch={"Changes": changes}
        )

    def update_check(self, **changes: object) -> None:
        self._route53.update_health_check(HealthCheckId=self.check["Id"], **changes)

    def restore(self) -> None:
        self.replace(*self.saved)
        config = self.check["HealthCheckConfig"]
        self.update_check(ResourcePath=config["ResourcePath"], Disabled=False)


@pytest.fixture
def records(cloud: Cloud) -> Iterator[Records]:
    found = Records(cloud)
    yield found
    found.restore()
    assert eventually(lambda: answers(cloud) == "us-east-1")
    cloud.forget_dns()


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def answers(cloud: Cloud) -> str | None:
    region: str | None = cloud.network_status()["front_door"]["region"]
    return region


def reached(cloud: Cloud) -> str:
    answer = requests.get(f"{cloud.endpoints['front_door']}/health", timeout=10)
    region: str = answer.json()["stage_region"]
    return region


def to(region: str, **rest: object) -> dict[str, Any]:
    target = f"{NAME}.execute-api.{region}.amazonaws.com"
    record = {"Name": NAME, "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": target}]}
    return {**record, **rest}


def test_the_name_resolves_to_the_primary(cloud: Cloud) -> None:
    assert answers(cloud) == "us-east-1"
    assert reached(cloud) == "us-east-1"


def test_losing_the_primary_alone_moves_nothing(cloud: Cloud) -> None:
    """Only an operator moves the traffic: the check reads whether the standby took over."""
    cloud.set_region("primary", "refused")
    time.sleep(1)
    assert answers(cloud) == "us-east-1"
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{cloud.endpoints['front_door']}/health", timeout=5)


def test_losing_the_standby_moves_nothing(cloud: Cloud) -> None:
    cloud.set_region("secondary", "refused")
    time.sleep(1)
    assert answers(cloud) == "us-east-1"


def test_the_takeover_switch_moves_traffic_in_both_directions(
    cloud: Cloud, records: Records
) -> None:
    path = cloud.endpoints["secondary"].partition("/_aws")[2]
    records.update_check(ResourcePath=f"/_aws{path}/health")  # answers 200: "I have taken over"
    assert eventually(lambda: answers(cloud) == "us-west-2")
    assert eventually(lambda: reached(cloud) == "us-west-2")
    states = [event["state"] for event in cloud.network_status()["front_door"]["history"]]
    assert f"{NAME}.execute-api.us-west-2.amazonaws.com" in states


def test_a_second_up_keeps_a_takeover(cloud: Cloud, records: Records, project: Path) -> None:
    path = cloud.endpoints["secondary"].partition("/_aws")[2]
    records.update_check(ResourcePath=f"/_aws{path}/health")
    assert eventually(lambda: answers(cloud) == "us-west-2")
    state = Path(cloud.endpoints["identities"]["file"]).parent
    Cloud.up(state, project=project, quiet=True)
    assert answers(cloud) == "us-west-2"


def test_the_takeover_switch_works_with_the_primary_gone(cloud: Cloud, records: Records) -> None:
    cloud.set_region("primary", "hanging")
    path = cloud.endpoints["secondary"].partition("/_aws")[2]
    records.update_check(ResourcePath=f"/_aws{path}/health")
    assert eventually(lambda: answers(cloud) == "us-west-2")
    cloud.forget_dns()
    assert reached(cloud) == "us-west-2"
    cloud.set_region("primary", "up")


def test_a_dns_answer_is_cached_for_its_ttl(cloud: Cloud, records: Records) -> None:
    ttl = 60 / cloud.endpoints["time_scale"]
    looked_in_time = False
    for _ in range(50):
        records.replace(to("us-east-1"))
        assert eventually(lambda: answers(cloud) == "us-east-1")
        cloud.forget_dns()
        began = time.monotonic()
        assert reached(cloud) == "us-east-1"
        records.replace(to("us-west-2"))
        assert eventually(lambda: answers(cloud) == "us-west-2")
        found = reached(cloud)
        # On a busy machine the answer may have expired before this check.
        if looked_in_time := time.monotonic() - began < ttl:
            assert found == "us-east-1", "the resolver still has the old answer"
            break
    assert looked_in_time
    assert eventually(lambda: reached(cloud) == "us-west-2")
    assert time.monotonic() - began >= ttl


def test_an_open_connection_stays_with_its_region(cloud: Cloud, records: Records) -> None:
    url = f"{cloud.endpoints['front_door']}/health"
    with requests.Session() as session:
        assert session.get(url, timeout=10).json()["stage_region"] == "us-east-1"
        records.replace(to("us-west-2"))
        assert eventually(lambda: reached(cloud) == "us-west-2")
        assert session.get(url, timeout=10).json()["stage_region"] == "us-east-1"


def test_aliases_and_weights_are_followed(cloud: Cloud, records: Records) -> None:
    alias = {
        "HostedZoneId": "Z2OJLYMUO9EFXC",
        "DNSName": f"{NAME}.execute-api.us-west-2.amazonaws.com",
        "EvaluateTargetHealth": True,
    }
    records.replace(
        {"Name": NAME, "Type": "A", "SetIdentifier": "a", "Weight": 1, "AliasTarget": alias},
        to("us-east-1", SetIdentifier="b", Weight=0),
    )
    assert eventually(lambda: answers(cloud) == "us-west-2")
    cloud.set_region("secondary", "refused")
    assert eventually(lambda: answers(cloud) == "us-east-1")


def test_a_name_without_records_is_unreachable(cloud: Cloud, records: Records) -> None:
    records.replace()
    assert eventually(lambda: answers(cloud) is None)
    cloud.forget_dns()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{cloud.endpoints['front_door']}/health", timeout=5)
