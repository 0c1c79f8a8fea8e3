"""
Ports: the interfaces of the use cases to Secrets Manager, Cognito and the log.

Each Protocol has one implementation on AWS and one written fake; the same
contract suite runs over both.  A method raises the documented errors and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from chalicelib.model import (
    AccessToken,
    AppClient,
    AppClientId,
    AppClientView,
    ClientId,
    ClientRecord,
    ClientSummary,
    CognitoSecret,
    DenialShard,
    Page,
    RegionState,
    Replication,
    SecretId,
    Versioned,
    VersionId,
)

Name_contra = TypeVar("Name_contra", contravariant=True)

Clock = Callable[[], float]
"""Returns seconds since the epoch, as `time.time` does."""

Pause = Callable[[float], None]
"""Waits for that many seconds, as `time.sleep` does."""

Emit = Callable[[Mapping[str, Any]], None]
"""Takes one structured event for the log."""

OnIdentified = Callable[[ClientId, SecretId], None]
"""Takes the IDs of the client and secret of an operation, as soon as they are known."""


def ignore(_client_id: ClientId, _secret_id: SecretId) -> None:
    """Do nothing with the IDs."""


class Deadline(Protocol):
    """Time limit of the caller."""

    def remaining(self) -> float:
        """Return the seconds left, at least 0."""


class RecordReader(Protocol):
    """Reads single client records in this Region, for the exchange."""

    def read(self, client_id: ClientId) -> Versioned[ClientRecord]:
        """
        Return the current record and its version.

        Raises:
            UnknownClientError: If it is marked for deletion.
            RecordMissingError: If there is none, or none is current.
            MalformedSecretError: If it is not a valid record.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """


class ManyRecordsReader(Protocol):
    """Reads many client records of one Region at once."""

    def read_many(
        self, client_ids: Sequence[ClientId]
    ) -> Mapping[ClientId, Versioned[ClientRecord] | None]:
        """
        Return the records of at most `BATCH` clients; `None` for a malformed one.

        The result leaves out clients without a record.

        Raises:
            StoreUnavailableError, StoreRefusedError
        """


class ReplicaStore(Protocol[Name_contra]):
    """Replicas of secrets in the other Region."""

    def stands_alone(self, name: Name_contra, /) -> bool:
        """
        Return whether the other Region has a secret of that name that is no replica.

        It is one after a promotion; nobody may replace it unseen.

        Raises:
            StoreUnavailableError: If Secrets Manager there does not answer or throttles.
            StoreRefusedError: If it refuses.
        """

    def replicate(self, name: Name_contra, /) -> None:
        """
        Start the replication to the other Region, if there is no replica.

        Raises:
            UnknownClientError: If there is no such secret.
            StoreUnavailableError, StoreRefusedError
        """

    def unreplicate(self, name: Name_contra, /) -> None:
        """
        Remove the replica in the other Region.  No error if there is none.

        Raises:
            UnknownClientError, StoreUnavailableError, StoreRefusedError
        """


class ReplicatedSecrets(ReplicaStore[str], Protocol):
    """The deployment's own replicated secrets; the clients' records are in `RecordStore`."""

    @property
    def names(self) -> Sequence[str]:
        """Their names."""

    def replication(self, name: str) -> Replication:
        """
        Return whether the other Region has this Region's current version, as of `RecordStore`.

        Raises:
            UnknownClientError: If there is no such secret.
            StoreUnavailableError, StoreRefusedError
        """


class RecordStore(RecordReader, ManyRecordsReader, Protocol):
    """Reads and writes client records in this Region, and replicates them."""

    def create(self, record: ClientRecord) -> VersionId:
        """
        Store the first version of *record*.

        Raises:
            ClientExistsError: If there is a record with its client ID, marked for
                deletion or not.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """

    def replace(self, record: ClientRecord, read: VersionId) -> VersionId:
        """
        Store *record* in place of version *read*, or leave everything as it is.

        Raises:
            VersionConflictError: If *read* is not the current version any more.
            UnknownClientError: If the record is gone or marked for deletion.
            OutcomeUnknownError: If the record may have been replaced.
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

        It is read *in the other Region*.  If that does not answer, this Region's
        status of the replica still tells `MISSING` and `FAILED`; else it is `UNKNOWN`.

        Raises:
            UnknownClientError: If there is no such record.
            StoreUnavailableError: If Secrets Manager here does not answer or throttles.
            StoreRefusedError: If it refuses.
        """

    def list(self, cursor: str | None, limit: int) -> Page[ClientSummary]:
        """
        Return a page of this Region's clients without the deleted ones; nothing is decrypted.

        It can be minutes old: a new client may be missing, a deleted one still listed.

        Raises:
            InvalidCursorError: If *cursor* is not one of ours, or has expired.
            StoreUnavailableError, StoreRefusedError
        """

    def describe(self, client_id: ClientId) -> Versioned[ClientSummary]:
        """
        Return the list entry of a record, and its current version; nothing is decrypted.

        Unlike a list it is up to date, and it includes records marked for deletion.

        Raises:
            UnknownClientError: If there is no such record.
            StoreUnavailableError, StoreRefusedError
        """

    def update_listing(self, record: ClientRecord) -> None:
        """
        Update the list entry (tags and description) of *record*.

        Raises:
            UnknownClientError: If there is no such record, or it is marked for deletion.
            StoreUnavailableError, StoreRefusedError
        """

    def unreplicate(self, client_id: ClientId) -> None:
        """
        Remove the replica in the other Region.  No error if there is none.

        Raises:
            UnknownClientError, StoreUnavailableError, StoreRefusedError
        """

    def schedule_deletion(self, client_id: ClientId, recovery_days: int) -> None:
        """
        Mark the record for deletion after *recovery_days* (7 to 30).

        No error if it is marked or gone already.

        Raises:
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses, as it does while there is a replica.
        """

    def cancel_deletion(self, client_id: ClientId) -> None:
        """
        Cancel a scheduled deletion.  No error if there is none.

        Raises:
            UnknownClientError: If the record is gone for good.
            StoreUnavailableError, StoreRefusedError
        """

    def stands_alone(self, client_id: ClientId) -> bool:
        """
        Return whether the other Region has a secret of that name that is no replica.

        Raises:
            StoreUnavailableError, StoreRefusedError
        """


BATCH = 20
"""How many records `RecordStore.read_many` reads at once."""


class StateStore(Protocol):
    """Reads and writes the state of one Region."""

    def read(self) -> Versioned[RegionState]:
        """
        Return the Region's state and its version.

        Raises:
            MalformedSecretError: If it is missing or not a valid state.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """

    def replace(self, state: RegionState, read: VersionId) -> VersionId:
        """
        Store *state* in place of version *read*.

        Raises:
            VersionConflictError: If *read* is not the current version any more.
            OutcomeUnknownError: If the state may have been replaced.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """


class DenialStore(Protocol):
    """Reads and writes the shards of one Region's denials (see `denial_shards`)."""

    def read(self, number: int) -> Versioned[DenialShard]:
        """
        Return shard *number* and its version.

        Raises:
            MalformedSecretError: If it is missing or not a valid shard.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """

    def read_all(self) -> Mapping[int, DenialShard]:
        """
        Return all shards by number.

        Raises:
            MalformedSecretError: If one is missing or not valid.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """

    def replace(self, number: int, shard: DenialShard, read: VersionId) -> VersionId:
        """
        Store *shard* in place of version *read* of shard *number*.

        Raises:
            MalformedSecretError: If it is missing.
            VersionConflictError: If *read* is not the current version any more.
            VersionsUsedUpError: If it was written too often within a day.
            OutcomeUnknownError: If it may have been replaced.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """


