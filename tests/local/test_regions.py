"""To clients, a Region cut off by the switch looks like a lost one."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from local import aws
from local.cloud import Cloud
from local.processes import _members

pytestmark = pytest.mark.cloud

# In the format of /proc/net/tcp: the address in memory byte order.
LOOPBACK_IN_HEXADECIMAL = "0100007F"
LISTEN = "0A"


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def ports_of_primary(cloud: Cloud) -> list[int]:
    endpoints = cloud.endpoints
    return [
        port_of(endpoints["region_endpoints"]["primary"]),
        port_of(endpoints["custom_domains"]["primary"]),
    ]


def on_shared_port(cloud: Cloud, role: str) -> str:
    path = cloud.endpoints[role].partition("/_aws")[2]
    return f"{cloud.endpoints['cloud']}/_aws{path}/caller"


def test_a_refused_region_answers_like_a_closed_port(cloud: Cloud) -> None:
    cloud.set_region("primary", "refused")
    for port in ports_of_primary(cloud):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_hanging_region_lasts_until_the_callers_timeout(cloud: Cloud) -> None:
    cloud.set_region("primary", "hanging")
    for port in ports_of_primary(cloud):
        with socket.create_connection(("127.0.0.1", port), timeout=0.3) as connection:
            connection.sendall(b"GET /caller HTTP/1.1\r\nHost: x\r\n\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(1)


def test_the_other_region_is_untouched(cloud: Cloud) -> None:
    for mode in ("refused", "hanging"):
        cloud.set_region("primary", mode)
        assert requests.get(f"{cloud.endpoints['secondary']}/caller", timeout=10).ok
        assert requests.get(on_shared_port(cloud, "secondary"), timeout=10).ok


def test_a_lost_region_is_lost_on_the_shared_port_too(cloud: Cloud) -> None:
    pool = cloud.endpoints["user_pools"]["primary"]
    key_set = f"{cloud.endpoints['cloud']}/{pool}/.well-known/jwks.json"
    cloud.set_region("primary", "refused")
    for url in (on_shared_port(cloud, "primary"), key_set):
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
    cloud.set_region("primary", "hanging")
    for url in (on_shared_port(cloud, "primary"), key_set):
        with pytest.raises(requests.ReadTimeout):
            requests.get(url, timeout=0.3)


@pytest.mark.parametrize("mode", ["refused", "hanging"])
@pytest.mark.parametrize("way_in", ["primary", "front_door"])
def test_a_kept_alive_connection_is_cut_too(cloud: Cloud, mode: str, way_in: str) -> None:
    expected = requests.ConnectionError if mode == "refused" else requests.ReadTimeout
    with requests.Session() as session:
        assert session.get(f"{cloud.endpoints[way_in]}/caller", timeout=5).ok
        cloud.set_region("primary", mode)
        with pytest.raises(expected):
            session.get(f"{cloud.endpoints[way_in]}/caller", timeout=0.5)


@pytest.mark.parametrize("mode", ["refused", "hanging"])
def test_a_region_can_be_restored(cloud: Cloud, mode: str) -> None:
    cloud.set_region("primary", mode)
    cloud.set_region("primary", "up")
    assert requests.get(f"{cloud.endpoints['primary']}/caller", timeout=10).ok
    assert requests.get(f"{cloud.endpoints['front_door']}/caller", timeout=10).ok


def test_a_request_sent_to_a_hanging_region_is_never_executed(cloud: Cloud) -> None:
    cloud.set_region("primary", "hanging")
    with socket.create_connection(
        ("127.0.0.1", ports_of_primary(cloud)[1]), timeout=5
    ) as connection:
        connection.sendall(b"GET /caller HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
        cloud.set_region("primary", "up")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert not [call for call in cloud.calls() if call["action"] == "GET /caller"]


def test_every_service_of_the_region_is_gone(cloud: Cloud) -> None:
    cloud.set_region("primary", "refused")
    operator, endpoint = cloud.identity("operator"), cloud.endpoints["cloud"]

    def client(service: str) -> object:
        return aws.client(service, region="us-east-1", endpoint=endpoint, identity=operator)

    calls: list[Callable[[], object]] = [
        lambda: client("secretsmanager").list_secrets(),  # type: ignore[attr-defined]
        lambda: client("cognito-idp").list_user_pools(MaxResults=1),  # type: ignore[attr-defined]
        # Route 53's control plane is in us-east-1.
        lambda: client("route53").list_hosted_zones(),  # type: ignore[attr-defined]
    ]
    for call in calls:
        with pytest.raises(Exception, match=r"[Cc]onnection"):
            call()


def listening(pids: set[int]) -> set[tuple[str, int]]:
    """Return the addresses, in the kernel's hexadecimal, and the ports at which *pids* listen."""
    sockets = {
        link
        for pid in pids
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        if (link := linked(descriptor)).startswith("socket:[")
    }
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            local, state, inode = fields[1], fields[3], fields[9]
            if state == LISTEN and f"socket:[{inode}]" in sockets:
                address, _, port = local.partition(":")
                found.add((address, int(port, 16)))
    return found


def linked(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # it was closed since it was listed
        return ""


def urls(value: object) -> Iterator[str]:
    """Yield every URL in the endpoints, at any depth."""
    if isinstance(value, dict):
        for each in value.values():
            yield from urls(each)
    elif isinstance(value, str) and value.startswith("http"):
        yield value


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells who listens")
def test_every_port_listens_on_loopback_only(cloud: Cloud) -> None:
    # All children of the cloud's processes are in their process groups.
    pids = {pid for record in cloud.processes for pid in (record.pid, *_members(record.pid))}
    found = listening(pids)
    assert {address for address, _ in found} == {LOOPBACK_IN_HEXADECIMAL}
    own = {port_of(url) for url in urls(cloud.endpoints) if urlsplit(url).hostname == "127.0.0.1"}
    assert own <= {port for _, port in found}
