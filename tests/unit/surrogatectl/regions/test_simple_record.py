"""The blog's simple record: it leads to one Region, and is changed in Route 53."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from surrogatectl.regions.simple_record import SimpleRecord, SimplyRecordedName, host_of
from surrogatectl.regions.state import NoAnswerError, NotAllowedError
from tests.operator_fakes import refusal
from tests.worlds import EAST, WEST

HOST = "auth.example.com"
Json = dict[str, Any]
CNAME: Json = {
    "Name": f"{HOST}.",
    "Type": "CNAME",
    "TTL": 60,
    "ResourceRecords": [{"Value": "d-east.execute-api.us-east-1.amazonaws.com"}],
}
ALIAS: Json = {
    "Name": f"{HOST}.",
    "Type": "A",
    "AliasTarget": {
        "DNSName": "d-east.execute-api.us-east-1.amazonaws.com.",
        "HostedZoneId": "ZEAST",
        "EvaluateTargetHealth": False,
    },
}
OTHERS: list[Json] = [
    {"Name": "zzz.example.com.", "Type": "CNAME", "TTL": 1, "ResourceRecords": [{"Value": "x"}]}
]


@dataclass
class FakeRoute53:
    """Route 53 with *zones* (ID and name) and *records* by zone; it answers in pages of one."""

    records: dict[str, list[Json]]
    zones: list[tuple[str, str]] = field(default_factory=lambda: [("Z1", "example.com.")])
    private: set[str] = field(default_factory=set)
    changes: list[Json] = field(default_factory=list)
    failure: Exception | None = None

    def get_paginator(self, operation: str) -> FakeRoute53:
        self._operation = operation
        return self

    def paginate(self, **asked: Any) -> Iterator[Json]:
        if self.failure:
            raise self.failure
        if self._operation == "list_hosted_zones":
            for zone_id, name in self.zones:
                config = {"PrivateZone": zone_id in self.private}
                yield {
                    "HostedZones": [
                        {"Id": f"/hostedzone/{zone_id}", "Name": name, "Config": config}
                    ]
                }
            return
        start = asked["StartRecordName"]
        for each in self.records[asked["HostedZoneId"]]:
            if each["Name"] >= start:
                yield {"ResourceRecordSets": [deepcopy(each)]}

    def change_resource_record_sets(self, *, HostedZoneId: str, ChangeBatch: Json) -> None:
        self.changes.append(ChangeBatch)
        for change in ChangeBatch["Changes"]:
            assert change["Action"] == "UPSERT"
            made = change["ResourceRecordSet"]
            kept = [
                r
                for r in self.records[HostedZoneId]
                if (r["Name"], r["Type"]) != (made["Name"], made["Type"])
            ]
            self.records[HostedZoneId] = [made, *kept]


@dataclass
class FakeGateway:
    """API Gateway of one Region with the custom domain."""

    region: str
    failure: Exception | None = None

    def get_domain_name(self, *, domainName: str) -> Json:
        if self.failure:
            raise self.failure
        assert domainName == HOST
        short = "east" if self.region == EAST else "west"
        return {
            "regionalDomainName": f"d-{short}.execute-api.{self.region}.amazonaws.com",
            "regionalHostedZoneId": f"Z{short.upper()}",
        }


def record(
    route53: FakeRoute53, gateway: Callable[[str], FakeGateway] = FakeGateway
) -> SimpleRecord:
    return SimpleRecord(HOST, lambda: route53, gateway)


def test_cname_leads_to_the_other_region_and_keeps_its_ttl() -> None:
    route53 = FakeRoute53({"Z1": [deepcopy(CNAME), *OTHERS]})
    record(route53).point_to(WEST)
    (changed, other) = route53.records["Z1"]
    assert changed == {
        **CNAME,
        "ResourceRecords": [{"Value": "d-west.execute-api.us-west-2.amazonaws.com"}],
    }
    assert other == OTHERS[0]


def test_aliases_of_both_address_families_change_at_once() -> None:
    route53 = FakeRoute53({"Z1": [deepcopy(ALIAS), {**deepcopy(ALIAS), "Type": "AAAA"}, *OTHERS]})
    record(route53).point_to(WEST)
    assert len(route53.changes) == 1
    for each in route53.records["Z1"][:2]:
        assert each["AliasTarget"] == {
            "DNSName": "d-west.execute-api.us-west-2.amazonaws.com",
            "HostedZoneId": "ZWEST",
            "EvaluateTargetHealth": False,
        }


@pytest.mark.parametrize("kept", [CNAME, ALIAS], ids=["CNAME", "alias"])
def test_record_that_leads_there_already_stays(kept: Json) -> None:
    route53 = FakeRoute53({"Z1": [deepcopy(kept)]})
    record(route53).point_to(EAST)
    assert route53.changes == []
    record(route53).point_to(WEST)
    record(route53).point_to(WEST)
    assert len(route53.changes) == 1


def test_closest_public_zone_is_changed() -> None:
    route53 = FakeRoute53(
        {"Z1": [], "Z2": [deepcopy(CNAME)], "Z3": [], "Z4": []},
        [("Z1", "com."), ("Z2", "example.com."), ("Z3", "auth.example.com."), ("Z4", "ample.com.")],
        private={"Z3"},
    )
    record(route53).point_to(WEST)
    assert "d-west" in route53.records["Z2"][0]["ResourceRecords"][0]["Value"]


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "no record"),
        (OTHERS, "no record"),
        ([{**ALIAS, "SetIdentifier": "primary", "Failover": "PRIMARY"}], "not a simple one"),
        ([{**CNAME, "SetIdentifier": "a", "Weight": 1}], "not a simple one"),
        (
            [
                {
                    "Name": f"{HOST}.",
                    "Type": "A",
                    "TTL": 60,
                    "ResourceRecords": [{"Value": "192.0.2.1"}],
                }
            ],
            "holds addresses",
        ),
    ],
    ids=["none", "others", "failover", "weighted", "addresses"],
)
def test_record_that_is_not_simple_stays(records: list[Json], says: str) -> None:
    route53 = FakeRoute53({"Z1": deepcopy(records)})
    for act in (record(route53).require, lambda: record(route53).point_to(WEST)):
        with pytest.raises(NotAllowedError, match=says):
            act()
    assert route53.changes == []


def test_missing_zone_is_reported() -> None:
    with pytest.raises(NotAllowedError, match="no public hosted zone"):
        record(FakeRoute53({}, [("Z1", "example.org.")])).point_to(WEST)


def test_unreachable_route_53_is_reported_with_its_region() -> None:
    lost = ConnectTimeoutError(endpoint_url="https://route53.amazonaws.com")
    with pytest.raises(NoAnswerError, match="us-east-1"):
        record(FakeRoute53({}, failure=lost)).point_to(WEST)
    record(FakeRoute53({}, failure=lost)).require()  # in an emergency, nobody waits for that


def test_refusal_of_aws_is_reported_with_its_code() -> None:
    with pytest.raises(NoAnswerError, match="AccessDenied"):
        record(FakeRoute53({}, failure=refusal("AccessDenied"))).point_to(WEST)
    route53 = FakeRoute53({"Z1": [deepcopy(CNAME)]})
    absent = refusal("NotFoundException")
    with pytest.raises(NoAnswerError, match="NotFoundException"):
        record(route53, lambda region: FakeGateway(region, absent)).point_to(WEST)
    assert route53.changes == []


def test_name_is_watched_after_its_record_changed() -> None:
    route53 = FakeRoute53({"Z1": [deepcopy(CNAME)]})
    asked = []

    def answering() -> str:
        asked.append(len(route53.changes))
        return WEST if len(asked) > 2 else EAST

    name = SimplyRecordedName(
        f"https://{HOST}", answering, lambda: 0.0, lambda _: None, record(route53)
    )
    name.await_region(WEST, 60)
    assert asked == [1, 1, 1]
    assert host_of(name.url) == HOST
