"""Environments of the measured peers, built once in `build/benchmarks/`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "benchmarks"


def once(name: str, inputs: Iterable[Path], make: Callable[[Path], None]) -> Path:
    """Return the directory that *make* filled from *inputs*; refill it when an input changes."""
    digest = hashlib.sha256()
    for path in sorted(_files(inputs)):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    made = BUILD / f"{name}-{digest.hexdigest()[:16]}"
    if not made.exists():
        shutil.rmtree(scratch := made.with_suffix(".tmp"), ignore_errors=True)
        scratch.mkdir(parents=True)
        make(scratch)
        scratch.rename(made)
    return made


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            yield from (each for each in path.rglob("*") if _is_source(each))
        else:
            yield path


def _is_source(path: Path) -> bool:
    return path.is_file() and not {"__pycache__", "deployed", "deployments"} & set(path.parts)


def python(name: str, requirements: Path) -> Path:
    """Return an interpreter of this version with the pinned *requirements*, and nothing else."""

    def make(directory: Path) -> None:
        print(f"installing {name} …", flush=True)
        venv.create(directory, with_pip=False, symlinks=True)
        command = [sys.executable, "-m", "pip", "--python", str(_interpreter(directory))]
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        run([*command, "install", *options, "--requirement", str(requirements)])

    return _interpreter(once(name, [requirements], make))


def _interpreter(environment: Path) -> Path:
    return environment / "bin" / "python"


def run(command: list[str], cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> None:
    """
    Run *command* to its end, with *environment* added to this process's.

    Raises:
        RuntimeError: If it fails.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
