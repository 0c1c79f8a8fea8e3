"""Import contracts, which also cover future modules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stages import PROJECT

pytestmark = pytest.mark.slow

SDK = "One importer of the SDK and of HTTP clients: aws"
CHALICE = "One importer of Chalice: http"
PORTS = "Use cases know ports, not AWS"
INSTALLED = "The command line is installed without Chalice"
ROOMS = "Dependencies point one way, and every module has a room"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("contracts")
    without = shutil.ignore_patterns("__pycache__")
    for package in ("chalicelib", "surrogatectl", "verifier/src/surrogate_verifier"):
        shutil.copytree(PROJECT / package, root / Path(package).name, ignore=without)
    shutil.copy(PROJECT / "pyproject.toml", root)
    return root


def broken(root: Path) -> set[str]:
    """Return the names of the contracts that `make imports` finds broken in *root*."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = set(re.findall(r"^(.+) BROKEN\b", done.stdout, re.MULTILINE))
    assert (done.returncode == 0) is (not found), done.stdout + done.stderr
    return found


def test_the_contracts_hold(copy: Path) -> None:
    assert broken(copy) == set()


@pytest.mark.parametrize(
    ("module", "line", "contracts"),
    [
        ("chalicelib/planted.py", "import requests", {SDK, ROOMS}),
        ("chalicelib/planted/deep/module.py", "import boto3", {SDK, ROOMS}),
        ("chalicelib/clients/planted.py", "from botocore.config import Config", {SDK}),
        ("chalicelib/token/planted.py", "import urllib3", {SDK}),
        ("chalicelib/http/planted.py", "import boto3", {SDK}),
        ("chalicelib/aws/planted.py", "from chalice.app import Response", {CHALICE}),
        ("chalicelib/reconciliation/deep/planted.py", "import chalice", {CHALICE}),
        ("chalicelib/jwks/planted.py", "from chalicelib.aws import connections", {PORTS, ROOMS}),
        ("chalicelib/clients/planted.py", "from chalicelib.http import problems", {ROOMS}),
        ("surrogatectl/planted.py", "from chalicelib.http import admin_routes", {INSTALLED}),
    ],
)
def test_a_planted_module_outside_its_room_breaks_the_contracts(
    copy: Path, module: str, line: str, contracts: set[str]
) -> None:
    planted = copy / module
    made = [each for each in planted.parents if not each.exists()]
    planted.parent.mkdir(parents=True, exist_ok=True)
    for directory in made:
        (directory / "__init__.py").touch()
    planted.write_text(f"{line}\n")
    try:
        assert broken(copy) == contracts
    finally:
        planted.unlink()
        for directory in made:
            shutil.rmtree(directory)
