"""
Settings, read once from the environment variables of `.chalice/config.json`.

One stage variable, `APP_REGION`, names the stage's own Region and selects the rest.
A wrong setting stops the start with an error that names the variable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlsplit

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_USER_POOL_ID = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]_[0-9A-Za-z]{1,55}")
# Valid in the names of Cognito app clients (`<prefix>-<client ID>`) and of Secrets
# Manager secrets (`<prefix>/clients/<client ID>`).
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
# Visible characters, none of which starts a query, a fragment or credentials.
_URL = re.compile(r"((?![?#@])[\x21-\x7e])+")
_COGNITO = "amazoncognito.com"
_LOG_GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
# A key's ID, its ARN, or an alias; not one of AWS's own aliases, which are the default.
_KMS_KEY_ID = re.compile(
    r"(arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:key/)?"
    r"([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})"
    r"|alias/(?!aws/)[A-Za-z0-9/_-]{1,250}"
)
_LOOPBACK = "127.0.0.1"

SURFACES = frozenset({"token", "admin"})

T = TypeVar("T")


class SettingsError(Exception):
    """A setting is missing or malformed; the message names the variable."""


@dataclass(frozen=True, slots=True)
class RegionSettings:
    """
    One of the two Regions.

    *token_endpoint* is the URL of its Cognito token endpoint, *log_group* the name of
    its function's log group.  *endpoint_url* replaces the AWS endpoints in the local
    cloud.  The key *kms_key_id* encrypts its secrets; `None` means the Region's
    `aws/secretsmanager`.
    """

    name: str
    user_pool_id: str
    token_endpoint: str
    log_group: str
    endpoint_url: str | None
    kms_key_id: str | None = None

    @property
    def issuer(self) -> str:
        """Issuer (`iss`) of the pool's tokens."""
        return f"{self._cognito}/{self.user_pool_id}"

    @property
    def jwks_url(self) -> str:
        """URL of the pool's keys, built from the pool's ID, never read from a document."""
        return f"{self.endpoint_url or self._cognito}/{self.user_pool_id}/.well-known/jwks.json"

    @property
    def _cognito(self) -> str:
        return f"https://cognito-idp.{self.name}.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Settings:
    """
    Settings of one stage.

    *own* is the stage's Region, *other* the other one.  Times are seconds;
    *rotate_app_clients_after_days* is 0 for never.
    """

    primary: RegionSettings
    secondary: RegionSettings
    own: RegionSettings
    other: RegionSettings
    surfaces: frozenset[str]
    secret_prefix: str
    public_url: str
    access_token_seconds: int
    fresh_seconds: int
    stale_seconds: int
    rotate_app_clients_after_days: int

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """
        Read the settings from *environ*.

        Raises:
            SettingsError: If a variable is missing or malformed, or if the function
                runs in another Region than its stage's.
        """
        primary = _region(environ, "PRIMARY")
        secondary = _region(environ, "SECONDARY")
        if primary.name == secondary.name:
            raise SettingsError("REGION_SECONDARY: must differ from REGION_PRIMARY.")
        by_name = {primary.name: primary, secondary.name: secondary}
        app_region = _read(environ, "APP_REGION", _matching(_REGION, "a Region, like us-east-1"))
        if app_region not in by_name:
            raise SettingsError(
                f"APP_REGION: {app_region} is neither REGION_PRIMARY ({primary.name}) "
                f"nor REGION_SECONDARY ({secondary.name})."
            )
        _refuse_foreign_region(environ, app_region)
        own = by_name[app_region]
        fresh = _read(environ, "FRESH_SECONDS", _seconds(1, 300), default="30")
        return cls(
            primary=primary,
            secondary=secondary,
            own=own,
            other=secondary if own is primary else primary,
            surfaces=_read(environ, "SURFACES", _surfaces, default="token admin"),
            secret_prefix=_read(environ, "SECRET_PREFIX", _prefix),
            public_url=_read(environ, "PUBLIC_URL", _origin),
            # Cognito allows 5 minutes to 1 day.
            access_token_seconds=_read(
                environ, "ACCESS_TOKEN_SECONDS", _seconds(300, 86_400), default="3600"
            ),
            fresh_seconds=fresh,
            stale_seconds=_read(environ, "STALE_SECONDS", _seconds(fresh, 86_400), default="900"),
            rotate_app_clients_after_days=_read(
                environ, "ROTATE_APP_CLIENTS_AFTER_DAYS", _days(3_650), default="0"
            ),
        )

    def seen_from_the_other_region(self) -> Settings:
        """Return the same settings with *own* and *other* swapped."""
        return replace(self, own=self.other, other=self.own)


