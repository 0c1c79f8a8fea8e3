"""
Client records, the Region's state and the deployment key in Secrets Manager.

Everything is read with `VersionStage=AWSCURRENT`, spelled out: what is read
without it differs between Secrets Manager and its emulators while labels move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from . import records
from .credentials import RandomBytes
from .errors import (
    ClientExistsError,
    InvalidCursorError,
    MalformedSecretError,
    OutcomeUnknownError,
    ServiceError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
    UnknownClientError,
    VersionConflictError,
)
from .model import (
    ClientId,
    ClientRecord,
    ClientSummary,
    Page,
    RegionState,
    Replication,
    Versioned,
    VersionId,
)

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import (
        DescribeSecretResponseTypeDef,
        SecretListEntryTypeDef,
        TagTypeDef,
    )

CURRENT = "AWSCURRENT"
# The one label under which a new version waits to become current.  Not
# AWSPENDING: PutSecretValue moves that one by itself.
STAGED = "STAGED"

_MAX_DESCRIPTION = 2_048
_THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
    }
)
_UNAVAILABLE = frozenset(
    {
        "InternalServiceError",
        "InternalServiceErrorException",
        "InternalFailure",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)
# What botocore raises over an answer that is not UTF-8, or JSON but no object.
_TRIPPED = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
_GONE = frozenset({"ResourceNotFoundException", "InvalidRequestException"})
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429

T = TypeVar("T")

Connect = Callable[[], "SecretsManagerClient"]
"""Returns an AWS client, made when it is first asked for."""


def client_secret_name(prefix: str, client_id: ClientId) -> str:
    """Return the name of the secret that holds *client_id*'s record."""
    return f"{prefix}/clients/{client_id}"


def state_secret_name(prefix: str) -> str:
    """Return the name of the secret that holds a Region's state."""
    return f"{prefix}/region"


def deployment_secret_name(prefix: str) -> str:
    """Return the name of the secret that holds the deployment key."""
    return f"{prefix}/deployment"


def _ask(call: Callable[[], T], shows: str | None = "ARN") -> T:
    """
    Make an AWS call; translate what goes wrong for every operation alike.

    An answer without the member *shows* is none, whatever its status says.
    """
    try:
        answer = call()
    except ClientError as err:
        code = err.response.get("Error", {}).get("Code", "")
        status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        outage = _outage(code, status)
        if outage is not None:
            raise outage from None
        raise
    except ParamValidationError:
        raise
    except (BotoCoreError, ResponseParserError, *_TRIPPED) as err:
        # Unreachable, or an answer that is none.
        raise StoreUnavailableError(f"Secrets Manager: {type(err).__name__}") from None
    if shows is not None and not (isinstance(answer, Mapping) and shows in answer):
        raise StoreUnavailableError("Secrets Manager: an answer that is none")
    return answer


def _outage(code: str, status: int) -> StoreUnavailableError | None:
    """Return what AWS's error *code* with *status* means, `None` if it is a refusal."""
    if code in _THROTTLED or status == _TOO_MANY_REQUESTS:
        return StoreThrottledError(f"Secrets Manager: {code}")
    if code in _UNAVAILABLE or status >= _SERVER_ERROR:
        return StoreUnavailableError(f"Secrets Manager: {code}")
    return None


def _code(err: ClientError) -> str:
    return str(err.response.get("Error", {}).get("Code", ""))


def _refused(err: ClientError) -> StoreRefusedError:
    return StoreRefusedError(f"Secrets Manager refused: {_code(err)}")


def _new_version(random_bytes: RandomBytes) -> VersionId:
    return VersionId(str(UUID(bytes=random_bytes(16), version=4)))


def _read(client: SecretsManagerClient, name: str, parse: Callable[[str], T]) -> Versioned[T]:
    """
    Return the current value of the secret *name*.

    Raises:
        UnknownClientError: If there is none, or it is marked for deletion.
        StoreUnavailableError, StoreRefusedError, MalformedSecretError
    """
    try:
        answer = _ask(lambda: client.get_secret_value(SecretId=name, VersionStage=CURRENT))
    except ClientError as err:
        # InvalidRequestException: marked for deletion.
        if _code(err) in _GONE:
            raise UnknownClientError from None
        raise _refused(err) from None
    text, version = answer.get("SecretString"), answer.get("VersionId")
    if not isinstance(text, str) or not isinstance(version, str):
        raise MalformedSecretError("The secret holds no text.")
    return Versioned(parse(text), VersionId(version))


