"""
One Region on 127.0.0.1 as the exchange sees it: Secrets Manager and the token endpoint.

It is not the local cloud: it answers at once and from memory, so that benchmarks measure our code.
"""

from __future__ import annotations

import json
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.managers import BaseManager

from chalicelib import credentials, record_json
from chalicelib.credentials import SecretHasher
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientRecord,
    DenialShard,
    IssuedCredentials,
    Origin,
    Status,
    VersionId,
)
from tests.contract.loopback import Answer, Loopback, Seen, answer

REGION, OTHER = "us-east-1", "us-west-2"
PREFIX = "surrogate"
SCOPES = ("demo/read", "demo/write")
TOKEN_SECONDS = 3600
# As long as Cognito's: an RS256 signature and a dozen claims.
TOKEN = "eyJ" + "t" * 1_000

_VERSION = VersionId("00000000-0000-4000-8000-000000000000")


def client(hasher: SecretHasher) -> tuple[IssuedCredentials, ClientRecord]:
    """Return new credentials and the record of their client."""
    issued = credentials.issue(credentials.new_client_id(secrets.token_bytes), secrets.token_bytes)
    now = int(time.time())
    record = ClientRecord(
        client_id=issued.client_id,
        client_name="benchmark",
        status=Status.ACTIVE,
        origin=Origin.ENROLLED,
        created_at=now,
        secrets=(hasher.hash(issued, now=now),),
        scopes=SCOPES,
        app_clients={
            name: AppClient(f"{name}_Bench0001", AppClientId(f"{name}-app"), "secret", "aa", now)
            for name in (REGION, OTHER)
        },
    )
    return issued, record


@dataclass
class Region:
    """Stored records, the services' answers, and the number of requests (*asked*)."""

    records: dict[str, str] = field(default_factory=dict, repr=False)
    asked: int = 0

    def add(self, record: ClientRecord) -> None:
        """Store *record*."""
        self.records[f"{PREFIX}/clients/{record.client_id}"] = record_json.record_to_json(record)

    def choose(self, seen: Seen) -> Answer:
        """Answer *seen* as its service would."""
        self.asked += 1
        if seen.path == "/oauth2/token":
            token = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}
            return answer(200, token)
        return self._secret(json.loads(seen.body)["SecretId"])

    def _secret(self, name: str) -> Answer:
        text = self.records.get(name)
        if name.startswith(f"{PREFIX}/denials/"):
            text = record_json.denials_to_json(DenialShard())
        if text is None:
            return answer(
                400, {"__type": "ResourceNotFoundException"}, "application/x-amz-json-1.1"
            )
        found = {"ARN": name, "Name": name, "VersionId": _VERSION, "SecretString": text}
        return answer(200, found, "application/x-amz-json-1.1")


@contextmanager
def serving(region: Region, tls: ssl.SSLContext | None = None) -> Iterator[Loopback]:
    """Serve *region*; over TLS with *tls*."""
    with Loopback(region.choose, tls=tls) as server:
        yield server


class ServedRegion:
    """A `Region` that serves itself; another process constructs it (see `elsewhere`)."""

    def __init__(self) -> None:
        self._region = Region()
        self._server = Loopback(self._region.choose)
        self._server.__enter__()

    def add(self, record: ClientRecord) -> None:
        """Store *record*."""
        self._region.add(record)

    def asked(self) -> int:
        """Return the number of requests."""
        return self._region.asked

    def url(self) -> str:
        """Return its URL."""
        return self._server.url


class _Manager(BaseManager):
    """Manager that constructs a `ServedRegion` in a process of its own."""


_Manager.register("region", ServedRegion)


@contextmanager
def elsewhere() -> Iterator[ServedRegion]:
    """
    Serve a Region from a process of its own.

    Threads that serve in the measured process would take the interpreter's lock from it whenever it
    releases that, as it does to write a line.
    """
    with _Manager() as manager:
        yield manager.region()  # type: ignore[attr-defined] # made by `register`


def environment(url: str, *, fresh_seconds: int = 300) -> Mapping[str, str]:
    """Return the environment of `app.py` for the Region at *url*."""
    return {
        "REGION_PRIMARY": REGION,
        "REGION_SECONDARY": OTHER,
        "APP_REGION": REGION,
        "USER_POOL_ID_PRIMARY": f"{REGION}_Bench0001",
        "USER_POOL_ID_SECONDARY": f"{OTHER}_Bench0001",
        "OAUTH_HOST_PRIMARY": f"{url}/oauth2/token",
        "OAUTH_HOST_SECONDARY": f"{url}/oauth2/token",
        "ENDPOINT_URL_PRIMARY": url,
        "ENDPOINT_URL_SECONDARY": url,
        "PUBLIC_URL": "https://auth.example.com",
        "SECRET_PREFIX": PREFIX,
        "SURFACES": "token",
        "FRESH_SECONDS": str(fresh_seconds),
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_DEFAULT_REGION": REGION,
    }
