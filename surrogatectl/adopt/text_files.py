"""Text as shells, spreadsheets and AWS write it: with a byte order mark, in UTF-16, compressed."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Final

from surrogatectl.adopt.rows import SourceError

_GZIP: Final = b"\x1f\x8b"
_NO_TEXT: Final = {
    b"PK\x03\x04": "a ZIP archive, as Excel's workbooks are: save it as “CSV UTF-8”",
    b"\xd0\xcf\x11\xe0": "a workbook of Excel's: save it as “CSV UTF-8”",
    b"\xe0\x01\x00\xea": "in Amazon Ion: export the table as DynamoDB JSON",
    b"$ion_1_0": "in Amazon Ion: export the table as DynamoDB JSON",
}
"""The first bytes of files that are often taken for text, and what to say of them."""


def read_text(path: Path) -> str:
    """
    Return the text of a file.

    Raises:
        SourceError: If it cannot be read, or is no text.
    """
    try:
        content = path.read_bytes()
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}.") from None
    return decode(content, str(path))


def decode(content: bytes, name: str) -> str:
    """
    Return the text that *content* is, in UTF-8 or UTF-16, gzip or not; *name* says whose it is.

    Raises:
        SourceError: If it is no text.
    """
    if content.startswith(_GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            raise SourceError(f"{name} is a gzip file that is damaged or cut off.") from None
    for start, told in _NO_TEXT.items():
        if content.startswith(start):
            raise SourceError(f"{name} is {told}.")
    # JSON's own rule: by the byte order mark, else by where the zero bytes are, since all
    # that is read here begins with ASCII.
    encoding = json.detect_encoding(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as err:
        # The error holds the content, and so the secrets.
        before = content[: err.start]
    told = f"line {before.count(10) + 1}"
    if not encoding.startswith("utf-8"):
        told = f"byte {len(before) + 1}"
    raise SourceError(f"{name} is not text in UTF-8 or UTF-16: see {told}.")
