"""Where the rows of adoption come from, and what is told of those that are malformed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.credentials import (
    CLIENT_ID,
    loggable,
)
from chalicelib.model import (
    AppClientId,
    ClientId,
)
from surrogatectl.adopt import sources
from surrogatectl.adopt.rows import BadRow, Pair, Row
from tests.unit.surrogatectl.adopt.adoption_world import ID, OTHER_ID, OTHER_SECRET, SECRET

WHOLE = {
    "primaryClientId": ID,
    "primaryClientSecret": SECRET,
    "secondaryClientId": OTHER_ID,
    "secondaryClientSecret": OTHER_SECRET,
}
WHOLE_ROW = Row(
    "here",
    Pair(AppClientId(ID), SECRET),
    Pair(AppClientId(OTHER_ID), OTHER_SECRET),
)


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


def item(values: dict[str, str], **more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {"S": value} for name, value in values.items()} | more


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
    with pytest.raises(sources.SourceError) as error:
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
    assert sources.row_of(values, "here") == WHOLE_ROW


def test_both_spellings_may_stand_there_if_they_agree() -> None:
    assert sources.row_of({**WHOLE, "primaryClientID": f" {ID}"}, "here") == WHOLE_ROW
    bad = sources.row_of({**WHOLE, "primaryClientID": OTHER_ID}, "here")
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
    bad = sources.row_of({**WHOLE, **changes}, "here")
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
    found = sources.row_of(values, "here")
    assert found.where == "here"
    for value in values.values():
        text = str(value)
        if isinstance(value, str) and len(set(text)) > 5 and not CLIENT_ID.fullmatch(text):
            assert text not in repr(found)


def test_a_csv_file_is_read_as_spreadsheets_write_it(tmp_path: Path) -> None:
    path = tmp_path / "clients.csv"
    path.write_text(
        "\ufeffprimaryClientID,note,secondaryClientID,primaryClientSecret,secondaryClientSecret\r\n"
        f'{ID},"a, b",{OTHER_ID},{SECRET},"{OTHER_SECRET}"\r\n'
        f"{ID},,{OTHER_ID},,{OTHER_SECRET}\r\n"
        f"{ID},,{OTHER_ID}\r\n"
        f"{ID},,{OTHER_ID},{SECRET},{OTHER_SECRET},more\r\n"
    )
    first, second, third, fourth = sources.from_csv(path)
    assert first == replace(WHOLE_ROW, where="line 2")
    assert second == BadRow("line 3", WHOLE_ROW.handle, "primaryClientSecret is missing.")
    assert isinstance(third, BadRow)
    assert isinstance(fourth, BadRow)
    assert "more fields" in fourth.reason


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "there is no column primaryClientId, primaryClientSecret, secondaryClientId,"),
        (
            f"primaryClientId,secondaryClientID,primaryClientSecret\n{ID}".encode(),
            "there is no column secondaryClientSecret.",
        ),
        (b"\xff\xfe\xff", "is not a CSV file in UTF-8."),
        (",".join(WHOLE).encode() + b'\n"' + SECRET.encode() + b'"x,', "is not a CSV file"),
    ],
)
def test_what_is_no_such_csv_file_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "clients.csv"
    path.write_bytes(content)
    assert_not_read(lambda: list(sources.from_csv(path)), told)


def assert_not_read(read: Callable[[], object], told: str) -> None:
    with pytest.raises(sources.SourceError) as error:
        read()
    assert told in str(error.value)
    # What a traceback prints is the chain of causes; theirs hold the content.
    assert error.value.__cause__ is None
    assert error.value.__context__ is None or error.value.__suppress_context__
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("wrap", [lambda items: items, lambda items: {"Items": items, "Count": 1}])
def test_a_json_file_is_an_array_or_what_a_scan_prints(
    tmp_path: Path, wrap: Callable[[list[Any]], Any]
) -> None:
    path = tmp_path / "clients.json"
    path.write_text(json.dumps(wrap([WHOLE, item(WHOLE), SECRET, {**WHOLE, "primaryClientId": 1}])))
    first, second, third, fourth = sources.from_json(path)
    assert (first, second) == (
        replace(WHOLE_ROW, where="entry 1"),
        replace(WHOLE_ROW, where="entry 2"),
    )
    assert third == BadRow("entry 3", "", "It is not an object.")
    assert isinstance(fourth, BadRow)
    assert "primaryClientId is not text" in fourth.reason


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f'[{{"primaryClientSecret": "{SECRET}"', "is not a JSON file"),
        (f'"{SECRET}"', "is not an array of objects"),
        (f'{{"primaryClientSecret": "{SECRET}"}}', "is not an array of objects"),
        ("[" * 100_000, "is not a JSON file"),
    ],
)
def test_what_is_no_such_json_file_is_told(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "clients.json"
    path.write_text(content)
    assert_not_read(lambda: list(sources.from_json(path)), told)


@pytest.mark.parametrize("read", [sources.from_csv, sources.from_json])
def test_a_file_that_cannot_be_opened_is_told(
    tmp_path: Path, read: Callable[[Path], sources.Rows]
) -> None:
    assert_not_read(lambda: list(read(tmp_path / "nothing")), "No such file or directory")


def test_the_secrets_of_one_pair_stand_on_two_lines() -> None:
    found = sources.one_pair(ID, OTHER_ID, f"{SECRET}\n{OTHER_SECRET}\n")
    assert found == replace(WHOLE_ROW, where="the pair")
    for secrets in (SECRET, f"{SECRET}\n{SECRET}\n{SECRET}\n", ""):
        with pytest.raises(sources.SourceError, match="Two lines are needed"):
            sources.one_pair(ID, OTHER_ID, secrets)
