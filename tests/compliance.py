"""
Markdown table of the standards' requirements and the tests that show them.

    python -m tests.compliance [paths]

The table is generated from the `rfc(spec, section, requirement)` markers, so it
has no requirement without a test.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent


class Requirement(NamedTuple):
    """Requirement of a standard, paraphrased."""

    spec: str
    section: str
    text: str


class CollectionError(Exception):
    """pytest could not collect the tests."""


class _Collector:
    """Pytest plugin that records the collected tests."""

    def __init__(self) -> None:
        self.tests: dict[Requirement, dict[str, None]] = defaultdict(dict)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            # One line per test, for all its parameters.
            name = item.nodeid.partition("[")[0]
            for marker in item.iter_markers("rfc"):
                self.tests[Requirement(*marker.args)][name] = None


def collect(paths: Sequence[str] = (str(TESTS),)) -> Mapping[Requirement, Sequence[str]]:
    """
    Return every marked requirement with the tests that show it.

    Raises:
        CollectionError: If a test module cannot be imported.
    """
    collector = _Collector()
    with contextlib.redirect_stdout(sys.stderr):
        code = pytest.main(
            ["--collect-only", "-qq", "--no-summary", f"--rootdir={ROOT}", *paths], [collector]
        )
    if code != pytest.ExitCode.OK:
        raise CollectionError(f"pytest ended with {code!r}.")
    return {requirement: tuple(tests) for requirement, tests in collector.tests.items()}


def markdown(requirements: Mapping[Requirement, Iterable[str]]) -> str:
    """Return *requirements* as a Markdown table, in the order of the standards."""
    lines = ["| Standard | Section | Requirement | Tests |", "|---|---|---|---|"]
    for requirement in sorted(requirements, key=_order):
        tests = "<br>".join(f"`{test}`" for test in requirements[requirement])
        text = requirement.text.replace("|", "\\|")
        lines.append(f"| RFC {requirement.spec} | {requirement.section} | {text} | {tests} |")
    return "\n".join(lines) + "\n"


def _order(requirement: Requirement) -> tuple[int, list[tuple[bool, int, str]], str]:
    # §10 comes after §9, and the appendices come last.
    section = [
        (not part.isdigit(), int(part) if part.isdigit() else 0, part)
        for part in re.split(r"\.", requirement.section)
    ]
    return int(requirement.spec), section, requirement.text


def main(arguments: Sequence[str]) -> int:
    """Print the table of the tests below *arguments*, of all tests if there are none."""
    try:
        requirements = collect(arguments or (str(TESTS),))
    except CollectionError as err:
        sys.stderr.write(f"{err}\n")
        return 1
    sys.stdout.write(markdown(requirements))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
