"""
The nouns of adoption.

A *row* names a pair of app clients that exist already, one in each Region, and
their secrets.  A *candidate* is a primary app client with all rows that name
it; what was looked at and can be adopted is *adoptable*.  No reason and no
`repr` tells a secret or one of Cognito's IDs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from chalicelib.credentials import loggable
from chalicelib.model import AppClientId, ClientId, Replication, SecretId, VersionId


class RefusedError(Exception):
    """A row, or all of a candidate, cannot be adopted; the text says why."""


class SourceError(Exception):
    """The rows cannot be read at all; the text says why, and nothing of their content."""


class Standing(StrEnum):
    """Result of a row."""

    ADOPTED = "adopted"
    ALREADY_ADOPTED = "already_adopted"
    WOULD_ADOPT = "would_adopt"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Pair:
    """An app client's ID, and the secret that a row says it has."""

    app_client_id: AppClientId = field(repr=False)
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Row:
    """A well-formed row; *where* says in words where it stands."""

    where: str
    primary: Pair
    secondary: Pair

    @property
    def handle(self) -> str:
        """The name in a report: Cognito's ID stays concealed."""
        return loggable(ClientId(self.primary.app_client_id))


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that lacks something or is malformed; *handle* is empty if it has no primary ID."""

    where: str
    handle: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Line of the report about a row."""

    where: str
    handle: str
    standing: Standing
    reason: str = ""
    client_id: ClientId | None = field(default=None, repr=False)
    client_name: str = ""
    replication: Replication | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A primary app client and the rows that name it, all with the same secondary one."""

    client_id: ClientId = field(repr=False)
    rows: tuple[Row, ...]

    @property
    def primary(self) -> AppClientId:
        """The app client in the primary Region's pool."""
        return self.rows[0].primary.app_client_id

    @property
    def secondary(self) -> AppClientId:
        """The app client in the secondary Region's pool."""
        return self.rows[0].secondary.app_client_id


@dataclass(frozen=True, slots=True)
class Known:
    """Excerpt of a record that refers to a row's app client."""

    client_id: ClientId = field(repr=False)
    client_name: str
    deleted: bool
    secret_ids: tuple[SecretId, ...]
    app_client_ids: frozenset[AppClientId] = field(repr=False)
    version: VersionId


@dataclass(frozen=True, slots=True)
class Adoptable:
    """
    A candidate that can be adopted; *rows* are those of its rows that hold true.

    The first row's secrets are the ones to use at Cognito.
    """

    client_id: ClientId = field(repr=False)
    client_name: str
    scopes: tuple[str, ...]
    rows: tuple[Row, ...]

    def outcomes(self, standing: Standing, reason: str = "") -> list[Outcome]:
        """Return what the report says of its rows."""
        client_id = None if standing is Standing.REFUSED else self.client_id
        return [
            Outcome(row.where, row.handle, standing, reason, client_id, self.client_name)
            for row in self.rows
        ]


def refusal(row: Row, err: RefusedError) -> Outcome:
    """Return what the report says of *row*, refused because of *err*."""
    return Outcome(row.where, row.handle, Standing.REFUSED, str(err))
