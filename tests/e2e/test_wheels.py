"""`pip install .` and `pipx install .`: an installed `surrogatectl` outside a checkout."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from local.cloud import ROOT
from tests.e2e.wheels import PACKAGES, Environment, installed, license_of, project_wheel
from tests.stages import environment as stage_environment

CLIENT = "sgc_" + "a" * 26
# One command of each kind: over the admin API, over AWS's APIs, on the local cloud, and offline.
NEED_A_DEPLOYMENT = (
    ("show", CLIENT),
    ("failover", "--to=secondary"),
    ("drill",),
    ("trust", "--for=envoy"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return installed(wheel, tmp_path_factory.mktemp("fresh") / "venv")


def test_the_wheel_has_its_license_and_every_file_of_the_two_packages(wheel: Path) -> None:
    said, text = license_of(wheel)
    assert (said, text) == ("Apache-2.0", (ROOT / "LICENSE").read_text())
    with zipfile.ZipFile(wheel) as found:
        names = {name for name in found.namelist() if ".dist-info/" not in name}
    assert names == {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_the_installed_command_prints_its_version_and_help(environment: Environment) -> None:
    assert "surrogatectl, version 0." in environment.must("surrogatectl", "--version")
    assert "enroll" in environment.must("surrogatectl", "--help")


def test_every_module_imports_and_every_command_has_help(
    environment: Environment,
) -> None:
    explained = json.loads(environment.must("python", "-I", "-c", _EXPLAIN_ALL))
    assert explained.keys() >= {"enroll", "adopt", "app-clients", "failback", "trust"}
    assert {name for name, exit_code in explained.items() if exit_code != 0} == set()


_EXPLAIN_ALL = """
import importlib, json, pkgutil
import click
from click.testing import CliRunner
import surrogatectl
from surrogatectl.main import main

for module in pkgutil.walk_packages(surrogatectl.__path__, "surrogatectl."):
    importlib.import_module(module.name)

def names(command, *path):
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from names(each, *path, name)

print(json.dumps({
    " ".join(path): CliRunner().invoke(main, [*path, "--help"]).exit_code for path in names(main)
}))
"""


@pytest.mark.parametrize("command", NEED_A_DEPLOYMENT, ids=" ".join)
def test_a_command_that_needs_a_deployment_says_how_to_name_one(
    environment: Environment, command: tuple[str, ...]
) -> None:
    done = environment.run("surrogatectl", *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: No deployment is configured here: REGION_PRIMARY")
    assert f"{Path('elsewhere', '.chalice', 'config.json')} is missing. Run this in" in done.stderr


def test_configure_names_its_missing_configuration_file(
    environment: Environment,
) -> None:
    done = environment.run("surrogatectl", "configure")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no .chalice/config.json here.")


def test_environment_settings_suffice(environment: Environment) -> None:
    settings = {
        **stage_environment("primary"),
        # The shipped settings are refused, because they are an example.
        "USER_POOL_ID_PRIMARY": "us-east-1_AbCdEfGhI",
        "USER_POOL_ID_SECONDARY": "us-west-2_JkLmNoPqR",
    }
    done = environment.run("surrogatectl", "trust", "--for=envoy", **settings)
    assert done.returncode == 0, done.stderr
    assert settings["USER_POOL_ID_SECONDARY"] in done.stdout
