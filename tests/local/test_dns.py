"""The stand-in for Route 53 answers as Route 53 does."""

from collections.abc import Callable

import pytest

from local.dns import Answer, Record, answer, api_id_of_host, region_of_host

NAME = "auth.example.test"
EAST = "d-1.execute-api.us-east-1.amazonaws.com"
WEST = "d-2.execute-api.us-west-2.amazonaws.com"


def failover(role: str, target: str) -> Record:
    return Record(NAME, target, 60, failover=role, health_check_id=role)


def healthy(*checks: str) -> Callable[[Record], bool]:
    return lambda record: record.health_check_id in checks


PAIR = [failover("PRIMARY", EAST), failover("SECONDARY", WEST)]


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        (("PRIMARY", "SECONDARY"), EAST),
        (("PRIMARY",), EAST),
        (("SECONDARY",), WEST),
        ((), EAST),
    ],
)
def test_a_failover_record_answers_by_health(checks: tuple[str, ...], expected: str) -> None:
    assert answer(NAME, PAIR, healthy(*checks)) == Answer(expected, 60)


def test_a_record_of_weight_zero_answers_only_without_healthy_others() -> None:
    records = [
        Record(NAME, EAST, 60, weight=1, health_check_id="a"),
        Record(NAME, WEST, 60, weight=0, health_check_id="b"),
    ]
    assert answer(NAME, records, healthy("a", "b")) == Answer(EAST, 60)
    assert answer(NAME, records, healthy("b")) == Answer(WEST, 60)
    assert answer(NAME, records, healthy()) == Answer(EAST, 60)


def test_a_chain_is_followed_and_its_shortest_ttl_counts() -> None:
    records = [Record(NAME, "other.example.test", 300), Record("other.example.test", EAST, 5)]
    assert answer(NAME.upper() + ".", records, healthy()) == Answer(EAST, 5)


def test_a_name_without_records_has_no_answer() -> None:
    assert answer("nothing.example.test", PAIR, healthy("PRIMARY")) is None


def test_records_are_read_as_the_api_shapes_them() -> None:
    cname = {"Name": f"{NAME}.", "Type": "CNAME", "TTL": "30", "ResourceRecords": [EAST]}
    alias = {
        "Name": f"{NAME}.",
        "Type": "A",
        "AliasTarget": {"DNSName": f"{WEST}.", "EvaluateTargetHealth": True},
        "Failover": "SECONDARY",
    }
    address = {"Name": NAME, "Type": "A", "TTL": "30", "ResourceRecords": ["192.0.2.1"]}
    assert Record.from_route53(cname) == Record(NAME, EAST, 30)
    assert Record.from_route53(alias) == Record(
        NAME, WEST, 60, failover="SECONDARY", evaluate_target_health=True
    )
    assert Record.from_route53(address) is None


def test_hosts_of_api_gateway_name_their_region() -> None:
    assert region_of_host(EAST + ".") == "us-east-1"
    assert region_of_host("auth.example.test.execute-api.us-west-2.amazonaws.com") == "us-west-2"
    assert region_of_host("example.test") is None
    assert api_id_of_host("abc123.execute-api.us-west-2.amazonaws.com") == "abc123"
    assert api_id_of_host("auth.example.test.execute-api.us-west-2.amazonaws.com") is None
