"""
Secrets Manager of `fake_aws`: labels, replicas, recovery windows, lagging lists.

It covers the operations that the adapters use; the behavior is AWS's documented one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import uuid4

from tests.fake_aws import Answer, AwsError, FakeAws

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"
_DAY: Final = 86_400
_MAX_LABELS: Final = 20
_MAX_VERSIONS: Final = 100
_MAX_BATCH: Final = 20
_VERSIONS_PAGE: Final = 40
_SUFFIX: Final = "-AbCdEf"

Tags = Sequence[Mapping[str, str]]


@dataclass
class Version:
    text: str = field(repr=False)
    created_at: float
    labels: set[str]


@dataclass
class Secret:
    """
    Secret in one Region, or, with *primary_region*, the replica of one.

    *replicas* maps a Region to the status of the replica there.  *undecryptable*: its KMS key
    may not be used.
    """

    name: str
    description: str
    tags: dict[str, str]
    created_at: float
    versions: dict[str, Version] = field(default_factory=dict)
    replicas: dict[str, str] = field(default_factory=dict)
    primary_region: str | None = None
    deleted_at: float | None = None
    purged_at: float | None = None
    undecryptable: bool = False

    def holder(self, label: str) -> str | None:
        """Return the version that has *label*."""
        return next((each for each, it in self.versions.items() if label in it.labels), None)

    @property
    def current(self) -> Version:
        """Version with the label AWSCURRENT."""
        return self.versions[self.holder(CURRENT) or ""]

    def attach(self, label: str, version: str) -> None:
        """Move *label*; AWSPREVIOUS goes where AWSCURRENT was."""
        before = self.holder(label)
        if before == version:
            return
        if before is not None:
            self.versions[before].labels.remove(label)
            if label == CURRENT:
                self.attach(PREVIOUS, before)
        self.versions[version].labels.add(label)

    def copy(self, primary_region: str) -> Secret:
        """Return a replica of the secret."""
        versions = {
            each: replace(version, labels=set(version.labels))
            for each, version in self.versions.items()
        }
        return replace(
            self,
            tags=dict(self.tags),
            versions=versions,
            replicas={},
            primary_region=primary_region,
        )


@dataclass
class Replicator:
    """
    Replication of secrets between Regions, some *seconds* after a change.

    Changes to or from a Region that is down wait until it is back.  *detached* is
    the status of a promoted replica at the primary secret, which AWS does not
    document; `None`: no entry.
    """

    aws: FakeAws
    seconds: float = 0.3
    detached: str | None = "Detached"
    regions: dict[str, SecretsManager] = field(default_factory=dict)
    _due: list[tuple[float, frozenset[str], Callable[[], None]]] = field(default_factory=list)

    def later(self, here: str, there: str, work: Callable[[], None]) -> None:
        """Queue a change from *here* to *there*."""
        self._due.append((self.aws.clock() + self.seconds, frozenset({here, there}), work))
        self.settle()

    def hurry(self) -> None:
        """Make every queued change due."""
        now = self.aws.clock()
        self._due = [(min(due, now), regions, work) for due, regions, work in self._due]

    def settle(self) -> None:
        """Carry out due changes."""
        waiting, self._due = self._due, []
        for due, regions, work in waiting:
            if due <= self.aws.clock() and not regions & self.aws.down:
                work()
            else:
                self._due.append((due, regions, work))


@dataclass
class SecretsManager:
    """
    Secrets Manager in *region*.

    Its lists show the state of *list_seconds* ago.
    """

    aws: FakeAws
    region: str
    replicator: Replicator
    list_seconds: float = 300
    secrets: dict[str, Secret] = field(default_factory=dict)
    _listed: dict[str, list[tuple[float, Answer | None]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.replicator.regions[self.region] = self

    # Reads

    def get_secret_value(
        self, *, SecretId: str, VersionStage: str = CURRENT, VersionId: str = ""
    ) -> Answer:
        secret = self._live(SecretId)
        version = VersionId or secret.holder(VersionStage)
        if version is None or version not in secret.versions:
            raise AwsError("ResourceNotFoundException", "no such version")
        if secret.undecryptable:
            raise AwsError("AccessDeniedException", "Access to KMS is not allowed")
        return _value(secret, self._arn(secret), version)

    def batch_get_secret_value(self, *, SecretIdList: Sequence[str]) -> Answer:
        if len(SecretIdList) > _MAX_BATCH:
            raise AwsError("InvalidParameterException", "too many secrets")
        answer: Answer = {"SecretValues": [], "Errors": []}
        for secret_id in SecretIdList:
            try:
                answer["SecretValues"].append(self.get_secret_value(SecretId=secret_id))
            except AwsError as err:
                answer["Errors"].append({"SecretId": secret_id, "ErrorCode": err.code})
        return answer

    def describe_secret(self, *, SecretId: str) -> Answer:
        secret = self._find(SecretId)
        labels = {each: sorted(it.labels) for each, it in secret.versions.items() if it.labels}
        answer = self._entry(secret) | {"VersionIdsToStages": labels}
        if secret.replicas:
            answer["ReplicationStatus"] = [
                {"Region": region, "Status": status} for region, status in secret.replicas.items()
            ]
        return answer

    def list_secret_version_ids(
        self,
        *,
        SecretId: str,
        IncludeDeprecated: bool = False,
        MaxResults: int = _VERSIONS_PAGE,
        NextToken: str = "",
    ) -> Answer:
        secret = self._find(SecretId)
        versions = [
            {"VersionId": each, "CreatedDate": _date(version.created_at)}
            | ({"VersionStages": sorted(version.labels)} if version.labels else {})
            for each, version in secret.versions.items()
            if version.labels or IncludeDeprecated
        ]
        start = int(NextToken.removeprefix("from:") or 0)
        end = start + MaxResults
        page = versions[start:end]
        more = {"NextToken": f"from:{end}"} if end < len(versions) else {}
        return _named(secret, self._arn(secret)) | {"Versions": page} | more

    def list_secrets(
        self,
        *,
        MaxResults: int,
        Filters: Sequence[Mapping[str, Any]],
        NextToken: str = "",
        IncludePlannedDeletion: bool = False,
    ) -> Answer:
        starts = [each for filtered in Filters for each in filtered["Values"]]
        until = self.aws.clock() - self.list_seconds
        shown = []
        for name in sorted(self._listed):
            known = [entry for at, entry in self._listed[name] if at <= until]
            entry = known[-1] if known else None
            # The filter is case-insensitive.
            wanted = any(name.lower().startswith(each.lower()) for each in starts)
            if entry is None or not wanted:
                continue
            if IncludePlannedDeletion or "DeletedDate" not in entry:
                shown.append(entry)
        if NextToken and not (NextToken.startswith("after:") and len(NextToken) > len("after:")):
            raise AwsError("InvalidNextTokenException")
        rest = [each for each in shown if each["Name"] > NextToken.removeprefix("after:")]
        page = rest[:MaxResults]
        more = {"NextToken": f"after:{page[-1]['Name']}"} if len(rest) > MaxResults else {}
        return {"SecretList": page, **more}

    def described(self, name: str) -> tuple[str, str | None, str | None]:
        """Return Description, status and expiry as lists will show them, without a call."""
        secret = self.secrets[name]
        tags = secret.tags
        return (
            secret.description,
            tags.get("surrogate:status"),
            tags.get("surrogate:expires-at"),
        )

    # Writes

    def create_secret(
        self,
        *,
        Name: str,
        SecretString: str,
        ClientRequestToken: str = "",
        Description: str = "",
        Tags: Tags = (),
    ) -> Answer:
        token = ClientRequestToken or str(uuid4())
        present = self.secrets.get(Name)
        if present and present.deleted_at is not None:
            raise AwsError("InvalidRequestException", "scheduled for deletion")
        if present and not _same(present, token, SecretString):
            raise AwsError("ResourceExistsException", "already exists")
        if not present:
            now = self.aws.clock()
            tags = {tag["Key"]: tag["Value"] for tag in Tags}
            present = self.secrets[Name] = Secret(Name, Description, tags, now)
            present.versions[token] = Version(SecretString, now, {CURRENT})
            self._changed(present)
        return _named(present, self._arn(present)) | {"VersionId": token}

    def put_secret_value(
        self,
        *,
        SecretId: str,
        SecretString: str,
        ClientRequestToken: str = "",
        VersionStages: Sequence[str] = (CURRENT,),
    ) -> Answer:
        token = ClientRequestToken or str(uuid4())
        secret = self._own(SecretId)
        answer = _named(secret, self._arn(secret)) | {"VersionId": token}
        if token in secret.versions:
            if not _same(secret, token, SecretString):
                raise AwsError("ResourceExistsException", "the token is in use")
            return answer
        _check_labels(secret, VersionStages)
        self._make_room(secret)
        secret.versions[token] = Version(SecretString, self.aws.clock(), set())
        for label in VersionStages:
            secret.attach(label, token)
        self._changed(secret)
        return answer

    def update_secret_version_stage(
        self, *, SecretId: str, VersionStage: str, MoveToVersionId: str, RemoveFromVersionId: str
    ) -> Answer:
        secret = self._own(SecretId)
        if not {MoveToVersionId, RemoveFromVersionId} <= set(secret.versions):
            raise AwsError("ResourceNotFoundException", "no such version")
        if secret.holder(VersionStage) != RemoveFromVersionId:
            raise AwsError("InvalidParameterException", "the label is elsewhere")
        secret.attach(VersionStage, MoveToVersionId)
        self._changed(secret)
        return _named(secret, self._arn(secret))

    def tag_resource(self, *, SecretId: str, Tags: Tags) -> None:
        secret = self._own(SecretId)
        secret.tags |= {tag["Key"]: tag["Value"] for tag in Tags}
        self._changed(secret)

    def update_secret(self, *, SecretId: str, Description: str) -> Answer:
        secret = self._own(SecretId)
        secret.description = Description
        self._changed(secret)
        return _named(secret, self._arn(secret))

    # Replicas

    def replicate_secret_to_regions(
        self,
        *,
        SecretId: str,
        AddReplicaRegions: Sequence[Mapping[str, str]],
        ForceOverwriteReplicaSecret: bool = False,
    ) -> Answer:
        secret = self._own(SecretId)
        for wanted in AddReplicaRegions:
            region = wanted["Region"]
            if region in secret.replicas:
                raise AwsError("InvalidParameterException", "it has a replica there")
            secret.replicas[region] = "InProgress"
            if ForceOverwriteReplicaSecret:
                there = self.replicator.regions[region]
                self.replicator.later(
                    self.region, region, partial(self._carry, secret, there, overwrite=True)
                )
        self._changed(secret)
        return {"ARN": self._arn(secret)}

    def stop_replication_to_replica(self, *, SecretId: str) -> Answer:
        secret = self._live(SecretId)
        if secret.primary_region is None:
            raise AwsError("InvalidParameterException", "it is not a replica")
        primary = self.replicator.regions[secret.primary_region]
        secret.primary_region = None
        self._list(secret)
        self.replicator.later(
            self.region, primary.region, partial(primary._detached, secret.name, self.region)
        )
        return {"ARN": self._arn(secret)}

    def _detached(self, name: str, region: str) -> None:
        """Handle the promotion of the replica in *region*."""
        secret = self.secrets.get(name)
        if secret is None or region not in secret.replicas:
            return
        if self.replicator.detached is None:
            del secret.replicas[region]
        else:
            secret.replicas[region] = self.replicator.detached

    def remove_regions_from_replication(
        self, *, SecretId: str, RemoveReplicaRegions: Sequence[str]
    ) -> Answer:
        secret = self._own(SecretId)
        for region in RemoveReplicaRegions:
            if region not in secret.replicas:
                raise AwsError("InvalidParameterException", "it has no replica there")
            there = self.replicator.regions[region]
            self.replicator.later(self.region, region, partial(self._remove, secret, there))
        return {"ARN": self._arn(secret)}

    def _remove(self, secret: Secret, there: SecretsManager) -> None:
        replica = there.secrets.get(secret.name)
        if replica is not None and replica.primary_region == self.region:
            there._forget(secret.name)
        secret.replicas.pop(there.region, None)

    def _carry(self, secret: Secret, there: SecretsManager, *, overwrite: bool = False) -> None:
        """Update the replica of *secret*."""
        if secret.replicas.get(there.region, "Failed") in {"Failed", "Detached"}:
            return
        present = there.secrets.get(secret.name)
        foreign = present is not None and present.primary_region != self.region
        if foreign and not overwrite:
            secret.replicas[there.region] = "Failed"
            return
        there.secrets[secret.name] = secret.copy(self.region)
        there._list(there.secrets[secret.name])
        secret.replicas[there.region] = "InSync"

    # Deletion

    def delete_secret(
        self,
        *,
        SecretId: str,
        RecoveryWindowInDays: int = 30,
        ForceDeleteWithoutRecovery: bool = False,
    ) -> Answer:
        now = self.aws.clock()
        try:
            secret = self._find(SecretId)
        except AwsError:
            if ForceDeleteWithoutRecovery:
                return {"Name": SecretId, "ARN": SecretId, "DeletionDate": _date(now)}
            raise
        if secret.primary_region is not None:
            raise AwsError("InvalidParameterException", "not permitted on a replica")
        if secret.replicas:
            raise AwsError("InvalidParameterException", "it still has replica regions")
        if ForceDeleteWithoutRecovery:
            self._forget(secret.name)
        elif secret.deleted_at is not None:
            raise AwsError("InvalidRequestException", "it was already scheduled for deletion")
        else:
            secret.deleted_at, secret.purged_at = now, now + RecoveryWindowInDays * _DAY
            self._changed(secret)
        return _named(secret, self._arn(secret)) | {"DeletionDate": _date(now)}

    def restore_secret(self, *, SecretId: str) -> Answer:
        secret = self._find(SecretId)
        if secret.primary_region is not None:
            raise AwsError("InvalidParameterException", "not permitted on a replica")
        secret.deleted_at = secret.purged_at = None
        self._changed(secret)
        return _named(secret, self._arn(secret))

    # Internals

    def _find(self, secret_id: str) -> Secret:
        name = secret_id.rpartition(":secret:")[2].removesuffix(_SUFFIX)
        secret = self.secrets.get(name)
        if secret and secret.purged_at is not None and secret.purged_at <= self.aws.clock():
            self._forget(name)
            secret = None
        if secret is None:
            raise AwsError("ResourceNotFoundException", "can't find the specified secret")
        return secret

    def _live(self, secret_id: str) -> Secret:
        secret = self._find(secret_id)
        if secret.deleted_at is not None:
            raise AwsError("InvalidRequestException", "it was marked for deletion")
        return secret

    def _own(self, secret_id: str) -> Secret:
        secret = self._live(secret_id)
        if secret.primary_region is not None:
            raise AwsError("InvalidParameterException", "not permitted on a replica")
        return secret

    def _changed(self, secret: Secret) -> None:
        self._list(secret)
        for region, status in secret.replicas.items():
            if status not in {"Failed", "Detached"}:
                secret.replicas[region] = "InProgress"
                there = self.replicator.regions[region]
                self.replicator.later(self.region, region, partial(self._carry, secret, there))

    def _forget(self, name: str) -> None:
        del self.secrets[name]
        self._listed[name].append((self.aws.clock(), None))

    def _list(self, secret: Secret) -> None:
        entry = self._entry(secret)
        entry["SecretVersionsToStages"] = {
            version: sorted(held.labels) for version, held in secret.versions.items() if held.labels
        }
        self._listed.setdefault(secret.name, []).append((self.aws.clock(), entry))

    def _entry(self, secret: Secret) -> Answer:
        entry: Answer = _named(secret, self._arn(secret)) | {
            "Description": secret.description,
            "Tags": [{"Key": key, "Value": value} for key, value in secret.tags.items()],
            "CreatedDate": _date(secret.created_at),
        }
        if secret.primary_region is not None or secret.replicas:
            entry["PrimaryRegion"] = secret.primary_region or self.region
        if secret.deleted_at is not None:
            entry["DeletedDate"] = _date(secret.deleted_at)
        return entry

    def _arn(self, secret: Secret) -> str:
        # The ARN of a replica differs only in the Region.
        return f"arn:aws:secretsmanager:{self.region}:123456789012:secret:{secret.name}{_SUFFIX}"

    def _make_room(self, secret: Secret) -> None:
        old = self.aws.clock() - _DAY
        for each, version in list(secret.versions.items()):
            if len(secret.versions) < _MAX_VERSIONS:
                return
            if not version.labels and version.created_at < old:
                del secret.versions[each]
        if len(secret.versions) >= _MAX_VERSIONS:
            raise AwsError("LimitExceededException", "too many versions")


def _same(secret: Secret, token: str, text: str) -> bool:
    return token in secret.versions and secret.versions[token].text == text


def _check_labels(secret: Secret, more: Collection[str]) -> None:
    labels = {label for version in secret.versions.values() for label in version.labels}
    if len(labels.union(more)) > _MAX_LABELS:
        raise AwsError("LimitExceededException", "too many labels")


def _named(secret: Secret, arn: str) -> Answer:
    return {"ARN": arn, "Name": secret.name}


def _value(secret: Secret, arn: str, version: str) -> Answer:
    found = secret.versions[version]
    return _named(secret, arn) | {
        "VersionId": version,
        "SecretString": found.text,
        "CreatedDate": _date(found.created_at),
        **({"VersionStages": sorted(found.labels)} if found.labels else {}),
    }


def _date(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
