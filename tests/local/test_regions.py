"""Taking a Region away looks, to its clients, like a Region that is gone."""

import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import requests

from local import aws
from local.cloud import Cloud

pytestmark = pytest.mark.cloud


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


def test_refused_is_what_a_closed_port_says(cloud: Cloud) -> None:
    cloud.set_region("primary", "refused")
    for port in ports_of_primary(cloud):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_hanging_lasts_until_the_callers_own_timeout(cloud: Cloud) -> None:
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
def test_a_connection_that_was_kept_alive_dies_too(cloud: Cloud, mode: str, way_in: str) -> None:
    expected = requests.ConnectionError if mode == "refused" else requests.ReadTimeout
    with requests.Session() as session:
        assert session.get(f"{cloud.endpoints[way_in]}/caller", timeout=5).ok
        cloud.set_region("primary", mode)
        with pytest.raises(expected):
            session.get(f"{cloud.endpoints[way_in]}/caller", timeout=0.5)


@pytest.mark.parametrize("mode", ["refused", "hanging"])
def test_the_region_comes_back(cloud: Cloud, mode: str) -> None:
    cloud.set_region("primary", mode)
    cloud.set_region("primary", "up")
    assert requests.get(f"{cloud.endpoints['primary']}/caller", timeout=10).ok
    assert requests.get(f"{cloud.endpoints['front_door']}/caller", timeout=10).ok


def test_what_a_hanging_region_swallowed_is_never_executed(cloud: Cloud) -> None:
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


def test_nothing_listens_beyond_this_machine(cloud: Cloud) -> None:
    ports = {
        port_of(url)
        for url in cloud.endpoints.values()
        if isinstance(url, str) and ":" in url and "http" in url
    }
    for port in ports:
        for host in ("0.0.0.0", "127.0.0.1"):  # noqa: S104 - to see that it is not taken there
            with socket.socket() as probe:
                if host == "127.0.0.1":
                    with pytest.raises(OSError, match="in use"):
                        probe.bind((host, port))
