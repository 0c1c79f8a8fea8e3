"""
Stored JSON of client records, Region states and the deployment key.

A change that an older reader could misread raises `schema`; a reader refuses a
schema that it does not know.  Unknown members of a known schema are kept through a rewrite,
those of an app client's entry as long as its Region has an entry, whatever app client that is.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any, TypeVar

from chalicelib.errors import MalformedSecretError
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    Deletion,
    DenialShard,
    EnrollmentRequestMark,
    Lease,
    Origin,
    Pending,
    RegionState,
    RetiringSecret,
    SecretId,
    Status,
    StoredSecret,
    VersionId,
    Word,
)
from chalicelib.unknown_members import Shape, unknown_members, with_unknown_members

SCHEMA = 1
DEPLOYMENT_KEY_BYTES = 32
DENIALS_MOVED = "denials_moved"
"""Member of a Region state whose denials, as the first edition kept them, are in the shards."""

_PENDING = Shape(frozenset({"since", "reason"}))
_RECORD = Shape(
    frozenset(
        {
            "schema",
            "after",
            "client_id",
            "client_name",
            "status",
            "origin",
            "created_at",
            "expires_at",
            "secrets",
            "scopes",
            "allowed_cidrs",
            "app_clients",
            "enrollment",
            "deletion",
        }
    ),
    objects={
        "enrollment": Shape(frozenset({"caller", "body_digest", "secret_id"})),
        "deletion": Shape(frozenset({"at", "was", "recovery_days"})),
    },
    maps={
        "app_clients": Shape(
            frozenset(
                {
                    "pending",
                    "user_pool_id",
                    "app_client_id",
                    "client_secret",
                    "mac",
                    "secret_since",
                    "retiring",
                    "outdated",
                }
            ),
            objects={
                "pending": _PENDING,
                "retiring": Shape(
                    frozenset({"cognito_secret_id", "since", "replicated_at"}),
                    identity="cognito_secret_id",
                ),
                "outdated": _PENDING,
            },
        )
    },
    lists={
        "secrets": Shape(
            frozenset({"secret_id", "hash", "created_at", "expires_at"}), identity="secret_id"
        )
    },
)

T = TypeVar("T")


def record_to_json(record: ClientRecord, after: VersionId | None = None) -> str:
    """Return *record* as stored JSON; *after* is the version that it replaces, if any."""
    return _dump(
        with_unknown_members(
            {
                **({} if after is None else {"after": after}),
                "client_id": record.client_id,
                "client_name": record.client_name,
                "status": record.status,
                "origin": record.origin,
                "created_at": record.created_at,
                "expires_at": record.expires_at,
                "secrets": [
                    {
                        "secret_id": secret.secret_id,
                        "hash": secret.hash,
                        "created_at": secret.created_at,
                        "expires_at": secret.expires_at,
                    }
                    for secret in record.secrets
                ],
                "scopes": list(record.scopes),
                "allowed_cidrs": [str(network) for network in record.allowed_cidrs],
                "app_clients": {
                    region: _app_client_to_json(app_client)
                    for region, app_client in record.app_clients.items()
                },
                "enrollment": record.enrollment
                and {
                    "caller": record.enrollment.caller,
                    "body_digest": record.enrollment.body_digest,
                    "secret_id": record.enrollment.secret_id,
                },
                "deletion": record.deletion
                and {
                    "at": record.deletion.at,
                    "was": record.deletion.was,
                    "recovery_days": record.deletion.recovery_days,
                },
            },
            _RECORD,
            record.unknown,
        )
    )


def record_from_json(text: str) -> ClientRecord:
    """
    Return the record that *text* holds.

    Raises:
        MalformedSecretError: If it holds none.
    """
    return _load(text, _record)


def written_after(text: str) -> VersionId | None:
    """
    Return the version that the record in *text* replaced; `None` for none, or not stored.

    With it, failback distinguishes a record that was changed further from one that
    both Regions changed.  The list of a secret's versions does not show that, as some
    of them never were current.
    """
    try:
        after = json.loads(text)["after"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return VersionId(after) if isinstance(after, str) else None


def state_to_json(state: RegionState) -> str:
    """Return *state* as stored JSON."""
    return _dump(
        {
            **state.unknown,
            "writer": state.writer,
            "took_over": state.took_over,
            "epoch": state.epoch,
            "lease": state.lease and _lease_to_json(state.lease),
        }
    )


def state_from_json(text: str) -> RegionState:
    """
    Return the Region's state that *text* holds.

    Raises:
        MalformedSecretError: If it holds none.
    """
    return _load(text, _state)


def first_edition_denials(state: RegionState) -> dict[ClientId, Word] | None:
    """
    Return the denials that the first edition kept in *state*; `None` if there are none to take.

    It did not store when they were said: so any later word counts.

    Raises:
        MalformedSecretError: If they are not what it wrote.
    """
    stored = state.unknown
    if "denied" not in stored or stored.get(DENIALS_MOVED):
        return None
    try:
        said = {False: _list(stored.get("allowed", [])), True: _list(stored["denied"])}
        return {
            ClientId(_text(client_id)): Word(denied=denied, at=0)
            for denied, client_ids in said.items()
            for client_id in client_ids
        }
    except TypeError:
        raise MalformedSecretError("The Region's state is not what was written.") from None


def denials_to_json(shard: DenialShard) -> str:
    """Return *shard* as stored JSON."""
    return _dump(
        {
            **shard.unknown,
            "words": {
                client_id: {"denied": word.denied, "at": word.at}
                for client_id, word in sorted(shard.words.items())
            },
            "written": list(shard.written),
            "overflow": shard.overflow,
        }
    )


def denials_from_json(text: str) -> DenialShard:
    """
    Return the shard of denials that *text* holds.

    Raises:
        MalformedSecretError: If it holds none; that never means “nobody is denied”.
    """
    return _load(text, _denials)


def deployment_key_to_json(key: bytes) -> str:
    """Return *key* as stored JSON."""
    return _dump({"key": base64.b64encode(key).decode()})


def deployment_key_from_json(text: str) -> bytes:
    """
    Return the deployment key that *text* holds.

    Raises:
        MalformedSecretError: If it holds none.
    """
    return _load(text, _deployment_key)


def _dump(content: Mapping[str, Any]) -> str:
    return json.dumps({"schema": SCHEMA, **content}, separators=(",", ":"))


def _load(text: str, read: Callable[[Any], T]) -> T:
    # The text holds hashes and Cognito secrets, which the errors of `json` quote: so
    # these errors must become neither a cause nor a message.
    try:
        content = json.loads(text)
        if content["schema"] == SCHEMA:
            return read(content)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise MalformedSecretError("The stored JSON is not what was written.") from None
    raise MalformedSecretError("The stored JSON has a schema that this version cannot read.")


def _record(content: Any) -> ClientRecord:  # noqa: ANN401 - JSON
    mark, deletion = content["enrollment"], content["deletion"]
    return ClientRecord(
        client_id=ClientId(_text(content["client_id"])),
        client_name=_text(content["client_name"]),
        status=Status(content["status"]),
        origin=Origin(content["origin"]),
        created_at=_whole(content["created_at"]),
        expires_at=_whole_or_none(content["expires_at"]),
        secrets=tuple(
            StoredSecret(
                secret_id=SecretId(_text(secret["secret_id"])),
                hash=_text(secret["hash"]),
                created_at=_whole(secret["created_at"]),
                expires_at=_whole_or_none(secret["expires_at"]),
            )
            for secret in _list(content["secrets"])
        ),
        scopes=tuple(_text(scope) for scope in _list(content["scopes"])),
        allowed_cidrs=tuple(ip_network(_text(cidr)) for cidr in _list(content["allowed_cidrs"])),
        app_clients={
            _text(region): _app_client(app_client)
            for region, app_client in content["app_clients"].items()
        },
        enrollment=None
        if mark is None
        else EnrollmentRequestMark(
            caller=_text(mark["caller"]),
            body_digest=_text(mark["body_digest"]),
            secret_id=SecretId(_text(mark["secret_id"])),
        ),
        deletion=None
        if deletion is None
        else Deletion(
            at=_whole(deletion["at"]),
            was=Status(deletion["was"]),
            recovery_days=_whole(deletion["recovery_days"]),
        ),
        unknown=unknown_members(content, _RECORD),
    )


def _app_client_to_json(app_client: AppClient | Pending) -> dict[str, Any]:
    if isinstance(app_client, Pending):
        return {"pending": _pending_to_json(app_client)}
    return {
        "user_pool_id": app_client.user_pool_id,
        "app_client_id": app_client.app_client_id,
        "client_secret": app_client.client_secret,
        "mac": app_client.mac,
        "secret_since": app_client.secret_since,
        "retiring": app_client.retiring
        and {
            "cognito_secret_id": app_client.retiring.cognito_secret_id,
            "since": app_client.retiring.since,
            "replicated_at": app_client.retiring.replicated_at,
        },
        "outdated": app_client.outdated and _pending_to_json(app_client.outdated),
    }


def _app_client(app_client: Any) -> AppClient | Pending:  # noqa: ANN401 - JSON
    if "pending" in app_client:
        return _pending(app_client["pending"])
    retiring, outdated = app_client["retiring"], app_client["outdated"]
    return AppClient(
        user_pool_id=_text(app_client["user_pool_id"]),
        app_client_id=AppClientId(_text(app_client["app_client_id"])),
        client_secret=_text(app_client["client_secret"]),
        mac=_text(app_client["mac"]),
        secret_since=_whole(app_client["secret_since"]),
        retiring=None
        if retiring is None
        else RetiringSecret(
            cognito_secret_id=_text(retiring["cognito_secret_id"]),
            since=_whole(retiring["since"]),
            replicated_at=_whole_or_none(retiring["replicated_at"]),
        ),
        outdated=None if outdated is None else _pending(outdated),
    )


def _pending_to_json(pending: Pending) -> dict[str, Any]:
    return {"since": pending.since, "reason": pending.reason}


def _pending(pending: Any) -> Pending:  # noqa: ANN401 - JSON
    return Pending(since=_whole(pending["since"]), reason=_text(pending["reason"]))


def _state(content: Any) -> RegionState:  # noqa: ANN401 - JSON
    known = {"schema", "writer", "took_over", "epoch", "lease"}
    return RegionState(
        writer=_truth(content["writer"]),
        took_over=_truth(content["took_over"]),
        # Versions before failback did not store it.
        epoch=_whole(content.get("epoch", 0)),
        lease=_lease(content.get("lease")),
        unknown={name: value for name, value in content.items() if name not in known},
    )


def _lease_to_json(lease: Lease) -> dict[str, Any]:
    return {
        "command": lease.command,
        "holder": lease.holder,
        "since": lease.since,
        "until": lease.until,
        "run_id": lease.run_id,
    }


def _lease(content: Any) -> Lease | None:  # noqa: ANN401 - JSON
    if content is None:
        return None
    return Lease(
        command=_text(content["command"]),
        holder=_text(content["holder"]),
        since=_whole(content["since"]),
        until=_whole(content["until"]),
        run_id=_text(content["run_id"]),
    )


def _denials(content: Any) -> DenialShard:  # noqa: ANN401 - JSON
    known = {"schema", "words", "written", "overflow"}
    return DenialShard(
        words={
            ClientId(_text(client_id)): Word(_truth(word["denied"]), _whole(word["at"]))
            for client_id, word in content["words"].items()
        },
        written=tuple(_whole(at) for at in _list(content["written"])),
        overflow=_truth(content["overflow"]),
        unknown={name: value for name, value in content.items() if name not in known},
    )


def _deployment_key(content: Any) -> bytes:  # noqa: ANN401 - JSON
    try:
        key = base64.b64decode(_text(content["key"]), validate=True)
    except binascii.Error:
        raise ValueError from None
    if len(key) < DEPLOYMENT_KEY_BYTES:
        raise ValueError
    return key


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _list(value: object) -> list[Any]:
    # An empty text or object must not pass for "none".
    if not isinstance(value, list):
        raise TypeError
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _whole_or_none(value: object) -> int | None:
    return None if value is None else _whole(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value
