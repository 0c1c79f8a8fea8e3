"""`configure`: changes of the configuration, and contradictions with live pools."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogatectl.cli.common import Failure
from surrogatectl.setup.configure import (
    CONFIG,
    changes,
    checked,
    from_stack,
    live_problems,
    scopes_that_differ,
    with_settings,
    write,
)
from tests.operator_fakes import FakeConnect, FakePool, settings
from tests.stages import PROJECT

Json = dict[str, Any]
SHIPPED: Json = json.loads((PROJECT / CONFIG).read_text())
OUTPUTS = {
    "Role": "primary",
    "Region": "eu-west-1",
    "UserPoolId": "eu-west-1_Abc123",
    "TokenEndpoint": "https://x.auth.eu-west-1.amazoncognito.com/oauth2/token",
    "LogGroupName": "/aws/lambda/surrogate-credentials-primary",
    "PublicUrl": "https://auth.example.org",
    "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:x",
}
MOVED = {
    "REGION_PRIMARY": "eu-west-1",
    "USER_POOL_ID_PRIMARY": "eu-west-1_Abc123",
    "REGION_SECONDARY": "eu-north-1",
    "USER_POOL_ID_SECONDARY": "eu-north-1_Abc123",
}


def pools(**changes: Any) -> FakeConnect:
    """Return both Regions' pools; *changes* concern the secondary one."""
    found = settings()
    return FakeConnect(
        {
            ("cognito-idp", "us-east-1"): FakePool(found.primary.user_pool_id),
            ("cognito-idp", "us-west-2"): FakePool(
                **{"user_pool_id": found.secondary.user_pool_id, **changes}
            ),
        }
    )


def answers_400(_url: str) -> int:
    return 400


def test_a_stacks_outputs_become_settings() -> None:
    assert from_stack(OUTPUTS, "primary", "x") == {
        "REGION_PRIMARY": "eu-west-1",
        "USER_POOL_ID_PRIMARY": "eu-west-1_Abc123",
        "OAUTH_HOST_PRIMARY": "https://x.auth.eu-west-1.amazoncognito.com/oauth2/token",
        "LOG_GROUP_PRIMARY": "/aws/lambda/surrogate-credentials-primary",
        "PUBLIC_URL": "https://auth.example.org",
    }


def test_a_stacks_kms_key_becomes_a_setting() -> None:
    arn = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
    settings = from_stack({**OUTPUTS, "KmsKeyArn": arn}, "primary", "x")
    assert settings["KMS_KEY_ID_PRIMARY"] == arn


@pytest.mark.parametrize("outputs", [OUTPUTS, {}])
def test_a_stack_of_another_role_is_refused(outputs: dict[str, str]) -> None:
    with pytest.raises(Failure, match="Role=secondary"):
        from_stack(outputs, "secondary", "x")


def test_every_stage_moves_with_its_region() -> None:
    changed = with_settings(SHIPPED, MOVED)
    for name, stage in changed["stages"].items():
        wanted = "eu-west-1" if name.startswith("primary") else "eu-north-1"
        assert stage["environment_variables"]["APP_REGION"] == wanted


def test_configure_can_swap_the_regions() -> None:
    common = SHIPPED["environment_variables"]
    there = {
        "REGION_PRIMARY": common["REGION_SECONDARY"],
        "REGION_SECONDARY": common["REGION_PRIMARY"],
    }
    changed = with_settings(SHIPPED, there)
    stage = changed["stages"]["primary"]["environment_variables"]
    assert stage["APP_REGION"] == common["REGION_SECONDARY"]


def test_a_stage_of_neither_region_is_named() -> None:
    config = json.loads(json.dumps(SHIPPED))
    config["stages"]["primary"]["environment_variables"]["APP_REGION"] = "sa-east-1"
    with pytest.raises(Failure, match="stage primary is in sa-east-1"):
        with_settings(config, MOVED)


def test_log_groups_are_written_only_where_they_are_not_the_default() -> None:
    changed = with_settings(
        SHIPPED,
        {
            "LOG_GROUP_PRIMARY": "/aws/lambda/surrogate-credentials-primary",
            "LOG_GROUP_SECONDARY": "/aws/lambda/mine",
        },
    )
    common = changed["environment_variables"]
    assert "LOG_GROUP_PRIMARY" not in common
    assert common["LOG_GROUP_SECONDARY"] == "/aws/lambda/mine"


