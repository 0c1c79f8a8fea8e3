"""What `trust` prints is read by the tools of its language; no value gets out of its quotes."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from surrogatectl.cli.templates import environment
from surrogatectl.trust.backends import BACKENDS, javascript, python_or_yaml
from surrogatectl.trust.facts import ISSUERS, KEY_SET, SHARED, Names, Trust, TrustedPool

PYTHON = ("python", "pyjwt", "joserfc")
JAVASCRIPT = ("aws-jwt-verify", "jose")
YAML = ("spring", "envoy")
HOSTILE: Final = (
    "\"'`\\", '"""', "\\", '\\"', "a\nb\r\n\t\0\x7f\x85\u2028", "${x}#{y}",
    "{{ trust }}{% raw %}{# x", "*/ // # <!--", ": - [x] {y: z} &a *b !c", "</script>&lt;",
    "é\ud7ff\U0001f600\udcff",
)  # fmt: skip


def trust_in(value: str, *, scopes: int = 1, clients: int | None = 1, local: bool = False) -> Trust:
    """Return what has *value* wherever something of a deployment is."""
    pools = []
    for role in ("primary", "secondary"):
        issuer = f"https://{role}.example/{value}"
        keys = f"http://127.0.0.1:4001/{value}" if local else issuer + KEY_SET
        app_clients = None if clients is None else tuple(value * n for n in range(1, clients + 1))
        pools.append(TrustedPool(role, "us-east-1", value, issuer, keys, app_clients))
    names = None if clients is None else Names(value, {}, (value,))
    wanted = tuple(value * number for number in range(1, scopes + 1))
    return Trust(
        tuple(pools), "https://auth.example.com", wanted, SHARED if local else ISSUERS, names
    )


VARIANTS: Final = tuple(
    trust_in("demo", scopes=scopes, clients=clients, local=local)
    for scopes in (0, 2)
    for clients in (None, 0, 2)
    for local in (False, True)
)


def run(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def written(directory: Path, backends: Sequence[str], suffix: str, *found: Trust) -> list[Path]:
    """Write what is printed for each of *backends* into files."""
    paths = []
    for backend in backends:
        for number, each in enumerate(found):
            paths.append(directory / f"{backend.replace('-', '_')}_{number}.{suffix}")
            paths[-1].write_text(BACKENDS[backend](each))
    return paths


def test_what_is_printed_for_python_is_what_ruff_would_write(tmp_path: Path) -> None:
    paths = written(tmp_path, PYTHON, "py", *VARIANTS)
    for path in paths:
        compile(path.read_text(), path.name, "exec")
    ruff = Path(sys.executable).with_name("ruff")
    options = ("--isolated", "--no-cache", "--line-length=100", "--target-version=py311")
    assert run(ruff, "format", "--diff", *options, *paths) == ""
    # `token_use` is no password, and a status of HTTP needs no other name.
    rules = ("--select=A,B,C4,E,F,I,N,PL,RUF,S,UP,W", "--ignore=S106,PLR2004")
    assert run(ruff, "check", *options, *rules, *paths) == ""


def test_what_is_printed_for_node_is_javascript(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        if os.environ.get("CI"):
            pytest.fail("There is no Node here, and CI must have it.")
        pytest.skip("There is no Node here: what is printed for it is NOT checked.")
    hostile = [trust_in("".join(HOSTILE), local=local) for local in (False, True)]
    for path in written(tmp_path, JAVASCRIPT, "mjs", VARIANTS[0], VARIANTS[-1], *hostile):
        assert run("node", "--check", path) == ""


@pytest.mark.parametrize("backend", YAML)
@pytest.mark.parametrize("value", ["us-east-1_AbCdEfGhI", *HOSTILE])
def test_what_is_printed_as_yaml_has_the_values_that_it_was_given(backend: str, value: str) -> None:
    found = trust_in(value, clients=2)
    text = [each for each in leaves(yaml.safe_load(BACKENDS[backend](found))) if value in each]
    assert {pool.issuer for pool in found.pools} <= {*text}
    assert {value, value * 2} <= {*text}


def leaves(document: Any) -> list[str]:
    if isinstance(document, dict):
        document = document.values()
    elif not isinstance(document, list):
        return [str(document)]
    return [leaf for each in document for leaf in leaves(each)]


Literal = Callable[[object], object]
READERS: Final[dict[str, tuple[Literal, Callable[[str], object]]]] = {
    **dict.fromkeys(PYTHON, (python_or_yaml, ast.literal_eval)),
    **dict.fromkeys(YAML, (python_or_yaml, yaml.safe_load)),
    **dict.fromkeys(JAVASCRIPT, (javascript, json.loads)),
}


@pytest.mark.parametrize("literal", [javascript, python_or_yaml])
def test_a_name_that_nobody_gave_is_no_literal(literal: Literal) -> None:
    template = environment("surrogatectl.trust", literal).from_string("{{ given }}, {{ missing }}")
    assert template.render(given=("a", 1), missing="<'>") == """["a", 1], "<'>\""""
    with pytest.raises(UndefinedError, match="missing"):
        template.render(given=1)


def test_every_backend_has_a_reader() -> None:
    assert READERS.keys() == BACKENDS.keys()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("local", [False, True])
@given(value=st.text(min_size=1))
@example(value="".join(HOSTILE))
def test_whatever_a_value_is_it_stays_within_its_quotes(
    backend: str,
    local: bool,  # noqa: FBT001
    value: str,
) -> None:
    literal, read = READERS[backend]
    quoted = str(literal(value))
    assert read(quoted) == value
    assert quoted.isascii()
    # With it, the text is what it would be with a harmless one: nothing else has changed.
    harmless = BACKENDS[backend](trust_in("HARMLESS", local=local))
    assert BACKENDS[backend](trust_in(value, local=local)) == harmless.replace(
        "HARMLESS", quoted[1:-1]
    )
