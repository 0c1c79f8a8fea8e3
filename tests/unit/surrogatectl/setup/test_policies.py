"""IAM policies: the shipped files equal the generator's, and are as narrow as AWS allows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from surrogatectl.setup.policies import (
    OPERATORS_POLICY,
    UNKNOWN_API,
    Names,
    adoption_policy,
    all_policies,
    operators_policy,
    stage_policy,
    text,
)
from tests.stages import PROJECT

CONFIG = json.loads((PROJECT / ".chalice" / "config.json").read_text())
NAMES = Names("eu-west-1", "eu-north-1", "ours", "app", {"eu-west-1": "a", "eu-north-1": "b"})
WRITES = ("Put", "Create", "Delete", "Update", "Tag", "Restore", "Replicate", "Remove", "Add")


def statements(document: dict[str, Any]) -> Iterator[tuple[str, list[str], list[str]]]:
    for each in document["Statement"]:
        assert each["Effect"] == "Allow"
        yield each["Sid"], _many(each["Action"]), _many(each["Resource"])


def _many(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("path", all_policies(CONFIG), ids=str)
def test_shipped_policies_follow_from_the_configuration(path: Path) -> None:
    """After an edit: `python -m surrogatectl.setup.policies`."""
    shipped = (PROJECT / path).read_text()
    # A deployment's own copy may name its APIs.
    shipped = re.sub(r"(:execute-api:[\w-]+:\*:)[a-z0-9]+/", rf"\1{UNKNOWN_API}/", shipped)
    assert shipped == text(all_policies(CONFIG)[path])


def test_every_stage_has_a_policy_of_its_own() -> None:
    files = [stage["iam_policy_file"] for stage in CONFIG["stages"].values()]
    assert len(set(files)) == len(files)
    assert set(all_policies(CONFIG)) == {OPERATORS_POLICY, *(Path(".chalice") / f for f in files)}


def test_the_token_surface_reads_its_own_region_and_writes_only_its_log() -> None:
    allowed = list(statements(stage_policy(NAMES, "eu-west-1", ["token"], "primary-token")))
    assert [(actions, resources) for _, actions, resources in allowed] == [
        (
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            [
                "arn:aws:logs:eu-west-1:*:log-group:/aws/lambda/app-primary-token",
                "arn:aws:logs:eu-west-1:*:log-group:/aws/lambda/app-primary-token:*",
            ],
        ),
        (
            ["secretsmanager:GetSecretValue"],
            [
                "arn:aws:secretsmanager:eu-west-1:*:secret:ours/clients/*",
                "arn:aws:secretsmanager:eu-west-1:*:secret:ours/denials/*",
                "arn:aws:secretsmanager:eu-west-1:*:secret:ours/region-??????",
                "arn:aws:secretsmanager:eu-west-1:*:secret:ours/jwks-??????",
            ],
        ),
    ]


def test_the_admin_surface_writes_secrets_in_its_own_region_only() -> None:
    for _, actions, resources in statements(
        stage_policy(NAMES, "eu-north-1", ["admin"], "primary")
    ):
        writes = [each for each in actions if each.split(":")[1].startswith(WRITES)]
        if any(each.startswith("secretsmanager:") for each in writes):
            assert all(":eu-north-1:" in each for each in resources)


@pytest.mark.parametrize("surface", ["token", "admin"])
def test_the_secondarys_policy_is_the_primarys_with_swapped_regions(
    surface: str,
) -> None:
    """The end-to-end tests prove one Region's permissions, hence also the other's."""
    here = stage_policy(NAMES, "eu-west-1", [surface], f"primary-{surface}")
    there = stage_policy(NAMES, "eu-north-1", [surface], f"secondary-{surface}")
    mirrored = {(action, _mirrored(resource)) for action, resource in rights(here)}
    # Only the Region that stands in for the other one promotes.
    promotes = {each for each in rights(there) if each[0].endswith(":StopReplicationToReplica")}
    assert rights(there) == mirrored | promotes
    assert bool(promotes) == (surface == "admin")


@pytest.mark.parametrize(
    ("region", "role"), [("eu-west-1", "primary"), ("eu-north-1", "secondary")]
)
def test_a_combined_stages_policy_is_the_union_of_its_split_stages(region: str, role: str) -> None:
    def without_logs(surfaces: list[str], stage: str) -> set[tuple[str, str]]:
        allowed = rights(stage_policy(NAMES, region, surfaces, stage))
        return {each for each in allowed if not each[0].startswith("logs:")}

    both = without_logs(["token", "admin"], role)
    split = [without_logs([surface], f"{role}-{surface}") for surface in ("token", "admin")]
    assert both == split[0] | split[1]


def rights(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for _, actions, resources in statements(document)
        for action in actions
        for resource in resources
    }


def _mirrored(resource: str) -> str:
    """Return *resource* in the other Region, of the other Region's stage and pool."""
    for one, other in (
        ("eu-west-1", "eu-north-1"),
        ("app-primary", "app-secondary"),
        ("userpool/a", "userpool/b"),
    ):
        found, put = (one, other) if one in resource else (other, one)
        resource = resource.replace(found, put)
    return resource


