"""Table of problems, and errors as types."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from chalicelib import errors
from chalicelib.clients import errors as clients_errors
from chalicelib.clients.errors import NotTheWriterError
from chalicelib.errors import OperationError, ServiceError, StoreThrottledError, concerning
from chalicelib.http import request_errors
from chalicelib.http.problems import INTERNAL, KINDS, explain, problem_of, slug_of
from tests.stages import PROJECT
from tests.worlds import EAST, WEST

MODULES = [
    module
    for package in ("chalicelib", "surrogatectl")
    for module in sorted((PROJECT / package).rglob("*.py"))
    if module.name != "problems.py"  # the table itself
]


def types_in(module: object) -> list[type[OperationError]]:
    found = [each for each in vars(module).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, OperationError)]


@pytest.mark.parametrize(
    "error", [*types_in(clients_errors), *types_in(request_errors)], ids=lambda kind: kind.__name__
)
def test_every_error_of_a_use_case_and_of_a_request_is_in_the_table(
    error: type[OperationError],
) -> None:
    assert error is OperationError or error in KINDS


@pytest.mark.parametrize("error", types_in(errors), ids=lambda kind: kind.__name__)
def test_no_error_has_two_bases(
    error: type[OperationError],
) -> None:
    assert len(error.__bases__) == 1


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_code_compares_slugs(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Compare):
            assert "slug" not in ast.unparse(node), f"{module}:{node.lineno}"


def test_an_error_has_the_problem_of_its_nearest_type() -> None:
    assert slug_of(StoreThrottledError("Secrets Manager: Throttling")) == "store-unavailable"
    assert problem_of(NotTheWriterError(EAST, WEST)).extensions == {
        "region": EAST,
        "writing_region": WEST,
    }


def test_a_region_that_did_not_answer_is_not_said_to_write() -> None:
    known, presumed = (
        problem_of(NotTheWriterError(EAST, WEST, presumed=each)).detail for each in (False, True)
    )
    assert f"{WEST}, which writes" in known
    assert "which writes" not in presumed
    assert f"Whether {WEST} does is not known" in presumed


@pytest.mark.parametrize("error", [OperationError("text"), ValueError("text")])
def test_an_error_without_a_row_is_an_internal_error_without_its_text(error: Exception) -> None:
    assert problem_of(error) is INTERNAL
    assert "text" not in INTERNAL.body


def test_an_error_without_a_row_is_shown_to_operators() -> None:
    assert explain(ServiceError("The log ends.")) == "The log ends."
    assert explain(ServiceError()) == "ServiceError"


def test_leftovers_are_reported() -> None:
    problem = problem_of(NotTheWriterError(EAST, WEST).leaving(["one"]).leaving(["two"]))
    assert problem.detail.endswith("Left for `surrogatectl reconcile`: one, two.")
    assert problem.extensions["left_behind"] == ["one", "two"]


def test_an_error_of_a_port_keeps_the_region_that_was_named_first() -> None:
    with pytest.raises(StoreThrottledError) as caught, concerning(WEST), concerning(EAST):
        raise StoreThrottledError
    assert EAST in problem_of(caught.value).detail
