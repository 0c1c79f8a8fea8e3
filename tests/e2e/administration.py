"""Operations of the admin surface and its schedule, each with an outcome."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from chalicelib.jwks.document import EMPTY, snapshot_to_json
from local.cloud import Cloud

Json = dict[str, Any]
# Operations are independent: each first creates its own prerequisites.
Outcome = Any
_SECONDS = 30
_REGIONS = ("us-east-1", "us-west-2")
_NEVER_DUE = 9_999_999_999
_KEYS = "surrogate/jwks"
_OWN = ("surrogate/deployment", _KEYS)
_REPLICA = [{"Region": _REGIONS[1]}]
_SCHEDULED = {
    "version": "0",
    "id": "00000000-0000-0000-0000-000000000000",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "000000000000",
    "time": "2026-01-01T00:00:00Z",
    "region": "us-east-1",
    "resources": [],
    "detail": {},
}


@dataclass(frozen=True)
class ClientRepository:
    """Admin stage at *base_url*, as its operator uses it."""

    cloud: Cloud
    base_url: str
    upkeep: str

    def call(
        self, method: str, path: str, body: Json | None = None, **headers: str
    ) -> tuple[int, Json]:
        operator = self.cloud.identity("operator")
        request = AWSRequest(
            method,
            self.base_url + path,
            data=b"" if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        keys = Credentials(operator.access_key_id, operator.secret_access_key)
        SigV4Auth(keys, "execute-api", "us-east-1").add_auth(request)
        answer = requests.request(
            method,
            str(request.url),
            data=request.body,
            headers=dict(request.headers),
            timeout=_SECONDS,
        )
        return answer.status_code, answer.json()

    def enrolled(self) -> str:
        status, answer = self.call(
            "POST", "/clients", {"client_name": "iam", "scope": "demo/read demo/write"}
        )
        assert status == 201, answer
        return str(answer["client_id"])

    def edit_app_client(self, client_id: str, region: str, change: Callable[[Json], None]) -> None:
        """Change the app client in *region* in the record, bypassing the application."""
        store = self.cloud.client("secretsmanager", "primary", "root")
        name = f"surrogate/clients/{client_id}"
        record = json.loads(store.get_secret_value(SecretId=name)["SecretString"])
        change(record["app_clients"][region])
        store.put_secret_value(SecretId=name, SecretString=json.dumps(record))

    def listed_name(self, client_id: str) -> str:
        """Return the client's name in lists."""
        store = self.cloud.client("secretsmanager", "primary", "root")
        return str(store.describe_secret(SecretId=f"surrogate/clients/{client_id}")["Description"])

    def granted_scopes(self, client_id: str) -> list[list[str]]:
        """Return the app clients' granted scopes in Cognito, Region by Region."""
        store = self.cloud.client("secretsmanager", "primary", "root")
        record = store.get_secret_value(SecretId=f"surrogate/clients/{client_id}")["SecretString"]
        found = []
        for role, region in zip(("primary", "secondary"), _REGIONS, strict=True):
            app_client = self.cloud.client("cognito-idp", role, "root").describe_user_pool_client(
                UserPoolId=self.cloud.endpoints["user_pools"][role],
                ClientId=json.loads(record)["app_clients"][region]["app_client_id"],
            )["UserPoolClient"]
            found.append(sorted(app_client["AllowedOAuthScopes"]))
        return found

    def run_upkeep(self) -> list[Json]:
        """Run the schedule, and return its log lines."""
        done = self.cloud.client("lambda", "primary", "root").invoke(
            FunctionName=self.upkeep, LogType="Tail", Payload=json.dumps(_SCHEDULED)
        )
        assert "FunctionError" not in done, done["Payload"].read()
        lines = base64.b64decode(done.get("LogResult", "")).decode().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def enroll(admin: ClientRepository) -> Outcome:
    status, answer = admin.call(
        "POST", "/clients", {"client_name": "iam", "scope": "demo/read demo/write"}
    )
    return status, answer.get("app_clients"), answer.get("replication")


def enroll_again(admin: ClientRepository) -> Outcome:
    body = {"client_name": "iam", "scope": "demo/read"}
    key = uuid.uuid4().hex
    return [admin.call("POST", "/clients", body, Idempotency_Key=key)[0] for _ in range(2)]


def listing(admin: ClientRepository) -> Outcome:
    return admin.call("GET", "/clients")[0]


def show(admin: ClientRepository) -> Outcome:
    status, answer = admin.call("GET", f"/clients/{admin.enrolled()}")
    return status, answer.get("replication")


def change(admin: ClientRepository) -> Outcome:
    client_id = admin.enrolled()
    changes = ({"client_name": "renamed"}, {"scope": "demo/read"}, {"status": "disabled"})
    outcomes = [admin.call("PATCH", f"/clients/{client_id}", each)[0] for each in changes]
    return outcomes, admin.listed_name(client_id), admin.granted_scopes(client_id)


