"""Stages of `.chalice/config.json` and their Python version in production."""

import json
import platform
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Config = Mapping[str, Any]

CONFIG = Path(".chalice/config.json")


class DeploymentError(Exception):
    """A refused or failed deployment; the message has the reason."""


def load_config(project: Path) -> Config:
    """Return the Chalice configuration of *project*."""
    config: Config = json.loads((project / CONFIG).read_text())
    return config


def environment(config: Config, stage: str) -> dict[str, str]:
    """
    Return the environment variables of *stage*.

    Raises:
        DeploymentError: If there is no such stage.
    """
    stages = config["stages"]
    if stage not in stages:
        known = ", ".join(stages)
        raise DeploymentError(f"STAGE must be one of {known}; it is {stage or 'not set'}.")
    return {**config["environment_variables"], **stages[stage].get("environment_variables", {})}


def region(config: Config, stage: str) -> str:
    """Return the Region that *stage* is deployed to."""
    return environment(config, stage)["APP_REGION"]


def surfaces(config: Config, stage: str) -> frozenset[str]:
    """Return what *stage* serves."""
    return frozenset(environment(config, stage).get("SURFACES", "token admin").split())


def production_version(project: Path) -> str:
    """Return the minor version of Python that production runs, for example 3.11."""
    settings = tomllib.loads((project / "pyproject.toml").read_text())
    return str(settings["tool"]["deployment"]["python"])


def refuse_other_versions(wanted: str, running: str | None = None) -> None:
    """
    Refuse to build for production with another interpreter than production's.

    Chalice takes the version that it runs in for the function's runtime, and compiled packages
    load in no other.

    Raises:
        DeploymentError: If *running* is of another minor version than *wanted*.
    """
    running = running or platform.python_version()
    if running.rpartition(".")[0] != wanted:
        raise DeploymentError(
            f"Production runs Python {wanted} (tool.deployment in pyproject.toml). This is "
            f"{running}, which Chalice would deploy instead. Make the environment anew with "
            f"{wanted}: rm -r .venv && make install PYTHON=python{wanted}. Or change production's "
            "version there, and run all tests with it."
        )
