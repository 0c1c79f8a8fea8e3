"""What `doctor` finds: each with how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found in *region*; `None` for what concerns both."""

    check: str
    region: str | None
    level: Level
    detail: str
    remedy: str = ""


def ok(check: str, region: str | None, detail: str) -> Finding:
    """Return that all is well."""
    return Finding(check, region, Level.OK, detail)


def warning(check: str, region: str | None, detail: str, remedy: str) -> Finding:
    """Return that something will go wrong, or cannot be seen."""
    return Finding(check, region, Level.WARNING, detail, remedy)


def failed(check: str, region: str | None, detail: str, remedy: str) -> Finding:
    """Return that something is wrong."""
    return Finding(check, region, Level.FAILED, detail, remedy)
