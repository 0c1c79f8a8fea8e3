"""
With every endpoint of the other Region gone, the exchange starts cold and serves every client.

The function runs from the working tree, in a new process of its own, against the local cloud.
Every address that the process tries to connect to is recorded, successful or not: in a Region
that refuses connections, an attempt leaves no other trace.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chalicelib.denial_shards import home
from chalicelib.model import ClientId
from chalicelib.token.oauth import FORM
from local.cloud import Cloud
from tests.contract.cold_start import Run, cold_start
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import verified
from tests.gateway import SOURCE_IP, basic, event

ROLES = ("primary", "secondary")
OTHER = dict(zip(ROLES, ROLES[::-1], strict=True))
SCOPE = "demo/read"


@dataclass(frozen=True)
class Clients:
    """Clients of every kind that both Regions can serve, by kind."""

    pairs: dict[str, tuple[str, str]] = field(repr=False)

    def events(self) -> list[dict[str, object]]:
        return [
            event(
                headers=[("Content-Type", FORM), basic(*pair)],
                body=f"grant_type=client_credentials&scope={SCOPE}",
            )
            for pair in self.pairs.values()
        ]


@pytest.fixture(scope="module")
def clients(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    cloud.reset()
    surrogatectl = CommandLine(cloud)

    def enroll(*options: str) -> Credential:
        answer = surrogatectl("enroll", "--name=stable", "--scope=demo/read demo/write", *options)
        assert set(answer["app_clients"].values()) == {"ready"}
        return Credential(answer["client_id"], answer.pop("client_secret"), answer)

    rotated, changed, enabled = enroll(), enroll(), enroll()
    pairs = {
        "enrolled": enroll().pair,
        "of one network": enroll(f"--allow-cidr={SOURCE_IP}/32").pair,
        "about to expire": enroll("--expires=2035-01-01").pair,
        "rotated, old secret": rotated.pair,
        "rotated, new secret": (
            rotated.client_id,
            surrogatectl("rotate", rotated.client_id)["client_secret"],
        ),
        "changed": changed.pair,
        "enabled again": enabled.pair,
        "adopted": _adopted(cloud, surrogatectl, tmp_path_factory.mktemp("adopt") / "secrets"),
    }
    surrogatectl("update", changed.client_id, "--scope=demo/read")
    surrogatectl("rotate", changed.client_id, "--app-clients", "--older-than-hours=0")
    surrogatectl("disable", enabled.client_id)
    surrogatectl("enable", enabled.client_id)
    _await_replicas(surrogatectl, {client_id for client_id, _ in pairs.values()})
    yield Clients(pairs)
    cloud.reset()


def _adopted(cloud: Cloud, surrogatectl: CommandLine, held: Path) -> tuple[str, str]:
    """Adopt a pair of app clients that keep their ID and secret."""
    made = {}
    for role in ROLES:
        made[role] = cloud.client("cognito-idp", role, "root").create_user_pool_client(
            UserPoolId=cloud.endpoints["user_pools"][role],
            ClientName="from-before",
            GenerateSecret=True,
            AllowedOAuthFlows=["client_credentials"],
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthScopes=["demo/read"],
        )["UserPoolClient"]
    held.write_text("\n".join(made[role]["ClientSecret"] for role in ROLES))
    done = surrogatectl.run(
        "adopt",
        *(f"--{role}-client-id={made[role]['ClientId']}" for role in ROLES),
        f"--secrets-from={held}",
        "--keep-credentials",
        "--yes",
    )
    assert done.returncode == 0, done.stderr
    return made["primary"]["ClientId"], made["primary"]["ClientSecret"]


def _await_replicas(surrogatectl: CommandLine, client_ids: set[str]) -> None:
    for client_id in client_ids:
        for _ in range(100):
            if surrogatectl("show", client_id)["replication"] == "in_sync":
                break
            time.sleep(0.2)
        else:
            raise AssertionError("The other Region does not have the record.")


def start(cloud: Cloud, role: str, clients: Clients) -> tuple[Run, Counter[str]]:
    """Start the function of *role*; return its run, and its number of calls by service."""
    environment = cloud.environment
    environment["APP_REGION"] = cloud.endpoints["regions"][role]
    # Values stay fresh even on a slow machine, because reads are counted.
    environment["FRESH_SECONDS"] = "300"
    cloud.clear_calls()
    run = cold_start(clients.events(), environment)
    made = Counter(
        call["action"] if call["service"] == "secretsmanager" else "token"
        for call in cloud.calls()
        if call["service"] == "token" or call["caller"].endswith("user/operator")
    )
    return run, made


@pytest.fixture(scope="module")
def usual(cloud: Cloud, clients: Clients) -> Callable[[str], Counter[str]]:
    """Return the calls that a cold start makes while both Regions are up."""
    found: dict[str, Counter[str]] = {}

    def usual(role: str) -> Counter[str]:
        if role not in found:
            found[role] = start(cloud, role, clients)[1]
        return found[role]

    return usual


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("mode", ["refused", "hanging"])
def test_a_cold_exchange_serves_every_client_with_the_other_region_gone(
    breakable_cloud: Cloud,
    clients: Clients,
    usual: Callable[[str], Counter[str]],
    role: str,
    mode: str,
) -> None:
    expected = usual(role)
    breakable_cloud.set_region(OTHER[role], mode)
    run, made = start(breakable_cloud, role, clients)
    outcomes = {
        kind: answer.status for kind, answer in zip(clients.pairs, run.answers, strict=True)
    }
    assert outcomes == dict.fromkeys(clients.pairs, 200)
    for answer in run.answers:
        claims = verified(breakable_cloud, role, answer.json["access_token"])
        assert claims["scope"] == SCOPE
    # Exactly the usual calls: each shard of denials once, each record once, a token for each.
    assert made == expected
    distinct = {client_id for client_id, _ in clients.pairs.values()}
    shards = {home(ClientId(client_id)) for client_id in distinct}
    reads = len(shards) + len(distinct)
    assert made == {"GetSecretValue": reads, "token": len(clients.pairs)}
    own = urlsplit(breakable_cloud.endpoints["region_endpoints"][role]).netloc
    assert run.attempts == {own}, "it tries to reach its own Region's endpoints and no others"
