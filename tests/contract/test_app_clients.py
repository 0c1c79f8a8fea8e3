"""`AppClients`: common contract of the fake and the adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.errors import AppClientsRefusedError, UnknownAppClientError
from chalicelib.model import AppClientId
from chalicelib.ports import AppClients
from tests.contract.conftest import CLOUD
from tests.contract.implementations import AppClientsWorld, AwsPool, FakePool
from tests.contract.samples import assert_tells_nothing, new_client_id, unique

SCOPES = ("demo/read", "demo/write")
NOBODY = AppClientId("0123456789abcdefghijklmnop")
VALUE = "a_value_of_our_own_0123456789"

_NO_DATE = "moto's DescribeUserPoolClient does not tell when the app client was made"
_NO_SCOPES = "moto takes any scope"
_NO_SECRETS = "moto has no second secrets: NotImplementedError"
CANNOT = {
    ("moto", "test_an_app_client_is_made_with_a_secret"): _NO_DATE,
    ("moto", "test_deleting_an_unknown_app_client_succeeds_and_leaves_the_others"): _NO_DATE,
    ("moto", "test_owned_app_clients_are_those_with_the_name_prefix"): _NO_DATE,
    ("moto", "test_a_new_app_client_is_aligned"): _NO_DATE,
    ("moto", "test_an_app_client_can_be_given_other_scopes"): _NO_DATE,
    ("moto", "test_alignment_makes_a_foreign_app_client_an_owned_one"): _NO_DATE,
    ("moto", "test_an_adopted_app_client_keeps_its_token_lifetime"): _NO_DATE,
    ("moto", "test_a_scope_that_the_pool_does_not_define_is_refused"): _NO_SCOPES,
    ("moto", "test_no_app_client_is_aligned_to_a_scope_that_the_pool_does_not_define"): _NO_SCOPES,
    ("moto", "test_an_app_client_starts_with_one_secret"): _NO_SECRETS,
    ("moto", "test_an_app_client_has_two_secrets_at_most"): _NO_SECRETS,
    ("moto", "test_deletion_of_a_secret_is_repeatable"): _NO_SECRETS,
    ("moto", "test_the_last_secret_is_not_deleted"): _NO_SECRETS,
    ("moto", "test_the_secrets_of_an_unknown_app_client_are_refused"): _NO_SECRETS,
    ("moto", "test_a_secret_that_cognito_manages_is_exchanged_and_not_shown"): _NO_SECRETS,
    ("moto", "test_alignment_leaves_the_management_of_a_secret_as_it_is"): _NO_DATE,
}


@pytest.fixture(params=["fake", "memory", "moto", CLOUD])
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(implementation: str, request: pytest.FixtureRequest) -> AppClientsWorld:
    if implementation == "fake":
        return FakePool()
    return AwsPool(request.getfixturevalue("regions"))


@pytest.fixture
def clients(world: AppClientsWorld) -> AppClients:
    return world.clients


@pytest.fixture
def alone(world: AppClientsWorld, implementation: str) -> Iterator[AppClients]:
    """Return the app clients of a pool without leftovers of other tests."""
    if not isinstance(world, AwsPool) or implementation == "memory":
        yield world.clients  # made for each test
        return
    pool_id = world.cognito.create_user_pool(PoolName=world.prefix)["UserPool"]["Id"]
    yield world.clients_of(pool_id)
    world.cognito.delete_user_pool(UserPoolId=pool_id)


# Scopes


def test_the_pool_knows_its_scopes(clients: AppClients) -> None:
    assert clients.unknown_scopes(SCOPES) == ()
    assert clients.unknown_scopes(()) == ()


def test_unknown_scopes_are_reported_in_request_order(clients: AppClients) -> None:
    asked = ("demo/write", "other/read", "demo/admin", "demo/read", "aws.cognito.signin.user.admin")
    assert clients.unknown_scopes(asked) == (
        "other/read",
        "demo/admin",
        "aws.cognito.signin.user.admin",
    )


@pytest.mark.parametrize("scope", ["DEMO/read", "demo/Read", "demo/rea", "demo", "read", ""])
def test_scopes_are_compared_exactly(clients: AppClients, scope: str) -> None:
    assert clients.unknown_scopes((scope,)) == (scope,)


# Made and deleted


def test_an_app_client_is_made_with_a_secret(clients: AppClients) -> None:
    client_id = new_client_id()
    app_client_id, client_secret = clients.create(client_id, SCOPES)
    described = clients.describe(app_client_id)
    assert described.app_client_id == app_client_id
    assert described.client_secret == client_secret
    assert described.name.endswith(f"-{client_id}")
    assert described.scopes == frozenset(SCOPES)
    assert described.flows == {"client_credentials"}


def test_creating_twice_makes_two_app_clients(clients: AppClients) -> None:
    client_id = new_client_id()
    (first, one), (second, other) = (clients.create(client_id, SCOPES) for _ in range(2))
    assert first != second
    assert one != other


def test_a_scope_that_the_pool_does_not_define_is_refused(clients: AppClients) -> None:
    client_id = new_client_id()
    with pytest.raises(AppClientsRefusedError) as caught:
        clients.create(client_id, ("demo/read", "demo/admin"))
    assert_tells_nothing(caught.value, clients.user_pool_id)
    assert client_id not in [named_after for _, named_after in clients.ours()]


def test_deletion_of_an_app_client_is_repeatable(clients: AppClients) -> None:
    app_client_id, _ = clients.create(new_client_id(), SCOPES)
    clients.delete(app_client_id)
    with pytest.raises(UnknownAppClientError):
        clients.describe(app_client_id)
    clients.delete(app_client_id)


def test_deleting_an_unknown_app_client_succeeds_and_leaves_the_others(clients: AppClients) -> None:
    app_client_id, _ = clients.create(new_client_id(), SCOPES)
    clients.delete(NOBODY)
    assert clients.describe(app_client_id).app_client_id == app_client_id


def test_an_unknown_app_client_is_neither_described_nor_aligned(clients: AppClients) -> None:
    with pytest.raises(UnknownAppClientError) as caught:
        clients.describe(NOBODY)
    assert_tells_nothing(caught.value, NOBODY)
    with pytest.raises(UnknownAppClientError) as caught:
        clients.align(NOBODY, SCOPES, adopted=False)
    assert_tells_nothing(caught.value, NOBODY)


def test_owned_app_clients_are_those_with_the_name_prefix(world: AppClientsWorld) -> None:
    clients = world.clients
    made = {}
    for _ in range(3):
        client_id = new_client_id()
        made[clients.create(client_id, SCOPES)[0]] = client_id
    marked = clients.describe(next(iter(made))).name.partition("-sgc_")[0]
    foreign = [
        f"people-{unique()}",
        f"{marked}-no client ID",
        f"{marked}-paymentsservice2024",
        f"{marked}x-{new_client_id()}",
    ]
    others = {world.make_foreign(name) for name in foreign}
    found = dict(clients.ours())
    assert {each: found.get(each) for each in made} == made
    assert not others & set(found)
    for app_client_id, client_id in made.items():
        assert clients.is_marked(clients.describe(app_client_id), client_id)
        assert not clients.is_marked(clients.describe(app_client_id), new_client_id())


def test_owned_app_clients_are_found_on_every_page(clients: AppClients) -> None:
    made = {clients.create(new_client_id(), ())[0] for _ in range(65)}
    found = [app_client_id for app_client_id, _ in clients.ours()]
    assert made <= set(found)
    assert len(found) == len(set(found))
    for each in made:
        clients.delete(each)


def test_the_wait_callback_runs_before_every_page_of_owned_app_clients(alone: AppClients) -> None:
    made = {alone.create(new_client_id(), ())[0] for _ in range(65)}
    waited = 0

    def wait() -> None:
        nonlocal waited
        waited += 1

    found = alone.ours(wait)
    assert waited == 0
    next(found)
    assert waited == 1
    seen = 1 + sum(1 for _ in found)
    assert waited >= -(-seen // 60)
    for each in made:
        alone.delete(each)


# Aligned


def test_a_new_app_client_is_aligned(clients: AppClients) -> None:
    app_client_id, _ = clients.create(new_client_id(), SCOPES)
    described = clients.describe(app_client_id)
    assert clients.aligned(described, SCOPES, adopted=False)
    assert clients.aligned(described, SCOPES[::-1], adopted=False)
    assert not clients.aligned(described, SCOPES[:1], adopted=False)
    assert not clients.aligned(described, (*SCOPES, "demo/admin"), adopted=False)


def test_an_app_client_can_be_given_other_scopes(clients: AppClients) -> None:
    client_id = new_client_id()
    app_client_id, client_secret = clients.create(client_id, SCOPES)
    clients.align(app_client_id, ("demo/read",), adopted=False)
    described = clients.describe(app_client_id)
    assert described.scopes == {"demo/read"}
    assert clients.aligned(described, ("demo/read",), adopted=False)
    assert described.client_secret == client_secret
    assert dict(clients.ours())[app_client_id] == client_id


def test_alignment_makes_a_foreign_app_client_an_owned_one(world: AppClientsWorld) -> None:
    app_client_id = world.make_foreign(f"people-{unique()}")
    before = world.clients.describe(app_client_id)
    assert not world.clients.aligned(before, SCOPES, adopted=False)
    world.clients.align(app_client_id, SCOPES, adopted=False)
    after = world.clients.describe(app_client_id)
    assert world.clients.aligned(after, SCOPES, adopted=False)
    assert after.flows == {"client_credentials"}
    assert after.name == before.name


def test_an_adopted_app_client_keeps_its_token_lifetime(world: AppClientsWorld) -> None:
    app_client_id = world.make_foreign(f"people-{unique()}")
    before = world.clients.describe(app_client_id)
    assert before.access_token_seconds == 7_200
    world.clients.align(app_client_id, SCOPES, adopted=True)
    after = world.clients.describe(app_client_id)
    assert after.access_token_seconds == 7_200
    assert world.clients.aligned(after, SCOPES, adopted=True)
    assert not world.clients.aligned(after, SCOPES, adopted=False)


def test_no_app_client_is_aligned_to_a_scope_that_the_pool_does_not_define(
    clients: AppClients,
) -> None:
    app_client_id, _ = clients.create(new_client_id(), SCOPES)
    with pytest.raises(AppClientsRefusedError):
        clients.align(app_client_id, ("demo/admin",), adopted=False)
    assert clients.describe(app_client_id).scopes == frozenset(SCOPES)


# Secrets


def test_an_app_client_starts_with_one_secret(clients: AppClients) -> None:
    app_client_id, _ = clients.create(new_client_id(), SCOPES)
    assert len(clients.secrets(app_client_id)) == 1


def test_an_app_client_has_two_secrets_at_most(clients: AppClients) -> None:
    app_client_id, _ = clients.create(new_client_id(), SCOPES)
    (first,) = clients.secrets(app_client_id)
    second = clients.add_secret(app_client_id, VALUE)
    assert second.cognito_secret_id != first.cognito_secret_id
    assert second.created_at >= first.created_at
    listed = clients.secrets(app_client_id)
    assert set(listed) == {first, second}
    assert [each.created_at for each in listed] == sorted(each.created_at for each in listed)
    with pytest.raises(AppClientsRefusedError) as caught:
        clients.add_secret(app_client_id, f"{VALUE}_too")
    assert_tells_nothing(caught.value, VALUE, app_client_id)
    assert set(clients.secrets(app_client_id)) == {first, second}


def test_a_secret_that_cognito_manages_is_exchanged_and_not_shown(world: AppClientsWorld) -> None:
    clients = world.clients
    app_client_id, client_secret = clients.create(new_client_id(), SCOPES)
    before = clients.describe(app_client_id)
    assert (before.client_secret, before.managed) == (client_secret, False)
    older, newer = *clients.secrets(app_client_id), clients.add_secret(app_client_id, VALUE)
    world.manage(app_client_id)
    described = clients.describe(app_client_id)
    assert (described.client_secret, described.managed) == ("", True)
    left = set(clients.secrets(app_client_id))
    assert older not in left
    assert newer in left
    assert len(left) == 2


def test_alignment_leaves_the_management_of_a_secret_as_it_is(world: AppClientsWorld) -> None:
    app_client_id = world.make_foreign(f"people-{unique()}")
    world.manage(app_client_id)
    world.clients.align(app_client_id, SCOPES, adopted=True)
    assert world.clients.describe(app_client_id).managed


def test_deletion_of_a_secret_is_repeatable(clients: AppClients) -> None:
    app_client_id, _ = clients.create(new_client_id(), SCOPES)
    (first,) = clients.secrets(app_client_id)
    second = clients.add_secret(app_client_id, VALUE)
    clients.delete_secret(app_client_id, first.cognito_secret_id)
    assert clients.secrets(app_client_id) == (second,)
    clients.delete_secret(app_client_id, first.cognito_secret_id)
    assert clients.secrets(app_client_id) == (second,)


def test_the_last_secret_is_not_deleted(clients: AppClients) -> None:
    app_client_id, _ = clients.create(new_client_id(), SCOPES)
    (only,) = clients.secrets(app_client_id)
    with pytest.raises(AppClientsRefusedError):
        clients.delete_secret(app_client_id, only.cognito_secret_id)
    assert clients.secrets(app_client_id) == (only,)


@pytest.mark.parametrize(
    "use",
    [
        lambda clients: clients.secrets(NOBODY),
        lambda clients: clients.add_secret(NOBODY, VALUE),
        lambda clients: clients.delete_secret(NOBODY, f"{NOBODY}--1800000000"),
    ],
    ids=["secrets", "add", "delete"],
)
def test_the_secrets_of_an_unknown_app_client_are_refused(
    clients: AppClients, use: Callable[[AppClients], Any]
) -> None:
    with pytest.raises(UnknownAppClientError) as caught:
        use(clients)
    assert_tells_nothing(caught.value, NOBODY, VALUE)
