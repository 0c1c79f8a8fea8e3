"""Values for the contract suite, and the confidential ones that no error may show."""

from __future__ import annotations

import traceback
import uuid
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
    EnrollmentRequestMark,
    Origin,
    Pending,
    RetiringSecret,
    SecretId,
    Status,
    StoredSecret,
)
from chalicelib.settings import RegionSettings
from tests.worlds import CALLER, EAST, EAST_POOL, WEST

APP_CLIENT_ID = "5gexampleappclientid00001x"
APP_CLIENT_SECRET = "a+cognito/secret=of&the%record:in east"
STORED_HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"
MAC = "2f" * 32
CONFIDENTIAL = (APP_CLIENT_ID, APP_CLIENT_SECRET, STORED_HASH, MAC)
"""Texts that no exception may contain."""


def unique() -> str:
    """Return a value unique to this test: the cloud outlives a test."""
    return uuid.uuid4().hex[:12]


def new_client_id() -> ClientId:
    return ClientId(f"sgc_{unique().translate(str.maketrans('0189', 'ghij')):a<26}")


def app_client(**changes: Any) -> AppClient:
    return replace(
        AppClient(
            user_pool_id=EAST_POOL,
            app_client_id=AppClientId(APP_CLIENT_ID),
            client_secret=APP_CLIENT_SECRET,
            mac=MAC,
            secret_since=1_800_000_000,
            retiring=RetiringSecret(f"{APP_CLIENT_ID}--1700000000", 1_800_000_100),
            outdated=Pending(1_800_000_200, "Cognito did not answer"),
        ),
        **changes,
    )


def record(**changes: Any) -> ClientRecord:
    """Return a record with every optional member set."""
    return replace(
        ClientRecord(
            client_id=new_client_id(),
            client_name="Rechnungsläufe “nightly” & co.",
            status=Status.ENROLLING,
            origin=Origin.ENROLLED,
            created_at=1_800_000_000,
            secrets=(
                StoredSecret(SecretId("aaaaaaaa"), STORED_HASH, 1_800_000_000),
                StoredSecret(SecretId("bbbbbbbb"), STORED_HASH, 1_700_000_000, 1_800_003_600),
            ),
            scopes=("demo/read", "demo/write"),
            app_clients={EAST: app_client(), WEST: Pending(1_800_000_000, "did not answer")},
            allowed_cidrs=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")),
            expires_at=1_900_000_000,
            enrollment=EnrollmentRequestMark(CALLER, "0d" * 32, SecretId("aaaaaaaa")),
        ),
        **changes,
    )


def assert_tells_nothing(err: BaseException, *more: str) -> None:
    """Assert that neither *err* nor its traceback shows a confidential text or any of *more*."""
    # Exceptions of botocore and requests may hold a whole request or answer.
    assert err.__cause__ is None
    shown = "\n".join([str(err), repr(err), *traceback.format_exception(err)])
    for secret in (*CONFIDENTIAL, *more):
        assert secret not in shown


def region_at(url: str) -> RegionSettings:
    """Return the settings of a Region with all endpoints at *url*."""
    return RegionSettings(
        name=EAST,
        user_pool_id=EAST_POOL,
        token_endpoint=f"{url}/oauth2/token",
        log_group="surrogate",
        endpoint_url=url,
    )
