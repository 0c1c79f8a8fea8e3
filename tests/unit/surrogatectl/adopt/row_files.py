"""Rows, and the files that hold them as other programs write them."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from chalicelib.model import AppClientId
from surrogatectl.adopt.rows import Pair, Row, SourceError
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

ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "UTF-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16 of Windows": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16 of others": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
}

_IDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=26, max_size=26)
_SECRETS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_", min_size=24)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "primaryClientId": _IDS,
            "primaryClientSecret": _SECRETS,
            "secondaryClientId": _IDS,
            "secondaryClientSecret": _SECRETS,
        }
    ),
    max_size=5,
)
encodings = st.sampled_from([*ENCODINGS.values()])


def item(values: dict[str, str], **more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the item of a DynamoDB table that has *values*."""
    return {name: {"S": value} for name, value in values.items()} | more


def contents(rows: list[Any]) -> list[dict[str, str]]:
    """Return what *rows*, all of them good, say."""
    assert all(isinstance(row, Row) for row in rows), rows
    return [
        {
            "primaryClientId": row.primary.app_client_id,
            "primaryClientSecret": row.primary.client_secret,
            "secondaryClientId": row.secondary.app_client_id,
            "secondaryClientSecret": row.secondary.client_secret,
        }
        for row in rows
    ]


def assert_not_read(read: Callable[[], object], told: str) -> None:
    with pytest.raises(SourceError) as error:
        read()
    assert told in str(error.value)
    # What a traceback prints is the chain of causes; theirs hold the content.
    assert error.value.__cause__ is None
    assert error.value.__context__ is None or error.value.__suppress_context__
    assert SECRET not in str(error.value)
