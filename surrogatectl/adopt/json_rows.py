"""
Rows of a JSON file.

It is an array of objects, what `aws dynamodb scan` prints, or the objects one after another,
as `jq` prints them.  An object may stand in another one's `Item`, as in DynamoDB's export to S3,
and DynamoDB's types may be around its texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from surrogatectl.adopt.columns import NAMES, Rows, row_of, text_of
from surrogatectl.adopt.rows import BadRow, Row, SourceError
from surrogatectl.adopt.text_files import read_text

_CUT_OFF: Final = ("NextToken", "LastEvaluatedKey")
_COUNT: Final = "Count"
_MEMBERS: Final = (*NAMES, "Items", "Item", *_CUT_OFF, _COUNT)
_CHANGES: Final = frozenset({"NewImage", "OldImage", "Keys"})
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class _Repeated:
    """An object that has a member twice; *name* is empty if it is somebody else's."""

    name: str


def from_json(path: Path) -> Rows:
    """
    Yield the rows of a JSON file.

    Raises:
        SourceError: If it is none, or was cut off.
    """
    text, number = read_text(path), 0
    try:
        for document in _documents(text):
            for entry in _entries(document):
                number += 1
                yield _row(entry, f"entry {number}")
    except SourceError as err:
        raise SourceError(f"{path}: {err}") from None


def _documents(text: str) -> Iterator[object]:
    """
    Yield what stands in *text*, one after another.

    Raises:
        SourceError: If that is not JSON, or nothing.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    at = _after_space(text, 0)
    if at == len(text):
        raise SourceError("it is empty.")
    while at < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as err:
            # The error holds the text, and so the secrets.
            told = f"it is not JSON, or cut off: see line {err.lineno}, column {err.colno}."
            raise SourceError(told) from None
        except (ValueError, RecursionError):
            raise SourceError("it is not JSON of rows: something in it has no end.") from None
        yield document
        at = _after_space(text, at)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _object(pairs: list[tuple[str, object]]) -> dict[str, object] | _Repeated:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    names = [name for name, _ in pairs]
    return _Repeated(next((each for each in _MEMBERS if names.count(each) > 1), ""))


def _entries(document: object) -> Iterator[object]:
    """
    Yield what should be rows.

    Raises:
        SourceError: If *document* is nothing that has rows, or lacks some.
    """
    if isinstance(document, list):
        yield from document
    elif isinstance(document, _Repeated) or (
        isinstance(document, dict) and not document.keys().isdisjoint((*NAMES, "Item"))
    ):
        yield document
    elif isinstance(document, dict) and isinstance(document.get("Items"), list):
        _require_whole(document)
        yield from document["Items"]
    elif isinstance(document, dict) and _CHANGES.intersection(document):
        raise SourceError("it is an incremental export, of changes: export the whole table.")
    else:
        raise SourceError(
            "it is not an array of objects, nor what `aws dynamodb scan` prints, nor DynamoDB's "
            "export to S3 as DynamoDB JSON."
        )


def _require_whole(scan: Mapping[str, object]) -> None:
    """Make sure that *scan* was not cut off; null is what programs write for "no more"."""
    for name in _CUT_OFF:
        if scan.get(name):
            raise SourceError(
                f"it has {name}, so the scan was cut off, and rows are missing: scan without "
                "--max-items and --no-paginate."
            )
    items, count = scan["Items"], scan.get(_COUNT)
    if isinstance(items, list) and count is not None and count != len(items):
        raise SourceError(f"its Count is not the number of its Items, {len(items)}: is it whole?")


def _row(entry: object, where: str) -> Row | BadRow:
    if isinstance(entry, dict) and entry.keys() == {"Item"}:
        entry = entry["Item"]
    if isinstance(entry, _Repeated):
        return BadRow(where, "", f"It has {entry.name or 'a member'} twice: which one holds?")
    if not isinstance(entry, dict):
        return BadRow(where, "", "It is not an object.")
    return row_of({name: text_of(value) for name, value in entry.items()}, where)
