"""
The checks of `doctor` of what backends go by: the published keys, and the claim in tokens.

They change nothing; the trigger is asked with a client and an app client that do not exist.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final

from chalicelib.aws.jwks_secret import jwks_secret_name
from chalicelib.composition.stores import key_set
from chalicelib.credentials import app_client_mac
from chalicelib.errors import MalformedSecretError
from chalicelib.model import AppClientId, ClientId
from chalicelib.settings import RegionSettings
from surrogatectl.cli.findings import Finding, failed, ok, warning
from surrogatectl.cli.operators import AbsentError, call_aws
from surrogatectl.doctor.context import DoctorContext
from surrogatectl.setup.attach_trigger import attached, in_the_way, may_invoke, trigger_name

_KEYS: Final = "signing keys"
_TRIGGER: Final = "trigger"
# The stored word may be a heartbeat old; see `jwks.HEARTBEAT_SECONDS`.
_OLD_SECONDS: Final = 43_200
_HOUR: Final = 3_600
_NOBODY: Final = ClientId("doctor")
_NO_APP_CLIENT: Final = AppClientId("doctor")


def signing_keys(context: DoctorContext, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the Region's snapshot of both pools' keys."""
    client = context.secrets(region)
    store = key_set(
        lambda: client, region=region, settings=context.settings, random_bytes=secrets.token_bytes
    )
    try:
        found = store.read().value
    except MalformedSecretError as err:
        yield failed(
            _KEYS,
            region.name,
            f"{jwks_secret_name(context.settings.secret_prefix)}: {err}",
            "Run `surrogatectl init`. Until then /.well-known/jwks.json answers 503 here.",
        )
        return
    lacking = [each for each in context.regions if each.issuer not in found.keys]
    if lacking:
        yield failed(
            _KEYS,
            region.name,
            f"The keys of {' and '.join(each.issuer for each in lacking)} are not published.",
            "Run `surrogatectl refresh-jwks`, which says what the pool answers.",
        )
        return
    age = int(context.clock() - min(found.seen_at.get(each.issuer, 0) for each in context.regions))
    counted = sum(len(found.keys[each.issuer]) for each in context.regions)
    detail = f"{counted} keys of both pools are published"
    if age > _OLD_SECONDS:
        yield warning(
            _KEYS,
            region.name,
            f"{detail}, last refreshed {age // _HOUR} hours ago.",
            "Run `surrogatectl refresh-jwks`; look at the log of the scheduled function.",
        )
    else:
        yield ok(_KEYS, region.name, f"{detail}, and fresh.")


def trigger(context: DoctorContext, role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look whether the pool's machine tokens are stamped with the surrogate's client ID."""
    cognito, functions = context.connect("cognito-idp", region), context.connect("lambda", region)
    pool = call_aws(lambda: cognito.describe_user_pool(UserPoolId=region.user_pool_id))["UserPool"]
    arn = attached(pool)
    if arn is None:
        yield _not_attached(region, pool)
        return
    if arn.split(":")[6] != trigger_name(role, context.app_name):
        yield warning(
            _TRIGGER,
            region.name,
            f"Tokens go through {arn}, which is not ours, and is not asked here.",
            "Have it add the claim as trigger/index.py does. Or: Give backends the map that "
            "`surrogatectl app-clients` prints.",
        )
        return
    try:
        policy = json.loads(call_aws(lambda: functions.get_policy(FunctionName=arn))["Policy"])
    except AbsentError:
        policy = {}
    if not may_invoke(policy, pool["Arn"]):
        yield failed(
            _TRIGGER,
            region.name,
            f"Cognito may not invoke {arn} for this pool: nobody gets a token.",
            "Deploy infra/region.yaml, which gives that permission, or detach the trigger.",
        )
        return
    try:
        key = context.deployment_key(region)
    except MalformedSecretError:
        return  # told already
    yield _answer(key, region, functions, arn)


def _not_attached(region: RegionSettings, pool: Mapping[str, Any]) -> Finding:
    map_instead = "Give backends the map that `surrogatectl app-clients` prints."
    if pool.get("UserPoolTier") == "LITE":
        return ok(_TRIGGER, region.name, f"A Lite pool has none. {map_instead}")
    other = in_the_way(pool)
    if other is not None:
        return warning(
            _TRIGGER,
            region.name,
            f"Tokens go through {other}, which is not asked for machines.",
            f"Have it take event version 3, and add the claim as trigger/index.py does. "
            f"Or: {map_instead}",
        )
    return warning(
        _TRIGGER,
        region.name,
        "Tokens are not stamped with surrogate_client_id.",
        f"Run `surrogatectl attach-trigger`. Or: {map_instead}",
    )


def _answer(key: bytes, region: RegionSettings, functions: Any, arn: str) -> Finding:  # noqa: ANN401
    mac = app_client_mac(key, _NOBODY, _NO_APP_CLIENT)
    event = {
        "version": "3",
        "triggerSource": "TokenGeneration_ClientCredentials",
        "region": region.name,
        "userPoolId": region.user_pool_id,
        "userName": "ClientCredentials",
        "callerContext": {"awsSdkVersion": "surrogatectl", "clientId": _NO_APP_CLIENT},
        "request": {
            "userAttributes": {},
            "scopes": [],
            "clientMetadata": {"surrogate_client_id": _NOBODY, "surrogate_mac": mac},
        },
        "response": {"claimsAndScopeOverrideDetails": None},
    }
    answer = call_aws(lambda: functions.invoke(FunctionName=arn, Payload=json.dumps(event)))
    if "FunctionError" in answer:
        return failed(
            _TRIGGER,
            region.name,
            f"{arn} fails: nobody gets a token.",
            "Its log says why. Detach it until that is mended.",
        )
    if _claim(answer["Payload"].read()) != _NOBODY:
        return failed(
            _TRIGGER,
            region.name,
            f"{arn} answers without the claim.",
            "Its log says why: the deployment key cannot be read, or is another one there.",
        )
    return ok(_TRIGGER, region.name, "Tokens are stamped with surrogate_client_id.")


def _claim(payload: bytes) -> object:
    try:
        details = json.loads(payload)["response"]["claimsAndScopeOverrideDetails"]
        return details["accessTokenGeneration"]["claimsToAddOrOverride"]["surrogate_client_id"]
    except (ValueError, KeyError, TypeError):
        return None


IDENTITY: Final = (signing_keys, trigger)
