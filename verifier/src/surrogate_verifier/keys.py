"""
Public keys of the issuers: selection from a key set, and schedule of the fetches.

Every key belongs to one issuer and verifies for no other.  A failed refresh leaves the
known keys unchanged: an issuer may be down for hours, and its tokens stay verifiable.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm

from .errors import ConfigurationError, KeysUnavailableError, MalformedTokenError, UnknownKeyError
from .fetching import Fetch, FetchError
from .structure import ALGORITHM, KEY_ID, decode_base64url, json_object

_log = logging.getLogger(__name__)

Keys = Mapping[str, RSAPublicKey]
_MOST_KEYS = 200
_LEAST_BITS = 2_048
_MOST_BITS = 8_192
# FIPS 186-5 §5.1; Cognito's is 65537.
_LEAST_EXPONENT = 65_537
_MOST_EXPONENT_BYTES = 8


def keys_of(document: Any, issuer: str | None) -> dict[str, dict[str, RSAPublicKey]]:  # noqa: ANN401 - parsed JSON
    """
    Return the usable keys of the key set *document*, by issuer and key ID.

    *issuer* owns the key set; None means that each key names its own.  The rules are those of
    the service's own key set: keys that do not say that they are for RS256 signatures, weak
    ones, and another issuer's are left out.

    Raises:
        ValueError: If *document* is no key set, or an issuer has two keys with one ID.
    """
    jwks = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(jwks, list) or len(jwks) > _MOST_KEYS:
        raise ValueError("is no JSON Web Key Set")
    found: dict[str, dict[str, RSAPublicKey]] = {}
    for jwk in jwks:
        if not isinstance(jwk, dict):
            continue
        owner = jwk.get("iss", issuer)
        key_id = jwk.get("kid")
        if (
            not isinstance(owner, str)
            or not isinstance(key_id, str)
            or not KEY_ID.fullmatch(key_id)
        ):
            continue
        if issuer is not None and owner != issuer:
            continue
        key = _key(jwk)
        if key is None:
            continue
        if key_id in found.setdefault(owner, {}):
            # Which of them verified a token would depend on their order.
            raise ValueError("has two keys with the same ID")
        found[owner][key_id] = key
    return found


def _key(jwk: dict[str, Any]) -> RSAPublicKey | None:
    if (jwk.get("kty"), jwk.get("alg"), jwk.get("use")) != ("RSA", ALGORITHM, "sig"):
        return None
    # RFC 7517 §4.3: optional, and it must not contradict `use`.
    if jwk.get("key_ops", ["verify"]) != ["verify"]:
        return None
    modulus, exponent = _number(jwk.get("n")), _number(jwk.get("e"))
    if not _LEAST_BITS <= modulus.bit_length() <= _MOST_BITS or modulus % 2 == 0:
        return None
    if not _LEAST_EXPONENT <= exponent < 1 << (8 * _MOST_EXPONENT_BYTES) or exponent % 2 == 0:
        return None
    try:
        # Only the public members: no other member is needed or kept.
        key = RSAAlgorithm.from_jwk({"kty": "RSA", "n": jwk["n"], "e": jwk["e"]})
    except (jwt.PyJWTError, ValueError):
        return None
    return key if isinstance(key, RSAPublicKey) else None


def _number(text: object) -> int:
    """Return the number whose Base64urlUInt (RFC 7518 §2) is *text*, 0 if there is none."""
    if not isinstance(text, str):
        return 0
    try:
        raw = decode_base64url(text)
    except MalformedTokenError:
        return 0
    return int.from_bytes(raw) if raw and raw[0] else 0


@dataclass(frozen=True, slots=True)
class Source:
    """Fetchable key set: *issuer*'s, or with None one in which each key names its issuer."""

    url: str
    issuer: str | None


@dataclass(frozen=True, slots=True)
class Pace:
    """
    Intervals between fetches of a key set, in seconds.

    A key set is fetched at most once per *cool_down*, however many unknown key IDs arrive,
    and again in the background after *refresh_after*, so that withdrawn keys are dropped.
    """

    cool_down: float = 10.0
    refresh_after: float = 3_600.0

    def __post_init__(self) -> None:
        """Refuse intervals that would fetch without end."""
        if not 1 <= self.cool_down <= self.refresh_after:
            raise ConfigurationError("pace: 1 <= cool_down <= refresh_after, in seconds.")


def in_a_thread(work: Callable[[], None]) -> None:
    """Run *work* in a thread, beside the request that triggered it."""
    threading.Thread(target=work, name="surrogate-verifier-refresh", daemon=True).start()


