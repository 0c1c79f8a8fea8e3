"""`doctor`'s checks over HTTP, TLS and DNS, with servers on this machine."""

from __future__ import annotations

import time

import pytest

from surrogatectl.doctor.web import Internet
from tests.contract.certificates import Authority
from tests.contract.loopback import Loopback, always, answer, closed_port, html

HOST = "127.0.0.1"
DAY = 86_400


def test_get_returns_status_and_json() -> None:
    with Loopback(always(answer(503, {"token_endpoint": False}))) as server:
        assert Internet().get(server.url) == (503, {"token_endpoint": False})


def test_get_returns_the_status_alone_where_the_body_is_not_json() -> None:
    with Loopback(always(html(403))) as server:
        assert Internet().get(server.url) == (403, {})
    with Loopback(always(answer(200, [1]))) as server:
        assert Internet().get(server.url) == (200, {})


def test_a_closed_port_is_status_0() -> None:
    url = f"http://{HOST}:{closed_port()}/"
    assert Internet().get(url) == (0, {})
    assert Internet().post_nothing(url) == 0


def test_the_probe_of_a_token_endpoint_has_no_body() -> None:
    with Loopback(always(answer(400, {"error": "invalid_request"}))) as server:
        assert Internet().post_nothing(server.url) == 400
    (seen,) = server.seen
    assert seen.method == "POST"
    assert not seen.body


def test_the_expiry_of_a_certificate_is_read(authority: Authority) -> None:
    with Loopback(always(html(200)), tls=authority.server(HOST)) as server:
        ends = Internet(authority.trusting_client()).certificate_ends(HOST, server.port)
    assert 0 < ends - time.time() <= DAY


def test_a_certificate_that_clients_would_refuse_is_an_error(authority: Authority) -> None:
    with (
        Loopback(always(html(200)), tls=authority.self_signed(HOST)) as server,
        pytest.raises(OSError, match="certificate verify failed"),
    ):
        Internet(authority.trusting_client()).certificate_ends(HOST, server.port)


def test_a_name_resolves_or_is_unknown() -> None:
    assert Internet().resolve(HOST) == [HOST]
    assert Internet().resolve("nobody.invalid") == []
