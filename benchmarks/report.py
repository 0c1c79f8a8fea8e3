"""
The documents on performance, generated from the stored results: `python -m benchmarks.report`.

It measures nothing.  It fills the one table of `docs/performance.md`, generates
`docs/performance-appendix.md` from the templates beside the benchmarks (`templates/`), and writes
`summary.json` beside the results.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from benchmarks.bars import Found, summary
from benchmarks.environments import ROOT
from benchmarks.tables import tables

RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"
PAGE, APPENDIX = "performance.md", "performance-appendix.md"
NAMES = ("warm", "junk", "cold", "peers", "calls", "scale", "verifier", "trigger")

_NOT_MEASURED = "Not measured yet.\n"
_MARKED = re.compile(r"(<!-- results: summary -->\n).*?(<!-- end -->)", re.DOTALL)
_TEMPLATES = Environment(
    loader=FileSystemLoader(ROOT / "benchmarks" / "templates"),
    autoescape=select_autoescape(),  # of HTML only; these make Markdown
    undefined=StrictUndefined,
    keep_trailing_newline=True,
)


def results(directory: Path) -> dict[str, Found]:
    """Return the result of each benchmark that has written one to *directory*."""
    paths = {name: directory / f"{name}.json" for name in NAMES}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def headlines(found: Mapping[str, Found]) -> str:
    """Return the table of the figures that decide whether to use the project."""
    if missing := [name for name in NAMES if name not in found]:
        return f"Not measured yet: {', '.join(missing)}.\n"
    bars: dict[str, dict[str, Any]] = {name: {} for name in found}
    for bar in summary(found):
        bars[bar["benchmark"]][bar["bar"]] = bar
    return _rendered("summary", found=found, bars=bars, **_verdicts(found))


def filled(page: str, table: str) -> str:
    """Return *page* with *table* between its markers, and its words as they were."""
    return _MARKED.sub(lambda match: f"{match[1]}\n{table}\n{match[2]}", page)


def appendix(found: Mapping[str, Found], plots: str) -> str:
    """Return the appendix: all bars, then each benchmark's text, tables and plot in *plots*."""
    made = tables(found)
    sections = [
        _rendered(name, tables=made.get(name, _NOT_MEASURED), plots=plots).rstrip()
        for name in NAMES
    ]
    page = _rendered("appendix", tables=made, sections=sections, **_verdicts(found))
    return page.rstrip() + "\n"


def write(directory: Path, documents: Path) -> None:
    """Write the summary of *directory* beside its results, and both pages to *documents*."""
    found = results(directory)
    (directory / "summary.json").write_text(json.dumps(summary(found), indent=1) + "\n")
    plots = os.path.relpath(directory, documents)
    (documents / APPENDIX).write_text(appendix(found, plots))
    page = documents / PAGE
    if page.exists():
        page.write_text(filled(page.read_text(), headlines(found)))


def show(directory: Path) -> None:
    """Print the table of bars."""
    rows = summary(results(directory))
    width = max((len(row["says"]) for row in rows), default=0)
    for row in rows:
        says = f"{row['benchmark']:9} {row['says']:{width}}"
        verdict = "met" if row["met"] else "NOT MET"
        print(f"{says}  {row['wanted']:>12}  {row['measured']:>8}  {verdict}")


def _verdicts(found: Mapping[str, Found]) -> dict[str, int]:
    """Return how many bars there are, and how many of them are met."""
    rows = summary(found)
    return {"all": len(rows), "met": sum(row["met"] for row in rows)}


def _rendered(template: str, **values: object) -> str:
    return _TEMPLATES.get_template(f"{template}.md.jinja").render(values)


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    write(given, DOCS if given == RESULTS else given)
    show(given)
