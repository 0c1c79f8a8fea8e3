"""Cold start of a stage's function in its own process, with a record of its connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gateway import Answer

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Run:
    """Answers of a function, and every `host:port` that it tried to connect to or look up."""

    answers: list[Answer]
    attempts: frozenset[str]


def cold_start(events: Sequence[Mapping[str, Any]], environment: Mapping[str, str]) -> Run:
    """Send *events* to a function that has just started with empty caches."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.function"],
        input=json.dumps(events),
        env={"PATH": os.defpath, "HOME": os.devnull, **environment},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return Run(
        [Answer(each["statusCode"], each["headers"], each["body"]) for each in found["answers"]],
        frozenset(found["attempts"]),
    )
