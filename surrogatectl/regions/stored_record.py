"""A client's record as Secrets Manager stores it: its text, its versions and their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib import record_json
from chalicelib.aws.secrets_calls import STAGED
from chalicelib.errors import MalformedSecretError
from chalicelib.model import ClientRecord, VersionId


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is stored: its *text*, under *version*."""

    text: str = field(repr=False)
    version: VersionId

    @property
    def record(self) -> ClientRecord | None:
        """The record, `None` if the text is none."""
        try:
            return record_json.record_from_json(self.text)
        except MalformedSecretError:
            return None

    @property
    def after(self) -> VersionId | None:
        """The version that this one took the place of, if it says so."""
        return record_json.written_after(self.text)


@dataclass(frozen=True, slots=True)
class SecretDescription:
    """
    Secrets Manager's description of a record.

    *replica_of* is the Region of the primary secret, if this is a replica;
    *replica* is the status of the replica in the other Region, if it has one.
    """

    current: VersionId | None
    replica_of: str | None
    replica: str | None
    deletion_scheduled: bool


Labels = Mapping[VersionId, frozenset[str]]
"""Every version that a record has had, as far as Secrets Manager remembers, and its labels."""


def was_current(labels: Labels, version: VersionId) -> bool:
    """
    Return whether *version* was a record's current one, or was put behind that.

    A version that is only staged is one that somebody was about to write.
    """
    return version in labels and (labels[version] != {STAGED})
