"""
Where the deployment is: the stages' settings, and the admin API of each Region.

They come from the environment (`eval "$(make -s env)"` for the local cloud),
or from `.chalice/config.json` and what `chalice deploy` left beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chalicelib.settings import RegionSettings, Settings, SettingsError, base_url

ROLES = ("primary", "secondary")


class ConfigurationError(Exception):
    """The deployment cannot be found; the message says how to name it."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """
    A deployment in two Regions.

    *admin_urls* and *token_urls* map a role to the base URL of its admin and
    its token API, as far as they are known; in a combined stage both are one.
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
            ConfigurationError: If it is not known.
        """
        try:
            return self.admin_urls[role]
        except KeyError:
            raise ConfigurationError(
                f"The admin API of the {role} Region is not known: set "
                f"ADMIN_URL_{role.upper()}, or run this where `make deploy STAGE={role}-admin` "
                "left its .chalice/deployed."
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
    return Deployment(
        settings,
        admin_urls=_urls(environ, directory, "admin", ("ADMIN_URL",)),
        # Where only one API is named, as by the local cloud, it serves both.
        token_urls=_urls(environ, directory, "token", ("TOKEN_URL", "ADMIN_URL")),
    )


def _urls(
    environ: Mapping[str, str], directory: Path, surface: str, variables: Sequence[str]
) -> dict[str, str]:
    """Return where *surface* is: what the environment says, or else a split or combined stage."""
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
            f"No deployment is configured here: REGION_PRIMARY is not set, and there is no {path}. "
            "Run this in the project's directory, or set in the environment what its "
            ".chalice/config.json has in environment_variables, and ADMIN_URL_PRIMARY and "
            "ADMIN_URL_SECONDARY."
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
