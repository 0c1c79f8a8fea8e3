"""Installed packages are pinned with hashes, and the pin files agree; no test queries an index."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.stages import PROJECT

FILES = {
    "requirements.txt": "lambda",
    "requirements-dev.txt": "development",
    "local/requirements.txt": "local-cloud",
    "benchmarks/requirements-lambda.txt": "benchmark-cold",
    "benchmarks/requirements-peers.txt": "benchmark-peers",
    "benchmarks/requirements-plots.txt": "benchmark-plots",
    "tests/envoy/requirements.txt": "envoy",
}
"""Files written by `make pins`, with their groups of pyproject.toml."""

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Pin:
    version: str
    hashes: frozenset[str]


def pyproject(directory: Path = PROJECT) -> dict[str, Any]:
    return tomllib.loads((directory / "pyproject.toml").read_text())


def pins(path: str) -> dict[str, Pin]:
    """Return the pins of *path*; any line that is no pin with hashes is an error."""
    found: dict[str, Pin] = {}
    lines = (PROJECT / path).read_text().replace("\\\n", " ").splitlines()
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        requirement, *rest = line.split("--hash=")
        hashes = frozenset(each.strip() for each in rest)
        said = Requirement(requirement)
        (specifier,) = said.specifier
        name = canonicalize_name(said.name)
        assert specifier.operator == "==", line
        assert hashes, f"{path} has no hash of {name}"
        assert all(map(_SHA256.fullmatch, hashes)), line
        assert name not in found, f"{path} pins {name} twice"
        found[name] = Pin(specifier.version, hashes)
    return found


def group(name: str) -> Iterator[Requirement]:
    groups: Mapping[str, list[Any]] = pyproject()["dependency-groups"]
    for each in groups[name]:
        if isinstance(each, str):
            yield Requirement(each)
        else:
            yield from group(each["include-group"])


def test_every_group_has_its_file_and_every_file_its_group() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*requirements*.txt"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    # The local cloud's tests have a project without any dependency.
    written = {name for name in listed.stdout.split() if (PROJECT / name).read_text()}
    assert written == set(FILES)
    assert sorted(FILES.values()) == sorted(pyproject()["dependency-groups"])
    made = re.findall(r"\$\(PIN\) (\S+) .*--output-file (\S+)", (PROJECT / "Makefile").read_text())
    assert {path: name for name, path in made} == FILES


@pytest.mark.parametrize("path", FILES)
def test_a_groups_pins_are_in_its_file(path: str) -> None:
    written = pins(path)
    for each in group(FILES[path]):
        name = canonicalize_name(each.name)
        assert str(each.specifier) == f"=={written[name].version}", f"{name}: make pins"


def test_the_same_version_has_the_same_hashes_in_every_file() -> None:
    known: dict[tuple[str, str], frozenset[str]] = {}
    for path in FILES:
        for name, pin in pins(path).items():
            assert known.setdefault((name, pin.version), pin.hashes) == pin.hashes, (path, name)


@pytest.mark.parametrize("path", ["requirements-dev.txt", "benchmarks/requirements-peers.txt"])
def test_the_lambdas_versions_are_the_tested_and_benchmarked_ones(path: str) -> None:
    there = pins(path)
    lambdas = pins("requirements.txt")
    assert {name: there.get(name) for name in lambdas} == lambdas


@pytest.mark.parametrize("directory", [PROJECT, PROJECT / "verifier"], ids=lambda each: each.name)
def test_tested_versions_are_in_the_declared_ranges(directory: Path) -> None:
    tested = pins("requirements-dev.txt")
    declared = pyproject(directory)
    for text in (*declared["project"]["dependencies"], *declared["build-system"]["requires"]):
        wanted = Requirement(text)
        assert wanted.specifier.contains(tested[canonicalize_name(wanted.name)].version), text


def test_make_installs_only_with_hashes() -> None:
    makefile = (PROJECT / "Makefile").read_text().splitlines()
    installs = [line for line in makefile if " -r " in line]
    assert installs
    assert [line for line in installs if "--require-hashes" not in line] == []
