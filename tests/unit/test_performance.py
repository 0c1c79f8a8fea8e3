"""The document on performance says what the last run of the benchmarks found, and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from benchmarks.report import (
    DOCUMENT,
    NAMES,
    RESULTS,
    as_markdown,
    filled,
    met,
    results,
    summary,
    tables,
    wanted,
)

FOUND = results(RESULTS)


def test_every_benchmark_has_been_run_in_full() -> None:
    assert set(FOUND) == set(NAMES)
    assert not any(result["quick"] for result in FOUND.values())


def test_the_document_has_the_tables_of_the_last_run() -> None:
    """If it does not: `python -m benchmarks.report`."""
    document = DOCUMENT.read_text()
    assert document == filled(document, tables(FOUND))
    marked = set(re.findall(r"<!-- results: (\w+) -->", document))
    assert marked == {"bars", "machine", *NAMES}


def test_the_summary_is_that_of_the_last_run() -> None:
    assert json.loads((RESULTS / "summary.json").read_text()) == summary(FOUND)
    assert (RESULTS / "summary.md").read_text() == as_markdown(FOUND)


@pytest.mark.parametrize("name", NAMES)
def test_every_plot_is_there_and_shown(name: str) -> None:
    plot = RESULTS / f"{name}.png"
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert plot.stat().st_size < 150_000
    assert f"../benchmarks/results/{name}.png" in DOCUMENT.read_text()


def test_the_words_around_the_tables_stay() -> None:
    document = "before\n<!-- results: warm -->\nold\n<!-- end -->\nafter\n"
    assert filled(document, {"warm": "new\n"}) == (
        "before\n<!-- results: warm -->\n\nnew\n\n<!-- end -->\nafter\n"
    )


@pytest.mark.parametrize(
    ("bar", "words", "kept"),
    [
        ({"found": 1.5, "at_most": 1.5}, "≤ 1.5", True),
        ({"found": 1.51, "at_most": 1.5}, "≤ 1.5", False),
        ({"found": 98, "at_least": 98.0}, "≥ 98.0", True),
        ({"found": 97.9, "at_least": 98.0}, "≥ 98.0", False),
        ({"found": 0.94, "at_least": 0.95, "at_most": 1.05}, "0.95 to 1.05", False),
        ({"found": 1.06, "at_least": 0.95, "at_most": 1.05}, "0.95 to 1.05", False),
        ({"found": 1, "at_least": 0.95, "at_most": 1.05}, "0.95 to 1.05", True),
        ({"found": 0, "at_most": 0}, "≤ 0", True),
    ],
)
def test_a_bar_is_met_or_not(bar: dict[str, Any], words: str, kept: bool) -> None:  # noqa: FBT001
    assert (wanted(bar), met(bar)) == (words, kept)
