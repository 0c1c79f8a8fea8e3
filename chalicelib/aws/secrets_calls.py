"""
Calls to Secrets Manager: translation of errors, reading, and compare-and-swap.

Reads pass `VersionStage=AWSCURRENT` explicitly: without it, Secrets Manager and its
emulators read different versions while labels move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from chalicelib.credentials import RandomBytes
from chalicelib.errors import (
    NO_ANSWER,
    CallTimedOutError,
    MalformedSecretError,
    OutcomeUnknownError,
    RecordMissingError,
    ServiceError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
    UnknownClientError,
    VersionConflictError,
    VersionsUsedUpError,
)
from chalicelib.model import Versioned, VersionId

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import (
        DescribeSecretResponseTypeDef,
        SecretValueEntryTypeDef,
    )

CURRENT = "AWSCURRENT"
# Our label for a new version that is not current yet.  Not AWSPENDING, which
# PutSecretValue moves by itself.
STAGED = "STAGED"

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
# Errors of botocore about an answer that is not UTF-8, or not a JSON object.
_UNUSABLE_ANSWER = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
NOT_ON_A_REPLICA = "InvalidParameterException"
MISSING = "ResourceNotFoundException"
GONE = frozenset({MISSING, "InvalidRequestException"})
_LIMIT = "LimitExceededException"
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429

T = TypeVar("T")

Write = Callable[[Callable[[], Any]], Any]
"""Makes an AWS call."""


def ask(call: Callable[[], T], shows: str | None = "ARN") -> T:
    """
    Make an AWS call, and translate the errors that all operations share.

    An answer without the member *shows* is unusable, whatever its status.
    """
    try:
        answer = call()
    except ClientError as err:
        status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        unavailable = outage(code(err), status)
        if unavailable is not None:
            raise unavailable from None
        raise
    except ParamValidationError:
        raise
    except (BotoCoreError, ResponseParserError, *_UNUSABLE_ANSWER) as err:
        # Unreachable, or an unusable answer.
        raise StoreUnavailableError(f"Secrets Manager: {type(err).__name__}") from None
    if shows is not None and not (isinstance(answer, Mapping) and shows in answer):
        raise StoreUnavailableError("Secrets Manager: an unusable answer")
    return answer


def outage(error_code: str, status: int) -> StoreUnavailableError | None:
    """Return the error for AWS's *error_code* with *status*, `None` if it is a refusal."""
    if error_code in _THROTTLED or status == _TOO_MANY_REQUESTS:
        return StoreThrottledError(f"Secrets Manager: {error_code}")
    if error_code in _UNAVAILABLE or status >= _SERVER_ERROR:
        return StoreUnavailableError(f"Secrets Manager: {error_code}")
    return None


def code(err: ClientError) -> str:
    """Return AWS's error code."""
    return str(err.response.get("Error", {}).get("Code", ""))


def refused(err: ClientError) -> StoreRefusedError:
    """Return the error for a refusal without a more specific type."""
    return StoreRefusedError(f"Secrets Manager refused: {code(err)}")


def new_version(random_bytes: RandomBytes) -> VersionId:
    """Return an ID for a new version."""
    return VersionId(str(UUID(bytes=random_bytes(16), version=4)))


def read_value(client: SecretsManagerClient, name: str, parse: Callable[[str], T]) -> Versioned[T]:
    """
    Return the current value of the secret *name*.

    Raises:
        UnknownClientError: If it is marked for deletion.
        RecordMissingError: If there is no such secret, or none with this label.
        StoreUnavailableError, StoreRefusedError, MalformedSecretError
    """
    try:
        answer = ask(lambda: client.get_secret_value(SecretId=name, VersionStage=CURRENT))
    except ClientError as err:
        if code(err) == MISSING:
            raise RecordMissingError from None
        # InvalidRequestException: marked for deletion.
        if code(err) in GONE:
            raise UnknownClientError from None
        raise refused(err) from None
    text, version = answer.get("SecretString"), answer.get("VersionId")
    if not isinstance(text, str) or not isinstance(version, str):
        raise MalformedSecretError("The secret holds no text.")
    return Versioned(parse(text), VersionId(version))


