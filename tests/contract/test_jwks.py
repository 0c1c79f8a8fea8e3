"""Store of the key snapshot, and fetch of the keys: over stand-ins for AWS."""

from __future__ import annotations

import itertools
import json
import secrets
import ssl
from typing import Any

import pytest

from chalicelib.aws.http_session import SharedContextAdapter, retry_once
from chalicelib.aws.jwks_fetch import PoolKeys
from chalicelib.aws.jwks_secret import KeySetSecret, jwks_secret_name
from chalicelib.errors import (
    KeysUnavailableError,
    MalformedSecretError,
    StoreRefusedError,
    VersionConflictError,
)
from chalicelib.jwks import document as jwks
from chalicelib.jwks.refresh import KeyStore
from tests.contract.certificates import Authority
from tests.contract.conftest import CLOUD
from tests.contract.implementations import Serve, TwoRegions
from tests.contract.loopback import (
    LOOPBACK,
    Answer,
    Drip,
    always,
    answer,
    closed_port,
    html,
    http,
    in_turn,
    reset,
    silence,
)
from tests.contract.samples import unique
from tests.fake_keys import FakeKeyStore, both_pools, jwk, key
from tests.fakes import FakeClock
from tests.worlds import EAST, WEST

# The store


class Aws:
    """The adapter, in both Regions, over one secret with a replica."""

    def __init__(self, regions: TwoRegions) -> None:
        self.prefix = f"contract-{unique()}"
        self.name = jwks_secret_name(self.prefix)
        self.here, self.there = regions.secrets(EAST), regions.secrets(WEST)
        self.store = KeySetSecret(lambda: self.here, EAST, self.prefix, secrets.token_bytes)
        self.replica = KeySetSecret(lambda: self.there, WEST, self.prefix, secrets.token_bytes)

    def make(self, text: str) -> None:
        self.here.create_secret(Name=self.name, SecretString=text)
        self.here.replicate_secret_to_regions(
            SecretId=self.name, AddReplicaRegions=[{"Region": WEST}]
        )


@pytest.fixture(params=["memory", "moto", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def aws(regions: TwoRegions) -> Aws:
    made = Aws(regions)
    made.make(jwks.snapshot_to_json(jwks.EMPTY))
    return made


def stores(aws: Aws) -> list[KeyStore]:
    return [aws.store, FakeKeyStore.of(jwks.EMPTY)]


def test_a_snapshot_is_replaced_only_by_a_reader_of_its_current_version(aws: Aws) -> None:
    for store in stores(aws):
        found = store.read()
        assert found.value == jwks.EMPTY
        assert store.writable()
        version = store.replace(both_pools(), found.version)
        assert store.read().value == both_pools()
        assert store.read().version == version
        with pytest.raises(VersionConflictError):
            store.replace(jwks.EMPTY, found.version)
        assert store.read().value == both_pools()


def test_the_replica_is_readable_and_not_writable(aws: Aws) -> None:
    aws.store.replace(both_pools(), aws.store.read().version)
    found = aws.replica.read()
    assert found.value == both_pools()
    assert not aws.replica.writable()
    with pytest.raises(StoreRefusedError):
        aws.replica.replace(jwks.EMPTY, found.version)


def test_a_missing_or_malformed_snapshot_is_distinguished(regions: TwoRegions) -> None:
    aws = Aws(regions)
    with pytest.raises(MalformedSecretError):
        aws.store.read()
    with pytest.raises(StoreRefusedError):
        aws.store.writable()
    aws.make("{}")
    with pytest.raises(MalformedSecretError):
        aws.store.read()


# The network

KEYS = {"keys": [jwk("a"), jwk("b")]}


def pool_keys(url: str) -> PoolKeys:
    return PoolKeys(f"{url}/us-east-1_Fake00001/.well-known/jwks.json", FakeClock())


def test_a_pools_keys_are_fetched(serve: Serve) -> None:
    server = serve(always(answer(200, KEYS)))
    assert pool_keys(server.url).fetch() == (key("a"), key("b"))
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("GET", "/us-east-1_Fake00001/.well-known/jwks.json")
    assert "cookie" not in seen.headers


WRONG: dict[str, Answer] = {
    "refused": answer(403, KEYS),
    "throttled": answer(429, KEYS, Retry_After="3600"),
    "failing": answer(500, KEYS),
    "no content": answer(204),
    "html": html(200),
    "no JSON": answer(200, b"{"),
    "not UTF-8": answer(200, b"\xff\xfe"),
    "deep": answer(200, b"[" * 50_000),
    "long": answer(200, b'{"keys": []}' + b" " * 70_000),
    "no keys": answer(200, {"keys": []}),
    "weak keys": answer(200, {"keys": [jwk("a", n="AQAB")]}),
    "hangs up": reset(),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_an_answer_that_is_no_key_set_is_unavailable(serve: Serve, wrong: Answer) -> None:
    with pytest.raises(KeysUnavailableError):
        pool_keys(serve(always(wrong)).url).fetch()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(serve: Serve, status: int) -> None:
    elsewhere = serve(always(answer(200, KEYS)))
    server = serve(always(answer(status, b"", Location=f"{elsewhere.url}/jwks.json")))
    with pytest.raises(KeysUnavailableError, match=str(status)):
        pool_keys(server.url).fetch()
    assert elsewhere.connections == 0


def test_a_transient_failure_is_retried_once(serve: Serve) -> None:
    server = serve(in_turn(answer(503), answer(200, KEYS)))
    assert pool_keys(server.url).fetch() == (key("a"), key("b"))


def test_an_absent_silent_or_slow_host_times_out(serve: Serve) -> None:
    with pytest.raises(KeysUnavailableError):
        pool_keys(f"http://{LOOPBACK}:{closed_port()}").fetch()
    with pytest.raises(KeysUnavailableError):
        pool_keys(serve(always(silence())).url).fetch()
    seconds = itertools.count()  # one passes between any two looks at the clock
    drip = Drip(http(200, b" " * 1_000)[:-1_000], b" ", 1_000)
    with pytest.raises(KeysUnavailableError, match="too slow"):
        PoolKeys(f"{serve(always(drip)).url}/x", lambda: float(next(seconds))).fetch()
    assert not drip.completed


def test_a_host_with_an_invalid_certificate_is_refused(authority: Authority, serve: Serve) -> None:
    server = serve(always(answer(200, KEYS)), tls=authority.server("another.example"))
    keys = pool_keys(server.url)
    keys._session.mount(
        "https://", SharedContextAdapter(authority.trusting_client(), retry_once("GET"))
    )
    with pytest.raises(KeysUnavailableError, match="SSLError"):
        keys.fetch()
    adapter: Any = pool_keys("https://cognito-idp.us-east-1.amazonaws.com")._session.get_adapter(
        "https://cognito-idp.us-east-1.amazonaws.com"
    )
    assert adapter._context.verify_mode is ssl.CERT_REQUIRED


def test_the_error_has_no_text_of_the_answer(serve: Serve) -> None:
    with pytest.raises(KeysUnavailableError) as caught:
        pool_keys(serve(always(answer(200, json.dumps("<a secret>").encode()))).url).fetch()
    assert "secret" not in str(caught.value)