def rotate_and_retire(admin: ClientRepository) -> Outcome:
    client_id = admin.enrolled()
    rotated, answer = admin.call("POST", f"/clients/{client_id}/secrets", {})
    if rotated != 201:
        return rotated
    old = next(s["secret_id"] for s in answer["secrets"] if s["secret_id"] != answer["secret_id"])
    retired, _ = admin.call("DELETE", f"/clients/{client_id}/secrets/{old}")
    return rotated, retired


def rotate_app_client(region: str) -> Callable[[ClientRepository], Outcome]:
    def operation(admin: ClientRepository) -> Outcome:
        client_id = admin.enrolled()
        path, at_once = f"/clients/{client_id}/app-clients", {"older_than_seconds": 0}
        other = next(each for each in _REGIONS if each != region)
        admin.edit_app_client(
            client_id, other, lambda regional: regional.update(secret_since=_NEVER_DUE)
        )
        started, answer = admin.call("POST", path, at_once)
        if started != 200:
            return started
        # As if the other Region had had the new secret for a long time.
        admin.edit_app_client(
            client_id, region, lambda regional: regional["retiring"].update(replicated_at=1)
        )
        finished, then = admin.call("POST", path, at_once)
        return started, answer["app_clients"], finished, then.get("app_clients")

    operation.__name__ = f"rotate_app_client_{region}"
    return operation


def delete_and_restore(admin: ClientRepository) -> Outcome:
    path = f"/clients/{admin.enrolled()}"
    deleted, answer = admin.call("DELETE", path)
    restored, then = admin.call("POST", f"{path}/restore")
    return deleted, answer.get("left"), restored, then.get("app_clients")


def deny(admin: ClientRepository) -> Outcome:
    path = f"/denials/{admin.enrolled()}"
    return admin.call("PUT", path)[0], admin.call("DELETE", path)[0]


def upkeep(admin: ClientRepository) -> Outcome:
    """Return the parts unknown to the survey; its other findings depend on earlier operations."""
    return [
        (line["event"], line.get("complete"), line.get("drift", {}).get("unknown"))
        for line in admin.run_upkeep()
        # Which replicas are to be restored depends on earlier operations, too.
        if line["event"] != "admin"
    ]


def refresh_keys(admin: ClientRepository) -> Outcome:
    """Refresh the snapshot of signing keys; then restore it."""
    store = admin.cloud.client("secretsmanager", "primary", "root")
    before = store.get_secret_value(SecretId=_KEYS)["SecretString"]
    store.put_secret_value(SecretId=_KEYS, SecretString=snapshot_to_json(EMPTY))
    try:
        return [line["outcome"] for line in admin.run_upkeep() if line["event"] == "jwks"]
    finally:
        store.put_secret_value(SecretId=_KEYS, SecretString=before)


def restore_replicas(admin: ClientRepository) -> Outcome:
    """Restore the failed replicas of the deployment's own secrets, by the schedule."""
    here, there = (
        admin.cloud.client("secretsmanager", role, "root") for role in ("primary", "secondary")
    )
    for name in _OWN:
        _unreplicate(here, name)
        there.create_secret(Name=name, SecretString="{}")
        here.replicate_secret_to_regions(SecretId=name, AddReplicaRegions=_REPLICA)
    left = _repairs(admin)
    for name in _OWN:
        there.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert [_replicas(here, name) for name in _OWN] == [["Failed"]] * len(_OWN)
    done = _repairs(admin)
    found = [_replicas(here, name) for name in _OWN]
    for name in _OWN:
        if _replicas(here, name) != ["InSync"]:
            _unreplicate(here, name)
            here.replicate_secret_to_regions(SecretId=name, AddReplicaRegions=_REPLICA)
    return left, done, found


def _repairs(admin: ClientRepository) -> list[str]:
    """Return the outcomes of the schedule's repairs of the deployment's own secrets."""
    return [
        line["outcome"]
        for line in admin.run_upkeep()
        if line.get("action") == "reconcile" and line["client_id"] is None
    ]


def _replicas(store: Any, name: str) -> list[str]:
    rows = store.describe_secret(SecretId=name).get("ReplicationStatus", [])
    return [row["Status"] for row in rows]


def _unreplicate(store: Any, name: str) -> None:
    if _replicas(store, name):
        store.remove_regions_from_replication(SecretId=name, RemoveReplicaRegions=[_REGIONS[1]])


OPERATIONS: tuple[Callable[[ClientRepository], Outcome], ...] = (
    listing,
    upkeep,
    refresh_keys,
    restore_replicas,
    enroll,
    deny,
    show,
    change,
    rotate_and_retire,
    enroll_again,
    rotate_app_client("us-east-1"),
    rotate_app_client("us-west-2"),
    delete_and_restore,
)
