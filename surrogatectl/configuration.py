"""
Where the deployment is: the stages' settings, and the admin API of each Region.

They come from the environment (`eval "$(make -s env)"` for the local cloud),
or from `.chalice/config.json` and what `chalice deploy` left beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chalicelib.settings import RegionSettings, Settings, SettingsError, base_url

ROLES = ("primary", "secondary")


class ConfigurationError(Exception):
    """The deployment cannot be found; the message says how to name it."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment in two Regions; *admin_urls* maps a role to its admin API's base URL."""

    settings: Settings
    admin_urls: Mapping[str, str]

    def region(self, role: str) -> RegionSettings:
        """Return the Region that is *role*: primary or secondary."""
        return self.settings.primary if role == "primary" else self.settings.secondary

    def admin_url(self, role: str) -> str:
        """
        Return the base URL of *role*'s admin API.

        Raises:
            ConfigurationError: If it is not known.
        """
        try:
            return self.admin_urls[role]
        except KeyError:
            raise ConfigurationError(
                f"The admin API of the {role} Region is not known: set "
                f"ADMIN_URL_{role.upper()}, or deploy with `chalice deploy --stage {role}`."
            ) from None


def find_deployment(environ: Mapping[str, str], directory: Path) -> Deployment:
    """
    Return the deployment that *environ*, or else *directory*'s `.chalice`, describes.

    Raises:
        ConfigurationError: If neither does, or something in it is wrong.
    """
    variables = dict(environ) if "REGION_PRIMARY" in environ else _stage_variables(directory)
    # The command line is at home in both Regions; the primary is as good as the other.
    variables["APP_REGION"] = variables.get("REGION_PRIMARY", "")
    variables.pop("AWS_LAMBDA_FUNCTION_NAME", None)
    try:
        settings = Settings.from_env(variables)
    except SettingsError as err:
        raise ConfigurationError(str(err)) from None
    urls = {}
    for role in ROLES:
        url = environ.get(f"ADMIN_URL_{role.upper()}") or _deployed_url(directory, role)
        if url:
            urls[role] = _checked(f"ADMIN_URL_{role.upper()}", url)
    return Deployment(settings, urls)


def _checked(name: str, url: str) -> str:
    # New client secrets come over it.
    try:
        return base_url(url)
    except ValueError as err:
        raise ConfigurationError(f"{name}: {err}") from None


def _stage_variables(directory: Path) -> dict[str, str]:
    path = directory / ".chalice" / "config.json"
    try:
        config = json.loads(path.read_text())
        return dict(config["environment_variables"])
    except FileNotFoundError:
        raise ConfigurationError(
            "There is neither REGION_PRIMARY in the environment nor a .chalice/config.json here. "
            "Run this in the project's directory, or set the environment."
        ) from None
    except (ValueError, KeyError, TypeError) as err:
        raise ConfigurationError(f"{path} is not readable: {err}") from None


def _deployed_url(directory: Path, role: str) -> str | None:
    path = directory / ".chalice" / "deployed" / f"{role}.json"
    try:
        resources = json.loads(path.read_text())["resources"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return next(
        (
            str(resource["rest_api_url"])
            for resource in resources
            if resource.get("resource_type") == "rest_api"
        ),
        None,
    )