@dataclass(slots=True)
class _State:
    """State of one source, read without lock; *failed* refers to the last finished fetch."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    tried_at: float | None = None
    loaded_at: float | None = None
    failed: bool = False
    refreshing: bool = False
    keys: dict[str, Keys] = field(default_factory=dict)


def _unlock(ring: KeyRing | None) -> None:
    if ring is not None:
        ring.after_fork()


class KeyRing:
    """
    Keys of every issuer: first from *snapshot*, then from the issuer's sources.

    *sources* lists them per issuer in the order of the fetches.  The last one is the
    issuer's own: a key missing there does not exist.  Without sources, the snapshot is
    complete.
    """

    def __init__(  # noqa: PLR0913 - given by name
        self,
        sources: Mapping[str, Sequence[Source]],
        snapshot: Mapping[str, Keys],
        *,
        fetch: Fetch,
        pace: Pace,
        monotonic: Callable[[], float],
        background: Callable[[Callable[[], None]], None],
    ) -> None:
        self._sources = sources
        self._states = {source: _State() for each in sources.values() for source in each}
        self._keys: dict[str, Keys] = {issuer: snapshot.get(issuer, {}) for issuer in sources}
        self._merging = threading.Lock()
        self._fetch = fetch
        self._pace = pace
        self._monotonic = monotonic
        self._background = background
        if hasattr(os, "register_at_fork"):
            ring = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _unlock(ring()))

    def after_fork(self) -> None:
        """
        Replace the locks in a child process: the parent's threads that held them do not exist here.

        A server may load the application and then fork, at any moment of a refresh.
        """
        self._merging = threading.Lock()
        for state in self._states.values():
            state.lock = threading.Lock()
            state.refreshing = False

    def known(self, issuer: str, key_id: str) -> RSAPublicKey | None:
        """Return a key if it is known now, without waiting."""
        key = self._keys[issuer].get(key_id)
        if key is not None:
            self._refresh_what_is_old(issuer)
        return key

    def find(self, issuer: str, key_id: str) -> RSAPublicKey:
        """
        Return a key, fetching the issuer's if it is not known; this may wait for the network.

        Raises:
            UnknownKeyError: If the issuer does not have it, as far as is known now.
            KeysUnavailableError: If the issuer's keys could not be fetched.
        """
        key = self.known(issuer, key_id)
        unavailable = False
        for source in self._sources[issuer] if key is None else ():
            state = self._states[source]
            # Concurrent requests wait for this one fetch and then look again.  Not for a source
            # that failed before: it may hang, and a flood of made-up key IDs would block every
            # thread of a server.
            lock = state.lock
            if not lock.acquire(blocking=not state.failed):
                unavailable = True
                continue
            try:
                key = self._keys[issuer].get(key_id)
                if key is None and self._may_fetch(state):
                    self._load(source, state)
                    key = self._keys[issuer].get(key_id)
                # After a failure it is unknown whether the issuer has this key.
                unavailable = state.failed or not self._keys[issuer]
            finally:
                lock.release()
            if key is not None:
                break
        if key is not None:
            return key
        if unavailable:
            raise KeysUnavailableError
        raise UnknownKeyError

    def load(self) -> None:
        """
        Fetch the key sets that are due: at start, so that the first request does not wait.

        This never fails: a key set that cannot be fetched now is fetched on demand.
        """
        for issuer, sources in self._sources.items():
            for source in sources:
                state = self._states[source]
                with state.lock:
                    if self._may_fetch(state):
                        self._load(source, state)
                if self._keys[issuer]:
                    break

    def _may_fetch(self, state: _State) -> bool:
        tried = state.tried_at
        return tried is None or self._monotonic() - tried >= self._pace.cool_down

    def _refresh_what_is_old(self, issuer: str) -> None:
        for number, source in enumerate(self._sources[issuer]):
            state = self._states[source]
            # A source after the first is refreshed only if it was fetched before.
            if not number or state.loaded_at is not None:
                self._refresh_if_old(source, state)

    def _refresh_if_old(self, source: Source, state: _State) -> None:
        loaded = state.loaded_at
        if loaded is not None and self._monotonic() - loaded < self._pace.refresh_after:
            return
        if state.refreshing or not self._may_fetch(state):
            return
        # Do not wait for this lock: its holder is fetching already.
        if not state.lock.acquire(blocking=False):
            return
        try:
            if state.refreshing or not self._may_fetch(state):
                return
            state.refreshing = True
        finally:
            state.lock.release()
        try:
            self._background(lambda: self._refresh(source, state))
        except RuntimeError:  # no thread can be started; another request will try again
            state.refreshing = False

    def _refresh(self, source: Source, state: _State) -> None:
        try:
            with state.lock:
                if self._may_fetch(state):
                    self._load(source, state)
        finally:
            state.refreshing = False

    def _load(self, source: Source, state: _State) -> None:
        """Fetch *source* and merge its keys. The caller holds the source's lock."""
        failed = True
        try:
            found = self._usable(source, self._fetch(source.url))
        except FetchError as err:
            _log.warning("key set not refreshed: %s", err)
        except OSError as err:  # of a custom fetcher
            _log.warning("key set not refreshed: %s: %s", source.url, type(err).__name__)
        else:
            # An issuer that is missing in the new set keeps its keys.
            state.keys.update(found)
            self._merge(found)
            failed = False
            state.loaded_at = self._monotonic()
        finally:
            state.failed = failed
            # After the fetch: one longer than the interval must not be followed at once by another.
            state.tried_at = self._monotonic()

    def _merge(self, issuers: Iterable[str]) -> None:
        """Merge the keys of the sources; the issuer's own comes last, and wins."""
        with self._merging:  # sources are loaded concurrently
            for issuer in issuers:
                merged: dict[str, RSAPublicKey] = {}
                for source in self._sources[issuer]:
                    merged |= self._states[source].keys.get(issuer, {})
                self._keys[issuer] = merged

    def _usable(self, source: Source, body: bytes) -> dict[str, dict[str, RSAPublicKey]]:
        try:
            found = keys_of(json_object(body), source.issuer)
        except MalformedTokenError:
            raise FetchError(f"{source.url}: is no JSON object") from None
        except ValueError as err:
            raise FetchError(f"{source.url}: {err}") from None
        usable = {issuer: found[issuer] for issuer in self._keys if found.get(issuer)}
        if not usable:
            raise FetchError(f"{source.url}: has no usable key of an issuer that is trusted")
        return usable