def test_the_policies_name_configured_pools_and_no_others() -> None:
    for surfaces in (["admin"], ["token", "admin"]):
        document = text(stage_policy(NAMES, "eu-west-1", surfaces, "primary"))
        assert "arn:aws:cognito-idp:eu-west-1:*:userpool/a" in document
        assert "arn:aws:cognito-idp:eu-north-1:*:userpool/b" in document
        assert "userpool/*" not in document


def test_policies_do_not_name_example_pools() -> None:
    example = {"eu-west-1": "eu-west-1_EXAMPLE11", "eu-north-1": "eu-north-1_EXAMPLE22"}
    names = Names("eu-west-1", "eu-north-1", "ours", "app", example)
    assert "userpool/*" in text(stage_policy(names, "eu-west-1", ["admin"], "primary"))


@pytest.mark.parametrize("path", all_policies(CONFIG), ids=str)
def test_policies_have_no_wildcard_action_and_no_needless_wildcard_resource(path: Path) -> None:
    no_resource_level = {"secretsmanager:ListSecrets", "secretsmanager:BatchGetSecretValue"}
    for sid, actions, resources in statements(all_policies(CONFIG)[path]):
        assert not [each for each in actions if "*" in each or "?" in each], sid
        if "*" in resources:
            assert set(actions) <= no_resource_level, sid


@pytest.mark.parametrize("path", all_policies(CONFIG), ids=str)
def test_no_other_secret_of_the_account_can_be_read(path: Path) -> None:
    prefix = CONFIG["environment_variables"]["SECRET_PREFIX"]
    for sid, actions, resources in statements(all_policies(CONFIG)[path]):
        if "secretsmanager:GetSecretValue" in actions:
            for region in ("us-east-1", "us-west-2"):
                for name in ("other/clients/x-AbCdEf", f"{prefix}/else-AbCdEf", f"{prefix}-AbCdEf"):
                    arn = f"arn:aws:secretsmanager:{region}:123456789012:secret:{name}"
                    assert not [each for each in resources if fnmatchcase(arn, each)], sid


def test_the_operators_policy_fits_into_a_managed_policy() -> None:
    document = json.dumps(all_policies(CONFIG)[OPERATORS_POLICY], separators=(",", ":"))
    assert len(document) <= 6_144


def test_every_operators_statement_with_a_wildcard_is_explained() -> None:
    explained = (PROJECT / "infra" / "policies.md").read_text()
    for sid, _, resources in statements(all_policies(CONFIG)[OPERATORS_POLICY]):
        if "*" in resources:
            assert f"`{sid}`" in explained


# Keys of one's own

KEYS = {
    "eu-west-1": "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
    "eu-north-1": "alias/surrogate",
}
WITH_KEYS = replace(NAMES, kms_keys=KEYS)


def on_keys(document: dict[str, Any]) -> dict[str, tuple[list[str], list[str], dict[str, Any]]]:
    """Return the statements about KMS: actions, resources and conditions."""
    return {
        each["Sid"]: (_many(each["Action"]), _many(each["Resource"]), each.get("Condition", {}))
        for each in document["Statement"]
        if any(action.startswith("kms:") for action in _many(each["Action"]))
    }


def test_policies_without_configured_kms_keys_omit_kms() -> None:
    for path, document in all_policies(CONFIG).items():
        assert "kms" not in text(document).lower(), path


def test_the_token_surface_may_only_decrypt_with_its_own_regions_key() -> None:
    document = stage_policy(WITH_KEYS, "eu-west-1", ["token"], "primary-token")
    ((actions, resources, condition),) = on_keys(document).values()
    assert (actions, resources) == (["kms:Decrypt"], [KEYS["eu-west-1"]])
    over = condition["StringEquals"]["kms:ViaService"]
    assert over == [f"secretsmanager.{each}.amazonaws.com" for each in ("eu-west-1", "eu-north-1")]


def test_the_admin_surface_encrypts_records_here_and_replicas_there() -> None:
    for surfaces in (["admin"], ["token", "admin"]):
        found = on_keys(stage_policy(WITH_KEYS, "eu-west-1", surfaces, "primary"))
        assert {sid: actions for sid, (actions, _, _) in found.items()} == {
            "UsePrimaryKmsKey": ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"],
            "UseSecondaryKmsKey": ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"],
        }
        assert all("kms:ViaService" in each["StringEquals"] for _, _, each in found.values())


def test_a_kms_alias_becomes_a_condition() -> None:
    found = on_keys(stage_policy(WITH_KEYS, "eu-north-1", ["token"], "secondary-token"))
    ((_, resources, condition),) = found.values()
    assert resources == ["arn:aws:kms:eu-north-1:*:key/*"]
    assert condition["ForAnyValue:StringEquals"] == {"kms:ResourceAliases": ["alias/surrogate"]}


