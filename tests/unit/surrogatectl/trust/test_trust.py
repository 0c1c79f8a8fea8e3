"""What `trust` prints for each backend, and when it prints nothing."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from surrogatectl.cli.common import Failure
from surrogatectl.cli.configuration import Deployment
from surrogatectl.trust.backends import BACKENDS
from surrogatectl.trust.command import trust, trusted
from surrogatectl.trust.facts import Names, Trust
from tests.operator_fakes import settings
from tests.stages import PROJECT, environment

EAST, WEST = "us-east-1_AbCdEfGhI", "us-west-2_JkLmNoPqR"
POOLS = {"USER_POOL_ID_PRIMARY": EAST, "USER_POOL_ID_SECONDARY": WEST}
LOCAL: Any = {
    "ENDPOINT_URL_PRIMARY": "http://127.0.0.1:4001",
    "ENDPOINT_URL_SECONDARY": "http://127.0.0.1:4002",
}
PYTHON = ("python", "pyjwt", "joserfc")


def issuer_of(user_pool_id: str) -> str:
    return f"https://cognito-idp.{user_pool_id.partition('_')[0]}.amazonaws.com/{user_pool_id}"


def facts(
    *scopes: str, app_clients: dict[str, tuple[str, ...]] | None = None, **changes: str
) -> Trust:
    names = None if app_clients is None else Names("names.json", app_clients, ("sgc_one",))
    return trusted(Deployment(settings(**POOLS, **changes), {}, {}), scopes, names)


def of_each(*names: str) -> dict[str, tuple[str, ...]]:
    return {issuer_of(EAST): names, issuer_of(WEST): names}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_is_told_both_issuers_and_where_their_keys_are(backend: str) -> None:
    text = BACKENDS[backend](facts("demo/read"))
    for pool_id in (EAST, WEST):
        assert pool_id in text
        # The first two know by themselves where a user pool's keys are.
        if backend not in ("python", "aws-jwt-verify"):
            assert f'"{issuer_of(pool_id)}"' in text
            assert f'"{issuer_of(pool_id)}/.well-known/jwks.json"' in text
    assert "demo/read" in text
    assert "127.0.0.1" not in text
    assert "http://" not in text
    assert "$" not in re.sub(r"\$\{claim\}", "", text)


@pytest.mark.parametrize("backend", BACKENDS)
def test_in_the_local_cloud_keys_come_from_the_regions_own_doors(backend: str) -> None:
    text = BACKENDS[backend](facts("demo/read", **LOCAL))
    assert f"http://127.0.0.1:4001/{EAST}/.well-known/jwks.json" in text
    assert f"http://127.0.0.1:4002/{WEST}/.well-known/jwks.json" in text


@pytest.mark.parametrize("backend", PYTHON)
@pytest.mark.parametrize("scopes", [(), ("demo/read", "demo/write")])
def test_what_is_printed_for_python_is_python(backend: str, scopes: tuple[str, ...]) -> None:
    for app_clients in (None, of_each("app1", "app2")):
        text = BACKENDS[backend](facts(*scopes, app_clients=app_clients))
        compile(text, backend, "exec")
        assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("keys", ["issuers", "shared"])
def test_the_verifier_takes_keys_from_the_issuers_or_from_the_shared_set(keys: str) -> None:
    deployment = Deployment(settings(**POOLS), {}, {})
    text = BACKENDS["python"](trusted(deployment, (), None, keys))
    compile(text, "python", "exec")
    assert ("keys=FROM_ISSUERS" in text) == (keys == "issuers")
    shared = f'keys="{deployment.settings.public_url}/.well-known/jwks.json"'
    assert (shared in text) == (keys == "shared")


# -- Spring cannot run here, Envoy only end to end: their configuration is looked at ---------------


def test_springs_configuration_has_what_the_examples_class_reads() -> None:
    java = (PROJECT / "examples" / "spring" / "SurrogateTrust.java").read_text()
    for app_clients in (None, of_each("app1")):
        document = yaml.safe_load(BACKENDS["spring"](facts("a/b", app_clients=app_clients)))
        found = document["surrogate"]["trust"]
        assert '"surrogate.trust"' in java
        assert found["scopes"] == ["a/b"]
        assert [each["issuer"] for each in found["issuers"]] == [issuer_of(EAST), issuer_of(WEST)]
        for name in [*found, *found["issuers"][0]]:
            camel = re.sub("-(.)", lambda match: match[1].upper(), name)
            assert re.search(rf"\b(String|boolean|List<\w+>) {camel}\b", java), name
        for each in found["issuers"]:
            assert each.get("any-app-client", False) == (app_clients is None)
            assert each.get("app-clients") == (app_clients and ["app1"])


def test_springs_configuration_can_ask_for_no_scope() -> None:
    document = yaml.safe_load(BACKENDS["spring"](facts()))
    assert document["surrogate"]["trust"]["scopes"] == []


def filters(document: Any) -> tuple[Any, Any]:
    first, second = document["http_filters"]
    assert first["name"] == "envoy.filters.http.jwt_authn"
    assert second["name"] == "envoy.filters.http.rbac"
    return first["typed_config"], second["typed_config"]["rules"]


def test_envoy_asks_for_a_token_of_either_pool_everywhere() -> None:
    authn, _ = filters(yaml.safe_load(BACKENDS["envoy"](facts())))
    (rule,) = authn["rules"]
    assert rule["match"] == {"prefix": "/"}
    named = [each["provider_name"] for each in rule["requires"]["requires_any"]["requirements"]]
    assert named == list(authn["providers"]) == ["primary", "secondary"]
    for provider in authn["providers"].values():
        assert provider["require_expiration"] is True
        assert provider["from_headers"] == [{"name": "Authorization", "value_prefix": "Bearer "}]
        assert "async_fetch" in provider["remote_jwks"]


@pytest.mark.parametrize("local", [False, True])
def test_envoy_finds_each_pools_keys_behind_a_cluster_of_its_own(local: bool) -> None:  # noqa: FBT001
    document = yaml.safe_load(BACKENDS["envoy"](facts(**(LOCAL if local else {}))))
    clusters = {each["name"]: each for each in document["clusters"]}
    for role, provider in filters(document)[0]["providers"].items():
        uri = provider["remote_jwks"]["http_uri"]
        cluster = clusters.pop(uri["cluster"])
        assert uri["cluster"] == f"{role}-keys" == cluster["load_assignment"]["cluster_name"]
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        host = address["address"]
        assert uri["uri"].split("/")[2] in (host, f"{host}:{address['port_value']}")
        assert ("transport_socket" in cluster) is not local
        if not local:
            tls = cluster["transport_socket"]["typed_config"]
            validation = tls["common_tls_context"]["validation_context"]
            assert tls["sni"] == host
            assert validation["match_typed_subject_alt_names"][0]["matcher"] == {"exact": host}
            assert validation["trusted_ca"]
    assert not clusters


def test_envoy_lets_in_who_has_the_scopes_and_is_one_of_the_app_clients() -> None:
    found = facts("demo/read", "demo/write", app_clients={issuer_of(EAST): ("app1", "app2")})
    _, rules = filters(yaml.safe_load(BACKENDS["envoy"](found)))
    assert rules["action"] == "ALLOW"
    (policy,) = rules["policies"].values()
    assert policy["permissions"] == [{"any": True}]
    east, west = (each["and_ids"]["ids"] for each in policy["principals"])
    assert [claim(each) for each in east[:-1]] == [
        ("iss", issuer_of(EAST)),
        ("token_use", "access"),
        ("scope", "demo/read"),
        ("scope", "demo/write"),
    ]
    assert [claim(each) for each in east[-1]["or_ids"]["ids"]] == [
        ("client_id", "app1"),
        ("client_id", "app2"),
    ]
    assert west[-1] == {"not_id": {"any": True}}  # the map has nobody of that pool


def claim(principal: Any) -> tuple[str, str]:
    metadata = principal["sourced_metadata"]["metadata_matcher"]
    assert metadata["filter"] == "envoy.filters.http.jwt_authn"
    first, second = (step["key"] for step in metadata["path"])
    assert first == "token"
    value = metadata["value"]
    if "list_match" in value:
        value = value["list_match"]["one_of"]
    return second, value["string_match"]["exact"]


# -- the command -----------------------------------------------------------------------------------


def run(*arguments: str, **variables: str) -> Any:
    environ = {**environment("primary"), **POOLS, "APP_REGION": "", **variables}
    return CliRunner(env=environ).invoke(trust, [*arguments])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_command_prints_the_configuration_and_nothing_else(backend: str) -> None:
    outcome = run(f"--for={backend}", "--scope=demo/read")
    assert outcome.exit_code == 0, outcome.output
    keys = "shared" if backend == "python" else "issuers"
    found = trusted(Deployment(settings(**POOLS), {}, {}), ("demo/read",), keys=keys)
    assert outcome.stdout == BACKENDS[backend](found)


def test_as_json_it_also_says_the_facts() -> None:
    document = json.loads(run("--for=jose", "--output=json").stdout)
    assert document["for"] == "jose"
    assert [each["issuer"] for each in document["issuers"]] == [issuer_of(EAST), issuer_of(WEST)]
    assert document["jwks_uri"].endswith("/.well-known/jwks.json")
    assert document["configuration"].startswith("//")


def test_pools_that_are_the_shipped_examples_are_not_trusted() -> None:
    outcome = run("--for=python", USER_POOL_ID_SECONDARY="us-west-2_EXAMPLE22")
    assert outcome.exit_code == 1
    assert "USER_POOL_ID_SECONDARY" in outcome.output
    assert "surrogatectl configure" in outcome.output


@pytest.mark.parametrize("backend", [each for each in BACKENDS if each != "python"])
def test_the_shared_key_set_is_for_who_looks_whose_key_it_is(backend: str) -> None:
    outcome = run(f"--for={backend}", "--keys=shared")
    assert outcome.exit_code == 1
    assert "--keys shared" in outcome.output


def test_the_verifier_names_surrogates_and_no_app_clients(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"clients": {issuer_of(EAST): {"app1": "sgc_one"}}}))
    outcome = run("--for=python", f"--client-names={path}")
    assert outcome.exit_code == 0, outcome.output
    assert f"client_names=ClientNames.from_file({json.dumps(str(path))})" in outcome.stdout
    assert 'clients={"sgc_one"}' in outcome.stdout
    compile(outcome.stdout, "python", "exec")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"clients": []}', '{"clients": {"x": 1}}'])
def test_what_is_no_map_of_names_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "names.json"
    path.write_text(content)
    outcome = run("--for=jose", f"--client-names={path}")
    assert outcome.exit_code == 1
    assert "no map of client names" in outcome.output


def test_a_map_of_other_pools_is_refused() -> None:
    with pytest.raises(Failure, match="this deployment's pools"):
        facts(app_clients={"https://elsewhere": ("app1",)})


@pytest.mark.parametrize("scope", ['a"b', "a\\b", "a\nb", "ä"])
def test_a_scope_that_is_none_is_refused(scope: str) -> None:
    outcome = run("--for=python", f"--scope={scope}")
    assert outcome.exit_code == 1
    assert "--scope" in outcome.output


def test_it_needs_no_credentials_for_aws() -> None:
    assert run("--for=python", AWS_ACCESS_KEY_ID="", AWS_PROFILE="nobody").exit_code == 0
