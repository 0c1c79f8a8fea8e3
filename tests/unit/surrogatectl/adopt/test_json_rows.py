"""Rows of JSON files as AWS and `jq` write them, and what is told of files that are none."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogatectl.adopt.json_rows import from_json
from surrogatectl.adopt.rows import BadRow, SourceError
from tests.unit.surrogatectl.adopt.adoption_world import ID, SECRET
from tests.unit.surrogatectl.adopt.row_files import (
    ROWS,
    WHOLE,
    WHOLE_ROW,
    assert_not_read,
    contents,
    encodings,
    item,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("json") / "clients.json"


@pytest.mark.parametrize("wrap", [lambda items: items, lambda items: {"Items": items, "Count": 4}])
def test_a_json_file_is_an_array_or_what_a_scan_prints(
    tmp_path: Path, wrap: Callable[[list[Any]], Any]
) -> None:
    path = tmp_path / "clients.json"
    path.write_text(json.dumps(wrap([WHOLE, item(WHOLE), SECRET, {**WHOLE, "primaryClientId": 1}])))
    first, second, third, fourth = from_json(path)
    assert (first, second) == (
        replace(WHOLE_ROW, where="entry 1"),
        replace(WHOLE_ROW, where="entry 2"),
    )
    assert third == BadRow("entry 3", "", "It is not an object.")
    assert isinstance(fourth, BadRow)
    assert "primaryClientId is not text" in fourth.reason


def scan(items: list[Any]) -> dict[str, Any]:
    """Return what `aws dynamodb scan` prints."""
    told = {"Count": len(items), "ScannedCount": len(items) + 3, "ConsumedCapacity": None}
    return {"Items": items, **told}


def lines(entries: list[Any]) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in entries)


SHAPES: dict[str, Callable[[list[Any]], str]] = {
    "an array": json.dumps,
    "a scan": lambda entries: json.dumps(scan(entries)),
    "the last page": lambda entries: json.dumps({**scan(entries), "LastEvaluatedKey": None}),
    "two scans": lambda entries: json.dumps(scan(entries[:2])) + json.dumps(scan(entries[2:])),
    "lines": lines,
    "indented": lambda entries: "\n".join(json.dumps(each, indent=2) for each in entries),
}
ITEMS: dict[str, Callable[[dict[str, str]], Any]] = {
    "plain": lambda row: row,
    "of DynamoDB": lambda row: item(row, more={"NULL": True}),
    "exported": lambda row: {"Item": item(row, more={"M": {"Items": {"L": []}}})},
}


@given(
    rows=ROWS,
    shape=st.sampled_from([*SHAPES.values()]),
    wrap=st.sampled_from([*ITEMS.values()]),
    encode=encodings,
    compressed=st.booleans(),
)
def test_no_row_is_lost_however_a_program_writes_it(
    *,
    path: Path,
    rows: list[dict[str, str]],
    shape: Callable[[list[Any]], str],
    wrap: Callable[[dict[str, str]], Any],
    encode: Callable[[str], bytes],
    compressed: bool,
) -> None:
    text = shape([wrap(row) for row in rows])
    path.write_bytes(gzip.compress(encode(text), mtime=0) if compressed else encode(text))
    if not text:
        assert_not_read(lambda: [*from_json(path)], "it is empty.")
    else:
        assert contents([*from_json(path)]) == rows


@given(rows=ROWS, shape=st.sampled_from(["an array", "a scan"]), data=st.data())
def test_a_file_that_was_cut_off_is_never_read(
    path: Path, rows: list[dict[str, str]], shape: str, data: st.DataObject
) -> None:
    text = SHAPES[shape](rows)
    path.write_text(text[: data.draw(st.integers(0, len(text) - 1))])
    assert_not_read(lambda: [*from_json(path)], str(path))


@given(rows=ROWS.filter(bool), data=st.data())
def test_a_line_that_was_cut_off_is_never_read(
    path: Path, rows: list[dict[str, str]], data: st.DataObject
) -> None:
    text = lines(rows)
    end = data.draw(st.integers(len(lines(rows[:-1])) + 1, len(text) - 2))
    path.write_text(text[:end])
    assert_not_read(lambda: [*from_json(path)], "cut off")


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.sampled_from([ID, SECRET])),
    lambda more: st.one_of(
        st.lists(more),
        st.dictionaries(
            st.sampled_from([*WHOLE, "S", "Item", "Items", "Count", "NextToken"]), more
        ),
    ),
)


@given(
    st.one_of(
        st.binary(),
        st.lists(_JSON, min_size=1).map(lambda each: lines(each).encode("utf-8", "replace")),
    )
)
def test_bytes_are_rows_or_the_file_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        found = [*from_json(path)]
    except SourceError as err:
        assert str(err).startswith(str(path))  # noqa: PT017 - only if it is raised
        assert SECRET not in str(err)  # noqa: PT017
    else:
        assert [row.where for row in found] == [f"entry {n + 1}" for n in range(len(found))]
        assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"NextToken": "eyJ"}, "it has NextToken, so the scan was cut off"),
        ({"LastEvaluatedKey": {"a": {"S": "b"}}}, "it has LastEvaluatedKey, so the scan"),
        ({"Count": 3}, "its Count is not the number of its Items, 2"),
        ({"Count": 1}, "its Count is not the number of its Items, 2"),
        ({"Count": "2"}, "its Count is not the number of its Items, 2"),
    ],
)
@pytest.mark.parametrize("before", ["", lines([WHOLE])])
def test_a_scan_that_was_cut_off_is_not_read(
    tmp_path: Path, more: dict[str, Any], told: str, before: str
) -> None:
    path = tmp_path / "clients.json"
    path.write_text(before + json.dumps({"Items": [item(WHOLE), item(WHOLE)], **more}))
    assert_not_read(lambda: list(from_json(path)), told)


ROW = ", ".join(f'"{name}": "{value}"' for name, value in WHOLE.items())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f'[{{{ROW}, "primaryClientSecret": "x"}}]', "It has primaryClientSecret twice"),
        (f'{{"primaryClientId": "x", {ROW}}}', "It has primaryClientId twice"),
        (f'{{"Item": {{{ROW}, "primaryClientId": "x"}}}}', "It has primaryClientId twice"),
        (f'{{"Items": [{{{ROW}}}], "Items": []}}', "It has Items twice"),
        (f'{{"Item": {{{ROW}}}, "Item": {{{ROW}}}}}', "It has Item twice"),
        (f'[{{"{SECRET}": 1, {ROW}, "{SECRET}": 2}}]', "It has a member twice"),
        ('[{"primaryClientSecret": {"S": "a", "S": "b"}}]', "primaryClientSecret is not text"),
    ],
)
def test_a_member_that_stands_there_twice_is_refused(
    tmp_path: Path, content: str, told: str
) -> None:
    path = tmp_path / "clients.json"
    path.write_text(content)
    (found,) = from_json(path)
    assert isinstance(found, BadRow)
    assert found.where == "entry 1"
    assert told in found.reason
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            f'[{{"primaryClientSecret": "{SECRET}"',
            "it is not JSON, or cut off: see line 1, column ",
        ),
        (f"{{{ROW}}}\n{{{ROW}}},\n{{{ROW}}}", "it is not JSON, or cut off: see line 2, column "),
        (f'"{SECRET}"', "it is not an array of objects"),
        (f'{{"{SECRET}": "{SECRET}"}}', "it is not an array of objects"),
        (f'{{"Items": {{{ROW}}}}}', "it is not an array of objects"),
        (" \r\n", "it is empty."),
        (
            json.dumps({"Metadata": {}, "Keys": {}, "NewImage": item(WHOLE)}),
            "it is an incremental export",
        ),
        ("[" * 100_000, "something in it has no end."),
        ("[" + "1" * 5_000 + "]", "something in it has no end."),
    ],
)
def test_what_is_no_such_json_file_is_told(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "clients.json"
    path.write_text(content)
    assert_not_read(lambda: list(from_json(path)), f"{path}: ")
    assert_not_read(lambda: list(from_json(path)), told)
