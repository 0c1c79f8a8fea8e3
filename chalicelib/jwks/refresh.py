"""
Refresh of the snapshot of both pools' keys, in the writer Region.

The URLs are built from the configured pools, never read from a document.  An issuer
without a valid answer keeps its stored keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from chalicelib.errors import KeysUnavailableError, ServiceError
from chalicelib.jwks import document as jwks
from chalicelib.jwks.document import KeySnapshot, SigningKey
from chalicelib.model import Versioned, VersionId
from chalicelib.ports import Clock

FetchKeys = Callable[[], tuple[SigningKey, ...]]
"""Fetches one issuer's keys; raises `KeysUnavailableError`."""


class KeyStore(Protocol):
    """Reads and writes the snapshot in this Region."""

    def read(self) -> Versioned[KeySnapshot]:
        """
        Return the snapshot and its version.

        Raises:
            MalformedSecretError: If it is missing, or not a valid snapshot.
            StoreUnavailableError, StoreRefusedError
        """

    def writable(self) -> bool:
        """
        Return whether this Region can write it: a replica is read-only.

        Raises:
            StoreUnavailableError, StoreRefusedError
        """

    def replace(self, snapshot: KeySnapshot, read: VersionId) -> VersionId:
        """
        Store *snapshot* in place of version *read*, or leave everything as it is.

        Raises:
            VersionConflictError, OutcomeUnknownError, StoreUnavailableError, StoreRefusedError
        """


@dataclass(frozen=True, slots=True)
class KeyRefresh:
    """Fetches the keys of all *issuers*, and stores a changed snapshot."""

    store: KeyStore
    issuers: Mapping[str, FetchKeys] = field(repr=False)
    clock: Clock

    def refresh(self) -> dict[str, Any]:
        """
        Refresh the snapshot; return the event for the log.

        *outcome*: `written`, `unchanged`, `replica` (read-only in this Region), or the
        name of an error.  *failed*: the issuers without an answer, and why.  *age*:
        seconds since the stored snapshot last saw the issuer that answered least
        recently, `None` if the snapshot cannot be read.
        """
        answers: dict[str, tuple[SigningKey, ...] | None] = {}
        failed: dict[str, str] = {}
        for issuer, fetch in self.issuers.items():
            try:
                answers[issuer] = fetch()
            except KeysUnavailableError as err:
                answers[issuer], failed[issuer] = None, str(err)
        try:
            outcome, stored = self._store(answers)
        except ServiceError as err:
            return {"event": "jwks", "outcome": type(err).__name__, "failed": failed, "age": None}
        return {"event": "jwks", "outcome": outcome, "failed": failed, "age": self._age(stored)}

    def _store(
        self, answers: Mapping[str, tuple[SigningKey, ...] | None]
    ) -> tuple[str, KeySnapshot]:
        found = self.store.read()
        after = jwks.merged(found.value, answers, int(self.clock()))
        if not jwks.worth_writing(found.value, after):
            return "unchanged", found.value
        if not self.store.writable():
            return "replica", found.value
        self.store.replace(after, found.version)
        return "written", after

    def _age(self, stored: KeySnapshot) -> int:
        return int(self.clock()) - min(stored.seen_at.get(issuer, 0) for issuer in self.issuers)
