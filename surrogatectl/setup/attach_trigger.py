"""
`attach-trigger`: attach the function that stamps machine tokens to an existing pool.

`UpdateUserPool` resets omitted settings to their defaults.  So the request
contains all the pool's settings, and a comparison follows.  An existing trigger
is never replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from botocore.exceptions import ParamValidationError

from chalicelib.settings import RegionSettings
from surrogatectl.cli import output
from surrogatectl.cli.audit import audit_option, audited_run
from surrogatectl.cli.common import (
    Conflict,
    Failure,
    confirm,
    deployment,
    output_option,
    yes_option,
)
from surrogatectl.cli.configuration import ROLES
from surrogatectl.cli.operators import AbsentError, Connect, NoAnswerError, call_aws, connect

LAMBDA_VERSION: Final = "V3_0"
"""Version of Cognito's event for machine tokens."""

APP_NAME: Final = "surrogate-credentials"
_CONFIG: Final = "PreTokenGenerationConfig"
_OLD_CONFIG: Final = "PreTokenGeneration"
_COGNITO: Final = "cognito-idp.amazonaws.com"
# Superseded by PasswordPolicy.TemporaryPasswordValidityDays; Cognito shows both and refuses both.
_SUPERSEDED: Final = "UnusedAccountValidityDays"
_ADMIN: Final = "AdminCreateUserConfig"


def trigger_name(role: str, app_name: str = APP_NAME) -> str:
    """Return the function's name from `infra/region.yaml` for the Region with *role*."""
    return f"{app_name}-{role}-trigger"


def attached(pool: Mapping[str, Any]) -> str | None:
    """Return the ARN of the function that stamps the *pool*'s machine tokens."""
    config = (pool.get("LambdaConfig") or {}).get(_CONFIG) or {}
    arn = config.get("LambdaArn")
    return str(arn) if arn and config.get("LambdaVersion") == LAMBDA_VERSION else None


def in_the_way(pool: Mapping[str, Any]) -> str | None:
    """Return the *pool*'s existing pre token generation trigger, of any version."""
    config = pool.get("LambdaConfig") or {}
    found = (config.get(_CONFIG) or {}).get("LambdaArn") or config.get(_OLD_CONFIG)
    return str(found) if found else None


def request_for(cognito: Any, pool: Mapping[str, Any], arn: str) -> dict[str, Any]:  # noqa: ANN401
    """Return the UpdateUserPool request that attaches *arn* and keeps *pool*'s other settings."""
    members = cognito.meta.service_model.operation_model("UpdateUserPool").input_shape.members
    kept = {name: value for name, value in pool.items() if name in members}
    if "TemporaryPasswordValidityDays" in (kept.get("Policies") or {}).get("PasswordPolicy", {}):
        admin = {k: v for k, v in (kept.get(_ADMIN) or {}).items() if k != _SUPERSEDED}
        kept[_ADMIN] = admin
    # Empty values are omitted: Cognito refuses an empty text with a minimum length.
    kept = {name: value for name, value in kept.items() if value not in ("", None, {})}
    kept["UserPoolId"] = pool["Id"]
    if "UserPoolTags" in members and pool.get("UserPoolTags"):
        kept["UserPoolTags"] = pool["UserPoolTags"]
    kept["LambdaConfig"] = {
        **(pool.get("LambdaConfig") or {}),
        _CONFIG: {"LambdaArn": arn, "LambdaVersion": LAMBDA_VERSION},
    }
    return kept


def may_invoke(policy: Mapping[str, Any], pool_arn: str) -> bool:
    """Return whether a function's resource *policy* lets Cognito invoke it for the pool."""
    for each in policy.get("Statement", []):
        condition = each.get("Condition", {})
        arns = condition.get("ArnLike", {}) | condition.get("ArnEquals", {})
        accounts = condition.get("StringEquals", {})
        named = {key.lower(): value for key, value in (arns | accounts).items()}
        if (
            each.get("Effect") == "Allow"
            and each.get("Principal") == {"Service": _COGNITO}
            and each.get("Action") == "lambda:InvokeFunction"
            and named.get("aws:sourcearn") == pool_arn
            and named.get("aws:sourceaccount") in {None, pool_arn.split(":")[4]}
        ):
            return True
    return False