@pytest.mark.slow
@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: name not in SHIPPED),
        st.recursive(st.none() | st.integers() | st.text(), st.lists),
        max_size=3,
    )
)
def test_configure_keeps_unknown_settings(unknown: Json) -> None:
    config = {**SHIPPED, **unknown}
    changed = with_settings(config, MOVED)
    assert {name: changed[name] for name in unknown} == unknown
    before, after = SHIPPED["environment_variables"], changed["environment_variables"]
    assert {name: after[name] for name in before if name not in MOVED} == {
        name: before[name] for name in before if name not in MOVED
    }
    assert config == {**SHIPPED, **unknown}  # and the old one is not touched


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"REGION_SECONDARY": "us-east-1"}, "REGION_SECONDARY"),
        ({"USER_POOL_ID_PRIMARY": "us-west-2_Abc"}, "USER_POOL_ID_PRIMARY"),
        ({"OAUTH_HOST_SECONDARY": "http://example.com/oauth2/token"}, "OAUTH_HOST_SECONDARY"),
        ({"PUBLIC_URL": "auth.example.com"}, "PUBLIC_URL"),
        ({"SECRET_PREFIX": "a/b"}, "SECRET_PREFIX"),
    ],
)
def test_settings_that_contradict_each_other_are_named(given: Json, named: str) -> None:
    config = {**SHIPPED, "environment_variables": {**SHIPPED["environment_variables"], **given}}
    with pytest.raises(Failure, match=named):
        checked(config)


def test_correct_pools_have_no_problems() -> None:
    assert live_problems(settings(), pools(), answers_400) == []
    assert scopes_that_differ(settings(), pools()) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"user_pool_id": "us-west-2_Other"}, "cannot be described: ResourceNotFoundException"),
        ({"scopes": ()}, "no resource server"),
        ({"domain": None}, "it has none"),
        ({"domain": "elsewhere"}, "elsewhere.auth.us-west-2.amazoncognito.com"),
    ],
)
def test_a_pool_that_contradicts_the_settings_is_named(changes: Json, named: str) -> None:
    (problem,) = live_problems(settings(), pools(**changes), answers_400)
    assert problem.startswith("us-west-2: ")
    assert named in problem


def test_a_custom_domain_is_a_domain_of_the_pool() -> None:
    found = settings(OAUTH_HOST_SECONDARY="https://login.example.com/oauth2/token")
    connect = pools(custom_domain="login.example.com")
    assert live_problems(found, connect, answers_400) == []


@pytest.mark.parametrize(("status", "outcome"), [(0, "does not answer"), (200, "answers 200")])
def test_a_wrong_token_endpoint_is_named(status: int, outcome: str) -> None:
    problems = live_problems(settings(), pools(), lambda _: status)
    assert len(problems) == 2
    assert all(outcome in each for each in problems)


def test_scopes_of_only_one_pool_are_reported() -> None:
    connect = pools(scopes=("demo/read", "demo/admin"))
    assert scopes_that_differ(settings(), connect) == ["demo/admin", "demo/write"]


def test_changes_comprise_the_configuration_and_its_policies(
    tmp_path: Path,
) -> None:
    changed = with_settings(SHIPPED, MOVED)
    for each in changes(tmp_path, changed, {}):
        write(tmp_path, each)
    assert json.loads((tmp_path / CONFIG).read_text()) == changed
    policy = (tmp_path / ".chalice" / "policy-secondary.json").read_text()
    regions = set(re.findall(r"arn:aws:[a-z-]+:([a-z0-9-]+):", policy))
    assert regions == {"eu-west-1", "eu-north-1"}
    assert changes(tmp_path, changed, {}) == []


def test_a_difference_is_shown_line_by_line(tmp_path: Path) -> None:
    before = json.dumps(SHIPPED, indent=2) + "\n"
    (tmp_path / CONFIG).parent.mkdir()
    (tmp_path / CONFIG).write_text(before)
    changed = with_settings(SHIPPED, {"SECRET_PREFIX": "ours"})
    shown = next(each for each in changes(tmp_path, changed, {}) if each.path == CONFIG).diff
    edits = [line for line in shown.splitlines() if re.match(r"[+-] ", line)]
    assert edits == ['-    "SECRET_PREFIX": "surrogate",', '+    "SECRET_PREFIX": "ours",']


def test_a_file_is_replaced_atomically_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / CONFIG
    path.parent.mkdir()
    path.write_text("before")
    path.chmod(0o640)
    for each in changes(tmp_path, SHIPPED, {}):
        write(tmp_path, each)
    assert json.loads(path.read_text()) == SHIPPED
    assert path.stat().st_mode & 0o777 == 0o640
    assert not [each for each in path.parent.iterdir() if each.name.startswith(".")]
