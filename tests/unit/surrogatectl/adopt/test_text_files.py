"""Text in the encodings that shells and spreadsheets write, compressed or not."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogatectl.adopt.rows import SourceError
from surrogatectl.adopt.text_files import decode, read_text
from tests.unit.surrogatectl.adopt.adoption_world import SECRET
from tests.unit.surrogatectl.adopt.row_files import ENCODINGS, assert_not_read, encodings


@given(more=st.text(st.characters(codec="utf-8")), encode=encodings, compressed=st.booleans())
def test_text_is_read_whole_in_every_encoding(
    *, more: str, encode: Callable[[str], bytes], compressed: bool
) -> None:
    text = f"{SECRET}{more}"
    content = encode(text)
    assert decode(gzip.compress(content, mtime=0) if compressed else content, "x") == text


@given(st.binary())
def test_bytes_are_text_or_named(content: bytes) -> None:
    try:
        decode(content, "the file")
    except SourceError as err:
        assert str(err).startswith("the file is ")  # noqa: PT017 - only if it is raised


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a\nb\n\xe4" + SECRET.encode(), "is not text in UTF-8 or UTF-16: see line 3."),
        (b"\xff\xfea\0\xff", "is not text in UTF-8 or UTF-16: see byte 5."),
        (b"\xff\xfe\0\xd8a\0", "is not text in UTF-8 or UTF-16: see byte 3."),
        (b"PK\x03\x04" + SECRET.encode(), "save it as “CSV UTF-8”"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "save it as “CSV UTF-8”"),
        (b"\xe0\x01\x00\xea", "export the table as DynamoDB JSON"),
        (gzip.compress(b"$ion_1_0 {Item:{}}", mtime=0), "export the table as DynamoDB JSON"),
        (
            gzip.compress(SECRET.encode(), mtime=0)[:-1],
            "is a gzip file that is damaged or cut off.",
        ),
        (
            gzip.compress(SECRET.encode(), mtime=0) + b"more",
            "is a gzip file that is damaged or cut off.",
        ),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "clients"
    path.write_bytes(content)
    assert_not_read(lambda: read_text(path), told)
    assert_not_read(lambda: read_text(path), str(path))


@given(st.text(), st.data())
def test_a_compressed_file_that_was_cut_off_is_never_read(text: str, data: st.DataObject) -> None:
    whole = gzip.compress(text.encode("utf-8", "replace"), mtime=0)
    end = data.draw(st.integers(2, len(whole) - 1))
    assert_not_read(lambda: decode(whole[:end], "the file"), "damaged or cut off")


def test_compressed_files_may_stand_one_after_another() -> None:
    # The files of one export: cat data/*.json.gz
    assert decode(gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0), "x") == "ab"


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    assert_not_read(lambda: read_text(tmp_path / "nothing"), "No such file or directory")


def test_every_encoding_is_told_apart() -> None:
    assert len({encode("a") for encode in ENCODINGS.values()}) == len(ENCODINGS)
