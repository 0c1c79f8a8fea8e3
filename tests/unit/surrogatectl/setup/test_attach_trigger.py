"""`attach-trigger`: a trigger for a pool without one, and no other change."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import click
import pytest

from surrogatectl.cli.common import Conflict, Failure
from surrogatectl.setup.attach_trigger import attach, may_invoke, trigger_name
from tests.fake_triggers import FULL, ResettingPool, TriggerFunctions
from tests.operator_fakes import FakeConnect, settings
from tests.worlds import EAST

REGION = settings().primary
NAME = trigger_name("primary")
OTHER = "arn:aws:lambda:us-east-1:123456789012:function:theirs"


class World:
    def __init__(self) -> None:
        self.pool = ResettingPool(REGION.user_pool_id, EAST)
        self.functions = TriggerFunctions(EAST)
        self.functions.permit(NAME, self.pool.arn)
        self.connect = FakeConnect(
            {("cognito-idp", EAST): self.pool, ("lambda", EAST): self.functions}
        )

    def attach(self, *, yes: bool = True) -> tuple[str, bool]:
        def agree(question: str) -> None:
            assert REGION.user_pool_id in question
            if not yes:
                raise click.Abort

        return attach(self.connect, REGION, NAME, agree)

    def attach_while(self, something: Callable[[], object]) -> None:
        """Attach the trigger; *something* happens during the confirmation."""

        def agree(_: str) -> None:
            something()

        attach(self.connect, REGION, NAME, agree)


@pytest.fixture
def world() -> World:
    return World()


def test_attaching_keeps_every_other_setting(world: World) -> None:
    assert world.attach() == (world.functions.arn(NAME), True)
    ours = {"LambdaArn": world.functions.arn(NAME), "LambdaVersion": "V3_0"}
    config = {**FULL["LambdaConfig"], "PreTokenGenerationConfig": ours}
    assert world.pool.settings == {**FULL, "LambdaConfig": config}


@pytest.mark.parametrize(
    "change",
    [
        {"MfaConfiguration": "ON"},
        {"LambdaConfig": {"PreTokenGeneration": "arn:aws:lambda:us-east-1:1:function:theirs"}},
    ],
)
def test_attaching_does_not_undo_a_change_made_during_confirmation(
    world: World, change: dict[str, Any]
) -> None:
    with pytest.raises(Conflict, match=next(iter(change))):
        world.attach_while(lambda: world.pool.settings.update(change))
    assert {name: world.pool.settings[name] for name in change} == change


def test_attaching_to_a_pool_without_settings_changes_nothing_else(world: World) -> None:
    bare: dict[str, Any] = {
        "Name": "machines",
        "Policies": {"PasswordPolicy": {"MinimumLength": 8, "TemporaryPasswordValidityDays": 7}},
        "DeletionProtection": "INACTIVE",
        "LambdaConfig": {},
        "SmsVerificationMessage": "",
        "EmailConfiguration": {"EmailSendingAccount": "COGNITO_DEFAULT"},
        "AdminCreateUserConfig": {
            "AllowAdminCreateUserOnly": False,
            "UnusedAccountValidityDays": 7,
        },
        "UserPoolTags": {},
        "UserPoolTier": "ESSENTIALS",
    }
    world.pool.settings = copy.deepcopy(bare)
    assert world.attach()[1]
    for name in ("Policies", "EmailConfiguration", "AdminCreateUserConfig", "UserPoolTier"):
        assert world.pool.settings[name] == bare[name]


def test_the_fake_resets_omitted_settings(world: World) -> None:
    """Otherwise the tests above would prove nothing."""
    world.pool.update_user_pool(UserPoolId=REGION.user_pool_id, MfaConfiguration="OFF")
    assert "DeletionProtection" not in world.pool.settings
    assert "LambdaConfig" not in world.pool.settings


def test_attaching_again_changes_nothing(world: World) -> None:
    world.attach()
    assert world.attach() == (world.functions.arn(NAME), False)
    assert world.pool.updates == 1


@pytest.mark.parametrize(
    "config",
    [
        {"PreTokenGeneration": OTHER},
        {"PreTokenGenerationConfig": {"LambdaArn": OTHER, "LambdaVersion": "V1_0"}},
        {"PreTokenGenerationConfig": {"LambdaArn": OTHER, "LambdaVersion": "V2_0"}},
        {"PreTokenGenerationConfig": {"LambdaArn": OTHER, "LambdaVersion": "V3_0"}},
        {
            "PreTokenGeneration": OTHER,
            "PreTokenGenerationConfig": {"LambdaArn": OTHER, "LambdaVersion": "V2_0"},
        },
    ],
)
def test_an_existing_trigger_is_never_replaced(world: World, config: dict[str, Any]) -> None:
    world.pool.settings["LambdaConfig"] = config
    before = copy.deepcopy(world.pool.settings)
    with pytest.raises(Conflict, match="never replaced"):
        world.attach()
    assert world.pool.settings == before
    assert world.pool.updates == 0


def test_our_own_function_with_another_event_version_is_not_replaced(world: World) -> None:
    ours = {"LambdaArn": world.functions.arn(NAME), "LambdaVersion": "V2_0"}
    world.pool.settings["LambdaConfig"] = {"PreTokenGenerationConfig": ours}
    with pytest.raises(Conflict):
        world.attach()


def test_a_pool_on_the_lite_plan_is_refused(world: World) -> None:
    world.pool.settings["UserPoolTier"] = "LITE"
    with pytest.raises(Failure, match="Lite plan"):
        world.attach()
    assert world.pool.updates == 0


@pytest.mark.parametrize("permission", ["none", "another pool", "another account"])
def test_a_function_that_cognito_may_not_invoke_is_not_attached(
    world: World, permission: str
) -> None:
    """Every token request would fail."""
    world.functions.permitted[NAME] = []
    if permission == "another pool":
        world.functions.permit(NAME, world.pool.arn + "x")
    if permission == "another account":
        world.functions.permit(NAME, world.pool.arn, account="210987654321")
    with pytest.raises(Failure, match="ExistingUserPoolId"):
        world.attach()
    assert world.pool.updates == 0


def test_a_missing_function_is_reported(world: World) -> None:
    world.functions.permitted.clear()
    with pytest.raises(Failure, match="There is no function"):
        world.attach()


def test_a_setting_changed_by_attaching_is_reported(world: World) -> None:
    world.pool.ignored = frozenset({"EmailConfiguration"})
    with pytest.raises(Failure, match="EmailConfiguration changed"):
        world.attach()


def test_another_trigger_lost_by_attaching_is_reported(world: World) -> None:
    world.pool.forgotten = frozenset({"PreSignUp"})
    with pytest.raises(Failure, match="LambdaConfig changed"):
        world.attach()


def test_a_trigger_shown_under_its_old_name_too_is_accepted(world: World) -> None:
    """Cognito requires both to be equal if both are given."""
    world.attach()
    world.pool.settings["LambdaConfig"]["PreTokenGeneration"] = world.functions.arn(NAME)
    assert world.attach()[1] is False


def test_attaching_needs_confirmation(world: World) -> None:
    with pytest.raises(click.Abort):
        world.attach(yes=False)
    assert world.pool.updates == 0


def test_an_invoke_permission_for_everybody_does_not_count() -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunction"}
    assert not may_invoke({"Statement": [statement]}, "arn:aws:cognito-idp:r:1:userpool/p")
