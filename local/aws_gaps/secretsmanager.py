"""
Secrets Manager actions that MiniStack lacks or answers differently from AWS.

The secrets stay in MiniStack's store, so that its IAM enforcement and its own remaining actions
(tags, resource policies, batch reads) see the same ones.
"""

import base64
import binascii
import json
import re
import secrets as random_source
import string
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from local.aws_gaps import secret_filters
from local.aws_gaps.errors import AwsError
from local.aws_gaps.secret_replication import Place, Replicator, Store
from local.aws_gaps.secret_versions import (
    CURRENT,
    Value,
    add_version,
    check_token,
    holder,
    move_label,
)
from local.emulated import Handler, Response, answer, error, module, replace, wrap_service
from local.replication import Replication

Secret = dict[str, Any]
Request = Mapping[str, Any]
Action = Callable[[Any], Mapping[str, object]]

_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]+")
_MAX_NAME = 512
_MAX_BATCH = 20
_MAX_PAGE = 100
_RECOVERY_DAYS = range(7, 31)
_DEFAULT_RECOVERY_DAYS = 30
_DAY = 86_400
_SORT_KEYS = {
    "created-date": "CreatedDate",
    "last-accessed-date": "LastAccessedDate",
    "last-changed-date": "LastChangedDate",
    "name": "Name",
}
# Refused in a replica's Region.
_PRIMARY_ONLY = frozenset(
    {
        "PutSecretValue",
        "UpdateSecret",
        "UpdateSecretVersionStage",
        "TagResource",
        "UntagResource",
        "PutResourcePolicy",
        "DeleteResourcePolicy",
        "RotateSecret",
        "CancelRotateSecret",
        "DeleteSecret",
        "RestoreSecret",
        "ReplicateSecretToRegions",
        "RemoveRegionsFromReplication",
    }
)
# Refused while the secret is scheduled for deletion.
_LIVE_ONLY = frozenset(
    {
        "PutSecretValue",
        "UpdateSecret",
        "UpdateSecretVersionStage",
        "GetSecretValue",
        "ReplicateSecretToRegions",
        "RemoveRegionsFromReplication",
        "StopReplicationToReplica",
    }
)


def install(replication: Replication) -> None:
    """Replace the parts of MiniStack's Secrets Manager that differ from AWS."""
    emulated = module("services.secretsmanager")
    store = Store(emulated._secrets, emulated._resource_policies)  # noqa: SLF001
    replicator = Replicator(store, replication)
    replication.on_change(replicator.deliver)
    service = SecretsManager(emulated, replicator, time.time)
    wrap_service("secretsmanager", service.wrap)
    replace(emulated, "_sync_replicas", lambda _: service.sync)
    replace(emulated, "_filter_secret_names", lambda _: service.filter_names)
    replace(emulated, "_get_secret_value", lambda _: service.get_for_batch)


