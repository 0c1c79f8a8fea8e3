"""`app-clients`: the map from app clients to surrogates, for pools without the claim."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from chalicelib.errors import ServiceError
from chalicelib.model import AppClient, ClientId, ClientRecord, Status
from chalicelib.ports import BATCH, RecordStore
from chalicelib.settings import RegionSettings, Settings
from chalicelib.timing import RateLimiter
from surrogatectl.cli import output
from surrogatectl.cli.common import Failure, Unavailable, deployment, output_option
from surrogatectl.cli.parts import writing_parts

# The quota of BatchGetSecretValue, 100 requests/s in a Region, is shared with the schedule.
BATCHES_PER_SECOND: Final = 20.0
_PAGE: Final = 100

AppClientMap = dict[str, dict[str, str]]
"""Issuer → app client ID → surrogate's client ID."""


def map_of(
    records: RecordStore, settings: Settings, limiter: RateLimiter
) -> tuple[AppClientMap, list[ClientId]]:
    """
    Return the map of all clients except deleted ones, and the clients with unreadable records.

    The map contains no secrets.

    Raises:
        StoreUnavailableError, StoreRefusedError
    """
    regions = {region.name: region for region in (settings.primary, settings.secondary)}
    found: AppClientMap = {region.issuer: {} for region in regions.values()}
    unreadable: list[ClientId] = []
    for client_id, record in _records(records, limiter):
        if record is None:
            unreadable.append(client_id)
        elif record.status is not Status.DELETED:
            _add(found, record, regions)
    return found, unreadable


def _records(
    records: RecordStore, limiter: RateLimiter
) -> Iterator[tuple[ClientId, ClientRecord | None]]:
    cursor: str | None = None
    while True:
        page = records.list(cursor, _PAGE)
        names = [summary.client_id for summary in page.items]
        for start in range(0, len(names), BATCH):
            limiter.wait()
            for client_id, read in records.read_many(names[start : start + BATCH]).items():
                yield client_id, None if read is None else read.value
        cursor = page.cursor
        if cursor is None:
            return


def _add(found: AppClientMap, record: ClientRecord, regions: dict[str, RegionSettings]) -> None:
    for name, app_client in record.app_clients.items():
        region = regions.get(name)
        # A replaced pool's app client is in none of this pool's tokens.
        if (
            region
            and isinstance(app_client, AppClient)
            and app_client.user_pool_id == region.user_pool_id
        ):
            found[region.issuer][app_client.app_client_id] = record.client_id


def write(path: Path, document: dict[str, Any]) -> None:
    """Replace the file *path* with *document*, atomically."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@click.command("app-clients")
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Replace this file with the map, atomically, instead of printing it.",
)
@output_option
def app_clients(path: Path | None, output_format: str) -> None:
    """
    Print the map from app clients to surrogates.

    For backends of pools that do not stamp surrogate_client_id into tokens.
    The map contains no secrets and no deleted clients.
    """
    parts = writing_parts(deployment().settings)
    limiter = RateLimiter(BATCHES_PER_SECOND, time.time, time.sleep)
    try:
        found, unreadable = map_of(parts.repository.records, parts.settings, limiter)
    except ServiceError as err:
        raise Unavailable(f"Secrets Manager: {err or type(err).__name__}") from None
    if unreadable:
        raise Failure(
            f"The records of {', '.join(unreadable)} cannot be read. Nothing was written. "
            "For the causes: `surrogatectl reconcile`."
        )
    document = {"clients": found}
    if path is not None:
        try:
            write(path, document)
        except OSError as err:
            raise Failure(f"--file {path}: {err.strerror}.") from None
        click.echo(f"{sum(map(len, found.values()))} app clients written to {path}.", err=True)
    elif output_format == "json":
        output.print_json(document)
    else:
        rows = [
            (client_id, issuer.rpartition("/")[2], app_client_id)
            for issuer, clients in found.items()
            for app_client_id, client_id in clients.items()
        ]
        output.print_table("App clients", ("Client ID", "User pool", "App client"), sorted(rows))
