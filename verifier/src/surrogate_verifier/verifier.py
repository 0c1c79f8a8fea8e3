"""Verifier: returns the content of a valid token, or raises the error of the failed check."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from .errors import (
    AudienceError,
    ClaimError,
    ClientError,
    ClientNameError,
    ConfigurationError,
    ExpiredError,
    MalformedTokenError,
    NotYetValidError,
    ScopeError,
    SignatureError,
    TokenUseError,
    UnknownIssuerError,
)
from .fetching import Fetch, HttpsFetch
from .issuers import ClientNames, Issuer, checked_url
from .keys import KeyRing, Keys, Pace, Source, in_a_thread, keys_of
from .structure import ALGORITHM, UnverifiedToken, parse
from .token import VerifiedToken


class Anything(Enum):
    """Marker for a check that is disabled on purpose."""

    ANY = "any"


class KeyOrigin(Enum):
    """Marker for key sets that every issuer serves itself."""

    ISSUERS = "issuers"


class NoAudience(Enum):
    """Marker for tokens that name no audience."""

    NONE = "none"


ANY: Final = Anything.ANY
FROM_ISSUERS: Final = KeyOrigin.ISSUERS
NO_AUDIENCE: Final = NoAudience.NONE

Snapshot = Mapping[str, Any] | str | Path

_SURROGATE_CLAIM = "surrogate_client_id"
_MAX_TOKEN_BYTES = 16_384
_MOST_LEEWAY = 300
_LONGEST_NAME = 256


class Verifier:
    """
    Verifier of tokens of several issuers.

    No check is optional by omission: *token_use*, *audiences*, *scopes* (all of them are
    required) and *clients* (the surrogates' client IDs) have no defaults; `ANY` disables the
    check of scopes or clients.

    Args:
        issuers: The accepted issuers; see `user_pool`.
        keys: `FROM_ISSUERS`, or the URL of one key set in which each key names its issuer, such
            as `https://auth.example.com/.well-known/jwks.json`.  Keys missing there are
            fetched from the issuer itself.
        token_use: `access` for access tokens, which machines get; `id` for ID tokens.
        audiences: The names of this backend, one of which a token's `aud` must have; or
            `NO_AUDIENCE`, for the tokens of Cognito's machine clients: then a token with an
            audience is refused, because it is for somebody else (RFC 7519 §4.1.3).
        scopes: The scopes that a token must have.
        clients: The allowed clients.
        snapshot: An initial key set that names issuers (parsed, or a file): a new process
            then needs no network, even while an issuer is down.
        client_names: The published map from app clients to surrogates; see `ClientNames`.
        leeway: Seconds by which the issuers' clocks may differ from this one.
        fetch: Returns the bytes at a URL, or raises `FetchError`.
        pace: The intervals between fetches of a key set.
        loopback_http: Allow key sets over http from 127.0.0.1: for tests and a local cloud.
        clock: The time, in seconds since the epoch.
        monotonic: A clock that never goes back.
        background: Runs a refresh that no request waits for.

    Raises:
        ConfigurationError: If an argument is invalid.
    """

    def __init__(  # noqa: PLR0913 - given by name
        self,
        issuers: Collection[Issuer],
        *,
        keys: KeyOrigin | str,
        token_use: Literal["access", "id"],
        audiences: Collection[str] | NoAudience,
        scopes: Collection[str] | Anything,
        clients: Collection[str] | Anything,
        snapshot: Snapshot | None = None,
        client_names: ClientNames | None = None,
        leeway: float = 30.0,
        max_token_bytes: int = _MAX_TOKEN_BYTES,
        fetch: Fetch | None = None,
        pace: Pace | None = None,
        loopback_http: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        background: Callable[[Callable[[], None]], None] = in_a_thread,
    ) -> None:
        _issuer_urls(issuers)
        self._build(
            issuers,
            _sources(issuers, keys, loopback_http=loopback_http),
            token_use=token_use,
            audiences=audiences,
            scopes=scopes,
            clients=clients,
            snapshot={} if snapshot is None else _snapshot_keys(snapshot),
            client_names=client_names,
            leeway=leeway,
            max_token_bytes=max_token_bytes,
            fetch=fetch or HttpsFetch(),
            pace=pace or Pace(),
            clock=clock,
            monotonic=monotonic,
            background=background,
        )

    @classmethod
    def from_snapshot(  # noqa: PLR0913 - given by name
        cls,
        snapshot: Snapshot,
        issuers: Collection[Issuer],
        *,
        token_use: Literal["access", "id"],
        audiences: Collection[str] | NoAudience,
        scopes: Collection[str] | Anything,
        clients: Collection[str] | Anything,
        client_names: ClientNames | None = None,
        leeway: float = 30.0,
        max_token_bytes: int = _MAX_TOKEN_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> Verifier:
        """
        Return a verifier that never uses the network.  The arguments are those of the class.

        A change of an issuer's keys requires a new snapshot.

        Raises:
            ConfigurationError: If an issuer has no key in it, or another argument is invalid.
        """
        found = _snapshot_keys(snapshot)
        for issuer in issuers:
            if not found.get(issuer.url):
                raise ConfigurationError(f"snapshot: has no usable key of {issuer.url}.")
        verifier = cls.__new__(cls)
        verifier._build(  # noqa: SLF001 - our own
            issuers,
            {issuer.url: () for issuer in issuers},
            token_use=token_use,
            audiences=audiences,
            scopes=scopes,
            clients=clients,
            snapshot=found,
            client_names=client_names,
            leeway=leeway,
            max_token_bytes=max_token_bytes,
            fetch=HttpsFetch(),
            pace=Pace(),
            clock=clock,
            monotonic=time.monotonic,
            background=in_a_thread,
        )
        return verifier

    def _build(  # noqa: PLR0913 - given by name
        self,
        issuers: Collection[Issuer],
        sources: Mapping[str, Sequence[Source]],
        *,
        token_use: str,
        audiences: Collection[str] | NoAudience,
        scopes: Collection[str] | Anything,
        clients: Collection[str] | Anything,
        snapshot: Mapping[str, Keys],
        client_names: ClientNames | None,
        leeway: float,
        max_token_bytes: int,
        fetch: Fetch,
        pace: Pace,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        background: Callable[[Callable[[], None]], None],
    ) -> None:
        if token_use not in ("access", "id"):
            raise ConfigurationError("token_use: must be access or id.")
        if not 0 <= leeway <= _MOST_LEEWAY:
            raise ConfigurationError(f"leeway: must be 0 to {_MOST_LEEWAY} seconds.")
        self._issuers = _issuer_urls(issuers)
        self._token_use = token_use
        self._audiences = _names("audiences", audiences, NO_AUDIENCE, may_be_empty=False)
        self._scopes = _names("scopes", scopes, ANY, may_be_empty=False)
        self._clients = _names("clients", clients, ANY, may_be_empty=True)
        if token_use == "id" and self._scopes is not None:  # noqa: S105 - a kind of token
            raise ConfigurationError("scopes: ID tokens have none; say ANY.")
        if token_use == "id" and self._audiences is None:  # noqa: S105 - a kind of token
            raise ConfigurationError("audiences: ID tokens have one, their app client's ID.")
        self._client_names = client_names or ClientNames({})
        self._leeway = leeway
        self._max_token_bytes = max_token_bytes
        self._clock = clock
        self._signatures = jwt.PyJWS(algorithms=[ALGORITHM])
        self._ring = KeyRing(
            sources,
            snapshot,
            fetch=fetch,
            pace=pace,
            monotonic=monotonic,
            background=background,
        )

    def load_keys(self) -> None:
        """Fetch the key sets now, so that the first request need not wait.  This never fails."""
        self._ring.load()

    def verify(self, token: str) -> VerifiedToken:
        """
        Return the content of *token* if every check passes; this may wait for a key set.

        Raises:
            TokenError: If the token is invalid; each check has its own class.
            AccessError: If the token is valid, but its scopes or client do not suffice.
            KeysUnavailableError: If its issuer's keys are unavailable: it may be valid.
        """
        unverified = self._parse(token)
        key = self._ring.find(unverified.issuer, unverified.key_id)
        return self._checked(token, unverified, key)

    def verify_at_once(self, token: str) -> VerifiedToken | None:
        """
        Verify *token* without waiting; return None if a key set would have to be fetched first.

        For event loops: on None, call `verify` in a thread.

        Raises:
            TokenError: As `verify`.
            AccessError: As `verify`.
        """
        unverified = self._parse(token)
        key = self._ring.known(unverified.issuer, unverified.key_id)
        return None if key is None else self._checked(token, unverified, key)

    def _parse(self, token: str) -> UnverifiedToken:
        if not isinstance(token, str):
            raise MalformedTokenError
        unverified = parse(token, self._max_token_bytes)
        # Before any key lookup: a token of an unknown issuer must not cause a fetch.
        if unverified.issuer not in self._issuers:
            raise UnknownIssuerError
        return unverified

    def _checked(self, token: str, unverified: UnverifiedToken, key: RSAPublicKey) -> VerifiedToken:
        try:
            self._signatures.decode_complete(token, key, algorithms=[ALGORITHM])
        except jwt.PyJWTError:
            raise SignatureError from None
        claims = unverified.claims  # the same bytes, and verified from here on
        issued_at, expires_at = self._times(claims)
        # First, so that an ID token is not refused for a missing scope.
        if claims.get("token_use") != self._token_use:
            raise TokenUseError
        self._check_audience(claims)
        # An ID token names its app client as the audience.
        app_client_id = _name(claims, "client_id" if self._token_use == "access" else "aud")  # noqa: S105
        client_id = self._client_name(claims, unverified.issuer, app_client_id)
        scopes = _scopes(claims)
        if self._clients is not None and client_id not in self._clients:
            raise ClientError
        if self._scopes is not None and not self._scopes <= scopes:
            raise ScopeError(self._scopes)
        return VerifiedToken(
            client_id=client_id,
            app_client_id=app_client_id,
            issuer=unverified.issuer,
            scopes=scopes,
            issued_at=issued_at,
            expires_at=expires_at,
            claims=MappingProxyType(claims),
        )

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        found = _audiences(claims)
        if self._audiences is None:
            if found is not None:
                raise AudienceError
        elif found is None or found.isdisjoint(self._audiences):
            raise AudienceError

    def _times(self, claims: Mapping[str, Any]) -> tuple[float, float]:
        now = self._clock()
        expires_at = _time(claims, "exp")
        issued_at = _time(claims, "iat")
        if now >= expires_at + self._leeway:
            raise ExpiredError
        starts = [issued_at, *([_time(claims, "nbf")] if "nbf" in claims else [])]
        if max(starts) > now + self._leeway:
            raise NotYetValidError
        return issued_at, expires_at

    def _client_name(
        self, claims: Mapping[str, Any], issuer: str, app_client_id: str
    ) -> str | None:
        mapped = self._client_names.name(issuer, app_client_id)
        if _SURROGATE_CLAIM not in claims:
            return mapped
        claimed = _name(claims, _SURROGATE_CLAIM)
        if mapped is not None and mapped != claimed:
            raise ClientNameError
        return claimed


def _sources(
    issuers: Collection[Issuer], keys: KeyOrigin | str, *, loopback_http: bool
) -> dict[str, list[Source]]:
    """Return the key sources of each issuer, in the order of the fetches."""
    first: list[Source] = []
    if isinstance(keys, str):
        first.append(Source(checked_url("keys", keys, loopback_http=loopback_http), None))
    elif keys is not FROM_ISSUERS:
        raise ConfigurationError("keys: must be FROM_ISSUERS or the URL of a key set.")
    return {
        issuer.url: [
            *first,
            Source(
                checked_url(
                    f"jwks_url of {issuer.url}", issuer.key_set_url, loopback_http=loopback_http
                ),
                issuer.url,
            ),
        ]
        for issuer in issuers
    }


def _issuer_urls(issuers: Collection[Issuer]) -> frozenset[str]:
    urls = [checked_url("issuers", issuer.url) for issuer in issuers]
    if not urls:
        raise ConfigurationError("issuers: there must be at least one.")
    if len(set(urls)) != len(urls):
        raise ConfigurationError("issuers: one is there twice.")
    return frozenset(urls)


def _names(
    what: str, names: Collection[str] | Enum, marker: Enum, *, may_be_empty: bool
) -> frozenset[str] | None:
    """Return the required names, None for *marker*."""
    if names is marker:
        return None
    spelled = "ANY" if marker is ANY else "NO_AUDIENCE"
    if isinstance(names, str) or not isinstance(names, Collection):
        raise ConfigurationError(f"{what}: must be a collection of names, or {spelled}.")
    found = frozenset(names)
    if not all(isinstance(name, str) and name for name in found):
        raise ConfigurationError(f"{what}: must be a collection of names, or {spelled}.")
    if not found and not may_be_empty:
        # A check of "all of none" would accept everything.
        raise ConfigurationError(f"{what}: name at least one, or say {spelled}.")
    return found


def _snapshot_keys(snapshot: Snapshot) -> Mapping[str, Keys]:
    if isinstance(snapshot, (str, Path)):
        try:
            snapshot = json.loads(Path(snapshot).read_bytes())
        except (OSError, ValueError):
            raise ConfigurationError(f"snapshot: cannot read {snapshot} as JSON.") from None
    try:
        return keys_of(snapshot, None)
    except ValueError as err:
        raise ConfigurationError(f"snapshot: {err}.") from None


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ClaimError
    try:
        seconds = float(value)
    except OverflowError:
        raise ClaimError from None
    if not math.isfinite(seconds) or seconds < 0:
        raise ClaimError
    return seconds


def _name(claims: Mapping[str, Any], claim: str) -> str:
    value = claims.get(claim)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
        raise ClaimError
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ClaimError
    return value


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    value = claims.get("scope", "")
    if not isinstance(value, str):
        raise ClaimError
    # RFC 6749 §3.3: U+0020 and nothing else stands between scopes.
    return frozenset(value.split(" ")) - {""}


def _audiences(claims: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the audiences of a token (RFC 7519 §4.1.3), None if it names none."""
    if "aud" not in claims:
        return None
    value = claims["aud"]
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ClaimError
    return frozenset(names)