class SecretsManager:
    """Secrets Manager actions over MiniStack's store."""

    def __init__(
        self, emulated: ModuleType, replicator: Replicator, clock: Callable[[], float]
    ) -> None:
        self._emulated = emulated
        self._replicator = replicator
        self._clock = clock
        self._actions: dict[str, Action] = {
            "CreateSecret": self._create,
            "DeleteSecret": self._delete,
            "DescribeSecret": self._describe,
            "GetSecretValue": self._get_value,
            "ListSecrets": self._list,
            "ListSecretVersionIds": self._list_versions,
            "PutSecretValue": self._put_value,
            "RemoveRegionsFromReplication": self._remove_regions,
            "ReplicateSecretToRegions": self._replicate,
            "StopReplicationToReplica": self._stop_replication,
            "UpdateSecret": self._update,
            "UpdateSecretVersionStage": self._move_label,
        }

    def wrap(self, handler: Handler) -> Handler:
        """Answer the actions of this class, and pass the others to *handler*."""

        async def handle(
            method: str,
            path: str,
            headers: dict[str, str],
            body: bytes,
            query: dict[str, list[str]],
        ) -> Response:
            self._replicator.deliver()
            action = headers.get("x-amz-target", "").rpartition(".")[2]
            try:
                data = json.loads(body or b"{}")
            except ValueError:
                return error("SerializationException", "The request is not valid JSON.")
            try:
                self._check(action, data)
                denied = _denied_extras(action, data, headers, query, body)
                if denied is not None:
                    return denied
                own = self._actions.get(action)
                if own is not None:
                    return answer(own(data))
            except AwsError as err:
                return error(err.code, err.message, err.status)
            return await handler(method, path, headers, body, query)

        return handle

    # -- hooks of MiniStack's own actions ----------------------------------------------------------

    def sync(self, secret: Secret) -> None:
        """Replicate *secret* after one of MiniStack's own actions changed it."""
        self._replicator.update(_place(secret))

    def filter_names(self, names: Sequence[str], filters: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the *names* that pass *filters*."""
        return [name for name in names if secret_filters.matches(self._store[name], filters)]

    def get_for_batch(self, data: Request) -> Response:
        """Answer one item of a BatchGetSecretValue."""
        try:
            self._check("GetSecretValue", data)
            return answer(self._get_value(data))
        except AwsError as err:
            return error(err.code, err.message, err.status)

    # -- shared by all actions ---------------------------------------------------------------------

    @property
    def _store(self) -> Any:  # noqa: ANN401
        """Secrets of the caller's account in the Region of the request, by name."""
        return self._emulated._secrets  # noqa: SLF001

    def _find(self, data: Request) -> Secret:
        _, secret = self._emulated._resolve(data.get("SecretId"))  # noqa: SLF001
        if secret is None:
            msg = "Secrets Manager can't find the specified secret."
            raise AwsError("ResourceNotFoundException", msg)
        found: Secret = secret
        return found

    def _check(self, action: str, data: Request) -> None:
        """Refuse actions on a replica or on a secret that is scheduled for deletion."""
        _, secret = self._emulated._resolve(data.get("SecretId"))  # noqa: SLF001
        if action == "BatchGetSecretValue" and len(data.get("SecretIdList", [])) > _MAX_BATCH:
            msg = f"You can't request more than {_MAX_BATCH} secrets."
            raise AwsError("InvalidParameterException", msg)
        if secret is None:
            return
        if action in _LIVE_ONLY and secret.get("DeletedDate"):
            msg = (
                "You can't perform this operation on the secret because it was marked for deletion."
            )
            raise AwsError("InvalidRequestException", msg)
        changes_key_only = action == "UpdateSecret" and set(data) <= {
            "SecretId",
            "KmsKeyId",
            "ClientRequestToken",
        }
        if action in _PRIMARY_ONLY and secret.get("_PrimarySecretArn") and not changes_key_only:
            msg = (
                "Operation not permitted on a replica secret. "
                "Call must be made in primary secret's region."
            )
            raise AwsError("InvalidParameterException", msg)

    def _now(self) -> float:
        return round(self._clock(), 3)

    # -- secrets -----------------------------------------------------------------------------------

    def _create(self, data: Request) -> Mapping[str, object]:
        name = data.get("Name") or ""
        if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
            msg = (
                "Invalid name. Must be a valid name containing alphanumeric characters, or any of "
                "the following: -/_+=.@!"
            )
            raise AwsError("ValidationException", msg)
        value = Value.from_request(dict(data), required=False)
        token = data.get("ClientRequestToken") or str(uuid.uuid4())
        check_token(token)
        present = self._store.get(name)
        if present is not None:
            return self._repeat_creation(present, token, value)
        regions = _replica_regions(data.get("AddReplicaRegions", []), self._region())
        secret = self._new_secret(name, data)
        if not value.is_empty:
            add_version(secret, token, value, [CURRENT], self._now())
        self._store[name] = secret
        for region, key in regions.items():
            self._replicator.start(
                _place(secret),
                region,
                key,
                overwrite=bool(data.get("ForceOverwriteReplicaSecret")),
            )
        document = _created(secret, None if value.is_empty else token)
        self._replicator.deliver()
        return document

    def _repeat_creation(self, present: Secret, token: str, value: Value) -> Mapping[str, object]:
        """Answer the creation of a name that exists; a repeat of the same request succeeds."""
        if present.get("DeletedDate"):
            msg = (
                "You can't create this secret because a secret with this name is already "
                "scheduled for deletion."
            )
            raise AwsError("InvalidRequestException", msg)
        version = present["Versions"].get(token)
        if version is None or present.get("_PrimarySecretArn"):
            msg = f"The operation failed because the secret {present['Name']} already exists."
            raise AwsError("ResourceExistsException", msg)
        add_version(present, token, value, [], self._now())
        return _created(present, token)

    def _new_secret(self, name: str, data: Request) -> Secret:
        region, account = self._region(), module("core.responses").get_account_id()
        alphabet = string.ascii_letters + string.digits
        suffix = "".join(random_source.choice(alphabet) for _ in range(6))
        now = self._now()
        return {
            "ARN": f"arn:aws:secretsmanager:{region}:{account}:secret:{name}-{suffix}",
            "Name": name,
            "Description": data.get("Description", ""),
            "Tags": [*data.get("Tags", [])],
            "CreatedDate": now,
            "LastChangedDate": now,
            "LastAccessedDate": None,
            "DeletedDate": None,
            "RotationEnabled": False,
            "RotationLambdaARN": None,
            "RotationRules": None,
            "KmsKeyId": data.get("KmsKeyId"),
            "ReplicationStatus": [],
            "Versions": {},
        }

    def _describe(self, data: Request) -> Mapping[str, object]:
        secret = self._find(data)
        rows = secret.get("ReplicationStatus") or []
        document = {
            "ARN": secret["ARN"],
            "Name": secret["Name"],
            "Description": secret.get("Description"),
            "KmsKeyId": secret.get("KmsKeyId"),
            "RotationEnabled": secret.get("RotationEnabled") or None,
            "RotationLambdaARN": secret.get("RotationLambdaARN"),
            "RotationRules": secret.get("RotationRules"),
            "LastChangedDate": secret["LastChangedDate"],
            "LastAccessedDate": secret.get("LastAccessedDate"),
            "DeletedDate": secret.get("DeletedDate"),
            "Tags": secret.get("Tags"),
            "VersionIdsToStages": _labelled_versions(secret),
            "CreatedDate": secret["CreatedDate"],
            "PrimaryRegion": secret_filters.primary_region(secret),
            "ReplicationStatus": [dict(row) for row in rows],
        }
        return _without_empty(document)

    def _update(self, data: Request) -> Mapping[str, object]:
        secret = self._find(data)
        value = Value.from_request(dict(data), required=False)
        token = data.get("ClientRequestToken") or str(uuid.uuid4())
        check_token(token)
        if not value.is_empty and token in secret["Versions"]:
            msg = f"A version with the ID {token} already exists."
            raise AwsError("ResourceExistsException", msg)
        if not value.is_empty:
            add_version(secret, token, value, [CURRENT], self._now())
        if "Description" in data:
            secret["Description"] = data["Description"]
        if "KmsKeyId" in data:
            secret["KmsKeyId"] = data["KmsKeyId"] or None
        secret["LastChangedDate"] = self._now()
        if not secret.get("_PrimarySecretArn"):
            self._replicator.update(_place(secret))
        return _created(secret, None if value.is_empty else token)

    def _delete(self, data: Request) -> Mapping[str, object]:
        force = bool(data.get("ForceDeleteWithoutRecovery"))
        days = data.get("RecoveryWindowInDays")
        if force and days is not None:
            msg = (
                "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
            )
            raise AwsError("InvalidParameterException", msg)
        if days is not None and days not in _RECOVERY_DAYS:
            msg = "RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."
            raise AwsError("InvalidParameterException", msg)
        now = self._now()
        try:
            secret = self._find(data)
        except AwsError:
            if not force:
                raise
            # "If you forcibly delete an already deleted or nonexistent secret, the operation does
            # not return ResourceNotFoundException."
            return {"Name": data.get("SecretId"), "DeletionDate": now}
        regions = sorted(row["Region"] for row in secret.get("ReplicationStatus") or [])
        if regions:
            msg = (
                f"You can't delete secret {secret['ARN']} that still has replica regions "
                f"[{', '.join(regions)}]."
            )
            raise AwsError("InvalidParameterException", msg)
        if secret.get("DeletedDate") and not force:
            msg = (
                "You can't perform this operation on the secret because it was already scheduled "
                "for deletion."
            )
            raise AwsError("InvalidRequestException", msg)
        deletion = now if force else now + (days or _DEFAULT_RECOVERY_DAYS) * _DAY
        if force:
            self._emulated._purge_secret(secret["Name"], secret)  # noqa: SLF001
        else:
            secret["DeletedDate"] = deletion
        return {"ARN": secret["ARN"], "Name": secret["Name"], "DeletionDate": deletion}

    def _list(self, data: Request) -> Mapping[str, object]:
        sort_key = _SORT_KEYS.get(data.get("SortBy", "created-date"))
        if sort_key is None:
            msg = "Invalid SortBy."
            raise AwsError("InvalidParameterException", msg)
        planned = bool(data.get("IncludePlannedDeletion"))
        found = [
            secret
            for secret in self._store.values()
            if (planned or not secret.get("DeletedDate"))
            and secret_filters.matches(secret, data.get("Filters", []))
        ]
        found.sort(
            key=lambda secret: (
                (secret.get(sort_key) or 0, secret["Name"])
                if sort_key != "Name"
                else (secret["Name"], "")
            ),
            reverse=data.get("SortOrder", "asc") == "desc",
        )
        page, token = _page(found, data)
        entries = [_list_entry(secret) for secret in page]
        return {"SecretList": entries} | ({"NextToken": token} if token else {})

    # -- values and versions -----------------------------------------------------------------------

    def _get_value(self, data: Request) -> Mapping[str, object]:
        secret = self._find(data)
        version_id, label = data.get("VersionId"), data.get("VersionStage")
        if version_id is None:
            version_id = holder(secret, label or CURRENT)
            sought = f"staging label: {label or CURRENT}"
        else:
            sought = f"VersionId: {version_id}"
        version = secret["Versions"].get(version_id)
        if version is None:
            msg = f"Secrets Manager can't find the specified secret value for {sought}"
            raise AwsError("ResourceNotFoundException", msg)
        if label is not None and label not in version["Stages"]:
            msg = "You provided a VersionStage that is not associated to the provided VersionId."
            raise AwsError("InvalidRequestException", msg)
        # Secrets Manager records the day of an access, not the time.
        secret["LastAccessedDate"] = self._now() // _DAY * _DAY
        return _without_empty(
            {
                "ARN": secret["ARN"],
                "Name": secret["Name"],
                "VersionId": version_id,
                "SecretString": version.get("SecretString"),
                "SecretBinary": version.get("SecretBinary"),
                "VersionStages": [*version["Stages"]],
                "CreatedDate": version["CreatedDate"],
            }
        )

    def _put_value(self, data: Request) -> Mapping[str, object]:
        secret = self._find(data)
        value = Value.from_request(dict(data), required=True)
        token = data.get("ClientRequestToken") or str(uuid.uuid4())
        check_token(token)
        if add_version(secret, token, value, data.get("VersionStages", [CURRENT]), self._now()):
            self._replicator.update(_place(secret))
        stages = [*secret["Versions"][token]["Stages"]]
        return {**_created(secret, token), "VersionStages": stages}

    def _move_label(self, data: Request) -> Mapping[str, object]:
        secret = self._find(data)
        if not data.get("VersionStage"):
            msg = "You must specify VersionStage."
            raise AwsError("InvalidParameterException", msg)
        move_label(
            secret,
            data["VersionStage"],
            to=data.get("MoveToVersionId"),
            from_version=data.get("RemoveFromVersionId"),
            now=self._now(),
        )
        self._replicator.update(_place(secret))
        return {"ARN": secret["ARN"], "Name": secret["Name"]}

    def _list_versions(self, data: Request) -> Mapping[str, object]:
        secret = self._find(data)
        deprecated = bool(data.get("IncludeDeprecated"))
        versions = [
            _without_empty(
                {
                    "VersionId": version_id,
                    "VersionStages": [*version["Stages"]],
                    "CreatedDate": version["CreatedDate"],
                }
            )
            for version_id, version in secret["Versions"].items()
            if version["Stages"] or deprecated
        ]
        page, token = _page(versions, data)
        document = {"ARN": secret["ARN"], "Name": secret["Name"], "Versions": page}
        return document | ({"NextToken": token} if token else {})

    # -- replication -------------------------------------------------------------------------------

    def _replicate(self, data: Request) -> Mapping[str, object]:
        secret = self._find(data)
        regions = _replica_regions(data.get("AddReplicaRegions", []), self._region())
        for region, key in regions.items():
            self._replicator.start(
                _place(secret),
                region,
                key,
                overwrite=bool(data.get("ForceOverwriteReplicaSecret")),
            )
        document = _replication_document(secret)
        self._replicator.deliver()
        return document

    def _remove_regions(self, data: Request) -> Mapping[str, object]:
        secret = self._find(data)
        listed = {row["Region"] for row in secret["ReplicationStatus"]}
        regions = data.get("RemoveReplicaRegions", [])
        if not regions or not listed.issuperset(regions):
            msg = "The secret is not replicated to one of the Regions."
            raise AwsError("InvalidParameterException", msg)
        for region in regions:
            self._replicator.stop(_place(secret), region)
        self._replicator.deliver()
        return _replication_document(secret)

    def _stop_replication(self, data: Request) -> Mapping[str, object]:
        secret = self._find(data)
        if not secret.get("_PrimarySecretArn"):
            msg = f"Secret {secret['ARN']} is not a replica."
            raise AwsError("InvalidParameterException", msg)
        self._replicator.detach(_place(secret))
        return {"ARN": secret["ARN"]}

    @staticmethod
    def _region() -> str:
        return str(module("core.responses").get_region())


def _place(secret: Secret) -> Place:
    _, _, _, region, account, _ = secret["ARN"].split(":", 5)
    return Place(account, region, secret["Name"])


def _replica_regions(regions: Sequence[Mapping[str, str]], own: str) -> dict[str, str | None]:
    """Return the KMS key of each replica Region."""
    for item in regions:
        if item.get("Region") == own:
            msg = "Invalid replica region. The secret's own region can't be a replica region."
            raise AwsError("InvalidParameterException", msg)
    return {item["Region"]: item.get("KmsKeyId") for item in regions}


def _created(secret: Secret, version_id: str | None) -> dict[str, object]:
    document: dict[str, object] = {"ARN": secret["ARN"], "Name": secret["Name"]}
    if version_id is not None:
        document["VersionId"] = version_id
    if secret.get("ReplicationStatus"):
        document["ReplicationStatus"] = [dict(row) for row in secret["ReplicationStatus"]]
    return document


def _replication_document(secret: Secret) -> dict[str, object]:
    rows = [dict(row) for row in secret["ReplicationStatus"]]
    return {"ARN": secret["ARN"], "ReplicationStatus": rows}


def _labelled_versions(secret: Secret) -> dict[str, list[str]]:
    versions = secret["Versions"].items()
    return {key: [*version["Stages"]] for key, version in versions if version["Stages"]}


def _list_entry(secret: Secret) -> dict[str, object]:
    return _without_empty(
        {
            "ARN": secret["ARN"],
            "Name": secret["Name"],
            "Description": secret.get("Description"),
            "KmsKeyId": secret.get("KmsKeyId"),
            "LastChangedDate": secret["LastChangedDate"],
            "LastAccessedDate": secret.get("LastAccessedDate"),
            "DeletedDate": secret.get("DeletedDate"),
            "Tags": secret.get("Tags"),
            "SecretVersionsToStages": _labelled_versions(secret),
            "CreatedDate": secret["CreatedDate"],
            "PrimaryRegion": secret_filters.primary_region(secret),
        }
    )


def _without_empty(document: Mapping[str, object]) -> dict[str, object]:
    """Return *document* without empty members, as Secrets Manager does."""
    return {key: value for key, value in document.items() if value not in (None, "", [], {})}


def _page(items: Sequence[Any], data: Request) -> tuple[list[Any], str | None]:
    """Return a page of *items* and the token of the next one."""
    start = 0
    if data.get("NextToken"):
        try:
            start = int(base64.b64decode(data["NextToken"], validate=True))
        except (ValueError, binascii.Error):
            msg = "The next token is invalid."
            raise AwsError("InvalidNextTokenException", msg) from None
    size = min(data.get("MaxResults") or _MAX_PAGE, _MAX_PAGE)
    end = start + size
    more = base64.b64encode(str(end).encode()).decode() if end < len(items) else None
    return [*items[start:end]], more


def _denied_extras(
    action: str,
    data: Request,
    headers: dict[str, str],
    query: dict[str, list[str]],
    body: bytes,
) -> Response | None:
    """
    Check the permissions that an action needs beyond its own.

    CreateSecret with tags needs `secretsmanager:TagResource`, with replica Regions
    `secretsmanager:ReplicateSecretToRegions`. The action's own permission has been checked before.
    """
    extras = []
    if action == "CreateSecret" and data.get("Tags"):
        extras.append("secretsmanager:TagResource")
    if action == "CreateSecret" and data.get("AddReplicaRegions"):
        extras.append("secretsmanager:ReplicateSecretToRegions")
    responses, actions = module("core.responses"), module("core.iam_actions")
    key = module("core.router").extract_access_key_id(headers, query) or ""
    region, account = responses.get_region(), responses.get_account_id()
    for extra in extras:
        denied = module("core.iam_evaluator").enforce(
            key,
            extra,
            "secretsmanager",
            region,
            resource_arn=f"arn:aws:secretsmanager:{region}:{account}:secret:{data.get('Name')}",
            service_context=actions.request_tag_context(
                "secretsmanager", "secretsmanager:CreateSecret", body, {}
            ),
        )
        if denied:
            response: Response = actions.access_denied_response(
                "secretsmanager", extra, getattr(denied, "principal_arn", ""), str(uuid.uuid4())
            )
            return response
    return None
