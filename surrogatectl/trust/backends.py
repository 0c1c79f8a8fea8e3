"""
What each kind of backend is configured with: text, made of the facts alone.

Every one of these does the same: it takes the two issuers and no other, each with its own keys,
RS256, the time, `token_use`, and the scopes and app clients that were named; and it goes on
with the keys that it has when an issuer cannot be reached.  docs/backends.md says which of
them the tests run with real tokens.

The texts are templates in the languages of the backends.  Every value that a template
receives becomes a literal of its language, without a filter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from surrogatectl.cli.templates import environment
from surrogatectl.trust.facts import Trust

Render = Callable[[Trust], str]


class _Literal(str):
    """Text that is in the template's language already."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def javascript(value: object) -> object:
    """Return *value* as JavaScript has it."""
    return value if hasattr(value, "__html__") else _Literal(json.dumps(value, default=str))


def python_or_yaml(value: object) -> object:
    """
    Return *value*, which may be text, a number or a list, as both Python and YAML have it.

    Of a character beyond U+FFFF they know one escape, where JSON has two halves.
    """
    if hasattr(value, "__html__"):
        return value
    text = json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", r"\x7f")
    return _Literal(text.encode("ascii", "backslashreplace").decode())


def _render(name: str, literal: Callable[[object], object], trust: Trust) -> str:
    return environment("surrogatectl.trust", literal).get_template(name).render(trust=trust)


BACKENDS: Final[Mapping[str, Render]] = MappingProxyType(
    {
        "spring": partial(_render, "spring.yaml.j2", python_or_yaml),
        "aws-jwt-verify": partial(_render, "aws-jwt-verify.mjs.j2", javascript),
        "jose": partial(_render, "jose.mjs.j2", javascript),
        "envoy": partial(_render, "envoy.yaml.j2", python_or_yaml),
        "python": partial(_render, "python.py.j2", python_or_yaml),
        "pyjwt": partial(_render, "pyjwt.py.j2", python_or_yaml),
        "joserfc": partial(_render, "joserfc.py.j2", python_or_yaml),
    }
)
