"""
Staged copy of the project for Chalice, with its dependencies compiled and reduced.

Without it Chalice's zip holds no byte code, so that every cold start compiles every module, and all
of botocore's services. The byte code is marked as never compared with its source: Chalice sets the
dates in the zip, so that a comparison would always fail.
"""

import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import chalice
import chalice.app

from deployment import templates
from deployment.archive import normalize
from deployment.stages import DeploymentError

# The AWS services that chalicelib/ calls; a test compares them with the code.
SERVICES = ("cognito-idp", "logs", "secretsmanager")
# Directory of the additions to the stages' templates, in the copy and in build/.
MERGED = "merged"

# Lambda unpacks the zip here; tracebacks show this path.
_LAMBDA_ROOT = "/var/task"
# The newest glibc that the operating system of Lambda's runtime has: Amazon Linux 2 up to 3.11.
_GLIBC_MINOR_OLD, _GLIBC_MINOR_NEW, _LAST_OLD = 26, 34, (3, 11)
_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}

# Packages that the function never imports. `cffi` and `pycparser` build extensions; a built
# extension needs `_cffi_backend` only.
_UNUSED = (
    "bin",
    "cffi",
    "pycparser",
    "botocore/cacert.pem",  # certifi's is used
    # Guesses undeclared encodings; the function reads only JSON. requests works without it but
    # warns: PYTHONWARNINGS in .chalice/config.json keeps the warning out of the log.
    "charset_normalizer",
)
_UNUSED_KINDS = ("*.dist-info", "*.c", "*.h", "*.pyi", "py.typed", "tests", "examples-1.json")


def stage(
    project: Path, target: Path, config: Mapping[str, Any], *, vendor: Path | None = None
) -> Path:
    """
    Make *target* a copy of *project* to run Chalice in, and return it.

    The compiled packages are those of the running Python version and of the configured
    architecture, or a copy of *vendor*, made earlier by `dependencies`. Chalice's record of
    deployed stages stays in *project*.

    Raises:
        DeploymentError: If a dependency has no package for that platform, or does not compile.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    _copy(project / "app.py", target / "app.py")
    _copy_configuration(project / ".chalice", target / ".chalice")
    templates.write(config, target / MERGED)
    if (project / "chalicelib").is_dir():
        _copy(project / "chalicelib", target / "chalicelib")
        _compile(target / "chalicelib", root=target)
    if vendor is None:
        dependencies(project, target / "vendor", config)
    else:
        shutil.copytree(vendor, target / "vendor")
    (target / "requirements.txt").write_text("# Everything is in vendor/.\n")
    _compile_what_chalice_adds(target, target / "vendor")
    return target


def dependencies(project: Path, vendor: Path, config: Mapping[str, Any]) -> None:
    """
    Fill *vendor* with the compiled dependencies of *project*.

    Raises:
        DeploymentError: If a dependency has no package for the platform, or does not compile.
    """
    vendor.mkdir(parents=True)
    _install(project / "requirements.txt", vendor, config.get("lambda_architecture", "x86_64"))
    _reduce(vendor)
    _compile(vendor, root=vendor)


def archive(staged: Path, chalice_stage: str, output: Path) -> Path:
    """
    Package *chalice_stage* of the staged copy into *output*, and return the zip.

    The zip that Chalice keeps for a later `chalice deploy` is replaced by the same one.
    """
    merged = f"{MERGED}/{chalice_stage}.json"
    run_chalice(
        staged, "package", "--stage", chalice_stage, "--merge-template", merged, str(output)
    )
    kept = list((staged / ".chalice" / "deployments").glob("*.zip"))
    for path in (*kept, output / "deployment.zip"):
        normalize(path)
    return output / "deployment.zip"


def run_chalice(directory: Path, *arguments: str, **environment: str) -> None:
    """
    Run Chalice in *directory*, with *environment* added to this process's environment.

    Raises:
        DeploymentError: If it fails.
    """
    command = [str(Path(sys.executable).with_name("chalice")), *arguments]
    done = subprocess.run(command, cwd=directory, env={**os.environ, **environment}, check=False)
    if done.returncode != 0:
        raise DeploymentError(f"chalice {arguments[0]} failed.")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _copy_configuration(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.glob("*.json"):
        _copy(path, target / path.name)
    (source / "deployed").mkdir(exist_ok=True)
    (target / "deployed").symlink_to((source / "deployed").resolve())


def _install(requirements: Path, vendor: Path, architecture: str) -> None:
    """Install for Lambda exactly the files whose hashes are in *requirements*."""
    version = sys.version_info[:2]
    newest = _GLIBC_MINOR_OLD if version <= _LAST_OLD else _GLIBC_MINOR_NEW
    machine = _MACHINES[architecture]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 16, -1)]
    tags = [f"cp{version[0]}{version[1]}", "abi3", "none"]
    _run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile"),
            *("--target", str(vendor), "--requirement", str(requirements)),
            *("--implementation", "cp", "--python-version", f"{version[0]}.{version[1]}"),
            *(f"--platform={name}" for name in (*platforms, f"manylinux2014_{machine}")),
            *(f"--abi={tag}" for tag in tags),
        ]
    )


def _reduce(vendor: Path) -> None:
    for path in (vendor / name for name in _UNUSED):
        _remove(path)
    for pattern in _UNUSED_KINDS:
        for path in [*vendor.rglob(pattern)]:
            _remove(path)
    data = vendor / "botocore" / "data"
    for path in data.glob("*/"):
        if path.name not in SERVICES:
            _remove(path)
    for path in data.glob("endpoints.json"):
        _reduce_endpoints(path)


def _reduce_endpoints(path: Path) -> None:
    """Remove the endpoints of unused services: botocore reads all of them at each start."""
    endpoints = json.loads(path.read_text())
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in SERVICES if name in services}
    path.write_text(json.dumps(endpoints, separators=(",", ":")))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _compile(directory: Path, root: Path) -> None:
    """Compile all of *directory*, to be unpacked at *root*."""
    _run(
        [
            # Isolated and sequential: byte code must not depend on other loaded modules.
            *(sys.executable, "-I", "-m", "compileall", "-q", "-f", "-j1"),
            *("--invalidation-mode", "unchecked-hash"),
            *("-s", str(root), "-p", _LAMBDA_ROOT),
            str(directory),
        ],
        PYTHONHASHSEED="0",
    )


def _compile_what_chalice_adds(target: Path, vendor: Path) -> None:
    """
    Put the byte code of `app.py` and of Chalice's runtime into *vendor*.

    Chalice adds these sources to the zip itself, without byte code.
    """
    scratch = target / "scratch"
    for source, name in _added_by_chalice(target):
        copy = scratch / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    _compile(scratch, root=scratch)
    for path in [*scratch.rglob("*.pyc")]:
        kept = vendor / path.relative_to(scratch)
        kept.parent.mkdir(parents=True, exist_ok=True)
        path.rename(kept)
    shutil.rmtree(scratch)


def _added_by_chalice(target: Path) -> Iterator[tuple[Path, str]]:
    yield target / "app.py", "app.py"
    yield Path(inspect.getfile(chalice)), "chalice/__init__.py"
    yield Path(inspect.getfile(chalice.app)), "chalice/app.py"


def _run(command: Sequence[str], **environment: str) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DeploymentError(f"{command[2:4]} failed:\n{done.stdout}{done.stderr}")
