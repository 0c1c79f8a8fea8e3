"""The benchmarks run, and what they count is what they say; no test here has an eye on a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import ROOT


def run(name: str, out: Path) -> dict[str, Any]:
    """Run the benchmark *name* in its quick mode; return what it wrote."""
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "bar " in done.stdout
    found: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    assert found["quick"] is True
    assert {"at", "cpu", "python", "load_average"} <= found["machine"].keys()
    return found


def test_a_warm_exchange_hashes_nothing_and_opens_no_socket(tmp_path: Path) -> None:
    found = run("warm", tmp_path)
    assert {"no_op", "exchange", "exchange_with_telemetry"} == found["subjects"].keys()
    for crowd in found["crowds"]:
        assert (crowd["argon2"], crowd["sockets"]) == (0, 0)
        # A count of all blocks of the interpreter, most of which are none of ours.
        assert crowd["blocks_left_allocated_per_exchange"] < 1


def test_junk_is_refused_and_what_it_leaves_behind_is_bounded(tmp_path: Path) -> None:
    found = run("junk", tmp_path)
    assert found["flood"]["guesses_refused"] > 0
    assert found["repeated"]["repeats_that_hashed"] == 0
    half, whole = (each["allocated_blocks"] for each in found["memory"])
    distinct = found["memory"][1]["distinct_requests"] - found["memory"][0]["distinct_requests"]
    assert whole - half < distinct / 4, "more than a stray block here and there"


def test_an_unknown_benchmark_is_named() -> None:
    command = [sys.executable, "-m", "benchmarks", "cool"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cool" in done.stderr


@pytest.mark.parametrize("quick", [True, False])
def test_a_quick_run_does_not_replace_what_was_measured(quick: bool) -> None:  # noqa: FBT001
    from benchmarks.__main__ import BUILD, RESULTS, where  # noqa: PLC0415

    assert where(None, quick=quick) == (BUILD if quick else RESULTS)
