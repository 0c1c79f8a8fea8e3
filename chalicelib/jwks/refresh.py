"""
Keeps the snapshot of both pools' keys up to date, in the Region that writes.

What it asks for is built from the configured pools, never from a document; an
issuer that does not answer, or answers nonsense, keeps the keys that it had.
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
"""Asks one issuer for its keys; raises `KeysUnavailableError`."""


class KeyStore(Protocol):
    """Keeps the snapshot in this Region."""

    def read(self) -> Versioned[KeySnapshot]:
        """
        Return the snapshot and its version.

        Raises:
            MalformedSecretError: If it is missing, or not what we wrote.
            StoreUnavailableError, StoreRefusedError
        """

    def writable(self) -> bool:
        """
        Return whether it may be written in this Region: a replica may not.

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
    """Asks the *issuers*, and stores what is new."""

    store: KeyStore
    issuers: Mapping[str, FetchKeys] = field(repr=False)
    clock: Clock

    def refresh(self) -> dict[str, Any]:
        """
        Refresh the snapshot; return what was done, for the log.

        *outcome*: `written`, `unchanged`, `replica` (it cannot be written in
        this Region), or the name of an error.  *failed*: the issuers that gave
        no keys, and why.  *age*: for how many seconds the stored snapshot has
        not seen one of the issuers, `None` if the snapshot cannot be read.
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
