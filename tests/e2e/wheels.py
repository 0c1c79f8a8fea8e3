"""Wheels of this project's two packages, and empty environments to install them into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local.cloud import ROOT

PACKAGES = ("surrogatectl", "chalicelib")
_NOT_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own, used from a directory that is no checkout."""

    directory: Path

    def run(
        self, program: str, *arguments: str | Path, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs as somebody without any configuration."""
        elsewhere = self.directory.parent / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        return subprocess.run(
            [str(self.directory / "bin" / program), *(str(each) for each in arguments)],
            cwd=elsewhere,
            env={"HOME": str(elsewhere), "PATH": os.defpath, **variables},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def must(self, program: str, *arguments: str | Path) -> str:
        """Return what a program prints that must succeed."""
        done = self.run(program, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def project_wheel(scratch: Path) -> Path:
    """Return the wheel with `surrogatectl`."""
    return _built(ROOT, ("LICENSE", "README.md", "pyproject.toml", *PACKAGES), scratch)


def verifier_wheel(scratch: Path) -> Path:
    """Return the wheel for backends."""
    names = ("LICENSE", "README.md", "pyproject.toml", "src")
    return _built(ROOT / "verifier", names, scratch)


def _built(project: Path, names: Sequence[str], scratch: Path) -> Path:
    # Of a copy: building writes into the source's directory. With the setuptools that is pinned.
    source = scratch / "source"
    source.mkdir(parents=True)
    for name in names:
        if (project / name).is_dir():
            shutil.copytree(project / name, source / name, ignore=_NOT_SOURCES)
        else:
            shutil.copyfile(project / name, source / name)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", scratch / "wheels")
    _pip(sys.executable, "wheel", *options, source)
    (wheel,) = (scratch / "wheels").glob("*.whl")
    return wheel


def installed(wheel: Path, directory: Path) -> Environment:
    """Install *wheel* and what it depends on, as pip resolves it now, into a fresh environment."""
    venv.create(directory, with_pip=True, symlinks=True)
    _pip(directory / "bin" / "python", "install", "--only-binary=:all:", wheel)
    return Environment(directory)


def _pip(python: str | Path, *arguments: str | Path) -> None:
    # With this process's environment: how to reach an index is the machine's affair.
    done = subprocess.run(
        [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def license_of(wheel: Path) -> tuple[str, str]:
    """Return what the metadata says of the license, and the text that the wheel carries."""
    with zipfile.ZipFile(wheel) as found:
        names = found.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        (text,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
        (said,) = (
            line.removeprefix("License-Expression: ")
            for line in found.read(metadata).decode().splitlines()
            if line.startswith("License-Expression: ")
        )
        return said, found.read(text).decode()
