"""
Where rows come from: the DynamoDB table of the AWS blog post, a CSV or JSON file, one pair.

The columns are `primaryClientId`, `primaryClientSecret`, `secondaryClientId`
and `secondaryClientSecret`, with Id or ID.  Nothing of a row's content gets
into an error.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.credentials import ADOPTED_CLIENT_ID, loggable
from chalicelib.model import AppClientId, ClientId
from surrogatectl.adopt.rows import BadRow, Pair, Row

_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "primaryClientId": ("primaryClientId", "primaryClientID"),
    "primaryClientSecret": ("primaryClientSecret",),
    "secondaryClientId": ("secondaryClientId", "secondaryClientID"),
    "secondaryClientSecret": ("secondaryClientSecret",),
}
# A table may hold more; nobody else's attributes are read.
_NAMES: Final = {
    f"#c{number}": name
    for number, name in enumerate(name for names in _SPELLINGS.values() for name in names)
}
_NO_TEXT: Final = object()

Rows = Iterator[Row | BadRow]


class SourceError(Exception):
    """The rows cannot be read at all."""


def from_table(scan: Callable[..., Any], table: str) -> Rows:
    """
    Yield the rows of a DynamoDB table; *scan* is a client's method.

    Raises:
        SourceError: If it cannot be read.
    """
    number = 0
    more: dict[str, Any] = {}
    while True:
        try:
            page = scan(
                TableName=table,
                ConsistentRead=True,
                ProjectionExpression=", ".join(_NAMES),
                ExpressionAttributeNames=_NAMES,
                **more,
            )
        except ClientError as err:
            code = err.response.get("Error", {}).get("Code", "")
            raise SourceError(f"The table {table} cannot be read: {code}.") from None
        except BotoCoreError as err:
            raise SourceError(f"The table {table}: {type(err).__name__}.") from None
        for item in page.get("Items", []):
            number += 1
            yield row_of({name: _text_of(value) for name, value in item.items()}, f"item {number}")
        if not page.get("LastEvaluatedKey"):
            return
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def from_csv(path: Path) -> Rows:
    """
    Yield the rows of a CSV file whose first line names the columns.

    Raises:
        SourceError: If it is none, or lacks a column.
    """
    try:
        # A byte order mark is what spreadsheets leave.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = set(reader.fieldnames or ())
            missing = [each for each, spelt in _SPELLINGS.items() if not names.intersection(spelt)]
            if missing:
                raise SourceError(f"{path}: there is no column {', '.join(missing)}.")
            for values in reader:
                where = f"line {reader.line_num}"
                if None in values:
                    yield BadRow(where, "", "It has more fields than the first line has names.")
                else:
                    yield row_of(values, where)
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}.") from None
    except (csv.Error, UnicodeDecodeError):
        raise SourceError(f"{path} is not a CSV file in UTF-8.") from None


def from_json(path: Path) -> Rows:
    """
    Yield the rows of a JSON file: an array of objects, or what `aws dynamodb scan` prints.

    Raises:
        SourceError: If it is neither.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}.") from None
    except (ValueError, RecursionError):
        # The error holds the text, and so the secrets.
        raise SourceError(f"{path} is not a JSON file in UTF-8.") from None
    if isinstance(content, dict):
        content = content.get("Items")
    if not isinstance(content, list):
        raise SourceError(f"{path} is not an array of objects.")
    for number, item in enumerate(content, start=1):
        where = f"entry {number}"
        if isinstance(item, dict):
            yield row_of({name: _text_of(value) for name, value in item.items()}, where)
        else:
            yield BadRow(where, "", "It is not an object.")


def one_pair(primary_id: str, secondary_id: str, secrets: str) -> Row | BadRow:
    """
    Return the row of two IDs and *secrets*: the primary secret on the first line, then the other.

    Raises:
        SourceError: If these are not two lines.
    """
    lines = [line.strip() for line in secrets.splitlines() if line.strip()]
    if len(lines) != 2:  # noqa: PLR2004
        raise SourceError("Two lines are needed: the primary secret, then the secondary one.")
    values = (primary_id, lines[0], secondary_id, lines[1])
    return row_of(dict(zip(_SPELLINGS, values, strict=True)), "the pair")


def row_of(values: Mapping[str, object], where: str) -> Row | BadRow:
    """Return the row that *values* make up, whichever way their names are spelt."""
    wrong: list[str] = []

    def column(name: str) -> str:
        spelt = (values.get(spelling) for spelling in _SPELLINGS[name])
        found = {each.strip() if isinstance(each, str) else each for each in spelt} - {None, ""}
        value = found.pop() if found else None
        if found:
            wrong.append(f"{' and '.join(_SPELLINGS[name])} differ")
        elif value is None:
            wrong.append(f"{name} is missing")
        elif not isinstance(value, str) or not value.isascii():
            wrong.append(f"{name} is not text as Cognito makes it")
        else:
            return value
        return ""

    def app_client_id(name: str) -> AppClientId:
        value = column(name)
        if value and not ADOPTED_CLIENT_ID.fullmatch(value):
            wrong.append(f"{name} does not look like an app client's ID")
        return AppClientId(value)

    primary = Pair(app_client_id("primaryClientId"), column("primaryClientSecret"))
    secondary = Pair(app_client_id("secondaryClientId"), column("secondaryClientSecret"))
    if wrong:
        known = primary.app_client_id
        handle = loggable(ClientId(known)) if known else ""
        return BadRow(where, handle, f"{'; '.join(wrong)}.")
    return Row(where, primary, secondary)


def _text_of(value: object) -> object:
    """Return the text that *value* is or that DynamoDB wrapped, `None` for null, else no text."""
    if isinstance(value, dict) and set(value) == {"S"}:
        value = value["S"]
    return value if isinstance(value, str) or value is None else _NO_TEXT
