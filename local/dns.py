"""
Route 53's answers, computed from the records in the emulator.

Covered: CNAME records and alias records, simple, failover, and weighted with the weights 0 and not
0. An A record with a bare address is not: here an address says nothing about the Region behind it.
Other routing policies (latency, geolocation, multivalue) are treated as simple records.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Route 53 answers an alias with the TTL of its target; for API Gateway that is a minute.
ALIAS_TTL = 60
_MAX_CHAIN = 8

_EXECUTE_API_HOST = re.compile(
    r"(?P<label>.+)\.execute-api\.(?P<region>[a-z0-9-]+)\.amazonaws\.com"
)


@dataclass(frozen=True, slots=True)
class Record:
    """Resource record set."""

    name: str
    target: str
    ttl: int
    failover: str = ""
    weight: int | None = None
    health_check_id: str = ""
    evaluate_target_health: bool = False

    @classmethod
    def from_route53(cls, item: Mapping[str, Any]) -> "Record | None":
        """Read a record in the API's form; None for a type that is not covered."""
        alias = item.get("AliasTarget")
        values = item.get("ResourceRecords") or []
        if alias:
            target, ttl = alias["DNSName"], ALIAS_TTL
        elif item["Type"] == "CNAME" and values:
            target, ttl = values[0], int(item.get("TTL", 300))
        else:
            return None
        return cls(
            name=normal_name(item["Name"]),
            target=normal_name(target),
            ttl=ttl,
            failover=item.get("Failover", ""),
            weight=item.get("Weight"),
            health_check_id=item.get("HealthCheckId", ""),
            evaluate_target_health=bool(alias and alias.get("EvaluateTargetHealth")),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """Target of a name, with the time for which a resolver may cache it."""

    target: str
    ttl: int


def normal_name(name: str) -> str:
    """Return *name* in lower case and without the root's dot."""
    return name.lower().removesuffix(".")


def region_of_host(host: str) -> str | None:
    """Return the Region that an API Gateway host name belongs to."""
    match = _EXECUTE_API_HOST.fullmatch(normal_name(host))
    return match["region"] if match else None


def api_id_of_host(host: str) -> str | None:
    """Return the API's ID when *host* is an API's own name and not that of a custom domain."""
    match = _EXECUTE_API_HOST.fullmatch(normal_name(host))
    return match["label"] if match and match["label"].isalnum() else None


def choose(records: Sequence[Record], is_healthy: Callable[[Record], bool]) -> Record | None:
    """
    Choose among the records of one name as Route 53 does.

    A failover pair answers with the primary while that is healthy, with the secondary while only
    that one is, and with the primary when neither is. Weighted records with the weight 0 are used
    last; when no record is healthy, Route 53 treats all as healthy.
    """
    primary = next((r for r in records if r.failover == "PRIMARY"), None)
    secondary = next((r for r in records if r.failover == "SECONDARY"), None)
    if primary or secondary:
        if primary and (is_healthy(primary) or not (secondary and is_healthy(secondary))):
            return primary
        return secondary
    weighted = [r for r in records if r.weight]
    unweighted = [r for r in records if not r.weight]
    for group in (weighted, unweighted):
        for record in group:
            if is_healthy(record):
                return record
    return next(iter([*weighted, *unweighted]), None)


def answer(
    name: str, records: Sequence[Record], is_healthy: Callable[[Record], bool]
) -> Answer | None:
    """Resolve *name* to the end of its chain; None if there is no such name."""
    target, ttl = normal_name(name), None
    for _ in range(_MAX_CHAIN):
        record = choose([r for r in records if r.name == target], is_healthy)
        if record is None:
            break
        target = record.target
        ttl = record.ttl if ttl is None else min(ttl, record.ttl)
    return None if ttl is None else Answer(target, ttl)
