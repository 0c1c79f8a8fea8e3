"""Invariants of the design that hold for the code as a whole."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "chalicelib").glob("*.py"))
# Where the clock, randomness and the environment would come from.
_SOURCES = frozenset({"time", "datetime", "random", "secrets", "os", "socket", "uuid1", "uuid4"})
# A proxy, a .netrc or another CA bundle would come in by these.
_MODULE_LEVEL_REQUESTS = frozenset({"get", "post", "put", "request"})


def imported(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_time_randomness_and_environment_enter_through_parameters(module: Path) -> None:
    """Invariant 7."""
    assert not imported(module) & _SOURCES


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_network_is_reached_through_one_session(module: Path) -> None:
    """Invariant 7: a call of `requests.post` would read proxies from the environment."""
    calls = {
        node.func.attr
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "requests"
    }
    assert not calls & _MODULE_LEVEL_REQUESTS


def test_the_lambda_holds_nothing_that_it_does_not_run() -> None:
    """Every module below chalicelib is reached from app.py (design, “Not wanted”)."""
    reached: set[str] = set()
    waiting = {
        name.removeprefix("chalicelib.")
        for node in ast.walk(ast.parse((ROOT / "app.py").read_text()))
        if isinstance(node, ast.ImportFrom) and (name := node.module or "").startswith("chalicelib")
    }
    while waiting:
        name = waiting.pop()
        reached.add(name)
        tree = ast.parse((ROOT / "chalicelib" / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                found = [node.module] if node.module else [alias.name for alias in node.names]
                waiting |= set(found) - reached
    assert {module.stem for module in MODULES} - {"__init__"} == reached
