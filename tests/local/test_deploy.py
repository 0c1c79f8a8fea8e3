"""The project is copied and configured, never edited."""

import json
import subprocess
from pathlib import Path

import pytest

from local import deploy

from .conftest import PROJECT

REGIONS = {"primary": "us-east-1", "secondary": "us-west-2"}
CONFIG = json.loads((PROJECT / ".chalice" / "config.json").read_text())


def test_every_stage_gets_the_region_of_its_role() -> None:
    made = deploy.local_config(CONFIG, {"PUBLIC_URL": "http://door"}, REGIONS)
    regions = {
        name: stage["environment_variables"]["APP_REGION"] for name, stage in made["stages"].items()
    }
    assert regions == {"primary": "us-east-1", "secondary": "us-west-2", "admin": "us-west-2"}


def test_the_rest_of_the_configuration_is_unchanged() -> None:
    made = deploy.local_config(CONFIG, {"PUBLIC_URL": "http://door"}, REGIONS)
    assert made["environment_variables"]["KEPT"] == "as it was"
    assert made["environment_variables"]["PUBLIC_URL"] == "http://door"
    assert made["stages"]["admin"]["lambda_timeout"] == 9
    assert made["stages"]["primary"]["environment_variables"]["ROLE"] == "PRIMARY"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    project = tmp_path / "repository"
    (project / "chalicelib" / "__pycache__").mkdir(parents=True)
    (project / ".chalice" / "deployed").mkdir(parents=True)
    (project / ".gitignore").write_text("__pycache__/\n.chalice/deployed/\n")
    for name in (
        "app.py",
        "chalicelib/core.py",
        "chalicelib/__pycache__/core.pyc",
        ".chalice/config.json",
        ".chalice/deployed/primary.json",
        "requirements.txt",
        "README.md",
    ):
        (project / name).write_text(name)
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    return project


def test_the_mirror_has_untracked_files_and_no_ignored_ones(repository: Path) -> None:
    assert {str(path) for path in deploy.project_files(repository)} == {
        "app.py",
        "chalicelib/core.py",
        ".chalice/config.json",
        "requirements.txt",
    }


def test_a_mirror_follows_its_project(repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "mirror"
    deploy.mirror(repository, target, {"stages": {}})
    kept = target / ".chalice" / "deployments" / "built.zip"
    kept.parent.mkdir()
    kept.write_text("costly")
    first = deploy.fingerprint(target)
    (repository / "chalicelib" / "core.py").rename(repository / "chalicelib" / "heart.py")
    deploy.mirror(repository, target, {"stages": {}})
    assert not (target / "chalicelib" / "core.py").exists()
    assert (target / "chalicelib" / "heart.py").read_text() == "chalicelib/core.py"
    assert kept.exists()
    assert deploy.fingerprint(target) != first


def test_a_live_mirror_links_to_the_files(repository: Path, tmp_path: Path) -> None:
    target = tmp_path / "live"
    deploy.mirror(repository, target, {"stages": {}}, link=True)
    (repository / "app.py").write_text("edited")
    assert (target / "app.py").read_text() == "edited"
    assert json.loads((target / ".chalice" / "config.json").read_text()) == {"stages": {}}
    assert (repository / ".chalice" / "config.json").read_text() == ".chalice/config.json"


def test_the_shells_sdk_configuration_is_not_used() -> None:
    environ = {"AWS_PROFILE": "production", "AWS_CA_BUNDLE": "/ca", "HOME": "/root"}
    assert deploy.without_aws_variables(environ) == {"AWS_CA_BUNDLE": "/ca", "HOME": "/root"}
