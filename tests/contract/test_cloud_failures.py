"""The adapters over a deliberately broken local cloud: faults, a lost Region, no permissions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from chalicelib.errors import (
    AppClientRefusedError,
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
    TokenEndpointUnavailableError,
)
from chalicelib.model import Replication, Status, Versioned
from tests.contract.clients import Aws
from tests.contract.deadlines import AMPLE, SHORT
from tests.contract.implementations import AwsPool, AwsRecords, CloudCognito, TwoRegions
from tests.contract.samples import assert_tells_nothing, new_client_id, record
from tests.fakes import FakeClock
from tests.worlds import WEST

if TYPE_CHECKING:
    from local.cloud import Cloud

SCOPES = ("demo/read",)


@pytest.fixture
def world(breakable_cloud: Cloud, local_cloud: TwoRegions) -> AwsRecords:
    return AwsRecords(local_cloud)


@pytest.fixture
def pool(breakable_cloud: Cloud, local_cloud: TwoRegions) -> AwsPool:
    return AwsPool(local_cloud)


@pytest.fixture
def tokens(breakable_cloud: Cloud, local_cloud: TwoRegions) -> CloudCognito:
    return CloudCognito(FakeClock(), local_cloud)


# Faults


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("throttle", StoreThrottledError),
        ("error500", StoreUnavailableError),
        ("garbage", StoreUnavailableError),
        ("reset", StoreUnavailableError),
        ("deny", StoreRefusedError),
    ],
)
def test_secrets_manager_fails_as_it_does_on_aws(
    breakable_cloud: Cloud, world: AwsRecords, mode: str, error: type[Exception]
) -> None:
    created = record()
    version = world.store.create(created)
    breakable_cloud.add_fault("secretsmanager", mode, "primary")
    uses: list[Callable[[], object]] = [
        lambda: world.store.read(created.client_id),
        lambda: world.store.replace(created, version),
        lambda: world.store.replicate(created.client_id),
        lambda: world.store.create(record()),
        lambda: world.store.list(None, 10),
    ]
    for use in uses:
        with pytest.raises(error) as caught:
            use()
        assert_tells_nothing(caught.value, created.client_id)
    breakable_cloud.clear_faults()
    assert world.store.read(created.client_id).version == version


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("throttle", AppClientsThrottledError),
        ("error500", AppClientsUnreachableError),
        ("garbage", AppClientsUnreachableError),
        ("reset", AppClientsUnreachableError),
        ("deny", AppClientsRefusedError),
    ],
)
def test_cognito_fails_as_it_does_on_aws(
    breakable_cloud: Cloud, pool: AwsPool, mode: str, error: type[Exception]
) -> None:
    client_id = new_client_id()
    breakable_cloud.add_fault("cognito-idp", mode, "primary")
    with pytest.raises(error) as caught:
        pool.clients.create(client_id, SCOPES)
    assert_tells_nothing(caught.value, pool.user_pool_id)
    with pytest.raises(error):
        pool.clients.unknown_scopes(SCOPES)
    breakable_cloud.clear_faults()
    assert client_id not in [named_after for _, named_after in pool.clients.ours()]


@pytest.mark.parametrize(
    ("mode", "reachable"),
    [("throttle", True), ("error500", False), ("garbage", True), ("reset", False), ("deny", True)],
)
def test_the_token_endpoint_fails_as_it_does_on_aws(
    breakable_cloud: Cloud,
    tokens: CloudCognito,
    mode: str,
    reachable: bool,  # noqa: FBT001
) -> None:
    breakable_cloud.add_fault("token", mode, "primary")
    with pytest.raises(TokenEndpointUnavailableError) as caught:
        tokens.endpoint.request_token(tokens.app_client, "demo/read", {}, AMPLE)
    assert_tells_nothing(caught.value, tokens.app_client.app_client_id)
    assert tokens.endpoint.reachable(AMPLE) is reachable
    breakable_cloud.clear_faults()
    assert tokens.endpoint.request_token(tokens.app_client, "demo/read", {}, AMPLE).value


# A lost Region


@pytest.mark.parametrize("mode", ["refused", "hanging"])
def test_a_lost_region_is_unavailable_and_comes_back(
    breakable_cloud: Cloud, world: AwsRecords, tokens: CloudCognito, mode: str
) -> None:
    created = record()
    version = world.store.create(created)
    assert tokens.endpoint.request_token(tokens.app_client, "demo/read", {}, AMPLE).value
    world.be_impatient_here()
    breakable_cloud.set_region("primary", mode)
    with pytest.raises(StoreUnavailableError):
        world.store.read(created.client_id)
    with pytest.raises(StoreUnavailableError):
        world.store.replace(replace(created, status=Status.ACTIVE), version)
    # Its earlier connection is dead as well.
    with pytest.raises(TokenEndpointUnavailableError):
        tokens.endpoint.request_token(tokens.app_client, "demo/read", {}, SHORT)
    assert not tokens.endpoint.reachable(SHORT)
    breakable_cloud.set_region("primary", "up")
    world.here = world.behind
    assert world.store.read(created.client_id).version == version
    assert tokens.endpoint.request_token(tokens.app_client, "demo/read", {}, AMPLE).value


@pytest.mark.parametrize("mode", ["refused", "hanging"])
def test_replication_is_unknown_until_the_other_region_answers(
    breakable_cloud: Cloud, world: AwsRecords, mode: str
) -> None:
    world.be_impatient_there()
    breakable_cloud.set_region("secondary", mode)
    created = record()
    version = world.store.create(created)
    world.store.replicate(created.client_id)
    assert world.store.replication(created.client_id, version) is Replication.UNKNOWN
    breakable_cloud.set_region("secondary", "up")
    world.be_patient_there()
    assert world.store.replication(created.client_id, version) is Replication.IN_SYNC


def test_replication_of_an_unreplicated_version_is_in_progress(
    breakable_cloud: Cloud, world: AwsRecords
) -> None:
    created = record()
    first = world.store.create(created)
    world.store.replicate(created.client_id)
    breakable_cloud.set_replication_lag(3_600)
    second = world.store.replace(replace(created, status=Status.ACTIVE), first)
    assert world.store.replication(created.client_id, second) is Replication.IN_PROGRESS
    assert world.store.replication(created.client_id, first) is Replication.IN_SYNC
    assert world.reader_there.read(created.client_id) == Versioned(created, first)


# No permissions


@pytest.fixture
def powerless(cloud: Cloud, local_cloud: TwoRegions) -> TwoRegions:
    """Return the same cloud for a caller without permissions."""
    nobody = cloud.identity("nobody")
    return replace(local_cloud, aws=Aws(nobody.access_key_id, nobody.secret_access_key))


def test_a_caller_without_permissions_is_refused(powerless: TwoRegions) -> None:
    store, clients = AwsRecords(powerless).store, AwsPool(powerless).clients
    created = record()
    uses: list[Callable[[], object]] = [
        lambda: store.read(created.client_id),
        lambda: store.create(created),
        lambda: store.list(None, 10),
    ]
    for use in uses:
        with pytest.raises(StoreRefusedError) as caught:
            use()
        assert_tells_nothing(caught.value, created.client_id, "nobody")
    with pytest.raises(AppClientsRefusedError) as refused:
        clients.create(created.client_id, SCOPES)
    assert_tells_nothing(refused.value, clients.user_pool_id, "nobody")


def test_a_caller_with_unknown_credentials_is_refused(
    cloud: Cloud, local_cloud: TwoRegions
) -> None:
    stranger = replace(local_cloud, aws=Aws("AKIASTRANGER00000000", "not_a_key"))
    with pytest.raises(StoreRefusedError):
        AwsRecords(stranger).store.read(new_client_id())
    with pytest.raises(AppClientsRefusedError):
        AwsPool(stranger).clients.create(new_client_id(), SCOPES)


def test_an_app_client_of_the_other_region_is_refused_here(
    tokens: CloudCognito, local_cloud: TwoRegions
) -> None:
    elsewhere = CloudCognito(FakeClock(), local_cloud, region=WEST)
    with pytest.raises(AppClientRefusedError):
        tokens.endpoint.request_token(elsewhere.app_client, "demo/read", {}, AMPLE)
    assert elsewhere.endpoint.request_token(elsewhere.app_client, "demo/read", {}, AMPLE).value