def _replace(
    client: SecretsManagerClient, name: str, text: str, read: VersionId, new: VersionId
) -> VersionId:
    """
    Make *text* the current value if *read* still is (compare-and-swap).

    Raises:
        VersionConflictError, UnknownClientError, OutcomeUnknownError,
        StoreUnavailableError, StoreRefusedError
    """
    try:
        _ask(
            lambda: client.put_secret_value(
                SecretId=name, ClientRequestToken=new, SecretString=text, VersionStages=[STAGED]
            )
        )
    except ClientError as err:
        if _code(err) in _GONE:
            raise UnknownClientError from None
        raise _refused(err) from None
    try:
        _ask(
            lambda: client.update_secret_version_stage(
                SecretId=name,
                VersionStage=CURRENT,
                MoveToVersionId=new,
                RemoveFromVersionId=read,
            )
        )
    except (ClientError, StoreUnavailableError) as err:
        # A move that arrived is refused when the SDK repeats it, and an answer
        # can get lost: only what is current now tells who won.
        if _current_version(client, name) != new:
            raise _not_moved(err) from None
    return new


def _current_version(client: SecretsManagerClient, name: str) -> str | None:
    """
    Return which version of the secret *name* is current, `None` if we may not know.

    Raises:
        UnknownClientError: If there is no such secret any more.
        OutcomeUnknownError: If Secrets Manager does not answer.
    """
    try:
        return _current_of(_ask(lambda: client.describe_secret(SecretId=name)))
    except StoreUnavailableError:
        raise OutcomeUnknownError from None
    except ClientError as err:
        if _code(err) in _GONE:
            raise UnknownClientError from None
        return None


def _not_moved(err: ClientError | StoreUnavailableError) -> ServiceError:
    """Return what *err* of a move means whose version is not current."""
    if isinstance(err, StoreThrottledError):
        return err
    if isinstance(err, StoreUnavailableError):
        # It may still arrive, or ours was current and somebody else's came after it.
        return OutcomeUnknownError()
    if _code(err) == "InvalidRequestException":
        return UnknownClientError()
    if _code(err) in {"InvalidParameterException", "ResourceNotFoundException"}:
        return VersionConflictError()
    return _refused(err)


def _current_of(described: DescribeSecretResponseTypeDef) -> str | None:
    stages = described.get("VersionIdsToStages", {})
    return next((version for version, labels in stages.items() if CURRENT in labels), None)


@dataclass(frozen=True, slots=True)
class ClientSecretsReader:
    """`RecordReader` on Secrets Manager: all that the exchange may do."""

    client: Connect = field(repr=False)
    prefix: str

    def read(self, client_id: ClientId) -> Versioned[ClientRecord]:
        """See `RecordReader.read`."""
        name = client_secret_name(self.prefix, client_id)
        found = _read(self.client(), name, records.record_from_json)
        if found.value.client_id != client_id:
            raise MalformedSecretError("The record is another client's.")
        return found


