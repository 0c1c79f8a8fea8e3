"""Where the rows of adoption come from, and what is told of those that are malformed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.credentials import (
    CLIENT_ID,
    loggable,
)
from chalicelib.model import ClientId
from surrogatectl.adopt import sources
from surrogatectl.adopt.columns import row_of
from surrogatectl.adopt.rows import BadRow, SourceError
from tests.unit.surrogatectl.adopt.adoption_world import ID, OTHER_ID, OTHER_SECRET, SECRET
from tests.unit.surrogatectl.adopt.row_files import WHOLE, WHOLE_ROW, item


@dataclass
class FakeTable:
    """A DynamoDB table of pages."""

    pages: list[list[dict[str, dict[str, Any]]]]
    requests: list[dict[str, Any]] = field(default_factory=list)
    failure: Exception | None = None

    def scan(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        at = int(request.get("ExclusiveStartKey", {"page": {"N": "0"}})["page"]["N"])
        wanted = set(request["ExpressionAttributeNames"].values())
        shown = [{k: v for k, v in item.items() if k in wanted} for item in self.pages[at]]
        more = {"LastEvaluatedKey": {"page": {"N": str(at + 1)}}} if self.pages[at + 1 :] else {}
        return {"Items": shown, **more}


def test_a_table_is_read_page_by_page_and_consistently() -> None:
    table = FakeTable([[item(WHOLE)], [], [item(WHOLE), item(WHOLE)]])
    found = list(sources.from_table(table.scan, "clients"))
    assert found == [replace(WHOLE_ROW, where=f"item {n}") for n in (1, 2, 3)]
    assert [request["ConsistentRead"] for request in table.requests] == [True] * 3
    assert {request["TableName"] for request in table.requests} == {"clients"}


def test_nobody_elses_attributes_of_a_table_are_read() -> None:
    table = FakeTable([[item(WHOLE, salary={"N": "1"})]])
    list(sources.from_table(table.scan, "clients"))
    assert sorted(table.requests[0]["ExpressionAttributeNames"].values()) == [
        "primaryClientID",
        "primaryClientId",
        "primaryClientSecret",
        "secondaryClientID",
        "secondaryClientId",
        "secondaryClientSecret",
    ]


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (
            ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Scan"),
            "The table clients cannot be read: ResourceNotFoundException.",
        ),
        (
            EndpointConnectionError(endpoint_url="https://example.com"),
            "The table clients: EndpointConnectionError.",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_told(failure: Exception, told: str) -> None:
    with pytest.raises(SourceError) as error:
        list(sources.from_table(FakeTable([[]], failure=failure).scan, "clients"))
    assert str(error.value) == told


@pytest.mark.parametrize("primary", ["primaryClientId", "primaryClientID"])
@pytest.mark.parametrize("secondary", ["secondaryClientId", "secondaryClientID"])
def test_ids_may_be_spelt_either_way(primary: str, secondary: str) -> None:
    values = {
        primary: ID,
        "primaryClientSecret": SECRET,
        secondary: OTHER_ID,
        "secondaryClientSecret": OTHER_SECRET,
    }
    assert row_of(values, "here") == WHOLE_ROW


def test_both_spellings_may_stand_there_if_they_agree() -> None:
    assert row_of({**WHOLE, "primaryClientID": f" {ID}"}, "here") == WHOLE_ROW
    bad = row_of({**WHOLE, "primaryClientID": OTHER_ID}, "here")
    assert isinstance(bad, BadRow)
    assert bad.reason == "primaryClientId and primaryClientID differ."


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"primaryClientId": None}, "primaryClientId is missing."),
        ({"primaryClientSecret": ""}, "primaryClientSecret is missing."),
        ({"secondaryClientId": " "}, "secondaryClientId is missing."),
        ({"secondaryClientSecret": None}, "secondaryClientSecret is missing."),
        ({"primaryClientSecret": 12}, "primaryClientSecret is not text as Cognito makes it."),
        ({"primaryClientSecret": "ünsafe"}, "primaryClientSecret is not text as Cognito makes it."),
        ({"primaryClientId": "sgc_" + "a" * 26}, "primaryClientId does not look like"),
        ({"secondaryClientId": "a/../../b" * 4}, "secondaryClientId does not look like"),
        (
            {"primaryClientSecret": None, "secondaryClientSecret": None},
            "primaryClientSecret is missing; secondaryClientSecret is missing.",
        ),
    ],
)
def test_a_malformed_row_is_told_by_its_handle(changes: dict[str, Any], told: str) -> None:
    bad = row_of({**WHOLE, **changes}, "here")
    assert isinstance(bad, BadRow)
    assert bad.reason.startswith(told)
    assert bad.where == "here"
    named = {**WHOLE, **changes}["primaryClientId"]
    assert bad.handle == (loggable(ClientId(named)) if named else "")


# No message of ours has it: hypothesis tries the words of our source, which are in our messages.
FOREIGN = st.text(min_size=5).map("☂{}".format)


@given(
    st.dictionaries(
        st.sampled_from([*WHOLE, "primaryClientID", "secondaryClientID"]),
        st.one_of(st.none(), st.integers(), FOREIGN, st.sampled_from([SECRET, ID])),
    )
)
def test_whatever_stands_in_a_row_nothing_of_it_is_told(values: dict[str, Any]) -> None:
    found = row_of(values, "here")
    assert found.where == "here"
    for value in values.values():
        text = str(value)
        if isinstance(value, str) and len(set(text)) > 5 and not CLIENT_ID.fullmatch(text):
            assert text not in repr(found)


def test_the_secrets_of_one_pair_stand_on_two_lines() -> None:
    found = sources.one_pair(ID, OTHER_ID, f"{SECRET}\n{OTHER_SECRET}\n")
    assert found == replace(WHOLE_ROW, where="the pair")
    for secrets in (SECRET, f"{SECRET}\n{SECRET}\n{SECRET}\n", ""):
        with pytest.raises(SourceError, match="Two lines are needed"):
            sources.one_pair(ID, OTHER_ID, secrets)
