"""Environment of a stage, from `.chalice/config.json`."""

from __future__ import annotations

import json
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def environment(stage: str) -> dict[str, str]:
    """Return the environment variables of *stage*: the common ones, then its own."""
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text())
    return {
        **config["environment_variables"],
        **config["stages"][stage]["environment_variables"],
    }
