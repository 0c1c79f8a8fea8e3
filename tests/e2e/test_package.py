"""The zip of `make package` and `make deploy`: small, compiled, reproducible."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import requests

from deployment import staging
from deployment.stages import environment, load_config
from local.cloud import ROOT, Cloud
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.split import Split
from tests.e2e.tokens import SECONDS, post_token, verified

# Measured: 3.20 MB. Plain `chalice package` makes 18.1 MB.
MOST_BYTES = 4_000_000
UNCHECKED_HASH = 0b01
_PARTS = ("app.py", "chalicelib", ".chalice", "requirements.txt")


def _archive(project: Path, directory: Path) -> Path:
    staged = staging.stage(project, directory / "staged", load_config(project))
    return staging.archive(staged, "primary-token", directory / "out")


def _copy(project: Path, target: Path, names: Sequence[str]) -> Path:
    """Copy the sources of a package; the copies have the current time."""
    target.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "deployments", "deployed")
    for name in names:
        if (project / name).is_dir():
            shutil.copytree(
                project / name, target / name, ignore=ignored, copy_function=shutil.copyfile
            )
        else:
            shutil.copyfile(project / name, target / name)
    return target


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _copy(ROOT, tmp_path_factory.mktemp("here") / "checkout", _PARTS)


@pytest.fixture(scope="module")
def archive(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _archive(checkout, tmp_path_factory.mktemp("made"))


def test_the_zip_is_reproducible_across_checkouts_and_times(
    archive: Path, checkout: Path, tmp_path: Path
) -> None:
    other = _copy(checkout, tmp_path / "a" / "checkout with a longer name", _PARTS[::-1])
    assert _archive(other, tmp_path / "b").read_bytes() == archive.read_bytes()


def test_the_zip_stays_small(archive: Path) -> None:
    assert archive.stat().st_size <= MOST_BYTES


def test_every_module_has_its_own_unchecked_byte_code(archive: Path) -> None:
    with zipfile.ZipFile(archive) as found:
        names = set(found.namelist())
        sources = {name for name in names if name.endswith(".py")}
        compiled = {importlib.util.source_from_cache(n) for n in names if n.endswith(".pyc")}
        assert compiled == sources
        assert {
            "app.py",
            "chalice/app.py",
            "chalicelib/token/exchange.py",
            "botocore/session.py",
        } <= sources
        for source in sources:
            code = found.read(importlib.util.cache_from_source(source))
            assert code[:4] == importlib.util.MAGIC_NUMBER
            assert int.from_bytes(code[4:8], "little") == UNCHECKED_HASH
            assert code[8:16] == importlib.util.source_hash(found.read(source)), source


def test_the_zip_holds_no_path_of_the_build_machine(archive: Path, checkout: Path) -> None:
    directories = [str(path).encode() for path in (ROOT, checkout.parent, archive.parents[1])]
    with zipfile.ZipFile(archive) as found:
        for name in found.namelist():
            content = found.read(name)
            assert not [each for each in directories if each in content], name


def test_the_zip_holds_only_files_that_the_function_runs(archive: Path) -> None:
    with zipfile.ZipFile(archive) as found:
        names = found.namelist()
    services = {name.split("/")[2] for name in names if name.startswith("botocore/data/")}
    assert {name for name in services if not name.endswith(".json")} == set(staging.SERVICES)
    top = {name.split("/")[0] for name in names}
    assert not top & {"tests", "local", "deployment", "surrogatectl", "pip", "pytest", "moto"}
    assert not [name for name in names if ".dist-info/" in name or "/tests/" in name]


def test_the_function_starts_without_warnings_for_omitted_packages(
    archive: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(archive) as found:
        found.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-S", "-c", _READ_AN_ANSWER],
        cwd=tmp_path,
        env={**environment(load_config(ROOT), "primary-token"), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("é False\n", "")


# An answer without a declared encoding: no package is left that would guess it.
_READ_AN_ANSWER = """
import sys
import app, requests
answer = requests.Response()
answer._content = '{"it": "é"}'.encode()
print(answer.json()["it"], "charset_normalizer" in sys.modules)
"""


def test_a_bare_interpreter_serves_tokens_from_the_zip(
    cloud: Cloud, split: Split, enroll: Callable[[], Credential]
) -> None:
    credential = enroll()
    answer = post_token(split.token.base_url, credential.pair, scope="demo/read")
    assert answer.status_code == 200
    assert verified(cloud, "primary", answer.json()["access_token"])["scope"] == "demo/read"


def test_a_bare_interpreter_serves_administrators_from_the_zip(
    split: Split, surrogatectl: CommandLine
) -> None:
    where = {"ADMIN_URL_PRIMARY": split.admin.base_url}
    enroll = ("enroll", "--name=split", "--scope=demo/read", "--output=json")
    done = surrogatectl.run(*enroll, **where)
    assert done.returncode == 0, done.stderr
    client_id = json.loads(done.stdout)["client_id"]
    rotated = surrogatectl.run("rotate", client_id, "--output=json", **where)
    assert rotated.returncode == 0, rotated.stderr


def test_no_split_stage_serves_the_other_surface(split: Split) -> None:
    unknown = requests.get(f"{split.token.base_url}/clients", timeout=SECONDS)
    assert (unknown.status_code, unknown.json()["error"]) == (404, "invalid_request")
    assert unknown.headers["Cache-Control"] == "no-store"
    assert requests.post(f"{split.admin.base_url}/oauth2/token", timeout=SECONDS).status_code == 403


def test_an_interpreter_other_than_productions_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    for name in ("deployment", "pyproject.toml", ".chalice"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            text = source.read_text()
            running = f"{sys.version_info.major}.{sys.version_info.minor + 1}"
            changed = text.splitlines()
            index = changed.index("[tool.deployment]")
            changed[index + 1] = f'python = "{running}"'
            (tmp_path / name).write_text("\n".join(changed))
    for command in ("package", "deploy"):
        done = subprocess.run(
            [sys.executable, "-m", "deployment", command, "primary-token"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "Production runs Python" in done.stderr
        assert not (tmp_path / "build").exists()
