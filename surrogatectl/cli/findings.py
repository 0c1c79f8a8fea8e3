"""Findings of `doctor`, each with its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """Finding of one check in *region*; `None` stands for both Regions."""

    check: str
    region: str | None
    level: Level
    detail: str
    remedy: str = ""


def ok(check: str, region: str | None, detail: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check, region, Level.OK, detail)


def warning(check: str, region: str | None, detail: str, remedy: str) -> Finding:
    """Return a finding about a future problem, or an incomplete check."""
    return Finding(check, region, Level.WARNING, detail, remedy)


def failed(check: str, region: str | None, detail: str, remedy: str) -> Finding:
    """Return a finding about a present problem."""
    return Finding(check, region, Level.FAILED, detail, remedy)
