"""
Configuration of the deployment: the stages' settings, and each Region's API URLs.

Its source is the environment (`eval "$(make -s env)"` for the local cloud),
or `.chalice/config.json` and the files of `chalice deploy` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chalicelib.settings import RegionSettings, Settings, SettingsError, base_url

ROLES = ("primary", "secondary")


class ConfigurationError(Exception):
    """Missing or malformed configuration; the message contains the remedy."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """
    Deployment in two Regions.

    *admin_urls* and *token_urls* map a role to the base URL of its admin and
    token API, as far as known; a combined stage has one URL for both.
    """

    settings: Settings
    admin_urls: Mapping[str, str]
    token_urls: Mapping[str, str]

    def region(self, role: str) -> RegionSettings:
        """Return the Region that is *role*: primary or secondary."""
        return self.settings.primary if role == "primary" else self.settings.secondary

    def admin_url(self, role: str) -> str:
        """
        Return the base URL of *role*'s admin API.

        Raises:
            ConfigurationError: If it is unknown.
        """
        try:
            return self.admin_urls[role]
        except KeyError:
            raise ConfigurationError(
                f"The URL of the {role} Region's admin API is unknown. Set "
                f"ADMIN_URL_{role.upper()}, or run this in the directory of "
                f"`make deploy STAGE={role}-admin`."
            ) from None


def find_deployment(environ: Mapping[str, str], directory: Path) -> Deployment:
    """
    Return the deployment that *environ*, or else *directory*'s `.chalice`, describes.

    Raises:
        ConfigurationError: If neither describes one, or a setting is malformed.
    """
    variables = dict(environ) if "REGION_PRIMARY" in environ else _stage_variables(directory)
    # The command line belongs to neither Region; the settings require one.
    variables["APP_REGION"] = variables.get("REGION_PRIMARY", "")
    variables.pop("AWS_LAMBDA_FUNCTION_NAME", None)
    try:
        settings = Settings.from_env(variables)
    except SettingsError as err:
        raise ConfigurationError(str(err)) from None
    return Deployment(
        settings,
        admin_urls=admin_urls(environ, directory),
        # Without a token URL, as on the local cloud, the admin API's stage serves both surfaces.
        token_urls=_urls(environ, directory, "token", ("TOKEN_URL", "ADMIN_URL")),
    )


def admin_urls(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """
    Return the base URLs of the admin APIs by role, as far as known.

    Raises:
        ConfigurationError: If one is not a URL to send secrets to.
    """
    return _urls(environ, directory, "admin", ("ADMIN_URL",))


def _urls(
    environ: Mapping[str, str], directory: Path, surface: str, variables: Sequence[str]
) -> dict[str, str]:
    """Return *surface*'s URLs: the environment's, or else those of split or combined stages."""
    urls = {}
    for role in ROLES:
        names = [f"{variable}_{role.upper()}" for variable in variables]
        stages = (f"{role}-{surface}", role)
        candidates = [
            *((name, environ.get(name)) for name in names),
            *((names[0], _deployed_url(directory, stage)) for stage in stages),
        ]
        for name, url in candidates:
            if url:
                urls[role] = _checked(name, url)
                break
    return urls


def _checked(name: str, url: str) -> str:
    # Answers from this URL contain new client secrets.
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
            f"No deployment is configured here: REGION_PRIMARY is not set, and {path} is missing. "
            "Run this in the project's directory. Or set the environment_variables of its "
            ".chalice/config.json, ADMIN_URL_PRIMARY and ADMIN_URL_SECONDARY."
        ) from None
    except (ValueError, KeyError, TypeError) as err:
        raise ConfigurationError(f"{path} is not readable: {err}") from None


def _deployed_url(directory: Path, stage: str) -> str | None:
    path = directory / ".chalice" / "deployed" / f"{stage}.json"
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
