"""Both performance documents agree with the stored results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bars import met, summary, wanted
from benchmarks.report import (
    APPENDIX,
    DOCS,
    NAMES,
    PAGE,
    RESULTS,
    appendix,
    filled,
    headlines,
    results,
    write,
)
from benchmarks.tables import tables

FOUND = results(RESULTS)
TABLES = tables(FOUND)
GENERATED = (DOCS / APPENDIX).read_text()


def test_every_benchmark_has_been_run_in_full() -> None:
    assert set(FOUND) == set(NAMES)
    assert not any(result["quick"] for result in FOUND.values())


def test_the_page_has_the_summary_of_the_stored_results() -> None:
    """If it does not: `make bench-report`."""
    page = (DOCS / PAGE).read_text()
    assert page.count("<!-- results: summary -->") == 1
    assert page == filled(page, headlines(FOUND))


def test_the_page_is_short_has_one_table_and_links_to_the_appendix() -> None:
    page = (DOCS / PAGE).read_text()
    assert len(page.splitlines()) <= 80
    assert len(re.findall(r"^\| --- ", page, re.MULTILINE)) == 1
    assert page.count(f"]({APPENDIX})") == 1


def test_the_appendix_agrees_with_the_stored_results() -> None:
    """If it is not: `make bench-report`."""
    assert appendix(FOUND, "../benchmarks/results") == GENERATED


@pytest.mark.parametrize("name", ["bars", "machine", *NAMES])
def test_the_appendix_has_every_table(name: str) -> None:
    assert TABLES[name] in GENERATED


@pytest.mark.parametrize("name", NAMES)
def test_the_appendix_says_how_to_run_a_benchmark_and_shows_its_plot(name: str) -> None:
    plot = RESULTS / f"{name}.png"
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert plot.stat().st_size < 150_000
    assert f"](../benchmarks/results/{name}.png)" in GENERATED
    assert f"`make bench ONLY={name}`" in GENERATED


def test_the_appendix_links_to_files_that_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)", GENERATED)
    assert [each for each in links if not (DOCS / each).exists()] == []


def test_the_summary_agrees_with_the_stored_results() -> None:
    assert json.loads((RESULTS / "summary.json").read_text()) == summary(FOUND)


def test_a_report_of_other_results_does_not_change_committed_documents(tmp_path: Path) -> None:
    (tmp_path / "warm.json").write_text((RESULTS / "warm.json").read_text())
    before = (DOCS / PAGE).read_text()
    write(tmp_path, tmp_path)
    other = (tmp_path / APPENDIX).read_text()
    assert TABLES["warm"] in other
    assert TABLES["junk"] not in other
    assert other.count("Not measured yet.") == len(NAMES) - 1
    assert ((DOCS / PAGE).read_text(), (DOCS / APPENDIX).read_text()) == (before, GENERATED)


def test_an_incomplete_summary_names_missing_results() -> None:
    assert headlines({"warm": FOUND["warm"]}) == (
        "Not measured yet: junk, cold, peers, calls, scale, verifier, trigger.\n"
    )


def test_a_summary_works_without_the_node_peer() -> None:
    peers = json.loads((RESULTS / "peers.json").read_text())
    peers["bars"] = {key: bar for key, bar in peers["bars"].items() if "oidc" not in key}
    there, absent = headlines(FOUND), headlines({**FOUND, "peers": peers})
    assert len(there.splitlines()) == len(absent.splitlines()) + 1
    assert "oidc-provider" in there
    assert "oidc-provider" not in absent


def test_a_missed_bar_is_marked_in_both_documents() -> None:
    warm = json.loads((RESULTS / "warm.json").read_text())
    warm["bars"]["with_telemetry"]["found"] = 2.6
    found = {**FOUND, "warm": warm}
    count = len(summary(FOUND))
    assert "| ≤ 2.5 | **no** |" in headlines(found)
    assert f"met {count - 1} of {count} bars" in headlines(found)
    assert f"met {count - 1} of {count} bars" in appendix(found, "")
    assert "| ≤ 2.5 | 2.6 | **no** |" in appendix(found, "")


def test_filling_a_page_keeps_its_prose() -> None:
    page = "before\n<!-- results: summary -->\nold\n<!-- end -->\nafter\n"
    assert filled(page, "new\n") == (
        "before\n<!-- results: summary -->\n\nnew\n\n<!-- end -->\nafter\n"
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
