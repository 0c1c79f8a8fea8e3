"""Invariants of the design that hold for the code as a whole."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.stages import PROJECT

MODULES = sorted((PROJECT / "chalicelib").rglob("*.py"))
# Sources of time, randomness and environment.
_SOURCES = frozenset({"time", "datetime", "random", "secrets", "os", "socket", "uuid1", "uuid4"})
# Ways in for a proxy, a .netrc or another CA bundle.
_MODULE_LEVEL_REQUESTS = frozenset({"get", "post", "put", "request"})


def module_name(module: Path) -> str:
    return ".".join(module.relative_to(PROJECT).with_suffix("").parts)


def imported(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES, ids=module_name)
def test_time_randomness_and_environment_enter_through_parameters(module: Path) -> None:
    """Invariant 7."""
    assert not imported(module) & _SOURCES


@pytest.mark.parametrize("module", MODULES, ids=module_name)
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


def ours(tree: ast.AST) -> set[str]:
    """Return the modules of chalicelib imported in *tree*."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("chalicelib"):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names & set(map(module_name, MODULES))


def test_chalicelib_holds_only_modules_that_the_lambda_runs() -> None:
    """app.py reaches every module below chalicelib (design, “Not wanted”)."""
    modules = {module_name(module): module for module in MODULES if module.stem != "__init__"}
    reached: set[str] = set()
    waiting = ours(ast.parse((PROJECT / "app.py").read_text()))
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= ours(ast.parse(modules[name].read_text())) - reached
    assert set(modules) == reached


def adapters() -> set[str]:
    """Return the classes that talk to AWS."""
    found: set[str] = set()
    for module in MODULES:
        if module.parent.name == "aws":
            found |= {
                node.name
                for node in ast.parse(module.read_text()).body
                if isinstance(node, ast.ClassDef) and not node.name.endswith("Error")
            }
    return found - {"Connections"}  # given to the composition root


@pytest.mark.parametrize("package", ["chalicelib", "surrogatectl"])
def test_only_the_composition_root_constructs_adapters(package: str) -> None:
    constructed = {
        (str(module.relative_to(PROJECT)), node.func.id)
        for module in [PROJECT / "app.py", *(PROJECT / package).rglob("*.py")]
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    elsewhere = {
        (module, name)
        for module, name in constructed
        if name in adapters()
        and not module.startswith(("chalicelib/composition/", "chalicelib/aws/"))
    }
    assert elsewhere == set()
