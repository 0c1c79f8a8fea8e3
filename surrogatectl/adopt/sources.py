"""
Where rows come from, beside files: the DynamoDB table of the AWS blog post, and one pair.

Nothing of a row's content gets into an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from surrogatectl.adopt.columns import NAMES, SPELLINGS, Rows, row_of, text_of
from surrogatectl.adopt.rows import BadRow, Row, SourceError

# A table may hold more; nobody else's attributes are read.
_NAMES: Final = {f"#c{number}": name for number, name in enumerate(NAMES)}


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
            yield row_of({name: text_of(value) for name, value in item.items()}, f"item {number}")
        if not page.get("LastEvaluatedKey"):
            return
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


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
    return row_of(dict(zip(SPELLINGS, values, strict=True)), "the pair")
