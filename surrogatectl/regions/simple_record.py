"""
The name's record where it is a simple one, as in the blog post: one record, one Region.

Changing it needs Route 53's control plane, which is in us-east-1, and a resolver that has
the old answer keeps it for the TTL.  So it is for planned moves, and for primary Regions
other than us-east-1; `infra/routing.yaml` needs none of that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.connections import UNREACHABLE
from chalicelib.settings import RegionSettings
from surrogatectl.regions.state import Name, NoAnswerError, NotAllowedError

CONTROL_PLANE: Final = "us-east-1"
"""Where Route 53 takes changes, for the whole world."""

_KINDS: Final = frozenset({"A", "AAAA", "CNAME"})


@dataclass(frozen=True, slots=True)
class SimpleRecord:
    """
    The simple record of *host* in Route 53.

    *gateways* connects to API Gateway in a Region, where the custom domain *host* tells what
    the record has to lead to.
    """

    host: str
    route53: Callable[[], Any] = field(repr=False)
    gateways: Callable[[str], Any] = field(repr=False)

    def require(self) -> None:
        """
        Return if there is such a record, or if nobody says.

        Raises:
            NotAllowedError: If there is none, or it is not a simple one.
        """
        with suppress(ClientError, BotoCoreError):
            route53 = self.route53()
            self._records(route53, self._zone(route53))

    def point_to(self, region: str) -> None:
        """
        Have the record lead to *region*; repeating it changes nothing.

        Raises:
            NotAllowedError: If there is no such record, or it is not a simple one.
            NoAnswerError: If Route 53, or API Gateway in *region*, does not do what was asked.
        """
        try:
            self._change(region)
        except ClientError as err:
            code = err.response.get("Error", {}).get("Code")
            raise NoAnswerError(f"The record of {self.host} was not changed: {code}.") from None
        except UNREACHABLE as err:
            raise NoAnswerError(
                f"The record of {self.host} was not changed ({type(err).__name__}). Route 53 takes "
                f"changes in {CONTROL_PLANE} only: if that Region is lost, the record stays until "
                "it is back. Clients can be sent to the Region's own API meanwhile."
            ) from None
        except BotoCoreError as err:
            raise NoAnswerError(f"The record of {self.host} was not changed: {err}") from None

    def _change(self, region: str) -> None:
        route53 = self.route53()
        zone_id = self._zone(route53)
        records = self._records(route53, zone_id)
        domain = self.gateways(region).get_domain_name(domainName=self.host)
        changed = [_leading_to(each, domain) for each in records]
        if changed == records:
            return
        route53.change_resource_record_sets(
            HostedZoneId=zone_id,
            ChangeBatch={
                "Comment": f"surrogatectl: {self.host} leads to {region}",
                "Changes": [{"Action": "UPSERT", "ResourceRecordSet": each} for each in changed],
            },
        )

    def _zone(self, route53: Any) -> str:  # noqa: ANN401 - a client
        """Return the public zone whose name is the longest end of *host*."""
        wanted = f"{self.host}."
        pages = route53.get_paginator("list_hosted_zones").paginate()
        found = [
            zone
            for page in pages
            for zone in page["HostedZones"]
            if not zone.get("Config", {}).get("PrivateZone")
            and f".{wanted}".endswith(f".{zone['Name']}")
        ]
        if not found:
            raise NotAllowedError(f"There is no public hosted zone for {self.host} in Route 53.")
        return str(max(found, key=lambda zone: len(zone["Name"]))["Id"]).rpartition("/")[2]

    def _records(self, route53: Any, zone_id: str) -> list[dict[str, Any]]:  # noqa: ANN401
        pages = route53.get_paginator("list_resource_record_sets").paginate(
            HostedZoneId=zone_id, StartRecordName=self.host
        )
        sets = (each for page in pages for each in page["ResourceRecordSets"])
        # They are sorted, and begin with those of this name.
        ours = takewhile(lambda each: _named(each["Name"]) == self.host, sets)
        found = [each for each in ours if each["Type"] in _KINDS]
        if not found:
            raise NotAllowedError(f"There is no record of {self.host} in Route 53.")
        for each in found:
            if "SetIdentifier" in each:
                raise NotAllowedError(
                    f"The record of {self.host} is not a simple one; if it is that of "
                    "infra/routing.yaml, leave out --simple-record."
                )
            if each["Type"] != "CNAME" and "AliasTarget" not in each:
                raise NotAllowedError(
                    f"The {each['Type']} record of {self.host} holds addresses: make it an alias."
                )
        return found


def _leading_to(record: dict[str, Any], domain: dict[str, Any]) -> dict[str, Any]:
    """Return *record* as it is when it leads to the custom domain *domain*."""
    target = str(domain["regionalDomainName"])
    if record["Type"] == "CNAME":
        if _named(record["ResourceRecords"][0]["Value"]) == _named(target):
            return record
        return {**record, "ResourceRecords": [{"Value": target}]}
    alias = record["AliasTarget"]
    if _named(alias["DNSName"]) == _named(target):
        return record
    return {
        **record,
        "AliasTarget": {
            **alias,
            "DNSName": target,
            "HostedZoneId": str(domain["regionalHostedZoneId"]),
        },
    }


def _named(host: str) -> str:
    return host.lower().rstrip(".")


@dataclass(frozen=True, slots=True)
class SimplyRecordedName(Name):
    """A name that does not follow by itself: its record has to be changed."""

    record: SimpleRecord

    def await_region(self, region: str, timeout: float) -> None:
        """
        Change the record; return when the name answers from *region*.

        Raises:
            NotAllowedError, NoAnswerError: As `SimpleRecord.point_to`, or if it does not follow.
        """
        self.record.point_to(region)
        Name.await_region(self, region, timeout)


def host_of(url: str) -> str:
    """Return the host of the name that clients use."""
    return urlsplit(url).hostname or ""


def control_plane(primary: RegionSettings) -> RegionSettings:
    """Return where Route 53 takes changes; the local cloud has it in the primary Region."""
    return replace(primary, name=CONTROL_PLANE)
