"""
Audit of actions with the operator's own role, past the admin API.

Like the API's function, it writes one JSON line for each action: who, what,
which client, which secret IDs, and the outcome.  The operator names the file;
CloudTrail records every single call in any case (ADR 19).
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

import boto3
import click
from botocore.credentials import Credentials

from chalicelib.model import ClientId, SecretId
from chalicelib.settings import RegionSettings
from chalicelib.telemetry import audit_line
from surrogatectl.cli.operators import Connect, NoAnswerError, call_aws, connect

audit_option = click.option(
    "--audit-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SURROGATECTL_AUDIT_FILE",
    show_envvar=True,
    help="Append a JSON line to this file for each action: who, what, and the outcome.",
)


class Audit(Protocol):
    """Recorder of actions."""

    def __call__(
        self,
        client_id: ClientId | None,
        secret_ids: Sequence[SecretId],
        outcome: str,
        **more: str | int,
    ) -> None:
        """Record an action on a client, `None` for the deployment, and its outcome."""


def unaudited(
    client_id: ClientId | None, secret_ids: Sequence[SecretId], outcome: str, **more: str | int
) -> None:
    """Record nothing."""


@contextmanager
def audited(
    path: Path | None, action: str, region: RegionSettings, connected: Connect = connect
) -> Iterator[Audit]:
    """
    Append actions to *path*, if given, with the caller that STS in *region* reports.

    Raises:
        click.ClickException: If the file cannot be written, before any action.
    """
    if path is None:
        yield unaudited
        return
    try:
        # Opened first: no action without its audit line.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    except OSError as err:
        raise click.ClickException(f"--audit-file {path}: {err.strerror}.") from None
    with os.fdopen(descriptor, "a") as file:
        yield _lines(file, action, region.name, caller(region, connected), time.time)


@contextmanager
def audited_run(
    path: Path | None, action: str, region: RegionSettings, connected: Connect = connect
) -> Iterator[None]:
    """
    Append a line before an action on the whole deployment, and one after it.

    A killed run leaves only the first line.

    Raises:
        click.ClickException: If the file cannot be written, before any action.
    """
    with audited(path, action, region, connected) as audit:
        audit(None, (), "begun")
        try:
            yield
        except BaseException:
            audit(None, (), "failed")
            raise
        audit(None, (), "done")


def _lines(
    file: TextIO, action: str, region: str, caller: str, clock: Callable[[], float]
) -> Audit:
    def audit(
        client_id: ClientId | None,
        secret_ids: Sequence[SecretId],
        outcome: str,
        **more: str | int,
    ) -> None:
        line: dict[str, Any] = {
            "region": region,
            "at": clock(),
            **audit_line(action, caller, client_id, secret_ids[0] if secret_ids else None, outcome),
            **more,
        }
        if len(secret_ids) > 1:
            line["secret_ids"] = list(secret_ids)
        print(json.dumps(line, separators=(",", ":")), file=file, flush=True)

    return audit


def _credentials() -> Credentials | None:
    return boto3.Session().get_credentials()


def operator(region: RegionSettings, connected: Connect = connect) -> str:
    """Return the operator's ARN; user and host if STS in *region* does not answer."""
    try:
        return _arn(region, connected)
    except NoAnswerError:
        return f"{os.environ.get('USER', 'unknown')}@{socket.gethostname()}"


def caller(
    region: RegionSettings,
    connected: Connect = connect,
    credentials: Callable[[], Credentials | None] = _credentials,
) -> str:
    """Return the ARN of the AWS credentials' owner; the access key ID if STS does not answer."""
    try:
        return _arn(region, connected)
    except NoAnswerError:
        found = credentials()
        return f"access key {found.access_key}" if found else "unknown"


def _arn(region: RegionSettings, connected: Connect) -> str:
    return str(call_aws(connected("sts", region).get_caller_identity)["Arn"])
