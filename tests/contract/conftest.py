from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from ssl import SSLContext
from typing import TYPE_CHECKING

import pytest
from moto.server import ThreadedMotoServer

from tests.contract.certificates import Authority
from tests.contract.clients import Aws
from tests.contract.implementations import Serve, TwoRegions
from tests.contract.in_memory import InMemory
from tests.contract.loopback import LOOPBACK, Choose, Loopback
from tests.worlds import EAST, EAST_POOL, WEST, WEST_POOL

if TYPE_CHECKING:
    from local.cloud import Cloud

CLOUD = pytest.param("cloud", marks=pytest.mark.cloud)


@pytest.fixture(autouse=True)
def _skip_what_cannot_be(request: pytest.FixtureRequest) -> None:
    """
    Skip tests that an implementation cannot pass.

    A module's `CANNOT` maps the implementation and the test to the reason.
    """
    callspec = getattr(request.node, "callspec", None)
    implementation = callspec.params.get("implementation") if callspec else None
    table = getattr(request.module, "CANNOT", {})
    reason = table.get((implementation, request.node.originalname))
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def moto() -> Iterator[TwoRegions]:
    """Start moto's AWS, which has every Region, with a user pool in both of the tests'."""
    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    aws, endpoint = Aws(), f"http://{host}:{port}"
    regions = TwoRegions(
        aws,
        {EAST: endpoint, WEST: endpoint},
        {region: _user_pool(aws, region, endpoint) for region in (EAST, WEST)},
    )
    yield regions
    server.stop()


def _user_pool(aws: Aws, region: str, endpoint: str) -> str:
    cognito = aws.cognito(region, endpoint)
    user_pool_id = cognito.create_user_pool(PoolName="contract")["UserPool"]["Id"]
    cognito.create_resource_server(
        UserPoolId=user_pool_id,
        Identifier="demo",
        Name="demo",
        Scopes=[
            {"ScopeName": "read", "ScopeDescription": "Read"},
            {"ScopeName": "write", "ScopeDescription": "Write"},
        ],
    )
    return user_pool_id


@pytest.fixture(scope="session")
def local_cloud(cloud: Cloud) -> TwoRegions:
    """Return the local cloud, behind its Regions' doors."""
    root, described = cloud.identity("root"), cloud.endpoints
    roles = {region: role for role, region in described["regions"].items()}
    assert set(roles) == {EAST, WEST}
    return TwoRegions(
        Aws(root.access_key_id, root.secret_access_key),
        {region: described["region_endpoints"][roles[region]] for region in roles},
        {region: described["user_pools"][roles[region]] for region in roles},
    )


@pytest.fixture
def regions(implementation: str, request: pytest.FixtureRequest) -> TwoRegions:
    """Return the AWS behind the adapters: moto's, the local cloud, or the in-memory one."""
    found: TwoRegions = request.getfixturevalue(
        {"moto": "moto", "cloud": "local_cloud", "memory": "memory"}[implementation]
    )
    return found


@pytest.fixture
def memory() -> TwoRegions:
    """Return the AWS that the crash tests run on."""
    return InMemory(Aws(), {}, {EAST: EAST_POOL, WEST: WEST_POOL})


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(choose: Choose, *, tls: SSLContext | None = None) -> Loopback:
            return stack.enter_context(Loopback(choose, tls=tls))

        yield start


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("certificates"))
