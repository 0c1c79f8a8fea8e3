"""Client records in Secrets Manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError, ParamValidationError

from chalicelib import record_json
from chalicelib.aws.secret_replicas import Connect, SecretReplicas, encrypted_with
from chalicelib.aws.secrets_calls import (
    CURRENT,
    GONE,
    NOT_ON_A_REPLICA,
    ask,
    code,
    current_of,
    new_version,
    read_batch,
    read_value,
    refused,
    replace_value,
)
from chalicelib.credentials import RandomBytes
from chalicelib.errors import (
    NO_ANSWER,
    ClientExistsError,
    InvalidCursorError,
    MalformedSecretError,
    StoreUnavailableError,
    UnknownClientError,
)
from chalicelib.model import (
    ClientId,
    ClientRecord,
    ClientSummary,
    Page,
    Replication,
    Versioned,
    VersionId,
)

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import (
        DescribeSecretResponseTypeDef,
        SecretListEntryTypeDef,
        TagTypeDef,
    )

_MAX_DESCRIPTION = 2_048

T = TypeVar("T")


def client_secret_name(prefix: str, client_id: ClientId) -> str:
    """Return the name of the secret that holds *client_id*'s record."""
    return f"{prefix}/clients/{client_id}"


@dataclass(frozen=True, slots=True)
class ClientSecretsReader:
    """`RecordReader` on Secrets Manager, with the permissions of the exchange."""

    client: Connect = field(repr=False)
    prefix: str

    def read(self, client_id: ClientId) -> Versioned[ClientRecord]:
        """See `RecordReader.read`."""
        name = client_secret_name(self.prefix, client_id)
        found = read_value(self.client(), name, record_json.record_from_json)
        if found.value.client_id != client_id:
            raise MalformedSecretError("The record is another client's.")
        return found


