"""Trusted issuers, and the names of their clients."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigurationError

_POOL = re.compile(r"([a-z]{2}(?:-[a-z]+)+-[0-9])_[0-9A-Za-z]{1,55}")
# Visible characters, none of which starts a query, a fragment or credentials.
_URL = re.compile(r"((?![?#@\\])[\x21-\x7e]){1,512}")
_LOOPBACK = "127.0.0.1"
_NAME = re.compile(r"[\x21-\x7e]{1,256}")
KEY_SET_PATH = "/.well-known/jwks.json"


@dataclass(frozen=True, slots=True)
class Issuer:
    """
    Trusted issuer of tokens.

    *url* is the exact value of `iss` in its tokens.  *jwks_url* is the URL of its key set;
    None means the place that OpenID providers use, below *url*.
    """

    url: str
    jwks_url: str | None = None

    @property
    def key_set_url(self) -> str:
        """Return the URL of the issuer's key set."""
        return self.jwks_url or self.url + KEY_SET_PATH


def user_pool(user_pool_id: str, jwks_url: str | None = None) -> Issuer:
    """
    Return the issuer of the user pool *user_pool_id*, whose ID names its Region.

    Raises:
        ConfigurationError: If the ID is not a user pool's.
    """
    found = _POOL.fullmatch(user_pool_id)
    if found is None:
        raise ConfigurationError("a user pool ID looks like us-east-1_AbCdEfGhI.")
    suffix = "amazonaws.com.cn" if found[1].startswith("cn-") else "amazonaws.com"
    return Issuer(f"https://cognito-idp.{found[1]}.{suffix}/{user_pool_id}", jwks_url)


def checked_url(what: str, url: str, *, loopback_http: bool = False) -> str:
    """
    Return *url* if it is an https URL of host and path only.

    *loopback_http* also allows http to this machine, for tests and a local cloud.

    Raises:
        ConfigurationError: If it is not; the message begins with *what*.
    """
    problem = f"{what}: must be an https URL of host and path only."
    if not isinstance(url, str) or not _URL.fullmatch(url):
        raise ConfigurationError(problem)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError(problem) from None
    loopback = parts.scheme == "http" and parts.hostname == _LOOPBACK
    if not parts.hostname or port == 0 or not (parts.scheme == "https" or loopback):
        raise ConfigurationError(problem)
    if loopback and not loopback_http:
        raise ConfigurationError(f"{what}: http needs loopback_http=True, for tests only.")
    return url


@dataclass(frozen=True, slots=True)
class ClientNames:
    """
    Map from app clients to surrogates, by issuer, as operators publish it.

    Needed where the user pools' tier has no trigger that writes the surrogate's client ID
    into the token.
    """

    by_issuer: Mapping[str, Mapping[str, str]]

    @classmethod
    def from_document(cls, document: Any) -> ClientNames:  # noqa: ANN401 - parsed JSON
        """
        Read `{"clients": {"<issuer>": {"<app client ID>": "<client ID>"}}}`.

        Raises:
            ConfigurationError: If the document has another form.
        """
        clients = document.get("clients") if isinstance(document, dict) else None
        if not isinstance(clients, dict):
            raise ConfigurationError("client names: must be an object with a member `clients`.")
        for names in clients.values():
            if not isinstance(names, dict):
                raise ConfigurationError("client names: each issuer's must be an object.")
            for pair in names.items():
                if not all(isinstance(each, str) and _NAME.fullmatch(each) for each in pair):
                    raise ConfigurationError(
                        "client names: app client IDs and client IDs must be visible ASCII."
                    )
        return cls({issuer: dict(names) for issuer, names in clients.items()})

    @classmethod
    def from_file(cls, path: str | Path) -> ClientNames:
        """
        Read the same document from a JSON file.

        Raises:
            ConfigurationError: If there is no such file, or its document has another form.
        """
        try:
            document = json.loads(Path(path).read_bytes())
        except (OSError, ValueError):
            raise ConfigurationError(f"client names: cannot read {path} as JSON.") from None
        return cls.from_document(document)

    def name(self, issuer: str, app_client_id: str) -> str | None:
        """Return the surrogate's client ID, or None if the map does not have it."""
        return self.by_issuer.get(issuer, {}).get(app_client_id)