def _region(environ: Mapping[str, str], role: str) -> RegionSettings:
    name = _read(environ, f"REGION_{role}", _matching(_REGION, "a Region, like us-east-1"))
    user_pool_id = _read(
        environ,
        f"USER_POOL_ID_{role}",
        _matching(_USER_POOL_ID, "a user pool ID, like us-east-1_AbCdEfGhI"),
    )
    if not user_pool_id.startswith(f"{name}_"):
        raise SettingsError(f"USER_POOL_ID_{role}: is not a user pool of {name} (REGION_{role}).")
    return RegionSettings(
        name=name,
        user_pool_id=user_pool_id,
        token_endpoint=_read(environ, f"OAUTH_HOST_{role}", _token_endpoint(name)),
        log_group=_read(
            environ,
            f"LOG_GROUP_{role}",
            _matching(_LOG_GROUP, "the name of a log group"),
            default=f"/aws/lambda/surrogate-credentials-{role.lower()}",
        ),
        endpoint_url=_read(environ, f"ENDPOINT_URL_{role}", _url_if_any, default=""),
        kms_key_id=_read(environ, f"KMS_KEY_ID_{role}", _key_if_any(name), default=""),
    )


def _refuse_foreign_region(environ: Mapping[str, str], app_region: str) -> None:
    # Many shells set AWS_REGION too; only beside a function name does it come from
    # the Lambda runtime.
    actual = environ.get("AWS_REGION")
    if "AWS_LAMBDA_FUNCTION_NAME" in environ and actual != app_region:
        raise SettingsError(
            f"APP_REGION: the stage's is {app_region}, but this function runs in {actual}."
        )


def _read(
    environ: Mapping[str, str],
    name: str,
    parse: Callable[[str], T],
    default: str | None = None,
) -> T:
    text = environ.get(name, default)
    if text is None:
        raise SettingsError(f"{name}: is not set.")
    try:
        return parse(text)
    except ValueError as err:
        raise SettingsError(f"{name}: {err}") from None


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be {what}.")
        return text

    return parse


def _key_if_any(region: str) -> Callable[[str], str | None]:
    def parse(text: str) -> str | None:
        if not text:
            return None
        found = _KMS_KEY_ID.fullmatch(text)
        if not found:
            raise ValueError("must be the ID or ARN of a KMS key, or a name like alias/surrogate.")
        if found["region"] not in {None, region}:
            raise ValueError(f"is not a key of {region}; a replica has an ARN of its own.")
        return text

    return parse


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(
            "must be 1 to 32 letters, digits, - or _, starting with a letter or digit."
        )
    return text


def _seconds(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number of seconds from {least} to {most}.")
        return int(text)

    return parse


def _days(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) > most:
            raise ValueError(f"must be a whole number of days up to {most}, or 0 for never.")
        return int(text)

    return parse


def _surfaces(text: str) -> frozenset[str]:
    names = frozenset(text.split())
    if not names or not names <= SURFACES:
        raise ValueError("must be token, admin, or both with a space between.")
    return names


def _url_if_any(text: str) -> str | None:
    return base_url(text) if text else None


def base_url(text: str) -> str:
    """
    Return *text* if it is an https URL of host and path only (http to this machine).

    Raises:
        ValueError: If it is not.
    """
    # urlsplit drops line breaks and empty queries, so it is *text* that is checked and kept.
    if not _URL.fullmatch(text):
        raise ValueError("must be a URL of host and path only.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL.") from None
    local = parts.scheme == "http" and parts.hostname == _LOOPBACK
    if parts.scheme != "https" and not local:
        raise ValueError(f"must be an https URL (http only to {_LOOPBACK}).")
    if not parts.hostname or port == 0:
        raise ValueError("must be a URL of host and path only.")
    return text.rstrip("/")


def _origin(text: str) -> str:
    url = base_url(text)
    if urlsplit(url).path:
        # RFC 8414 §3.1: the metadata would be at a URL without the path, which we do not serve.
        raise ValueError("must be a URL of a host, with no path.")
    return url


def _token_endpoint(region: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        url = base_url(text)
        if not url.endswith("/oauth2/token"):
            raise ValueError("must be the URL of a token endpoint, ending in /oauth2/token.")
        # Cognito's own domain names contain the Region; custom domains do not.
        host = urlsplit(url).hostname or ""
        of_cognito = host == _COGNITO or host.endswith(f".{_COGNITO}")
        here = tuple(f".{auth}.{region}.{_COGNITO}" for auth in ("auth", "auth-fips"))
        if of_cognito and not host.endswith(here):
            raise ValueError(f"is not a token endpoint of {region}.")
        return url

    return parse