@dataclass(frozen=True, slots=True)
class ClientSecrets:
    """
    `RecordStore` on Secrets Manager.

    *here* connects to this Region, *there* to *other_region*.  With *promotes*, for
    the secondary Region, the first write to a replica promotes it.  *kms_key*
    encrypts new secrets, *replica_kms_key* their replicas; `None` means the Region's
    `aws/secretsmanager`.
    """

    here: Connect = field(repr=False)
    there: Connect = field(repr=False)
    other_region: str
    prefix: str
    random_bytes: RandomBytes = field(repr=False)
    promotes: bool = False
    kms_key: str | None = None
    replica_kms_key: str | None = None

    def read(self, client_id: ClientId) -> Versioned[ClientRecord]:
        """See `RecordReader.read`."""
        return read_value(self.here(), self._name(client_id), record_json.record_from_json)

    def create(self, record: ClientRecord) -> VersionId:
        """See `RecordStore.create`."""
        try:
            answer = ask(
                lambda: self.here().create_secret(
                    Name=self._name(record.client_id),
                    ClientRequestToken=new_version(self.random_bytes),
                    Description=description(record),
                    SecretString=record_json.record_to_json(record),
                    Tags=tags(record),
                    **encrypted_with(self.kms_key),
                ),
                shows="VersionId",
            )
        except ClientError as err:
            # InvalidRequestException: it is marked for deletion.
            if code(err) in {"ResourceExistsException", "InvalidRequestException"}:
                raise ClientExistsError from None
            raise refused(err) from None
        return VersionId(answer["VersionId"])

    def replace(self, record: ClientRecord, read: VersionId) -> VersionId:
        """See `RecordStore.replace`."""
        name = self._name(record.client_id)
        version = replace_value(
            self.here(),
            name,
            record_json.record_to_json(record, after=read),
            read,
            new_version(self.random_bytes),
            partial(self._write, name),
        )
        self._update_listing(record)
        return version

    def _write(self, name: str, call: Callable[[], T], shows: str | None = "ARN") -> T:
        """Make a *call* that writes the secret *name*; if that is a replica, promote it."""
        try:
            return ask(call, shows)
        except ClientError as err:
            # AWS's code for a write to a replica is that for wrong parameters.
            if not (self.promotes and code(err) == NOT_ON_A_REPLICA and self._promote(name)):
                raise
        try:
            return ask(call, shows)
        except ClientError as err:
            if code(err) == NOT_ON_A_REPLICA:
                # Promoted a moment ago; AWS does not document how soon that takes effect.
                raise StoreUnavailableError("Secrets Manager: being promoted") from None
            raise

    def _promote(self, name: str) -> bool:
        """Promote the replica *name*; return whether it was a replica."""
        try:
            ask(lambda: self.here().stop_replication_to_replica(SecretId=name))
        except ClientError as err:
            if code(err) == NOT_ON_A_REPLICA:
                return False
            raise
        return True

    def _update_listing(self, record: ClientRecord) -> None:
        """Update tags and description after the record, never before it."""
        for update in (self._tag, self._rename):
            # The record is written and authoritative; `reconcile` repairs the listing.
            try:
                update(record)
            except ClientError:
                continue
            except NO_ANSWER:
                return

    def _tag(self, record: ClientRecord) -> None:
        name = self._name(record.client_id)
        # The answer is empty.
        self._write(
            name, lambda: self.here().tag_resource(SecretId=name, Tags=tags(record)), shows=None
        )

    def _rename(self, record: ClientRecord) -> None:
        name, text = self._name(record.client_id), description(record)
        self._write(name, lambda: self.here().update_secret(SecretId=name, Description=text))

    def describe(self, client_id: ClientId) -> Versioned[ClientSummary]:
        """See `RecordStore.describe`."""
        try:
            described = ask(lambda: self.here().describe_secret(SecretId=self._name(client_id)))
        except ClientError as err:
            if code(err) == "ResourceNotFoundException":
                raise UnknownClientError from None
            raise refused(err) from None
        summary = _summary(client_id, described)
        return Versioned(summary, VersionId(current_of(described) or ""))

    def update_listing(self, record: ClientRecord) -> None:
        """See `RecordStore.update_listing`."""
        try:
            self._rename(record)
            self._tag(record)
        except ClientError as err:
            if code(err) in GONE:
                raise UnknownClientError from None
            raise refused(err) from None

    def replicate(self, client_id: ClientId) -> None:
        """See `RecordStore.replicate`."""
        self._replicas.replicate(self._name(client_id))

    def stands_alone(self, client_id: ClientId) -> bool:
        """See `RecordStore.stands_alone`."""
        return self._replicas.stands_alone(self._name(client_id))

    def replication(self, client_id: ClientId, version: VersionId) -> Replication:
        """See `RecordStore.replication`."""
        return self._replicas.replication(self._name(client_id), version)

    @property
    def _replicas(self) -> SecretReplicas:
        return SecretReplicas(self.here, self.there, self.other_region, self.replica_kms_key)

    def list(self, cursor: str | None, limit: int) -> Page[ClientSummary]:
        """See `RecordStore.list`."""
        start = client_secret_name(self.prefix, ClientId(""))
        more: dict[str, Any] = {} if cursor is None else {"NextToken": cursor}
        try:
            answer = ask(
                lambda: self.here().list_secrets(
                    MaxResults=limit, Filters=[{"Key": "name", "Values": [start]}], **more
                ),
                shows="SecretList",
            )
        except ClientError as err:
            if code(err) == "InvalidNextTokenException":
                raise InvalidCursorError from None
            raise refused(err) from None
        except ParamValidationError:
            raise InvalidCursorError from None
        summaries = (
            _summary(secret["Name"].removeprefix(start), secret)
            for secret in answer["SecretList"]
            # Secrets Manager's filter ignores case.
            if secret["Name"].startswith(start) and "DeletedDate" not in secret
        )
        return Page(tuple(summaries), answer.get("NextToken"))

    def read_many(
        self, client_ids: Sequence[ClientId]
    ) -> Mapping[ClientId, Versioned[ClientRecord] | None]:
        """See `RecordStore.read_many`."""
        names = {self._name(client_id): client_id for client_id in client_ids}
        if not names:
            return {}
        found: dict[ClientId, Versioned[ClientRecord] | None] = {}
        for value in read_batch(self.here(), names):
            client_id = names[value["Name"]]
            try:
                if CURRENT in value.get("VersionStages", []):
                    record = record_json.record_from_json(value.get("SecretString", ""))
                    found[client_id] = Versioned(record, VersionId(value["VersionId"]))
                else:
                    # Its labels were moving: somebody was writing it.
                    found[client_id] = self.read(client_id)
            except UnknownClientError:
                continue
            except MalformedSecretError:
                found[client_id] = None
        return found

    def unreplicate(self, client_id: ClientId) -> None:
        """See `RecordStore.unreplicate`."""
        self._replicas.unreplicate(self._name(client_id))

    def schedule_deletion(self, client_id: ClientId, recovery_days: int) -> None:
        """See `RecordStore.schedule_deletion`."""
        try:
            ask(
                lambda: self.here().delete_secret(
                    SecretId=self._name(client_id), RecoveryWindowInDays=recovery_days
                )
            )
        except ClientError as err:
            # InvalidRequestException: already marked.
            if code(err) not in {"ResourceNotFoundException", "InvalidRequestException"}:
                raise refused(err) from None

    def cancel_deletion(self, client_id: ClientId) -> None:
        """See `RecordStore.cancel_deletion`."""
        name = self._name(client_id)
        try:
            self._write(name, lambda: self.here().restore_secret(SecretId=name))
        except ClientError as err:
            if code(err) == "ResourceNotFoundException":
                raise UnknownClientError from None
            # InvalidRequestException: not marked.
            if code(err) != "InvalidRequestException":
                raise refused(err) from None

    def _name(self, client_id: ClientId) -> str:
        return client_secret_name(self.prefix, client_id)


def _summary(
    client_id: str, secret: SecretListEntryTypeDef | DescribeSecretResponseTypeDef
) -> ClientSummary:
    values = {tag.get("Key", ""): tag.get("Value", "") for tag in secret.get("Tags", [])}
    return ClientSummary(
        client_id=ClientId(client_id),
        client_name=secret.get("Description", ""),
        status=values.get("surrogate:status", "unknown"),
        origin=values.get("surrogate:origin", "unknown"),
        created_at=_number(values.get("surrogate:created-at")) or 0,
        expires_at=_number(values.get("surrogate:expires-at")),
    )


def _number(text: str | None) -> int | None:
    """Return the number in a tag; `None` if it is 0, or if somebody edited the tag."""
    return int(text) or None if text and text.isdecimal() else None


def description(record: ClientRecord) -> str:
    """Return the Description of *record*'s secret."""
    return record.client_name[:_MAX_DESCRIPTION]


def tags(record: ClientRecord) -> Sequence[TagTypeDef]:
    """Return the tags of *record*'s secret, so that lists need no decryption."""
    values = {
        "surrogate:kind": "client",
        "surrogate:status": record.status,
        "surrogate:origin": record.origin,
        "surrogate:created-at": str(record.created_at),
        "surrogate:expires-at": str(record.expires_at or 0),
    }
    return [{"Key": key, "Value": value} for key, value in values.items()]
