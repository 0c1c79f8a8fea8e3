"""The verifier's wheel, installed as at a backend."""

from __future__ import annotations

import json
from pathlib import Path

from local.cloud import ROOT
from tests.e2e.wheels import installed, license_of, verifier_wheel

# Dependencies of pip and cryptography, which this project does not choose.
ALLOWED = {"surrogate-verifier", "pyjwt", "cryptography", "cffi", "pycparser", "typing-extensions"}


def test_the_package_installs_into_a_fresh_environment_with_only_pyjwt(tmp_path: Path) -> None:
    wheel = verifier_wheel(tmp_path / "wheel")
    assert license_of(wheel) == ("Apache-2.0", (ROOT / "LICENSE").read_text())
    environment = installed(wheel, tmp_path / "venv")
    listed = environment.must("python", "-m", "pip", "list", "--format=json")
    brought = {each["name"].lower() for each in json.loads(listed)} - {"pip", "setuptools"}
    assert {"surrogate-verifier", "pyjwt", "cryptography"} <= brought <= ALLOWED
    said = environment.must(
        "python",
        "-I",
        "-c",
        "import surrogate_verifier as s, surrogate_verifier.wsgi, surrogate_verifier.asgi, "
        "surrogate_verifier.aws_lambda, pathlib; "
        "print((pathlib.Path(s.__file__).parent / 'py.typed').exists(), s.__file__)",
    )
    assert said.startswith(f"True {tmp_path / 'venv'}")
