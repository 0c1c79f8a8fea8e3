"""
Records as Secrets Manager keeps them in one Region: texts, versions, labels, replicas.

Failback copies a record as it is, under the version ID that it has.  So the same
version in both Regions is the same record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from chalicelib.aws.client_records import client_secret_name, description, tags
from chalicelib.aws.secret_replicas import Connect, encrypted_with, replicas_in
from chalicelib.aws.secrets_calls import (
    CURRENT,
    GONE,
    NOT_ON_A_REPLICA,
    STAGED,
    ask,
    code,
    current_of,
    read_batch,
    refused,
)
from chalicelib.errors import (
    OutcomeUnknownError,
    ServiceError,
    StoreUnavailableError,
    UnknownClientError,
    VersionConflictError,
)
from chalicelib.model import ClientId, ClientRecord, VersionId
from surrogatectl.regions.stored_record import Labels, SecretDescription, StoredRecord

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RegionRecords:
    """
    The records of one Region; their replicas are in *other_region*.

    *kms_key* and *replica_kms_key* are those of `ClientSecrets`.  Every method raises
    `StoreUnavailableError` or `StoreRefusedError` if Secrets Manager fails; those that need a
    record raise `UnknownClientError` if it is gone.
    """

    connect: Connect = field(repr=False)
    other_region: str
    prefix: str
    kms_key: str | None = None
    replica_kms_key: str | None = None

    def stored(self, client_ids: Sequence[ClientId]) -> Mapping[ClientId, StoredRecord]:
        """Return the records of at most `BATCH` clients; what is gone is left out."""
        names = {self._name(client_id): client_id for client_id in client_ids}
        found = {}
        for value in read_batch(self._client, names):
            client_id = names[value["Name"]]
            if CURRENT in value.get("VersionStages", []):
                stored: StoredRecord | None = _stored(value)
            else:
                # Labels moved while this was read.
                stored = self._read(client_id, VersionStage=CURRENT)
            if stored is not None:
                found[client_id] = stored
        return found

    def version(self, client_id: ClientId, version: VersionId) -> StoredRecord | None:
        """Return one version of a record, `None` if Secrets Manager has forgotten it."""
        return self._read(client_id, VersionId=version)

    def _read(self, client_id: ClientId, **which: str) -> StoredRecord | None:
        try:
            return _stored(
                self._asked(
                    lambda: self._client.get_secret_value(SecretId=self._name(client_id), **which)
                )
            )
        except UnknownClientError:
            return None

    def describe(self, client_id: ClientId) -> SecretDescription | None:
        """Return the description of a record, `None` if there is none."""
        name = self._name(client_id)
        try:
            found = ask(lambda: self._client.describe_secret(SecretId=name))
        except ClientError as err:
            if code(err) == "ResourceNotFoundException":
                return None
            raise refused(err) from None
        primary = found.get("PrimaryRegion")
        rows = {
            row.get("Region"): row.get("Status", "") for row in found.get("ReplicationStatus", [])
        }
        current = current_of(found)
        return SecretDescription(
            current=VersionId(current) if current else None,
            replica_of=primary if primary == self.other_region else None,
            replica=rows.get(self.other_region),
            deletion_scheduled="DeletedDate" in found,
        )

    def labels(self, client_id: ClientId) -> Labels:
        """Return all the versions that Secrets Manager remembers."""
        found: dict[VersionId, frozenset[str]] = {}
        more: dict[str, Any] = {}
        name = self._name(client_id)
        while True:
            page = self._asked(
                lambda more=more: self._client.list_secret_version_ids(  # type: ignore[misc]
                    SecretId=name, IncludeDeprecated=True, **more
                ),
                shows="Versions",
            )
            for version in page["Versions"]:
                labels = frozenset(version.get("VersionStages", []))
                found[VersionId(version.get("VersionId", ""))] = labels
            if not page.get("NextToken"):
                return found
            more = {"NextToken": page["NextToken"]}

    def create(self, client_id: ClientId, stored: StoredRecord) -> None:
        """
        Store a record that is not there, as it is.  A repeat changes nothing.

        Raises:
            VersionConflictError: If another one is there.
        """
        record = stored.record
        told: dict[str, Any] = (
            {"Description": description(record), "Tags": tags(record)} if record else {}
        )
        try:
            ask(
                lambda: self._client.create_secret(
                    Name=self._name(client_id),
                    ClientRequestToken=stored.version,
                    SecretString=stored.text,
                    **encrypted_with(self.kms_key),
                    **told,
                )
            )
        except ClientError as err:
            if code(err) in {"ResourceExistsException", "InvalidRequestException"}:
                raise VersionConflictError from None
            raise refused(err) from None

    def stage(self, client_id: ClientId, stored: StoredRecord) -> None:
        """Store a version beside the current one.  A repeat changes nothing."""
        self._asked(
            lambda: self._client.put_secret_value(
                SecretId=self._name(client_id),
                ClientRequestToken=stored.version,
                SecretString=stored.text,
                VersionStages=[STAGED],
            )
        )

    def move(
        self, client_id: ClientId, label: str, *, to: VersionId, instead_of: VersionId
    ) -> None:
        """
        Move *label* from the version that has it, *instead_of*, to another one.

        Raises:
            VersionConflictError: If *instead_of* does not have it.
        """
        try:
            ask(
                lambda: self._client.update_secret_version_stage(
                    SecretId=self._name(client_id),
                    VersionStage=label,
                    MoveToVersionId=to,
                    RemoveFromVersionId=instead_of,
                )
            )
        except (ClientError, StoreUnavailableError) as err:
            # A move that arrived is refused when the SDK repeats it.
            if label in self.labels(client_id).get(to, ()):
                return
            if isinstance(err, StoreUnavailableError):
                raise OutcomeUnknownError from None
            if code(err) == NOT_ON_A_REPLICA:
                raise VersionConflictError from None
            raise _gone_or_refused(err) from None

    def update_listing(self, client_id: ClientId, record: ClientRecord) -> None:
        """Have lists show *record* as it is."""
        name = self._name(client_id)
        self._asked(
            lambda: self._client.update_secret(SecretId=name, Description=description(record))
        )
        # There is nothing in the answer.
        self._asked(lambda: self._client.tag_resource(SecretId=name, Tags=tags(record)), shows=None)

    def replicate(self, client_id: ClientId, *, overwrite: bool) -> None:
        """Replicate a record to the other Region, over what stands there if *overwrite*."""
        self._asked(
            lambda: self._client.replicate_secret_to_regions(
                SecretId=self._name(client_id),
                AddReplicaRegions=replicas_in(self.other_region, self.replica_kms_key),
                ForceOverwriteReplicaSecret=overwrite,
            )
        )

    def unreplicate(self, client_id: ClientId) -> None:
        """Forget the replica in the other Region."""
        self._asked(
            lambda: self._client.remove_regions_from_replication(
                SecretId=self._name(client_id), RemoveReplicaRegions=[self.other_region]
            )
        )

    def cancel_deletion(self, client_id: ClientId) -> None:
        """Take a record out of its scheduled deletion."""
        self._asked(lambda: self._client.restore_secret(SecretId=self._name(client_id)))

    def delete_now(self, client_id: ClientId) -> None:
        """Remove a record at once.  No error if it is gone already."""
        try:
            ask(
                lambda: self._client.delete_secret(
                    SecretId=self._name(client_id), ForceDeleteWithoutRecovery=True
                ),
                shows=None,
            )
        except ClientError as err:
            if code(err) != "ResourceNotFoundException":
                raise refused(err) from None

    @property
    def _client(self) -> SecretsManagerClient:
        return self.connect()

    def _name(self, client_id: ClientId) -> str:
        return client_secret_name(self.prefix, client_id)

    def _asked(self, call: Callable[[], T], shows: str | None = "ARN") -> T:
        try:
            return ask(call, shows)
        except ClientError as err:
            raise _gone_or_refused(err) from None


def _stored(value: Mapping[str, Any]) -> StoredRecord:
    return StoredRecord(value.get("SecretString", ""), VersionId(value["VersionId"]))


def _gone_or_refused(err: ClientError) -> ServiceError:
    return UnknownClientError() if code(err) in GONE else refused(err)
