"""
The columns of a row, whichever file or table it is in.

They are `primaryClientId`, `primaryClientSecret`, `secondaryClientId` and
`secondaryClientSecret`, with Id or ID.  Nothing of a row's content gets into an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from chalicelib.credentials import ADOPTED_CLIENT_ID, loggable
from chalicelib.model import AppClientId, ClientId
from surrogatectl.adopt.rows import BadRow, Pair, Row

SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "primaryClientId": ("primaryClientId", "primaryClientID"),
    "primaryClientSecret": ("primaryClientSecret",),
    "secondaryClientId": ("secondaryClientId", "secondaryClientID"),
    "secondaryClientSecret": ("secondaryClientSecret",),
}
NAMES: Final = tuple(name for names in SPELLINGS.values() for name in names)
_NO_TEXT: Final = object()

Rows = Iterator[Row | BadRow]


def row_of(values: Mapping[str, object], where: str) -> Row | BadRow:
    """Return the row that *values* make up, whichever way their names are spelt."""
    wrong: list[str] = []

    def column(name: str) -> str:
        spelt = (values.get(spelling) for spelling in SPELLINGS[name])
        found = {each.strip() if isinstance(each, str) else each for each in spelt} - {None, ""}
        value = found.pop() if found else None
        if found:
            wrong.append(f"{' and '.join(SPELLINGS[name])} differ")
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


def text_of(value: object) -> object:
    """Return the text that *value* is or that DynamoDB wrapped, `None` for null, else no text."""
    if isinstance(value, dict) and len(value) == 1:
        value = None if value == {"NULL": True} else value.get("S", _NO_TEXT)
    return value if isinstance(value, str) or value is None else _NO_TEXT
