"""`pip install ./verifier`, as a backend's engineer does it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from local.cloud import ROOT

# What pip and cryptography bring along; nothing of it is ours to choose.
ALLOWED = {"surrogate-verifier", "pyjwt", "cryptography", "cffi", "pycparser", "typing-extensions"}


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_installs_into_a_fresh_environment_and_brings_only_pyjwt(tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    # A copy: building writes into the source's directory.
    source = tmp_path / "verifier"
    run("cp", "-r", ROOT / "verifier", source)
    run(*pip, "install", "-q", source)
    found = {each["name"].lower() for each in json.loads(run(*pip, "list", "--format=json"))}
    brought = found - {"pip", "setuptools"}  # of every environment
    assert {"surrogate-verifier", "pyjwt", "cryptography"} <= brought <= ALLOWED
    said = run(
        python,
        "-I",
        "-c",
        "import surrogate_verifier as s, surrogate_verifier.wsgi, surrogate_verifier.asgi, "
        "surrogate_verifier.aws_lambda, pathlib; "
        "print((pathlib.Path(s.__file__).parent / 'py.typed').exists(), s.__file__)",
    )
    assert said.startswith(f"True {tmp_path / 'venv'}")
