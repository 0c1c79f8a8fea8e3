"""
A cold start: from the process's start to the first token, under AWS's own runtime client (bar 3).

Secrets Manager and the token endpoint are on loopback, over TLS.  The CA bundle that comes with
the package has one certificate more, theirs.  Lambda's own work (fetching the zip, starting a
microVM) is outside the measurement.
"""

from __future__ import annotations

import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.arrangement import token_event
from benchmarks.environments import ROOT, once, python
from benchmarks.environments import run as run_command
from benchmarks.lambda_runtime import Start, start
from benchmarks.region import Region, client, environment, serving
from chalicelib.credentials import SecretHasher
from deployment import staging
from deployment.stages import load_config
from tests.contract.certificates import Authority
from tests.contract.loopback import LOOPBACK

_STAGE = "primary-token"
_SOURCES = ("app.py", "chalicelib", ".chalice", "requirements.txt")
_OK = 200


def run(*, quick: bool) -> dict[str, Any]:
    """Start each package as a Lambda would, in turns."""
    interpreter = python("lambda", ROOT / "benchmarks" / "requirements-lambda.txt")
    made = once("packages", [*(ROOT / name for name in _SOURCES), ROOT / "deployment"], _package)
    with tempfile.TemporaryDirectory() as scratch:
        authority = Authority.make(Path(scratch))
        tasks = _unpack(made, Path(scratch), authority.bundle.read_bytes())
        starts = _in_turns(interpreter, tasks, authority, rounds=1 if quick else 15)
        sizes = {name: (made / f"{name}.zip").stat().st_size for name in ("untouched", "packaged")}
    found: dict[str, Any] = {
        "zip_bytes": sizes,
        "subjects": {name: _summary(each, starts["untouched"]) for name, each in starts.items()},
    }
    packaged = found["subjects"]["packaged"]
    found["bars"] = {
        "cpu": {
            "says": "CPU from spawn to first token ÷ as `chalice package` ships it",
            "at_most": 0.45,
            "found": packaged["cpu_ratio_to_untouched"],
        },
        "wall": {
            "says": "time from spawn to first token ÷ as `chalice package` ships it",
            "at_most": 0.45,
            "found": packaged["wall_ratio_to_untouched"],
        },
    }
    return found


def _package(target: Path) -> None:
    """Make both zips of the project: that of `chalice package`, and that of `make package`."""
    print("packaging …", flush=True)
    project = target / "project"
    project.mkdir()
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "deployed", "deployments")
            shutil.copytree(ROOT / name, project / name, ignore=ignored)
        else:
            shutil.copyfile(ROOT / name, project / name)
    chalice = str(Path(sys.executable).with_name("chalice"))
    run_command([chalice, "package", "--stage", _STAGE, "out"], cwd=project)
    (project / "out" / "deployment.zip").rename(target / "untouched.zip")
    staged = staging.stage(ROOT, target / "staged", load_config(ROOT))
    staging.archive(staged, _STAGE, target / "out").rename(target / "packaged.zip")
    for name in ("project", "staged", "out"):
        shutil.rmtree(target / name)


def _unpack(made: Path, scratch: Path, authority: bytes) -> dict[str, Path]:
    """Unpack both zips, the one also with byte code, the other also without."""
    tasks = {}
    for name in ("untouched", "packaged"):
        tasks[name] = scratch / name
        zipfile.ZipFile(made / f"{name}.zip").extractall(tasks[name])
        for bundle in tasks[name].rglob("cacert.pem"):
            bundle.write_bytes(bundle.read_bytes() + authority)
    tasks["untouched_with_byte_code"] = scratch / "compiled"
    shutil.copytree(tasks["untouched"], scratch / "compiled")
    _compile(scratch / "compiled")
    tasks["packaged_without_byte_code"] = scratch / "stripped"
    shutil.copytree(
        tasks["packaged"], scratch / "stripped", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tasks


def _compile(directory: Path) -> None:
    options = ["-q", "--invalidation-mode", "unchecked-hash"]
    # Some packages carry files for other versions of Python, which do not compile.
    subprocess.run(
        [sys.executable, "-I", "-m", "compileall", *options, str(directory)],
        capture_output=True,
        check=False,
    )


def _in_turns(
    interpreter: Path, tasks: Mapping[str, Path], authority: Authority, rounds: int
) -> dict[str, list[Start]]:
    region = Region()
    issued, record = client(SecretHasher(secrets.token_bytes))
    region.add(record)
    starts: dict[str, list[Start]] = {name: [] for name in tasks}
    with serving(region, authority.server(LOOPBACK)) as server:
        for number in range(-1, rounds):
            order = list(tasks) if number % 2 else list(tasks)[::-1]
            for name in order:
                started = start(
                    interpreter,
                    tasks[name],
                    token_event(issued),
                    environment(server.url_for(LOOPBACK)),
                )
                if started.answer["statusCode"] != _OK:
                    raise RuntimeError(f"{name} answered {started.answer['statusCode']}.")
                if number >= 0:  # the first of each finds nothing in the system's file cache
                    starts[name].append(started)
    return starts


def _summary(starts: list[Start], base: list[Start]) -> dict[str, float]:
    pairs = list(zip(starts, base, strict=True))
    return {
        "ready_ms": round(statistics.median(each.ready_ms for each in starts), 1),
        "first_token_ms": round(statistics.median(each.answered_ms for each in starts), 1),
        "cpu_ms": round(statistics.median(each.cpu_ms for each in starts), 1),
        "wall_ratio_to_untouched": round(
            statistics.median(one.answered_ms / of.answered_ms for one, of in pairs), 3
        ),
        "cpu_ratio_to_untouched": round(
            statistics.median(one.cpu_ms / of.cpu_ms for one, of in pairs), 3
        ),
    }
