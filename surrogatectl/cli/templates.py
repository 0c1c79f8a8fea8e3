"""What is printed for people and other programs, as templates in its own language."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def environment(package: str, finalize: Callable[[object], object] | None = None) -> Environment:
    """
    Return the templates of *package*.

    A name that they were not given is an error.  What they were given is made harmless: by
    *finalize*, in the language of the template, or else as HTML is.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - 30 ms

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
