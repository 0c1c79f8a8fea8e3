"""The index of the decision records lists every record, and accounts for every missing number."""

from __future__ import annotations

import re
from pathlib import Path

ADRS = Path(__file__).parents[2] / "docs" / "adr"
INDEX = (ADRS / "README.md").read_text()
RECORDS = {path.name: path.read_text() for path in sorted(ADRS.glob("0*.md"))}


def test_the_index_lists_every_record_with_its_title_and_status() -> None:
    rows = re.findall(
        r"^\| \[(\d+)\]\(([\w-]+\.md)\) \| (.+?) \| .+\. \| (\w+) \|$", INDEX, re.MULTILINE
    )
    assert [name for _, name, _, _ in rows] == list(RECORDS)
    for number, name, title, status in rows:
        assert RECORDS[name].startswith(f"# {number}. {title}\n\nStatus: {status}\n"), name
        assert int(name[:4]) == int(number)


def test_the_index_names_unused_numbers() -> None:
    used = {int(name[:4]) for name in RECORDS}
    missing = sorted(set(range(1, max(used))) - used)
    (named,) = re.findall(r"the numbers ([\d, and]+)\.", INDEX)
    assert [int(each) for each in re.findall(r"\d+", named)] == missing


def test_the_records_link_to_files_that_exist() -> None:
    for name, text in {**RECORDS, "README.md": INDEX}.items():
        links = re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", text)
        assert [each for each in links if not (ADRS / each).exists()] == [], name
