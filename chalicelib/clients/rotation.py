"""
Rotation of a surrogate's secret: a new secret, and an overlap with the previous one.

The overlap ends automatically: each stored secret has its own expiry, which the
exchange checks on every request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from chalicelib import credentials
from chalicelib.clients.errors import (
    OnlySecretError,
    SecretInUseError,
    TwoSecretsLiveError,
    UnknownSecretError,
)
from chalicelib.clients.repository import ClientRepository, ClientView, require_live
from chalicelib.credentials import RandomBytes, SecretHasher
from chalicelib.errors import CallTimedOutError, LogUnavailableError
from chalicelib.model import (
    ClientId,
    ClientRecord,
    IssuedCredentials,
    Replication,
    SecretId,
    StoredSecret,
    VersionId,
)
from chalicelib.ports import LastUses, OnIdentified, UseLog, ignore

DEFAULT_OVERLAP_SECONDS: Final = 7 * 86_400
MAX_OVERLAP_SECONDS: Final = 90 * 86_400
LATELY_SECONDS: Final = 7 * 86_400
"""A secret whose last use is at most this long ago counts as in use."""

_MAX_LIVE: Final = 2


@dataclass(frozen=True, slots=True)
class Rotated:
    """A client with a new secret; *issued* holds its only copy."""

    issued: IssuedCredentials
    record: ClientRecord
    version: VersionId
    replication: Replication


@dataclass(frozen=True, slots=True)
class Rotation:
    """
    Rotates and retires client secrets.

    *logs* maps both Regions' names to their logs of the secrets' use.
    """

    repository: ClientRepository
    logs: Mapping[str, UseLog]
    hasher: SecretHasher
    random_bytes: RandomBytes = field(repr=False)

    def rotate(
        self,
        client_id: ClientId,
        overlap_seconds: int,
        if_match: VersionId | None = None,
        named: OnIdentified = ignore,
    ) -> Rotated:
        """
        Rotate the secret of *client_id*; the previous one stays valid for *overlap_seconds*.

        It calls *named* with the new secret's ID before anything is written.

        Raises:
            TwoSecretsLiveError: If two secrets are live already.
            OperationError: If it is not possible.
        """
        self.repository.require_writer()
        now = int(self.repository.clock())
        issued = credentials.issue(client_id, self.random_bytes)
        named(client_id, issued.secret_id)
        new = self.hasher.hash(issued, now=now)

        def change(record: ClientRecord) -> ClientRecord:
            require_live(record)
            live = live_secrets(record, now)
            if len(live) >= _MAX_LIVE:
                raise TwoSecretsLiveError([secret.secret_id for secret in live])
            ends = [_end(secret, now + overlap_seconds) for secret in live]
            return replace(record, secrets=(new, *(each for each in ends if overlap_seconds)))

        rotated = self.repository.update(client_id, if_match, change)
        replication = self.repository.replicate(client_id, rotated.version)
        return Rotated(issued, rotated.value, rotated.version, replication)

    def retire(
        self,
        client_id: ClientId,
        secret_id: SecretId,
        *,
        force: bool,
        if_match: VersionId | None = None,
    ) -> ClientView:
        """
        Retire *secret_id* of *client_id*: it stops authenticating.

        Without *force* there must be evidence that the client does not need it: both
        Regions' logs are readable, nobody used it within `LATELY_SECONDS`, and another
        secret was used, unless this one never was.

        Raises:
            SecretInUseError: If there is no such evidence.
            UnknownSecretError, OnlySecretError: If there is no such secret, or no other one.
            OperationError: If it is not possible.
        """
        self.repository.require_writer()
        now = int(self.repository.clock())
        record = self.repository.find(client_id, if_match).value
        _require_replaceable(record, secret_id, now)
        if not force:
            _require_unused(secret_id, self.last_uses(record), now)

        def change(record: ClientRecord) -> ClientRecord:
            _require_replaceable(record, secret_id, now)
            kept = (secret for secret in record.secrets if secret.secret_id != secret_id)
            return replace(record, secrets=tuple(kept))

        retired = self.repository.update(client_id, if_match, change)
        replication = self.repository.replicate(client_id, retired.version)
        return ClientView(retired.value, retired.version, replication)

    def last_uses(self, record: ClientRecord) -> dict[str, LastUses | None]:
        """Return each secret's last use per Region; `None` for a Region with an unreadable log."""
        secret_ids = [secret.secret_id for secret in record.secrets]
        uses: dict[str, LastUses | None] = {}
        for region, log in self.logs.items():
            try:
                uses[region] = log.last_uses(record.client_id, secret_ids)
            except (LogUnavailableError, CallTimedOutError):
                uses[region] = None
        return uses


def live_secrets(record: ClientRecord, now: int) -> tuple[StoredSecret, ...]:
    """Return the secrets of *record* that have not expired."""
    return tuple(
        secret for secret in record.secrets if secret.expires_at is None or secret.expires_at > now
    )


def _end(secret: StoredSecret, at: int) -> StoredSecret:
    if secret.expires_at is not None and secret.expires_at < at:
        return secret
    return replace(secret, expires_at=at)


def _require_replaceable(record: ClientRecord, secret_id: SecretId, now: int) -> None:
    require_live(record)
    if all(secret.secret_id != secret_id for secret in record.secrets):
        raise UnknownSecretError(secret_id)
    if all(secret.secret_id == secret_id for secret in live_secrets(record, now)):
        raise OnlySecretError


def _require_unused(secret_id: SecretId, uses: Mapping[str, LastUses | None], now: int) -> None:
    unknown = [region for region, last_uses in uses.items() if last_uses is None]
    if unknown:
        raise SecretInUseError(f"The log of {' and '.join(unknown)} cannot be read.", uses)
    latest: dict[SecretId, int] = {}
    for last_uses in uses.values():
        for each, at in (last_uses or {}).items():
            latest[each] = max(latest.get(each, 0), at or 0)
    used = latest.get(secret_id, 0)
    if used and now - used <= LATELY_SECONDS:
        raise SecretInUseError(
            f"It was used within the last {LATELY_SECONDS // 86_400} days.", uses
        )
    if used and not any(at for each, at in latest.items() if each != secret_id):
        raise SecretInUseError("It is the only secret with a use in the logs.", uses)
