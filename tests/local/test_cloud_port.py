"""The shared port reads the Region from the request."""

import base64

import pytest

from local.cloud_port import app_client_id, region_in_request, with_connection_close
from local.httpio import RequestHead

SCOPE = "AKIAEXAMPLE/20260101/us-west-2/secretsmanager/aws4_request"


def head(target: str = "/", **headers: str) -> RequestHead:
    return RequestHead("POST", target, headers, b"")


@pytest.mark.parametrize(
    ("request_head", "region"),
    [
        (head(authorization=f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=x"), "us-west-2"),
        (head(f"/x?X-Amz-Credential={SCOPE.replace('/', '%2F')}"), "us-west-2"),
        (head("/us-east-1_AbCdEf123/.well-known/jwks.json"), "us-east-1"),
        (head("/health"), None),
        (head(authorization="Basic abc"), None),
    ],
)
def test_the_region_is_read_from_the_request(request_head: RequestHead, region: str | None) -> None:
    assert region_in_request(request_head) == region


def test_the_app_client_is_read_from_the_header_or_the_form() -> None:
    basic = base64.b64encode(b"client:secret").decode()
    assert app_client_id(head(authorization=f"Basic {basic}"), b"client_id=other") == "client"
    assert app_client_id(head(), b"grant_type=x&client_id=client") == "client"
    assert app_client_id(head(authorization="Basic !"), b"") == ""


def test_a_connection_carries_one_request() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nX: y\r\n\r\n"
    closed = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nConnection: close\r\n\r\n"
    assert with_connection_close(raw) == closed
