"""Tables of docs/architecture.md against the code."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from tests.stages import PROJECT

DOCUMENT = (PROJECT / "docs" / "architecture.md").read_text()
CACHES = re.compile(
    r"\b(LastKnownCache|ExpiringCache|TTLCache|LRUCache|lru_cache|OrderedDict)(?:\[.*?\])?\("
)


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below *heading*, without its head."""
    section = DOCUMENT.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("row", rows("How long anything may take"), ids=lambda row: str(row[0]))
def test_a_documented_limit_agrees_with_the_code(row: list[str]) -> None:
    _, seconds, _, constant = row
    if constant == "-":
        return
    module, _, name = constant.strip("`").rpartition(".")
    assert float(seconds) == getattr(import_module(f"chalicelib.{module}"), name)


@pytest.mark.parametrize("row", rows("How much one caller may cause"), ids=lambda row: str(row[0]))
def test_a_documented_allowance_agrees_with_the_code(row: list[str]) -> None:
    _, at_once, per_second, _, constants = row
    for number, constant in zip((at_once, per_second), constants.split(", "), strict=True):
        module, _, name = constant.strip("`").rpartition(".")
        assert float(number) == getattr(import_module(f"chalicelib.{module}"), name)


def test_every_cache_is_documented() -> None:
    named = {row[-1].strip("`") for row in rows("Which caches there are")}
    code = PROJECT / "chalicelib"
    found = {
        ".".join(module.relative_to(code).with_suffix("").parts)
        for module in code.rglob("*.py")
        if CACHES.search(module.read_text())
    }
    assert found == named
