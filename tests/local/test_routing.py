"""The front door follows the records that `infra/routing.yaml` deploys."""

from __future__ import annotations

from typing import Any

import pytest
from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]

from local.cloud import Cloud
from local.routing import TEMPLATE, read_routing

PARAMETERS = {
    "DomainName": "auth.example.com",
    "PrimaryTarget": "d-one.execute-api.us-east-1.amazonaws.com",
    "PrimaryTargetZoneId": "ZONE1",
    "SecondaryTarget": "d-two.execute-api.us-west-2.amazonaws.com",
    "SecondaryTargetZoneId": "ZONE2",
    "StandbyHost": "abc.execute-api.us-west-2.amazonaws.com",
}


def declared() -> dict[str, Any]:
    """Return the template's resources, read by an independent parser."""
    return {
        name: each["Properties"] for name, each in cfn_yaml.load(str(TEMPLATE))["Resources"].items()
    }


def test_the_routing_template_is_read_unchanged() -> None:
    routing = read_routing(PARAMETERS, "check-1")
    config = declared()["StandbyHasTakenOver"]["HealthCheckConfig"]
    assert set(routing.health_check) == set(config)
    assert routing.health_check["ResourcePath"] == "/api/health/takeover"
    assert routing.health_check["FullyQualifiedDomainName"] == PARAMETERS["StandbyHost"]
    assert (routing.health_check["RequestInterval"], routing.health_check["FailureThreshold"]) == (
        10,
        3,
    )
    primary, secondary = routing.records
    assert primary["HealthCheckId"] == "check-1"
    assert "HealthCheckId" not in secondary
    assert set(primary) == set(declared()["PrimaryRecord"]) - {"HostedZoneId"}
    assert set(secondary) == set(declared()["SecondaryRecord"]) - {"HostedZoneId"}
    assert primary["AliasTarget"]["DNSName"] == PARAMETERS["PrimaryTarget"]


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(KeyError, match="StandbyHost"):
        read_routing({k: v for k, v in PARAMETERS.items() if k != "StandbyHost"}, "")


def test_the_local_route_53_holds_what_the_template_declares(cloud: Cloud) -> None:
    route53 = cloud.client("route53", "primary", "root")
    (zone,) = route53.list_hosted_zones()["HostedZones"]
    records = {
        each["Failover"]: each
        for each in route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
        if each["Name"].removesuffix(".") == cloud.endpoints["domain_name"]
    }
    check_id = records["PRIMARY"]["HealthCheckId"]
    gateways = [cloud.client("apigateway", role, "root") for role in ("primary", "secondary")]
    names = [g.get_domain_name(domainName=cloud.endpoints["domain_name"]) for g in gateways]
    wanted = read_routing(
        {
            "DomainName": cloud.endpoints["domain_name"],
            "PrimaryTarget": names[0]["regionalDomainName"],
            "PrimaryTargetZoneId": names[0]["regionalHostedZoneId"],
            "SecondaryTarget": names[1]["regionalDomainName"],
            "SecondaryTargetZoneId": names[1]["regionalHostedZoneId"],
            "StandbyHost": "not asked by name here",
        },
        check_id,
    )
    assert len(records) == len(wanted.records)
    for record in wanted.records:
        held = records[record["Failover"]]
        assert {key: held.get(key) for key in record if key not in {"Name", "AliasTarget"}} == {
            key: value for key, value in record.items() if key not in {"Name", "AliasTarget"}
        }
        for key, value in record["AliasTarget"].items():
            assert str(held["AliasTarget"][key]).removesuffix(".") == str(value)
        assert held.get("HealthCheckId") == record.get("HealthCheckId")

    # As the front door reads it.
    config = cloud._control("GET", "dns")["health_checks"][check_id]
    # This machine has no TLS, and the standby is probed by its address.
    own_ways = {"Type", "Port", "EnableSNI", "FullyQualifiedDomainName", "ResourcePath"}
    for key in set(wanted.health_check) - own_ways:
        assert config[key] == wanted.health_check[key]
    assert config["ResourcePath"].endswith(wanted.health_check["ResourcePath"])
