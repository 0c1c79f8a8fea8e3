"""
Run all benchmarks or some, and write their results to `benchmarks/results/`.

    python -m benchmarks            # all of them
    python -m benchmarks warm --quick
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import bars, machine, report
from benchmarks.environments import BUILD, ROOT, python
from benchmarks.report import DOCS, NAMES, RESULTS


def main() -> int:
    """Run the benchmarks that the command line names."""
    arguments = _parser().parse_args()
    out = where(arguments.out, quick=arguments.quick)
    if arguments.here:
        _here(arguments.names[0], quick=arguments.quick, out=out)
        return 0
    return _each_in_a_process(arguments.names or NAMES, quick=arguments.quick, out=out)


def where(out: Path | None, *, quick: bool) -> Path:
    """Return the directory for results: a quick run must not replace those of a full one."""
    return out or (BUILD if quick else RESULTS)


def _each_in_a_process(names: Sequence[str], *, quick: bool, out: Path) -> int:
    """Run each of *names* in a process of its own; go on after one that fails."""
    out.mkdir(parents=True, exist_ok=True)
    failed = [name for name in names if not _run(name, quick=quick, out=out)]
    if not quick:
        report.write(out, DOCS if out == RESULTS else out)
        if not _plot(out):
            failed.append("plots")
        report.show(out)
    for name in failed:
        print(f"{name} failed", file=sys.stderr)
    return 1 if failed else 0


def _plot(out: Path) -> bool:
    """Plot all results of *out*; return whether that succeeded."""
    interpreter = python("plots", ROOT / "benchmarks" / "requirements-plots.txt")
    command = [str(interpreter), "-m", "benchmarks.plots", str(out)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _run(name: str, *, quick: bool, out: Path) -> bool:
    command = [sys.executable, "-m", "benchmarks", name, "--here", "--out", str(out.resolve())]
    if quick:
        command.append("--quick")
    print(f"== {name}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _here(name: str, *, quick: bool, out: Path) -> None:
    """Run *name* in this process, and write its result."""
    found: dict[str, Any] = {"benchmark": name, "quick": quick, "machine": machine.describe()}
    found |= importlib.import_module(f"benchmarks.{name}").run(quick=quick)
    found["load_average_after"] = machine.load()
    text = json.dumps(found, indent=1) + "\n"
    with tempfile.NamedTemporaryFile("w", dir=out, suffix=".tmp", delete=False) as written:
        written.write(text)
    Path(written.name).chmod(0o644)
    Path(written.name).replace(out / f"{name}.json")
    _show(found)


def _show(found: dict[str, Any]) -> None:
    print(" ".join(f"{name}={value}" for name, value in found["machine"].items()))
    for name, subject in found.get("subjects", {}).items():
        print(f"  {name:32} " + "  ".join(f"{key}={value}" for key, value in subject.items()))
    for name, bar in found.get("bars", {}).items():
        print(f"  bar {name:40} {_bar(bar)}")


def _bar(bar: dict[str, Any]) -> str:
    verdict = "met" if bars.met(bar) else "NOT MET"
    return f"{bar['found']} ({bars.wanted(bar)}): {verdict}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="benchmark")
    parser.add_argument("--quick", action="store_true", help="a trial run of seconds")
    parser.add_argument("--out", type=Path, help="where to write (quick runs: build/benchmarks)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