@dataclass(frozen=True, slots=True)
class ClientSecrets:
    """
    `RecordStore` on Secrets Manager.

    *here* connects to this Region, *there* to the other one, whose name is
    *other_region*.
    """

    here: Connect = field(repr=False)
    there: Connect = field(repr=False)
    other_region: str
    prefix: str
    random_bytes: RandomBytes = field(repr=False)

    def read(self, client_id: ClientId) -> Versioned[ClientRecord]:
        """See `RecordReader.read`."""
        return _read(self.here(), self._name(client_id), records.record_from_json)

    def create(self, record: ClientRecord) -> VersionId:
        """See `RecordStore.create`."""
        try:
            answer = _ask(
                lambda: self.here().create_secret(
                    Name=self._name(record.client_id),
                    ClientRequestToken=_new_version(self.random_bytes),
                    Description=_description(record),
                    SecretString=records.record_to_json(record),
                    Tags=_tags(record),
                ),
                shows="VersionId",
            )
        except ClientError as err:
            if _code(err) == "ResourceExistsException":
                raise ClientExistsError from None
            if _code(err) == "InvalidRequestException":
                # A secret of that name is still being deleted.
                raise StoreUnavailableError("Secrets Manager: InvalidRequestException") from None
            raise _refused(err) from None
        return VersionId(answer["VersionId"])

    def replace(self, record: ClientRecord, read: VersionId) -> VersionId:
        """See `RecordStore.replace`."""
        name = self._name(record.client_id)
        version = _replace(
            self.here(),
            name,
            records.record_to_json(record),
            read,
            _new_version(self.random_bytes),
        )
        self._describe(record)
        return version

    def _describe(self, record: ClientRecord) -> None:
        """Bring what lists show up to date; it follows the record and never leads it."""
        for tell in (self._tag, self._rename):
            # The record is written, and it alone decides; `reconcile` mends the rest.
            try:
                tell(record)
            except ClientError:
                continue
            except StoreUnavailableError:
                return

    def _tag(self, record: ClientRecord) -> None:
        name = self._name(record.client_id)
        # There is nothing in the answer.
        _ask(lambda: self.here().tag_resource(SecretId=name, Tags=_tags(record)), shows=None)

    def _rename(self, record: ClientRecord) -> None:
        name, description = self._name(record.client_id), _description(record)
        _ask(lambda: self.here().update_secret(SecretId=name, Description=description))

    def peek(self, client_id: ClientId) -> Versioned[ClientSummary]:
        """See `RecordStore.peek`."""
        try:
            described = _ask(lambda: self.here().describe_secret(SecretId=self._name(client_id)))
        except ClientError as err:
            if _code(err) == "ResourceNotFoundException":
                raise UnknownClientError from None
            raise _refused(err) from None
        summary = _summary(client_id, described)
        return Versioned(summary, VersionId(_current_of(described) or ""))

    def retag(self, record: ClientRecord) -> None:
        """See `RecordStore.retag`."""
        try:
            self._rename(record)
            self._tag(record)
        except ClientError as err:
            if _code(err) in _GONE:
                raise UnknownClientError from None
            raise _refused(err) from None

    def destroy(self, client_id: ClientId) -> None:
        """See `RecordStore.destroy`."""
        try:
            _ask(
                lambda: self.here().delete_secret(
                    SecretId=self._name(client_id), ForceDeleteWithoutRecovery=True
                ),
                # What is answered where there is no secret is not documented.
                shows=None,
            )
        except ClientError as err:
            if _code(err) != "ResourceNotFoundException":
                raise _refused(err) from None

    def replicate(self, client_id: ClientId) -> None:
        """See `RecordStore.replicate`."""
        if self._replica_status(client_id) is not None:
            # Asking again for a replica that exists is an error, or adds a second status.
            return
        try:
            _ask(
                lambda: self.here().replicate_secret_to_regions(
                    SecretId=self._name(client_id),
                    AddReplicaRegions=[{"Region": self.other_region}],
                )
            )
        except ClientError as err:
            raise _refused(err) from None

    def _replica_status(self, client_id: ClientId) -> str | None:
        """Return what this Region says of the replica, `None` if there is none."""
        try:
            here = _ask(lambda: self.here().describe_secret(SecretId=self._name(client_id)))
        except ClientError as err:
            if _code(err) == "ResourceNotFoundException":
                raise UnknownClientError from None
            raise _refused(err) from None
        for replica in here.get("ReplicationStatus", []):
            if replica.get("Region") == self.other_region:
                return replica.get("Status", "")
        return None

    def replication(self, client_id: ClientId, version: VersionId) -> Replication:
        """See `RecordStore.replication`."""
        try:
            there = _ask(lambda: self.there().describe_secret(SecretId=self._name(client_id)))
            if _current_of(there) == version:
                return Replication.IN_SYNC
        except (ClientError, StoreUnavailableError):
            pass
        status = self._replica_status(client_id)
        if status is None:
            return Replication.MISSING
        return Replication.FAILED if status == "Failed" else Replication.IN_PROGRESS

    def list(self, cursor: str | None, limit: int) -> Page[ClientSummary]:
        """See `RecordStore.list`."""
        start = client_secret_name(self.prefix, ClientId(""))
        more: dict[str, Any] = {} if cursor is None else {"NextToken": cursor}
        try:
            answer = _ask(
                lambda: self.here().list_secrets(
                    MaxResults=limit, Filters=[{"Key": "name", "Values": [start]}], **more
                ),
                shows="SecretList",
            )
        except ClientError as err:
            if _code(err) == "InvalidNextTokenException":
                raise InvalidCursorError from None
            raise _refused(err) from None
        except ParamValidationError:
            raise InvalidCursorError from None
        summaries = (
            _summary(secret["Name"].removeprefix(start), secret)
            for secret in answer["SecretList"]
            # The filter ignores case; our prefix does not.
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
        try:
            answer = _ask(
                lambda: self.here().batch_get_secret_value(SecretIdList=list(names)),
                shows="SecretValues",
            )
        except ClientError as err:
            raise _refused(err) from None
        for failure in answer.get("Errors", []):
            code = failure.get("ErrorCode", "")
            if code not in _GONE:
                raise _outage(code, 0) or StoreRefusedError(f"Secrets Manager refused: {code}")
        found: dict[ClientId, Versioned[ClientRecord] | None] = {}
        for value in answer.get("SecretValues", []):
            client_id = names[value["Name"]]
            try:
                if CURRENT in value.get("VersionStages", []):
                    record = records.record_from_json(value.get("SecretString", ""))
                    found[client_id] = Versioned(record, VersionId(value["VersionId"]))
                else:
                    # It was written in this moment, while labels moved.
                    found[client_id] = self.read(client_id)
            except UnknownClientError:
                continue
            except MalformedSecretError:
                found[client_id] = None
        return found

    def unreplicate(self, client_id: ClientId) -> None:
        """See `RecordStore.unreplicate`."""
        if self._replica_status(client_id) is None:
            return
        try:
            _ask(
                lambda: self.here().remove_regions_from_replication(
                    SecretId=self._name(client_id), RemoveReplicaRegions=[self.other_region]
                )
            )
        except ClientError as err:
            raise _refused(err) from None

    def bury(self, client_id: ClientId, recovery_days: int) -> None:
        """See `RecordStore.bury`."""
        try:
            _ask(
                lambda: self.here().delete_secret(
                    SecretId=self._name(client_id), RecoveryWindowInDays=recovery_days
                )
            )
        except ClientError as err:
            # InvalidRequestException: marked already.
            if _code(err) not in {"ResourceNotFoundException", "InvalidRequestException"}:
                raise _refused(err) from None

    def unbury(self, client_id: ClientId) -> None:
        """See `RecordStore.unbury`."""
        try:
            _ask(lambda: self.here().restore_secret(SecretId=self._name(client_id)))
        except ClientError as err:
            if _code(err) == "ResourceNotFoundException":
                raise UnknownClientError from None
            # InvalidRequestException: there is no mark.
            if _code(err) != "InvalidRequestException":
                raise _refused(err) from None

    def _name(self, client_id: ClientId) -> str:
        return client_secret_name(self.prefix, client_id)


def _summary(
    client_id: str, secret: SecretListEntryTypeDef | DescribeSecretResponseTypeDef
) -> ClientSummary:
    tags = {tag.get("Key", ""): tag.get("Value", "") for tag in secret.get("Tags", [])}
    return ClientSummary(
        client_id=ClientId(client_id),
        client_name=secret.get("Description", ""),
        status=tags.get("surrogate:status", "unknown"),
        origin=tags.get("surrogate:origin", "unknown"),
        created_at=_number(tags.get("surrogate:created-at")) or 0,
        expires_at=_number(tags.get("surrogate:expires-at")),
    )


def _number(text: str | None) -> int | None:
    """Return the number that a tag holds; people can edit tags, so it may be none."""
    return int(text) or None if text and text.isdecimal() else None


def _description(record: ClientRecord) -> str:
    return record.client_name[:_MAX_DESCRIPTION]


def _tags(record: ClientRecord) -> Sequence[TagTypeDef]:
    """Return what lists show of *record*, so that listing decrypts nothing."""
    tags = {
        "surrogate:kind": "client",
        "surrogate:status": record.status,
        "surrogate:origin": record.origin,
        "surrogate:created-at": str(record.created_at),
        "surrogate:expires-at": str(record.expires_at or 0),
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


@dataclass(frozen=True, slots=True)
class StateSecret:
    """`StateStore` on Secrets Manager."""

    client: Connect = field(repr=False)
    prefix: str
    random_bytes: RandomBytes = field(repr=False)

    def read(self) -> Versioned[RegionState]:
        """See `StateStore.read`."""
        try:
            return _read(self.client(), state_secret_name(self.prefix), records.state_from_json)
        except UnknownClientError:
            raise MalformedSecretError("The Region's state is missing.") from None

    def replace(self, state: RegionState, read: VersionId) -> VersionId:
        """See `StateStore.replace`."""
        try:
            return _replace(
                self.client(),
                state_secret_name(self.prefix),
                records.state_to_json(state),
                read,
                _new_version(self.random_bytes),
            )
        except UnknownClientError:
            raise VersionConflictError from None


@dataclass(frozen=True, slots=True)
class DeploymentKeySecret:
    """`DeploymentKeyReader` on Secrets Manager."""

    client: Connect = field(repr=False)
    prefix: str

    def read(self) -> bytes:
        """See `DeploymentKeyReader.read`."""
        name = deployment_secret_name(self.prefix)
        try:
            return _read(self.client(), name, records.deployment_key_from_json).value
        except UnknownClientError:
            raise MalformedSecretError("The deployment key is missing.") from None