def test_operators_may_use_kms_keys_over_secrets_manager_and_describe_them() -> None:
    found = on_keys(operators_policy(WITH_KEYS))
    assert set(found) == {"UseKmsKeys", "UseKmsKeysByAlias", "LookAtKmsKeys"}
    for sid, (actions, resources, condition) in found.items():
        if sid.startswith("Use"):
            assert "kms:ViaService" in condition["StringEquals"]
            assert len(resources) == 1
        else:
            assert actions == ["kms:DescribeKey"]
            assert len(resources) == 2


@pytest.mark.parametrize("key", [KEYS["eu-west-1"], "alias/surrogate"])
def test_the_operators_policy_fits_into_an_inline_policy_with_keys_too(key: str) -> None:
    names = replace(Names.of(CONFIG), kms_keys={"us-east-1": key, "us-west-2": "alias/another"})
    assert len(json.dumps(operators_policy(names), separators=(",", ":"))) <= 10_240


def test_names_read_kms_keys_from_the_configuration() -> None:
    common = {**CONFIG["environment_variables"], "KMS_KEY_ID_PRIMARY": "alias/x"}
    assert Names.of({**CONFIG, "environment_variables": common}).kms_keys == {
        "us-east-1": "alias/x"
    }


# Conditions, and what is named


def writing_statements(action: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the file and the statement of every grant of *action*."""
    for path, document in all_policies(CONFIG).items():
        for each in document["Statement"]:
            if action in _many(each["Action"]):
                yield str(path), each


@pytest.mark.parametrize("call", ["CreateSecret", "ReplicateSecretToRegions"])
def test_secrets_are_replicated_to_the_deployments_regions_only(call: str) -> None:
    """CreateSecret replicates, too, if it is told to."""
    granted = list(writing_statements(f"secretsmanager:{call}"))
    assert len(granted) >= 6
    for path, statement in granted:
        key = "secretsmanager:AddReplicaRegions"
        if statement["Condition"] == {"Null": {key: "true"}}:
            continue
        bound = statement["Condition"]["ForAllValues:StringEquals"][key]
        if path == str(OPERATORS_POLICY):
            assert bound == ["us-east-1", "us-west-2"]
        else:
            (region,) = {each.split(":")[3] for each in _many(statement["Resource"])}
            assert [region, *bound] in (["us-east-1", "us-west-2"], ["us-west-2", "us-east-1"])


def test_states_are_never_replicated() -> None:
    states = [
        statement
        for _, statement in writing_statements("secretsmanager:CreateSecret")
        if any(":secret:surrogate/region" in each for each in _many(statement["Resource"]))
    ]
    assert [each["Condition"] for each in states] == [
        {"Null": {"secretsmanager:AddReplicaRegions": "true"}}
    ]


def test_no_function_may_delete_a_secret_without_recovery() -> None:
    granted = [
        statement["Condition"]
        for path, statement in writing_statements("secretsmanager:DeleteSecret")
        if path != str(OPERATORS_POLICY)
    ]
    assert len(granted) == 4
    for condition in granted:
        key = "secretsmanager:ForceDeleteWithoutRecovery"
        assert condition["BoolIfExists"] == {key: "false"}


def test_operators_may_call_the_deployed_admin_api_only() -> None:
    urls = {
        "primary": "https://abcdef1234.execute-api.us-east-1.amazonaws.com/api",
        "secondary": "https://ghijkl5678.execute-api.us-west-2.amazonaws.com/api",
    }

    def called(urls: dict[str, str]) -> Any:
        document = all_policies(CONFIG, urls)[OPERATORS_POLICY]
        (found,) = (each for each in document["Statement"] if each["Sid"] == "CallTheAdminApi")
        return found["Resource"]

    assert called(urls) == [
        "arn:aws:execute-api:us-east-1:*:abcdef1234/api/*",
        "arn:aws:execute-api:us-west-2:*:ghijkl5678/api/*",
    ]
    # Before the deployment, or behind a name, there is nothing to allow.
    assert UNKNOWN_API.upper() == UNKNOWN_API
    nothing = [
        f"arn:aws:execute-api:us-east-1:*:{UNKNOWN_API}/api/*",
        f"arn:aws:execute-api:us-west-2:*:{UNKNOWN_API}/api/*",
    ]
    assert called({}) == nothing
    elsewhere = {"primary": urls["secondary"], "secondary": "https://admin.example.com/api"}
    assert called(elsewhere) == nothing


def test_tables_are_read_with_a_policy_of_its_own_for_one_table() -> None:
    for document in all_policies(CONFIG).values():
        assert "dynamodb" not in text(document)
    assert rights(adoption_policy("eu-west-1", "oauth-clients")) == {
        ("dynamodb:Scan", "arn:aws:dynamodb:eu-west-1:*:table/oauth-clients")
    }