def read_batch(
    client: SecretsManagerClient, names: Iterable[str]
) -> Sequence[SecretValueEntryTypeDef]:
    """
    Return the secrets of *names*; those that are gone are left out.

    A secret whose labels are moving may come in another version than its current one.

    Raises:
        StoreUnavailableError, StoreRefusedError
    """
    try:
        answer = ask(
            lambda: client.batch_get_secret_value(SecretIdList=list(names)), shows="SecretValues"
        )
    except ClientError as err:
        raise refused(err) from None
    for failure in answer.get("Errors", []):
        why = failure.get("ErrorCode", "")
        if why not in GONE:
            raise outage(why, 0) or StoreRefusedError(f"Secrets Manager refused: {why}")
    return answer.get("SecretValues", [])


def replace_value(  # noqa: PLR0913, PLR0917 - all of them differ between callers
    client: SecretsManagerClient,
    name: str,
    text: str,
    read: VersionId,
    new: VersionId,
    write: Write = ask,
) -> VersionId:
    """
    Make *text* the current value if *read* still is (compare-and-swap).

    *write* makes the first call, which Secrets Manager refuses for a replica.

    Raises:
        VersionConflictError, UnknownClientError, VersionsUsedUpError, OutcomeUnknownError,
        StoreUnavailableError, StoreRefusedError
    """
    try:
        write(
            lambda: client.put_secret_value(
                SecretId=name, ClientRequestToken=new, SecretString=text, VersionStages=[STAGED]
            )
        )
    except ClientError as err:
        if code(err) in GONE:
            raise UnknownClientError from None
        if code(err) == _LIMIT:
            raise VersionsUsedUpError from None
        raise refused(err) from None
    try:
        ask(
            lambda: client.update_secret_version_stage(
                SecretId=name,
                VersionStage=CURRENT,
                MoveToVersionId=new,
                RemoveFromVersionId=read,
            )
        )
    except (ClientError, *NO_ANSWER) as err:
        # The answer can get lost, and AWS refuses the SDK's retry of a move that
        # succeeded: only the current version shows the outcome.
        if _current_version(client, name) != new:
            raise _not_moved(err) from None
    return new


def _current_version(client: SecretsManagerClient, name: str) -> str | None:
    """
    Return the current version of the secret *name*, `None` if Secrets Manager refuses.

    Raises:
        UnknownClientError: If there is no such secret any more.
        OutcomeUnknownError: If Secrets Manager does not answer.
    """
    try:
        return current_of(ask(lambda: client.describe_secret(SecretId=name)))
    except NO_ANSWER:
        raise OutcomeUnknownError from None
    except ClientError as err:
        if code(err) in GONE:
            raise UnknownClientError from None
        return None


def _not_moved(err: ClientError | StoreUnavailableError | CallTimedOutError) -> ServiceError:
    """Return the error for a move that failed with *err*, when its version is not current."""
    if isinstance(err, (StoreThrottledError, CallTimedOutError)):
        return err
    if isinstance(err, StoreUnavailableError):
        # The move may still arrive, or a later write may already have replaced it.
        return OutcomeUnknownError()
    if code(err) == "InvalidRequestException":
        return UnknownClientError()
    if code(err) in {"InvalidParameterException", "ResourceNotFoundException"}:
        return VersionConflictError()
    return refused(err)


def current_of(described: DescribeSecretResponseTypeDef) -> str | None:
    """Return the current version in an answer of DescribeSecret, `None` if it has none."""
    stages = described.get("VersionIdsToStages", {})
    return next((version for version, labels in stages.items() if CURRENT in labels), None)
