"""Rows of CSV files as spreadsheets write them, and what is told of files that are none."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogatectl.adopt.csv_rows import from_csv
from surrogatectl.adopt.rows import BadRow, SourceError
from tests.unit.surrogatectl.adopt.adoption_world import ID, OTHER_ID, OTHER_SECRET, SECRET
from tests.unit.surrogatectl.adopt.row_files import (
    ENCODINGS,
    ROWS,
    WHOLE,
    WHOLE_ROW,
    assert_not_read,
    contents,
    encodings,
)

SEPARATORS = (",", ";", "\t", "|")


def test_a_csv_file_is_read_as_spreadsheets_write_it(tmp_path: Path) -> None:
    path = tmp_path / "clients.csv"
    path.write_text(
        "\ufeffprimaryClientID,note,secondaryClientID,primaryClientSecret,secondaryClientSecret\r\n"
        f'{ID},"a, b",{OTHER_ID},{SECRET},"{OTHER_SECRET}"\r\n'
        f"{ID},,{OTHER_ID},,{OTHER_SECRET}\r\n"
        f"{ID},,{OTHER_ID}\r\n"
        f"{ID},,{OTHER_ID},{SECRET},{OTHER_SECRET},more\r\n"
    )
    first, second, third, fourth = from_csv(path)
    assert first == replace(WHOLE_ROW, where="line 2")
    assert second == BadRow("line 3", WHOLE_ROW.handle, "primaryClientSecret is missing.")
    assert isinstance(third, BadRow)
    assert isinstance(fourth, BadRow)
    assert "more fields" in fourth.reason


def written(
    rows: Sequence[dict[str, str]],
    columns: Sequence[str],
    note: str,
    separator: str,
    quoting: Any,
    *,
    end: str,
    separator_line: bool,
    empty: str,
) -> str:
    """Return a CSV file, with *note* in each column that is nobody's and *empty* as a line."""
    file = io.StringIO(newline="")
    if separator_line:
        file.write(f"sep={separator}{end}")
    writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerow(columns)
    for row in rows:
        file.write(empty * separator.count(separator) + end)
        writer.writerow([row.get(column, note) for column in columns])
    return file.getvalue() + empty


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv") / "clients.csv"


@given(
    rows=ROWS,
    columns=st.permutations([*WHOLE, "note", ""]),
    note=st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    separator=st.sampled_from(SEPARATORS),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\r\n", "\n", "\r"]),
    separator_line=st.booleans(),
    empty=st.integers(0, 8),
    encode=encodings,
)
def test_no_row_is_lost_however_a_spreadsheet_writes_it(
    *,
    path: Path,
    rows: list[dict[str, str]],
    columns: list[str],
    note: str,
    separator: str,
    quoting: Any,
    end: str,
    separator_line: bool,
    empty: int,
    encode: Callable[[str], bytes],
) -> None:
    content = written(
        rows,
        columns,
        note,
        separator,
        quoting,
        end=end,
        separator_line=separator_line,
        empty=separator * empty,
    )
    path.write_bytes(encode(content))
    assert contents([*from_csv(path)]) == rows


HEAD = ",".join(WHOLE)


@given(
    st.one_of(st.binary(), st.text().map(lambda text: f"{HEAD}\n{text}".encode("utf-8", "replace")))
)
def test_bytes_are_rows_or_the_file_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        found = [*from_csv(path)]
    except SourceError as err:
        assert str(err).startswith(str(path))  # noqa: PT017 - only if it is raised
    else:
        assert len({row.where for row in found}) == len(found)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "there is no column primaryClientId, primaryClientSecret, secondaryClientId,"),
        (
            f"primaryClientId,secondaryClientID,primaryClientSecret\n{ID}",
            "there is no column secondaryClientSecret,",
        ),
        (f'{HEAD}\n\n"{SECRET}"x,', "the record on line 3 is not CSV"),
        (f'{HEAD}\n{SECRET}\n"{SECRET}\n\n\n', "the record on line 3 is not CSV"),
        (f"sep=;\n{HEAD}", "there is no column primaryClientId"),
        (f"sep=x\n{HEAD.replace(',', 'x')}", "its separator, of the line sep=, is not one of"),
        (f"{HEAD},primaryClientSecret\n", "names primaryClientSecret twice"),
        (f"primaryClientId ;{HEAD.replace(',', ';')}\n", "names primaryClientId twice"),
        (f"{SECRET},{HEAD},{SECRET}\n", "names a column of no interest twice"),
    ],
)
def test_what_is_no_such_csv_file_is_told(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "clients.csv"
    path.write_text(content)
    assert_not_read(lambda: list(from_csv(path)), f"{path}: ")
    assert_not_read(lambda: list(from_csv(path)), told)


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_a_row_is_told_by_its_line_in_every_encoding(
    tmp_path: Path, encode: Callable[[str], bytes]
) -> None:
    path = tmp_path / "clients.csv"
    row = ";".join(WHOLE.values())
    text = (
        f'sep=;\r\n{HEAD.replace(",", ";")};note\r\n;;;;\r\n\r\n{row};"two\r\nlines"\r\n{row};\r\n'
    )
    path.write_bytes(encode(text))
    assert [row.where for row in from_csv(path)] == ["line 5", "line 7"]