def attach(
    connect: Connect, region: RegionSettings, name: str, agree: Callable[[str], None]
) -> tuple[str, bool]:
    """
    Attach the function *name* to the pool of *region*; return its ARN, and whether it is new.

    *agree* asks for confirmation before the change, and raises if the answer is no.

    Raises:
        Conflict: If the pool has a trigger, or changed while *agree* asked.
        Failure: If the pool cannot have a trigger, or another setting changed too.
        NoAnswerError: If AWS refuses or does not answer.
    """
    cognito, functions = connect("cognito-idp", region), connect("lambda", region)
    pool = _described(cognito, region)
    try:
        arn = str(
            call_aws(lambda: functions.get_function_configuration(FunctionName=name))["FunctionArn"]
        )
    except AbsentError:
        raise Failure(
            f"There is no function {name} in {region.name}: deploy infra/region.yaml with "
            "SurrogateClaim=yes and ExistingUserPoolId."
        ) from None
    if attached(pool) == arn:
        return arn, False
    other = in_the_way(pool)
    if other is not None:
        raise Conflict(
            f"The pool {region.user_pool_id} has a pre token generation trigger already, {other}, "
            "which is never replaced. Add the claim in that function as trigger/index.py does, "
            "or give backends the map that `surrogatectl app-clients` prints."
        )
    if pool.get("UserPoolTier") == "LITE":
        raise Failure(
            f"The pool {region.user_pool_id} is on the Lite plan, whose machine tokens have no "
            "trigger. Give backends the map that `surrogatectl app-clients` prints."
        )
    _check_permission(functions, arn, str(pool["Arn"]))
    agree(f"Attach {arn} to the pool {region.user_pool_id}?")
    # The update contains every setting: a concurrent change must not be undone.
    _require_unchanged(pool, _described(cognito, region))
    try:
        call_aws(lambda: cognito.update_user_pool(**request_for(cognito, pool, arn)))
    except ParamValidationError as err:
        raise Failure(f"Nothing was changed: {err}") from None
    _compare(pool, _described(cognito, region), arn)
    return arn, True


def _described(cognito: Any, region: RegionSettings) -> dict[str, Any]:  # noqa: ANN401
    found: dict[str, Any] = call_aws(
        lambda: cognito.describe_user_pool(UserPoolId=region.user_pool_id)
    )["UserPool"]
    return found


def _check_permission(functions: Any, arn: str, pool_arn: str) -> None:  # noqa: ANN401
    try:
        policy = json.loads(call_aws(lambda: functions.get_policy(FunctionName=arn))["Policy"])
    except AbsentError:
        policy = {}
    if not may_invoke(policy, pool_arn):
        # Attached without permission, it would make every token request fail.
        raise Failure(
            f"{arn} does not let Cognito invoke it for {pool_arn}: deploy infra/region.yaml with "
            "ExistingUserPoolId, which gives that permission."
        )


def _require_unchanged(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    different = _different(before, now)
    if (before.get("LambdaConfig") or {}) != (now.get("LambdaConfig") or {}):
        different.append("LambdaConfig")
    if different:
        raise Conflict(
            f"Meanwhile somebody changed the pool's {', '.join(different)}. This command changed "
            "nothing. Check that change, then repeat this command."
        )


def _compare(before: Mapping[str, Any], after: Mapping[str, Any], arn: str) -> None:
    different = _different(before, after)
    if attached(after) != arn or _other_triggers(before) != _other_triggers(after):
        different.append("LambdaConfig")
    if different:
        raise Failure(
            f"The trigger was attached, but the pool's {', '.join(different)} changed with it. "
            "Restore that with aws cognito-idp update-user-pool and all the pool's settings."
        )


def _different(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of differing settings, except triggers."""
    passing = {"LambdaConfig", "LastModifiedDate", "EstimatedNumberOfUsers"}
    names = (before.keys() | after.keys()) - passing
    return sorted(name for name in names if _plain(before, name) != _plain(after, name))


def _other_triggers(pool: Mapping[str, Any]) -> dict[str, Any]:
    config = pool.get("LambdaConfig") or {}
    # Cognito may show our trigger under both names.
    return {name: each for name, each in config.items() if name not in {_CONFIG, _OLD_CONFIG}}


def _plain(pool: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a setting without its superseded member; empty counts as absent."""
    value = pool.get(name) or None
    if name == _ADMIN and isinstance(value, dict):
        value = {k: v for k, v in value.items() if k != _SUPERSEDED} or None
    return value


@click.command("attach-trigger")
@click.option(
    "--region",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    help="Attach to this Region's pool only.  Default: both, one after the other.",
)
@click.option("--function", "name", help="Name; default: surrogate-credentials-<role>-trigger.")
@audit_option
@yes_option
@output_option
def attach_trigger(
    roles: tuple[str, ...],
    name: str | None,
    audit_file: Path | None,
    output_format: str,
    *,
    yes: bool,
) -> None:
    """
    Attach the stamping trigger to your own pools.

    Other settings stay as they are.  The command refuses a pool with a pre token
    generation trigger, and a pool on the Lite plan.
    """
    found = deployment()
    agree = partial(confirm, yes=yes)
    done = {}
    for role in roles or ROLES:
        region = found.region(role)
        try:
            with audited_run(audit_file, "attach-trigger", region):
                arn, new = attach(connect, region, name or trigger_name(role), agree)
        except NoAnswerError as err:
            raise Failure(f"{region.name}: {err}") from None
        done[region.name] = {"function": arn, "attached": new}
    if output_format == "json":
        output.print_json(done)
        return
    for region_name, result in done.items():
        outcome = "attached" if result["attached"] else "attached already"
        click.echo(f"{region_name}: {result['function']} {outcome}.")