class DeploymentKeyReader(Protocol):
    """Reads the deployment key: for the MACs and the derived client IDs."""

    def read(self) -> bytes:
        """
        Return the key.

        Raises:
            MalformedSecretError: If it is missing or not a valid key.
            StoreUnavailableError: If Secrets Manager does not answer or throttles.
            StoreRefusedError: If it refuses.
        """


def unlimited() -> None:
    """Return at once: neither a rate limit nor a time budget applies."""


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
            AppClientsUnreachableError: If one may have been made.
            AppClientsThrottledError: If none was made.
            AppClientsRefusedError: If none was made.
        """

    def delete(self, app_client_id: AppClientId) -> None:
        """
        Delete an app client.  No error if it is gone already.

        Raises:
            AppClientsUnreachableError, AppClientsThrottledError, AppClientsRefusedError
        """

    def describe(self, app_client_id: AppClientId) -> AppClientView:
        """
        Return an app client as Cognito describes it.

        Raises:
            UnknownAppClientError: If there is none.
            AppClientsUnreachableError, AppClientsThrottledError, AppClientsRefusedError
        """

    def align(self, app_client_id: AppClientId, scopes: tuple[str, ...], *, adopted: bool) -> None:
        """
        Set an app client's *scopes*, flow and token lifetime; keep its other settings.

        An *adopted* one keeps its token lifetime too.

        Raises:
            UnknownAppClientError: If there is none.
            AppClientsUnreachableError, AppClientsThrottledError, AppClientsRefusedError
        """

    def aligned(self, view: AppClientView, scopes: tuple[str, ...], *, adopted: bool) -> bool:
        """Return whether `align` would change nothing in *view*."""

    def ours(
        self, before_page: Callable[[], object] = unlimited
    ) -> Iterator[tuple[AppClientId, ClientId]]:
        """
        Yield every app client that carries our mark, with the client it is named after.

        It calls *before_page* before each request; that may wait.

        Raises:
            AppClientsUnreachableError, AppClientsThrottledError, AppClientsRefusedError
        """

    def is_marked(self, view: AppClientView, client_id: ClientId) -> bool:
        """Return whether *view* carries our mark, for *client_id*."""

    def secrets(self, app_client_id: AppClientId) -> tuple[CognitoSecret, ...]:
        """
        Return an app client's secrets, oldest first; one or two, or none of an odd one.

        Raises:
            UnknownAppClientError: If there is no such app client.
            AppClientsUnreachableError, AppClientsThrottledError, AppClientsRefusedError
        """

    def add_secret(self, app_client_id: AppClientId, value: str) -> CognitoSecret:
        """
        Add a second secret to an app client.

        Raises:
            UnknownAppClientError: If there is no such app client.
            AppClientsRefusedError: If it has two.
            AppClientsUnreachableError, AppClientsThrottledError
        """

    def delete_secret(self, app_client_id: AppClientId, cognito_secret_id: str) -> None:
        """
        Delete one of an app client's two secrets.  No error if it is gone already.

        Raises:
            UnknownAppClientError: If there is no such app client.
            AppClientsUnreachableError, AppClientsThrottledError, AppClientsRefusedError
        """


LastUses = Mapping[SecretId, int | None]
"""Time of each secret's last use; `None` if the log, as far as it goes back, shows none."""


class UseLog(Protocol):
    """Last uses of client secrets, from the structured log of one Region."""

    def last_uses(self, client_id: ClientId, secret_ids: Sequence[SecretId]) -> LastUses:
        """
        Return when each of *secret_ids* last got a token, as far back as the log goes.

        `None` stands for a secret without a use in the log.

        Raises:
            LogUnavailableError: If the log cannot be read, or not in time.
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

        *metadata* reaches the pool's pre token generation trigger, which stamps the token
        with its `surrogate_client_id`.

        Raises:
            TokenEndpointUnavailableError: If there is no usable answer in time.
            AppClientRefusedError: If Cognito refuses the app client or the scope.
        """

    def reachable(self, deadline: Deadline) -> bool:
        """Return whether the endpoint answers (throttling counts); the request is not billed."""
