"""Errors as problem documents."""

from __future__ import annotations

from chalicelib.errors import OperationError, ServiceError
from chalicelib.http.problem import Problem
from chalicelib.http.problems import INTERNAL, problem_of


def as_problem(error: OperationError) -> Problem:
    """Return the problem of *error*; it must have one, which names the Region that failed."""
    problem = problem_of(error)
    assert problem is not INTERNAL
    assert not isinstance(error, ServiceError) or error.region or problem.slug == "invalid-cursor"
    return problem
