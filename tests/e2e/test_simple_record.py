"""The blog's simple record, changed by `failover --simple-record` if Route 53 is reachable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from local.cloud import Cloud
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import SECONDS, post_token, verified

Json = dict[str, Any]


class Zone:
    """Zone of the name, changed as root."""

    def __init__(self, cloud: Cloud) -> None:
        self.name = cloud.endpoints["domain_name"]
        self._route53 = cloud.client("route53", "primary", "root")
        self._id = self._route53.list_hosted_zones()["HostedZones"][0]["Id"]

    def records(self) -> list[Json]:
        found = self._route53.list_resource_record_sets(HostedZoneId=self._id)
        return [r for r in found["ResourceRecordSets"] if r["Name"].rstrip(".") == self.name]

    def put(self, records: list[Json]) -> None:
        """Replace the records of the name."""
        changes = [("DELETE", each) for each in self.records()]
        changes += [("CREATE", each) for each in records]
        self._route53.change_resource_record_sets(
            HostedZoneId=self._id,
            ChangeBatch={
                "Changes": [
                    {"Action": action, "ResourceRecordSet": each} for action, each in changes
                ]
            },
        )


@pytest.fixture
def ctl(breakable_cloud: Cloud) -> Iterator[CommandLine]:
    """Replace the name's records by a simple one; restore them afterwards."""
    zone = Zone(breakable_cloud)
    before = zone.records()
    target = breakable_cloud.client("apigateway", "primary", "root").get_domain_name(
        domainName=zone.name
    )["regionalDomainName"]
    simple = {"Name": zone.name, "Type": "CNAME", "TTL": 60}
    zone.put([{**simple, "ResourceRecords": [{"Value": target}]}])
    ctl = CommandLine(breakable_cloud)
    yield ctl
    breakable_cloud.reset()
    zone.put(before)
    ctl("failback", "--settle=0", "--ttl=0", "--keep-all=secondary", "--force")
    breakable_cloud.forget_dns()


def test_a_simple_record_cannot_be_changed_without_us_east_1(
    breakable_cloud: Cloud, ctl: CommandLine, enroll_everywhere: Callable[[], Credential]
) -> None:
    credential = enroll_everywhere()
    name = breakable_cloud.endpoints["front_door"]
    option = f"--simple-record={breakable_cloud.endpoints['domain_name']}"
    breakable_cloud.set_region("primary", "refused")
    done = ctl.run("failover", "--to=secondary", "--force", option)
    assert done.returncode == 4
    assert "Route 53 takes changes in us-east-1 only" in done.stderr

    breakable_cloud.set_region("primary", "up")
    ctl("failover", "--to=secondary", "--force", option)
    answer = post_token(name, credential.pair)
    verified(breakable_cloud, "secondary", answer.json()["access_token"])
    ctl("failback", "--settle=0", "--ttl=3", option)
    breakable_cloud.forget_dns()
    answer = post_token(name, credential.pair)
    verified(breakable_cloud, "primary", answer.json()["access_token"])


def test_failover_records_are_not_mistaken_for_a_simple_record(
    cloud: Cloud, surrogatectl: CommandLine
) -> None:
    option = f"--simple-record={cloud.endpoints['domain_name']}"
    done = surrogatectl.run("failover", "--to=secondary", "--force", option)
    assert done.returncode == 3
    assert "is not a simple one" in done.stderr
    takeover = requests.get(f"{cloud.endpoints['secondary']}/health/takeover", timeout=SECONDS)
    assert takeover.status_code == 409  # nothing was changed
