"""Results of the canary for a Region, with servers on this machine."""

from __future__ import annotations

import base64
import json

import pytest

from chalicelib.aws.secret_replicas import NamedReplicas, SecretReplicas
from chalicelib.credentials import secret_id
from chalicelib.model import ClientId, IssuedCredentials
from chalicelib.settings import RegionSettings
from surrogatectl.regions.canary import CanaryError, CanarySecret, DirectCanary, try_credential
from surrogatectl.setup.own_secrets import Replicated, replicate
from tests.aws_worlds import PREFIX, AwsWorld
from tests.contract.loopback import Answer, Loopback, always, answer, closed_port, html, reset
from tests.worlds import EAST, EAST_POOL, WEST, WEST_POOL

SECRET = "sgs_" + "canary" * 8
ISSUED = IssuedCredentials(ClientId("sgc_canary"), secret_id(SECRET), client_secret=SECRET)
HERE = RegionSettings(EAST, EAST_POOL, "https://east.example.com/oauth2/token", "log", None)
THERE = RegionSettings(WEST, WEST_POOL, "https://west.example.com/oauth2/token", "log", None)


def token(user_pool_id: str) -> str:
    issuer = {"iss": f"https://cognito-idp.{EAST}.amazonaws.com/{user_pool_id}"}
    payload = base64.urlsafe_b64encode(json.dumps(issuer).encode()).rstrip(b"=").decode()
    return f"header.{payload}.signature"


def test_a_token_of_the_regions_own_pool_passes() -> None:
    with Loopback(always(answer(200, {"access_token": token(EAST_POOL)}))) as server:
        assert try_credential(HERE, server.url, ISSUED) is None
    (seen,) = server.seen
    assert seen.method == "POST"


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (answer(401, {"error": "invalid_client"}), True),
        (answer(503, {"error": "temporarily_unavailable"}), False),
        (answer(200, {"access_token": token(WEST_POOL)}), False),
        (answer(200, {"access_token": "no token"}), False),
        (answer(200, [1]), False),
        (html(502), False),
        (reset(), False),
    ],
)
def test_any_other_answer_is_a_problem_without_secrets(given: Answer, refused: bool) -> None:  # noqa: FBT001
    with Loopback(always(given)) as server:
        problem = try_credential(HERE, server.url, ISSUED)
    assert problem is not None
    assert problem.refused is refused
    assert not problem.unknown
    assert EAST in problem.detail
    assert SECRET not in repr(problem)


def test_an_endpoint_that_does_not_answer_is_a_problem() -> None:
    problem = try_credential(HERE, f"http://127.0.0.1:{closed_port()}", ISSUED)
    assert problem is not None
    assert not problem.refused
    assert "does not answer" in problem.detail


def kept(world: AwsWorld, region: str) -> CanarySecret:
    return CanarySecret(world.aws.secrets_manager(world.secrets[region]), PREFIX)


def test_the_canary_credential_is_replicated_and_replaced() -> None:
    world = AwsWorld()
    assert kept(world, EAST).read() is None
    here, there = (world.aws.secrets_manager(world.secrets[each]) for each in (EAST, WEST))
    name = f"{PREFIX}/canary"
    replicas = NamedReplicas(SecretReplicas(lambda: here, lambda: there, WEST), [name])
    for client_id in ("sgc_first", "sgc_second"):
        issued = IssuedCredentials(ClientId(client_id), secret_id(SECRET), client_secret=SECRET)
        kept(world, EAST).write(issued)
        assert replicate(replicas, name, world.clock.advance) is Replicated.IN_SYNC
        for region in (EAST, WEST):
            found = kept(world, region).read()
            world.clock.advance(10)
            assert found is not None
            assert (found.client_id, found.client_secret) == (client_id, SECRET)


def test_a_malformed_canary_credential_is_an_error_without_its_text() -> None:
    world = AwsWorld()
    world.secrets[EAST].create_secret(
        Name=f"{PREFIX}/canary", ClientRequestToken="-" * 36, SecretString=SECRET
    )
    with pytest.raises(CanaryError) as told:
        kept(world, EAST).read()
    assert SECRET not in str(told.value)


def test_a_canary_that_cannot_be_tried_reports_why() -> None:
    world = AwsWorld()
    secrets = {region: kept(world, region) for region in (EAST, WEST)}
    regions = {EAST: HERE, WEST: THERE}
    nowhere = DirectCanary(regions, {}, secrets).try_out(EAST)
    none = DirectCanary(regions, {EAST: "http://127.0.0.1:9"}, secrets).try_out(EAST)
    world.aws.down.add(EAST)
    lost = DirectCanary(regions, {EAST: "http://127.0.0.1:9"}, secrets).try_out(EAST)
    for problem in (nowhere, none, lost):
        assert problem is not None
        assert problem.unknown
