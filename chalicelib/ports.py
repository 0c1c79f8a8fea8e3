"""
What the use cases ask of the outside world.

Each Protocol has one implementation on AWS and one written fake; the same
contract suite runs over both.  Every method may raise what it documents and
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .model import (
    AccessToken,
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    RegionState,
    Replication,
    Versioned,
    VersionId,
)

Clock = Callable[[], float]
"""Seconds since the epoch, as `time.time` tells them."""

Pause = Callable[[float], None]
"""Waits for that many seconds, as `time.sleep` does."""

Emit = Callable[[Mapping[str, Any]], None]
"""Takes one structured event for the log."""


class Deadline(Protocol):
    """How long the caller is still willing to wait."""

    def remaining(self) -> float:
        """Return the seconds left, at least 0."""


class RecordReader(Protocol):
    """Reads client records in this Region, as the exchange needs it."""

    def read(self, client_id: ClientId) -> Versioned[ClientRecord]:
        """
        Return the current record and its version.

        Raises:
            UnknownClientError: If there is none, or it is marked for deletion.
            MalformedSecretError: If it is not what we wrote.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it says that we may not.
        """


class RecordStore(RecordReader, Protocol):
    """Reads and writes client records in this Region, and replicates them."""

    def create(self, record: ClientRecord) -> VersionId:
        """
        Store the first version of *record*.

        Raises:
            ClientExistsError: If there is a record with its client ID.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """

    def replace(self, record: ClientRecord, read: VersionId) -> VersionId:
        """
        Store *record* in place of version *read*, or leave everything as it is.

        Raises:
            VersionConflictError: If *read* is not the current version any more.
            UnknownClientError: If the record is gone or marked for deletion.
            OutcomeUnknownError: If whether the record was replaced is unknown.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """

    def destroy(self, client_id: ClientId) -> None:
        """
        Remove a record that nobody ever got credentials for, at once.

        It must not be replicated.  No error if it is gone already.

        Raises:
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """

    def replicate(self, client_id: ClientId) -> None:
        """
        Start the replication of a record to the other Region, if it has no replica.

        Raises:
            UnknownClientError: If there is no such record.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """

    def replication(self, client_id: ClientId, version: VersionId) -> Replication:
        """
        Return whether the other Region has *version* as its current one.

        Asked *in the other Region*; if that does not answer, what this Region
        says of its replica counts, and `IN_SYNC` is never returned.

        Raises:
            UnknownClientError: If there is no such record.
            StoreUnavailableError: If Secrets Manager here does not answer or throttles.
            StoreRefusedError: If it refuses.
        """


class StateStore(Protocol):
    """Reads and writes the state of one Region."""

    def read(self) -> Versioned[RegionState]:
        """
        Return the Region's state and its version.

        Raises:
            MalformedSecretError: If it is missing or not what we wrote.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it says that we may not.
        """

    def replace(self, state: RegionState, read: VersionId) -> VersionId:
        """
        Store *state* in place of version *read*.

        Raises:
            VersionConflictError: If *read* is not the current version any more.
            OutcomeUnknownError: If whether the state was replaced is unknown.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """


class DeploymentKeyReader(Protocol):
    """Reads the deployment key: for the MACs and the derived client IDs."""

    def read(self) -> bytes:
        """
        Return the key.

        Raises:
            MalformedSecretError: If it is missing or not what we wrote.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it says that we may not.
        """


class AppClients(Protocol):
    """The app clients of one Region's user pool."""

    @property
    def user_pool_id(self) -> str:
        """The pool's ID."""

    def unknown_scopes(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """
        Return those of *scopes* that no resource server of the pool defines.

        Raises:
            AppClientsUnreachableError, AppClientsThrottledError, AppClientsRefusedError
        """

    def create(self, client_id: ClientId, scopes: tuple[str, ...]) -> tuple[AppClientId, str]:
        """
        Make the app client of *client_id*; return its ID and secret.

        It is never retried: a repeat would make a second one.

        Raises:
            AppClientsUnreachableError: If it is unknown whether one was made.
            AppClientsThrottledError: If none was made.
            AppClientsRefusedError: If none was made.
        """

    def delete(self, app_client_id: AppClientId) -> None:
        """
        Delete an app client.  No error if it is gone already.

        Raises:
            AppClientsUnreachableError, AppClientsThrottledError, AppClientsRefusedError
        """


class TokenEndpoint(Protocol):
    """The token endpoint of this Region's user pool."""

    def request_token(
        self,
        app_client: AppClient,
        scope: str,
        metadata: Mapping[str, str],
        deadline: Deadline,
    ) -> AccessToken:
        """
        Get a token for *app_client* with *scope* (space-separated).

        *metadata* reaches the pool's pre token generation trigger.

        Raises:
            TokenEndpointUnavailableError: If there is no usable answer in time.
            AppClientRefusedError: If Cognito refuses the app client or the scope.
        """

    def reachable(self, deadline: Deadline) -> bool:
        """Return whether the endpoint answers; throttled is reachable.  Never billed."""
