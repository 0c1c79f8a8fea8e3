"""Templates: undefined names, escaping, and packaging."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from surrogatectl.cli.templates import environment
from tests.stages import PROJECT

TEMPLATES = sorted((PROJECT / "surrogatectl").rglob("*.j2"))


# Those with an underscore have macros alone, for the others.
@pytest.mark.parametrize(
    "path", [path for path in TEMPLATES if path.name[0] != "_"], ids=lambda path: path.name
)
def test_a_template_refuses_an_undefined_name(path: Path) -> None:
    package = ".".join(path.parent.parent.relative_to(PROJECT).parts)
    with pytest.raises(UndefinedError):
        environment(package).get_template(path.name).render()


def test_template_values_are_escaped_as_html() -> None:
    made = environment("surrogatectl.drill").from_string("<b title='{{ it }}'>").render(it="'<\">")
    assert made == "<b title='&#39;&lt;&#34;&gt;'>"


def test_every_template_is_in_the_package() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
    shipped = {
        path
        for pattern in settings["package-data"]["*"]
        for path in (PROJECT / "surrogatectl").rglob(pattern)
    }
    assert TEMPLATES
    assert {path for path in shipped if path.suffix == ".j2"} == {*TEMPLATES}
    others = {path for path in (PROJECT / "surrogatectl").rglob("*.*") if path.suffix != ".py"}
    assert {path for path in others if "__pycache__" not in path.parts} == shipped
