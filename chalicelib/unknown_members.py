"""
Members of stored JSON that this version does not know, kept through a rewrite.

A newer version may have written them.  They stay with the object that they stand in: an
object of a list is recognized by the member that identifies it, one of a map by its name.
They go only with that object.  Their meaning is unknown, so they may be secrets: no
`repr` shows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Place = tuple[str, ...]
"""Member that holds an object, and what tells the object from others there."""


@dataclass(frozen=True, slots=True)
class Shape:
    """
    Known members of an object, and the shapes of the objects within it.

    *objects* are members that hold one object or `null`, *maps* those that hold objects or
    lists of objects by name, *lists* those that hold a list of objects.  *identity* is the
    member that tells this object from others in its place; without it, an object is whatever
    stands there.
    """

    members: frozenset[str]
    objects: Mapping[str, Shape] = field(default_factory=dict)
    maps: Mapping[str, Shape] = field(default_factory=dict)
    lists: Mapping[str, Shape] = field(default_factory=dict)
    identity: str | None = None

    def within(self, content: Mapping[str, Any]) -> Iterator[tuple[Place, Shape, dict[str, Any]]]:
        """Yield the place, shape and content of every object directly within *content*."""
        for name, shape in self.objects.items():
            found = content.get(name)
            if isinstance(found, dict):
                yield (name, shape.key(found)), shape, found
        for name, shape in self.maps.items():
            for key, value in content[name].items():
                for found in value if isinstance(value, list) else [value]:
                    yield (name, key, shape.key(found)), shape, found
        for name, shape in self.lists.items():
            for found in content[name]:
                yield (name, shape.key(found)), shape, found

    def key(self, content: Mapping[str, Any]) -> str:
        """Return the name that tells *content* from other objects in its place."""
        return "" if self.identity is None else str(content[self.identity])


@dataclass(frozen=True, slots=True)
class UnknownMembers:
    """Unknown members of one object, and of the objects *within* it."""

    members: Mapping[str, Any] = field(default_factory=dict, repr=False)
    within: Mapping[Place, UnknownMembers] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.members or self.within)


NOTHING = UnknownMembers()


def unknown_members(content: Mapping[str, Any], shape: Shape) -> UnknownMembers:
    """
    Return the members of *content* that *shape* does not know.

    Raises:
        KeyError, TypeError, AttributeError: If *content* is not of that shape.
    """
    members = {name: value for name, value in content.items() if name not in shape.members}
    within = {}
    for place, inner, found in shape.within(content):
        unknown = unknown_members(found, inner)
        if unknown:
            within[place] = unknown
    return UnknownMembers(members, within) if members or within else NOTHING


def with_unknown_members(
    content: dict[str, Any], shape: Shape, unknown: UnknownMembers
) -> dict[str, Any]:
    """Add *unknown* to *content*, of that *shape*, where its objects still are; return it."""
    if unknown.within:
        for place, inner, found in shape.within(content):
            if place in unknown.within:
                with_unknown_members(found, inner, unknown.within[place])
    content |= unknown.members
    return content
