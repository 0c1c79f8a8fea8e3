"""
Rows of a CSV file, as spreadsheets write it.

The first line names the columns, in any order and among others.  The file has the separator
with which that line names the most of them.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from surrogatectl.adopt.columns import NAMES, SPELLINGS, Rows, row_of
from surrogatectl.adopt.rows import BadRow, SourceError
from surrogatectl.adopt.text_files import read_text

_SEPARATORS: Final = (",", ";", "\t", "|")
_IN_WORDS: Final = "commas, semicolons, tabs or |"
# Excel's own first line, ahead of the names.
_SEPARATOR_LINE: Final = re.compile(r'"?sep=([^\r\n])"? *(?:\r\n|\r|\n|\Z)', re.IGNORECASE)

Records = Iterator[tuple[int, list[str]]]
"""Each record's first line and its fields."""


def from_csv(path: Path) -> Rows:
    """
    Yield the rows of a CSV file whose first line names the columns.

    Raises:
        SourceError: If it is none, lacks a column, or has one twice.
    """
    text, before = read_text(path), 0
    line = _SEPARATOR_LINE.match(text)
    if line:
        text, before, separator = text[line.end() :], 1, line[1]
        if separator not in _SEPARATORS:
            raise SourceError(
                f"{path}: its separator, of the line sep=, is not one of {_IN_WORDS}."
            )
    else:
        separator = max(_SEPARATORS, key=lambda each: _columns_named(text, each))
    try:
        yield from _rows(_records(text, separator, before))
    except SourceError as err:
        raise SourceError(f"{path}: {err}") from None


def _rows(records: Records) -> Rows:
    _, first = next(records, (0, []))
    names = [each.strip() for each in first]
    _require_columns(names)
    for number, fields in records:
        where = f"line {number}"
        if any(each.strip() for each in fields[len(names) :]):
            yield BadRow(where, "", "It has more fields than the first line has names.")
        else:
            yield row_of(dict(zip(names, fields, strict=False)), where)


def _records(text: str, separator: str, before: int = 0) -> Records:
    """
    Yield the records of *text*, *before* which there are lines; those without content are none.

    Raises:
        SourceError: If quotes are wrong.
    """
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        number = before + reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as err:
            # It tells characters of the dialect, nothing of the content.
            raise SourceError(f"the record on line {number} is not CSV: {err}.") from None
        if any(each.strip() for each in fields):
            yield number, fields


def _columns_named(text: str, separator: str) -> int:
    try:
        _, names = next(_records(text, separator), (0, []))
    except SourceError:
        return -1
    return len({each.strip() for each in names}.intersection(NAMES))


def _require_columns(names: Sequence[str]) -> None:
    missing = [each for each, spelt in SPELLINGS.items() if not set(names).intersection(spelt)]
    if missing:
        raise SourceError(
            f"there is no column {', '.join(missing)}, and the first line must name them, with "
            f"{_IN_WORDS} between them."
        )
    repeated = {each for each, count in Counter(names).items() if each and count > 1}
    if repeated:
        # The names of others are not told: nobody knows what they say.
        told = ", ".join(each for each in NAMES if each in repeated) or "a column of no interest"
        raise SourceError(f"the first line names {told} twice: which one holds?")
