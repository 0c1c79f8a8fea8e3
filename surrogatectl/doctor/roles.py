"""Compares IAM policies: what is granted with what is needed, as far as texts can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

Grants = frozenset[tuple[str, str]]
"""Pairs of an action and a resource, both possibly patterns."""


def granted(documents: Iterable[Mapping[str, Any]]) -> Grants:
    """Return what *documents* allow.  Denials and conditions are not looked at."""
    return frozenset(pair for document in documents for pair in _pairs(document))


def missing(wanted: Mapping[str, Any], grants: Grants) -> list[str]:
    """Return the actions of *wanted* that *grants* do not allow on all of its resources."""
    return sorted(
        {
            action
            for action, resource in _pairs(wanted)
            if not any(
                fnmatchcase(action.lower(), may.lower()) and fnmatchcase(resource, on)
                for may, on in grants
            )
        }
    )


def _pairs(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for statement in _many(document["Statement"]):
        if statement.get("Effect") == "Allow":
            for action in _many(statement.get("Action", [])):
                for resource in _many(statement.get("Resource", [])):
                    yield action, resource


def _many(value: Any) -> list[Any]:  # noqa: ANN401 - one, or a list of them
    return value if isinstance(value, list) else [value]
