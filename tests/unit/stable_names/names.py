"""Public names as plain data: members of JSON, and differences between two lists of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

Names = Mapping[str, Any]
"""Listed names: texts, numbers and lists, below headings."""

# Members named after their subject (a Region, a client ID), and not by the project.
_DATA: Final = (
    (re.compile(r"https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com/[A-Za-z0-9_-]+"), "<issuer>"),
    (re.compile(r"us-(east|west)-[0-9]"), "<Region>"),
    (re.compile(r"sgc_[a-z2-7]{26}"), "<client ID>"),
    (re.compile(r"\b(east|west)[0-9]{22}\b"), "<app client ID>"),
    (re.compile(r"(last_used\.<Region>)\.[a-z2-7]{8}\b"), r"\1.<secret ID>"),
)


def members(documents: Iterable[Any]) -> list[str]:
    """Return the paths of all members of *documents*, without their values."""
    found = {_named(path) for each in documents for path in _paths(each, "")}
    # An empty member in one document may be complete in another.
    return sorted(path for path in found if not any(_is_below(each, path) for each in found))


def _paths(document: Any, path: str) -> Iterator[str]:
    if isinstance(document, Mapping) and document:
        for name, value in document.items():
            yield from _paths(value, f"{path}.{name}" if path else name)
    elif isinstance(document, list) and document:
        for value in document:
            yield from _paths(value, f"{path}[]")
    elif path:
        yield path


def _named(path: str) -> str:
    for pattern, name in _DATA:
        path = pattern.sub(name, path)
    return path


def _is_below(path: str, other: str) -> bool:
    return path.startswith((f"{other}.", f"{other}["))


def differences(before: Names, now: Names) -> list[str]:
    """Return the entries that are in only one of the two."""
    old, new = set(_lines(before)), set(_lines(now))
    return [f"missing: {each}" for each in sorted(old - new)] + [
        f"new: {each}" for each in sorted(new - old)
    ]


def _lines(part: Any, heading: Sequence[str] = ()) -> Iterator[str]:
    if isinstance(part, Mapping):
        yield " / ".join(heading)
        for name, value in part.items():
            yield from _lines(value, (*heading, name))
    elif isinstance(part, list):
        yield " / ".join(heading)
        for value in part:
            yield " / ".join((*heading, str(value)))
    else:
        yield f"{' / '.join(heading)} = {part!r}"
