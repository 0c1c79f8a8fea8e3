"""
Versions of a secret and their staging labels, as Secrets Manager documents them.

A label is attached to one version at a time. A version without labels is deprecated: it can still
be read by its ID until Secrets Manager removes it: when there are more than 100 versions, and
never within 24 hours. Because of that last rule frequent writes fail in the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from local.aws_gaps.errors import AwsError

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
MAX_VERSIONS = 100
MAX_LABELS = 20
MAX_VALUE_BYTES = 65_536
KEPT_SECONDS = 24 * 60 * 60
_TOKEN_LENGTHS = range(32, 65)

# A secret as MiniStack stores it; used here are its "Versions" by ID, each with "Stages".
Secret = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Value:
    """Secret value: a text, or bytes in base64, or (on creation) none."""

    string: str | None = None
    binary: str | None = None

    @classmethod
    def from_request(cls, data: dict[str, Any], *, required: bool) -> "Value":
        """
        Read the value in a request.

        Raises:
            AwsError: If it is missing though *required*, given twice, or too long.
        """
        value = cls(data.get("SecretString"), data.get("SecretBinary"))
        if value.string is not None and value.binary is not None:
            msg = "You can't specify both a binary secret value and a string secret value."
            raise AwsError("InvalidParameterException", msg)
        if required and value.is_empty:
            msg = "You must provide either SecretString or SecretBinary."
            raise AwsError("InvalidParameterException", msg)
        length = len((value.string or "").encode()) or len(value.binary or "") * 3 // 4
        if length > MAX_VALUE_BYTES:
            member = "secretString" if value.string is not None else "secretBinary"
            msg = (
                f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
                f"Member must have length less than or equal to {MAX_VALUE_BYTES}"
            )
            raise AwsError("ValidationException", msg)
        return value

    @property
    def is_empty(self) -> bool:
        """Return whether there is no value at all."""
        return self.string is None and self.binary is None

    def is_in(self, version: dict[str, Any]) -> bool:
        """Return whether *version* has this value."""
        same_string = bool(version.get("SecretString") == self.string)
        return same_string and bool(version.get("SecretBinary") == self.binary)


def check_token(token: str) -> None:
    """
    Check the form of a client request token.

    Raises:
        AwsError: If it is too short or too long.
    """
    if len(token) not in _TOKEN_LENGTHS:
        msg = (
            f"ClientRequestToken must be {_TOKEN_LENGTHS.start}-{_TOKEN_LENGTHS.stop - 1} "
            "characters long."
        )
        raise AwsError("InvalidParameterException", msg)


def holder(secret: Secret, label: str) -> str | None:
    """Return the ID of the version that *label* is attached to."""
    for version_id, version in secret["Versions"].items():
        if label in version["Stages"]:
            return str(version_id)
    return None


def add_version(
    secret: Secret, version_id: str, value: Value, labels: Iterable[str], now: float
) -> bool:
    """
    Add a version with *labels*; return whether anything changed.

    A repetition with the same ID and value changes nothing.

    Raises:
        AwsError: If the ID is in use for another value, or a limit is reached.
    """
    versions = secret["Versions"]
    if version_id in versions:
        if value.is_in(versions[version_id]):
            return False
        msg = (
            f"You can't use ClientRequestToken {version_id} because that value is already in use "
            f"for a version of secret {secret['ARN']}."
        )
        raise AwsError("ResourceExistsException", msg)
    wanted = dict.fromkeys(labels)
    if not versions:
        wanted[CURRENT] = None
    _check_labels(secret, wanted)
    _make_room(secret, now)
    versions[version_id] = {
        "SecretString": value.string,
        "SecretBinary": value.binary,
        "CreatedDate": now,
        "Stages": [],
    }
    for label in wanted:
        attach(secret, label, version_id)
    secret["LastChangedDate"] = now
    return True


def attach(secret: Secret, label: str, version_id: str) -> None:
    """Attach *label* to a version and to no other; AWSPREVIOUS follows where AWSCURRENT was."""
    before = holder(secret, label)
    if before == version_id:
        return
    if before is not None:
        secret["Versions"][before]["Stages"].remove(label)
    secret["Versions"][version_id]["Stages"].append(label)
    if label == CURRENT and before is not None:
        attach(secret, PREVIOUS, before)


def move_label(
    secret: Secret, label: str, *, to: str | None, from_version: str | None, now: float
) -> None:
    """
    Move, add or remove *label*, as UpdateSecretVersionStage does.

    A label that is attached to another version moves only if the caller names that version, which
    makes this a compare-and-swap.

    Raises:
        AwsError: If the label is not where the caller says, a version does not exist, or AWSCURRENT
            would be left on none.
    """
    if to is None and from_version is None:
        msg = "You must specify MoveToVersionId or RemoveFromVersionId."
        raise AwsError("InvalidParameterException", msg)
    for version_id in (to, from_version):
        if version_id is not None and version_id not in secret["Versions"]:
            msg = f"Secrets Manager can't find the specified secret version: {version_id}."
            raise AwsError("ResourceNotFoundException", msg)
    present = holder(secret, label)
    if from_version is not None and present != from_version:
        where = f"attached to version {present}" if present else "not attached to any version"
        msg = (
            f"The parameter RemoveFromVersionId is not valid. Staging label {label} is currently "
            f"{where}."
        )
        raise AwsError("InvalidParameterException", msg)
    if from_version is None and present not in (None, to):
        msg = (
            f"The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently "
            f"attached to version {present}, so you must explicitly reference that version in "
            "RemoveFromVersionId."
        )
        raise AwsError("InvalidParameterException", msg)
    if to is None:
        if label == CURRENT:
            msg = "You can only move staging label AWSCURRENT to a different version."
            raise AwsError("InvalidParameterException", msg)
        secret["Versions"][from_version]["Stages"].remove(label)
    else:
        _check_labels(secret, [label])
        attach(secret, label, to)
    secret["LastChangedDate"] = now


def _check_labels(secret: Secret, labels: Iterable[str]) -> None:
    attached = {label for version in secret["Versions"].values() for label in version["Stages"]}
    if len(attached.union(labels)) > MAX_LABELS:
        msg = f"You can't have more than {MAX_LABELS} staging labels on a secret."
        raise AwsError("LimitExceededException", msg)


def _make_room(secret: Secret, now: float) -> None:
    """Remove the oldest deprecated versions when the limit is reached, if they are old enough."""
    versions = secret["Versions"]
    for version_id, version in sorted(versions.items(), key=lambda item: item[1]["CreatedDate"]):
        if len(versions) < MAX_VERSIONS:
            return
        if not version["Stages"] and now - version["CreatedDate"] > KEPT_SECONDS:
            del versions[version_id]
    if len(versions) >= MAX_VERSIONS:
        msg = f"You have reached the limit of {MAX_VERSIONS} versions of secret {secret['Name']}."
        raise AwsError("LimitExceededException", msg)
