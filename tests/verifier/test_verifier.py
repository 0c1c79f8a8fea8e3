"""Accepted tokens, their content, and the verifier's required arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surrogate_verifier import (
    ANY,
    FROM_ISSUERS,
    NO_AUDIENCE,
    AudienceError,
    ClaimError,
    ClientError,
    ClientNameError,
    ClientNames,
    ConfigurationError,
    ExpiredError,
    Issuer,
    KeysUnavailableError,
    NotYetValidError,
    ScopeError,
    TokenUseError,
    UnknownKeyError,
    Verifier,
    user_pool,
)
from tests.verifier.world import CLIENT, EAST, NOW, SHARED_URL, WEST, World, pool


@pytest.fixture
def world() -> World:
    return World()


# -- content of a token ----------------------------------------------------------------------------


def test_a_client_has_the_same_name_in_both_regions_tokens(world: World) -> None:
    verifier = world.verifier()
    east, west = verifier.verify(world.east.token()), verifier.verify(world.west.token())
    assert east.client_id == west.client_id == CLIENT
    assert (east.app_client_id, west.app_client_id) == ("app11", "app22")
    assert (east.issuer, west.issuer) == (world.east.issuer.url, world.west.issuer.url)


def test_a_token_has_its_scopes_times_and_claims(world: World) -> None:
    token = world.verifier().verify(world.east.token())
    assert token.scopes == {"demo/read", "demo/write"}
    assert (token.issued_at, token.expires_at) == (NOW, NOW + 3600)
    assert token.claims["jti"]
    with pytest.raises(TypeError):
        token.claims["jti"] = "another"  # type: ignore[index]


def test_a_tokens_repr_shows_no_claims(world: World) -> None:
    token = world.verifier().verify(world.east.token())
    assert token.claims["jti"] not in repr(token)


@pytest.mark.parametrize("text", ["[{" * 600, '"[' * 600, "\\[" * 600])
def test_brackets_in_a_text_do_not_count_as_nesting(world: World, text: str) -> None:
    token = world.east.token(permissions=text)
    assert world.verifier().verify(token).claims["permissions"] == text


def test_times_may_have_fractions(world: World) -> None:
    assert world.verifier().verify(world.east.token(exp=NOW + 0.5)).expires_at == NOW + 0.5


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "application/at+jwt", None])
def test_the_types_of_access_tokens_are_accepted(world: World, kind: str | None) -> None:
    assert world.verifier().verify(world.east.token(header={"typ": kind}))


def test_an_id_token_is_accepted_only_by_a_verifier_of_id_tokens(world: World) -> None:
    verifier = world.verifier(token_use="id", audiences={"web"})
    token = verifier.verify(world.east.token(token_use="id", aud="web", client_id=None))
    assert token.app_client_id == "web"
    with pytest.raises(TokenUseError):
        verifier.verify(world.east.token())


# -- time ------------------------------------------------------------------------------------------


def test_the_leeway_bounds_the_tolerated_clock_skew(world: World) -> None:
    verifier = world.verifier(leeway=10)
    assert verifier.verify(world.east.token(exp=NOW - 9))
    assert verifier.verify(world.east.token(nbf=NOW + 10))
    assert verifier.verify(world.east.token(iat=NOW + 10))
    with pytest.raises(ExpiredError):
        verifier.verify(world.east.token(exp=NOW - 10))
    with pytest.raises(NotYetValidError):
        verifier.verify(world.east.token(nbf=NOW + 11))


def test_without_leeway_a_token_expires_at_its_exp(world: World) -> None:
    verifier = world.verifier(leeway=0)
    token = world.east.token()
    world.clock.now = NOW + 3599.9
    assert verifier.verify(token)
    world.clock.now = NOW + 3600
    with pytest.raises(ExpiredError):
        verifier.verify(token)


# -- audience --------------------------------------------------------------------------------------

API = "https://api.example.com"


@pytest.mark.parametrize("aud", [API, [API], ["https://other.example.com", API]])
def test_a_token_for_one_of_the_audiences_is_accepted(world: World, aud: Any) -> None:
    verifier = world.verifier(audiences={API, "https://old.example.com"})
    assert verifier.verify(world.east.token(aud=aud)).claims["aud"] == aud


@pytest.mark.parametrize(
    "aud", [None, "https://other.example.com", f"{API}/", API.upper(), ["x", "y"]]
)
def test_a_token_for_no_or_another_audience_is_refused(world: World, aud: Any) -> None:
    with pytest.raises(AudienceError):
        world.verifier(audiences={API}).verify(world.east.token(aud=aud))


@pytest.mark.parametrize("aud", [API, [API]])
def test_a_token_for_somebody_is_refused_where_no_audience_is_expected(
    world: World, aud: Any
) -> None:
    verifier = world.verifier(audiences=NO_AUDIENCE)
    assert verifier.verify(world.east.token())
    with pytest.raises(AudienceError):
        verifier.verify(world.east.token(aud=aud))


@pytest.mark.parametrize("aud", ["", [], [""], 7, True, {}, [API, 7], [[API]]])
@pytest.mark.parametrize("audiences", [{API}, NO_AUDIENCE])
def test_a_malformed_audience_is_refused(world: World, aud: Any, audiences: Any) -> None:
    with pytest.raises(ClaimError):
        world.verifier(audiences=audiences).verify(world.east.token(aud=aud))


def test_a_null_audience_is_malformed(world: World) -> None:
    claims = {**world.east.claims(), "aud": None}
    token = world.east.sign(json.dumps(world.east.header()), json.dumps(claims))
    with pytest.raises(ClaimError):
        world.verifier().verify(token)


# -- scopes and clients ----------------------------------------------------------------------------


def test_every_required_scope_is_needed(world: World) -> None:
    verifier = world.verifier(scopes={"demo/read", "demo/write"})
    assert verifier.verify(world.east.token())
    with pytest.raises(ScopeError) as refused:
        verifier.verify(world.east.token(scope="demo/read"))
    assert refused.value.scopes == {"demo/read", "demo/write"}
    with pytest.raises(ScopeError):
        verifier.verify(world.east.token(scope=None))


def test_a_scope_does_not_match_part_of_another(world: World) -> None:
    with pytest.raises(ScopeError):
        world.verifier(scopes={"demo/read"}).verify(world.east.token(scope="demo/read-all"))


@pytest.mark.parametrize("space", list("\t\n\r\x0b\x1f\x85\xa0\u2003\u3000"))
def test_scopes_are_split_at_spaces_only(world: World, space: str) -> None:
    token = world.east.token(scope=f"demo/read{space}demo/write")
    assert world.verifier().verify(token).scopes == {f"demo/read{space}demo/write"}
    for scope in ("demo/read", "demo/write"):
        with pytest.raises(ScopeError):
            world.verifier(scopes={scope}).verify(token)


def test_no_scope_is_empty(world: World) -> None:
    token = world.east.token(scope=" demo/read  demo/write ")
    assert world.verifier().verify(token).scopes == {"demo/read", "demo/write"}
    assert world.verifier().verify(world.east.token(scope="")).scopes == set()


def test_a_route_may_require_more_scopes_than_the_verifier(world: World) -> None:
    token = world.verifier(scopes={"demo/read"}).verify(world.east.token(scope="demo/read"))
    token.require("demo/read")
    with pytest.raises(ScopeError):
        token.require("demo/read", "demo/write")


def test_only_allowed_clients_are_accepted(world: World) -> None:
    verifier = world.verifier(clients={CLIENT})
    assert verifier.verify(world.west.token()).client_id == CLIENT
    with pytest.raises(ClientError):
        verifier.verify(world.east.token(surrogate_client_id="sgc_" + "b" * 26))


def test_allowed_clients_are_surrogate_and_not_app_client_ids(world: World) -> None:
    with pytest.raises(ClientError):
        world.verifier(clients={"app11"}).verify(world.east.token())


def test_a_token_without_a_name_is_accepted_only_without_a_client_list(world: World) -> None:
    nameless = world.east.token(surrogate_client_id=None)
    assert world.verifier().verify(nameless).client_id is None
    with pytest.raises(ClientError):
        world.verifier(clients={CLIENT}).verify(nameless)


def test_an_empty_client_list_refuses_every_client(world: World) -> None:
    with pytest.raises(ClientError):
        world.verifier(clients=[]).verify(world.east.token())


# -- names from the published map ------------------------------------------------------------------


def names(world: World, **by_app_client: str) -> ClientNames:
    return ClientNames.from_document({"clients": {world.east.issuer.url: by_app_client}})


def test_the_client_map_names_a_client_without_the_claim(world: World) -> None:
    verifier = world.verifier(client_names=names(world, app11=CLIENT), clients={CLIENT})
    nameless = {"surrogate_client_id": None}
    assert verifier.verify(world.east.token(**nameless)).client_id == CLIENT


def test_the_client_map_of_one_issuer_names_no_client_of_another(world: World) -> None:
    verifier = world.verifier(client_names=names(world, app11=CLIENT))
    token = world.west.token(surrogate_client_id=None, client_id="app11")
    assert verifier.verify(token).client_id is None


def test_a_client_map_that_agrees_with_the_token_is_accepted(world: World) -> None:
    verifier = world.verifier(client_names=names(world, app11=CLIENT))
    assert verifier.verify(world.east.token()).client_id == CLIENT


def test_a_client_map_that_contradicts_the_token_is_refused(world: World) -> None:
    verifier = world.verifier(client_names=names(world, app11="sgc_" + "b" * 26))
    with pytest.raises(ClientNameError):
        verifier.verify(world.east.token())


def test_the_client_map_may_be_a_file(world: World, tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"clients": {world.east.issuer.url: {"app11": CLIENT}}}))
    found = ClientNames.from_file(path)
    assert found.name(world.east.issuer.url, "app11") == CLIENT
    assert found.name(world.east.issuer.url, "app12") is None
    assert found.name(world.west.issuer.url, "app11") is None


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"clients": []},
        {"clients": {"x": []}},
        {"clients": {"x": {"a": 1}}},
        {"clients": {"x": {"a b": "c"}}},
        {"clients": {"x": {"a": ""}}},
    ],
)
def test_a_malformed_client_map_is_refused(document: object) -> None:
    with pytest.raises(ConfigurationError, match="client names"):
        ClientNames.from_document(document)


def test_a_missing_client_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        ClientNames.from_file(tmp_path / "nowhere")


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["keys", "token_use", "audiences", "scopes", "clients"])
def test_no_check_is_disabled_by_an_omitted_setting(world: World, choice: str) -> None:
    choices: dict[str, Any] = {
        "keys": FROM_ISSUERS,
        "token_use": "access",
        "audiences": NO_AUDIENCE,
        "scopes": ANY,
        "clients": ANY,
    }
    del choices[choice]
    with pytest.raises(TypeError, match=choice):
        Verifier([world.east.issuer], **choices)


@pytest.mark.parametrize(
    ("choices", "named"),
    [
        ({"issuers": []}, "issuers"),
        ({"issuers": [user_pool(EAST), user_pool(EAST)]}, "issuers"),
        ({"issuers": [Issuer("http://127.0.0.1:1/x", "https://example.com/k")]}, "issuers"),
        ({"issuers": [Issuer("https://example.com/x?y")]}, "issuers"),
        ({"issuers": [Issuer(EAST)]}, "issuers"),
        ({"keys": None}, "keys"),
        ({"keys": "auth.example.com"}, "keys"),
        ({"keys": "http://auth.example.com/jwks.json"}, "keys"),
        ({"keys": "http://127.0.0.1:8000/jwks.json"}, "loopback_http"),
        ({"keys": "https://user@example.com/jwks.json"}, "keys"),
        ({"keys": "https://example.com:0/jwks.json"}, "keys"),
        ({"keys": "https://example.com:99999/jwks.json"}, "keys"),
        ({"keys": "https://example.com/jwks.json\r\nX: y"}, "keys"),
        ({"keys": "file:///etc/passwd"}, "keys"),
        ({"token_use": "both"}, "token_use"),
        ({"token_use": None}, "token_use"),
        ({"token_use": "id", "scopes": {"demo/read"}}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": "demo/read"}, "scopes"),
        ({"scopes": None}, "scopes"),
        ({"scopes": [""]}, "scopes"),
        ({"audiences": []}, "audiences"),
        ({"audiences": "https://api.example.com"}, "audiences"),
        ({"audiences": None}, "audiences"),
        ({"audiences": ANY}, "audiences"),
        ({"audiences": [""]}, "audiences"),
        ({"token_use": "id"}, "audiences"),
        ({"clients": CLIENT}, "clients"),
        ({"clients": None}, "clients"),
        ({"leeway": -1}, "leeway"),
        ({"leeway": 301}, "leeway"),
        ({"snapshot": {}}, "snapshot"),
        ({"snapshot": "/nowhere/keys.json"}, "snapshot"),
    ],
)
def test_an_impossible_setting_is_named(world: World, choices: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        world.verifier(**choices)


def test_plain_http_key_sets_need_an_explicit_setting(world: World) -> None:
    url = "http://127.0.0.1:8000/jwks.json"
    world.server.documents[url] = world.shared()
    assert world.verifier(keys=url, loopback_http=True).verify(world.east.token())
    with pytest.raises(ConfigurationError):
        world.verifier(keys="http://127.0.0.1.example.com/jwks.json", loopback_http=True)


@pytest.mark.parametrize(
    ("pool_id", "url"),
    [
        (EAST, f"https://cognito-idp.us-east-1.amazonaws.com/{EAST}"),
        (
            "us-gov-west-1_x1",
            "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_x1",
        ),
        ("cn-north-1_x1", "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_x1"),
    ],
)
def test_a_user_pools_issuer_is_derived_from_its_id(pool_id: str, url: str) -> None:
    assert user_pool(pool_id).url == url
    assert user_pool(pool_id).key_set_url == f"{url}/.well-known/jwks.json"


@pytest.mark.parametrize("pool_id", ["", "x", "us-east-1", "us-east-1_", "us-east-1_a/../b"])
def test_an_invalid_user_pool_id_is_refused(pool_id: str) -> None:
    with pytest.raises(ConfigurationError, match="user pool ID"):
        user_pool(pool_id)


# -- a snapshot instead of the network -------------------------------------------------------------


def from_snapshot(world: World, snapshot: Any) -> Verifier:
    return Verifier.from_snapshot(
        snapshot,
        [world.east.issuer, world.west.issuer],
        token_use="access",
        audiences=NO_AUDIENCE,
        scopes=ANY,
        clients=ANY,
        clock=world.clock,
    )


def test_a_snapshot_is_enough_without_any_network(world: World) -> None:
    verifier = from_snapshot(world, world.shared())
    for each in (world.east, world.west):
        assert verifier.verify(each.token()).client_id == CLIENT
        with pytest.raises(UnknownKeyError):
            verifier.verify(each.token(header={"kid": "new"}))
    verifier.load_keys()


def test_a_snapshot_may_be_a_file(world: World, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(world.shared()))
    for given in (path, str(path)):
        assert from_snapshot(world, given).verify(world.west.token())


def test_a_snapshot_without_an_issuers_keys_is_refused(world: World) -> None:
    with pytest.raises(ConfigurationError, match=WEST):
        from_snapshot(world, world.shared(world.east))


def test_a_snapshots_keys_must_name_their_issuer(world: World) -> None:
    with pytest.raises(ConfigurationError, match=EAST):
        from_snapshot(world, world.east.jwks)


@pytest.mark.parametrize("keys", [FROM_ISSUERS, SHARED_URL])
def test_a_verifier_with_a_snapshot_starts_while_every_issuer_is_gone(
    world: World, keys: Any
) -> None:
    world.server.down.update(world.server.documents)
    verifier = world.verifier(keys=keys, snapshot=world.shared())
    verifier.load_keys()
    assert verifier.verify(world.east.token())
    assert verifier.verify(world.west.token())
    with pytest.raises(KeysUnavailableError):
        world.verifier(keys=keys).verify(world.east.token())


# -- keys of different issuers ---------------------------------------------------------------------


@pytest.mark.parametrize("start", ["shared", "issuers", "snapshot"])
def test_the_same_key_id_in_two_pools_is_two_keys(world: World, start: str) -> None:
    world.east, world.west = pool(EAST, kid="same"), pool(WEST, kid="same")
    documents = {each.issuer.key_set_url: each.jwks for each in (world.east, world.west)}
    world.server.documents = {**documents, SHARED_URL: world.shared()}
    make: dict[str, Callable[[], Verifier]] = {
        "shared": lambda: world.verifier(keys=SHARED_URL),
        "issuers": world.verifier,
        "snapshot": lambda: from_snapshot(world, world.shared()),
    }
    verifier = make[start]()
    assert verifier.verify(world.east.token()).issuer == world.east.issuer.url
    assert verifier.verify(world.west.token()).issuer == world.west.issuer.url
