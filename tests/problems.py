"""Errors as administrators are told of them."""

from __future__ import annotations

from chalicelib.errors import OperationError, ServiceError
from chalicelib.http.problem import Problem
from chalicelib.http.problems import INTERNAL, problem_of


def as_problem(error: OperationError) -> Problem:
    """Return *error* as its problem; it has one, and names the Region whose service failed."""
    problem = problem_of(error)
    assert problem is not INTERNAL
    assert not isinstance(error, ServiceError) or error.region or problem.slug == "invalid-cursor"
    return problem
