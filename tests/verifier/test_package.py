"""The package has no dependencies but PyJWT."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import surrogate_verifier
from surrogate_verifier import errors

PACKAGE = Path(surrogate_verifier.__file__).parent
README = Path(__file__).parents[2] / "verifier" / "README.md"


def test_the_package_imports_only_the_standard_library_and_pyjwt() -> None:
    imported = set()
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).partition(".")[0])
    # _typeshed exists only in type checkers, and in all of them.
    assert imported - sys.stdlib_module_names == {"jwt", "cryptography", "_typeshed"}


def test_the_package_depends_only_on_pyjwt() -> None:
    project = tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]
    assert [re.split(r"[><=]", each)[0] for each in project["dependencies"]] == ["pyjwt[crypto]"]


def test_the_package_is_marked_as_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_every_export_exists() -> None:
    for name in surrogate_verifier.__all__:
        assert hasattr(surrogate_verifier, name)


def test_every_error_is_exported_and_documented() -> None:
    text = README.read_text()
    for name, found in vars(errors).items():
        if isinstance(found, type) and issubclass(found, errors.RequestRefusedError):
            assert name in surrogate_verifier.__all__
            assert f"`{name}`" in text, f"{name} is not in {README.name}"


def test_the_examples_in_the_readme_are_python() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("surrogate_"):
                module = __import__(str(node.module), fromlist=["x"])
                assert all(hasattr(module, alias.name) for alias in node.names)
