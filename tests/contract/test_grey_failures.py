"""
Answers of a Region whose own services fail: `docs/failures.md`, cell by cell.

The table in that document *is* the expectation: each row is a fault, each column a condition.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.contract.grey_region import (
    BOTH_FAULTS,
    COGNITO_FAULTS,
    CONDITIONS,
    STORE_FAULTS,
    Observation,
    Strike,
    observe,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "failures.md"
SECONDS = 5.0
# State, record and token, each with one more try.
MOST_ASKED = 6
WHO = {
    "Secrets Manager": ({"store"}, STORE_FAULTS),
    "Cognito": ({"cognito"}, COGNITO_FAULTS),
    "Both": ({"store", "cognito"}, BOTH_FAULTS),
}


class Cell(NamedTuple):
    who: str
    fault: str
    condition: str

    @property
    def struck(self) -> dict[str, Strike]:
        servers, faults = WHO[self.who]
        return dict.fromkeys(servers, faults[self.fault])


def rows() -> Iterator[tuple[str, str, list[str]]]:
    """Yield the failing service, the fault, and the cells of that row."""
    for line in DOCUMENT.read_text().splitlines():
        who, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for name in WHO:
            if line.startswith("|") and who.startswith(f"{name} "):
                yield name, who.removeprefix(f"{name} "), cells


EXPECTED = {
    Cell(who, fault, condition): re.sub(r"[*`]", "", cell)
    for who, fault, cells in rows()
    for condition, cell in zip(CONDITIONS, cells, strict=False)
}
ASKED = {(who, fault): cells[len(CONDITIONS)] for who, fault, cells in rows()}


@pytest.fixture(scope="module")
def observed() -> Mapping[Cell, Observation]:
    """Make all observations concurrently: most of each is waiting."""
    with ThreadPoolExecutor(max_workers=12) as pool:
        made = pool.map(lambda cell: observe(cell.struck, cell.condition), EXPECTED)
        return dict(zip(EXPECTED, made, strict=True))


def test_the_document_lists_every_fault() -> None:
    assert {(cell.who, cell.fault) for cell in EXPECTED} == {
        (who, fault) for who, (_, faults) in WHO.items() for fault in faults
    }
    assert len(EXPECTED) == len(CONDITIONS) * len(ASKED)


def undisturbed(cell: Cell, made: Observation) -> Observation:
    """Return *made*, or a separate observation where a busy machine may have disturbed it."""
    busy = made.outcome != EXPECTED[cell] or made.seconds >= SECONDS
    return observe(cell.struck, cell.condition) if busy else made


@pytest.mark.parametrize("cell", EXPECTED, ids="-".join)
def test_a_documented_outcome_is_observed(observed: Mapping[Cell, Observation], cell: Cell) -> None:
    seen = undisturbed(cell, observed[cell])
    assert seen.outcome == EXPECTED[cell]
    assert seen.seconds < SECONDS
    assert seen.asked <= MOST_ASKED
    assert seen.asked_by_twenty_more <= 20, "nobody asks more often while it is ill"
    error = json.loads(seen.body).get("error")
    if seen.outcome == "503":
        assert error == "temporarily_unavailable"
        assert int(seen.headers["Retry-After"]) > 0
    elif seen.outcome == "500":
        assert error == "server_error"
    else:
        assert error is None


@pytest.mark.parametrize(("who", "fault"), ASKED, ids=" ".join)
def test_the_documented_number_of_calls_is_observed(
    observed: Mapping[Cell, Observation], who: str, fault: str
) -> None:
    cell = Cell(who, fault, "cold")
    seen = undisturbed(cell, observed[cell])
    assert f"{seen.asked} + {seen.asked_by_twenty_more}" == ASKED[who, fault]
