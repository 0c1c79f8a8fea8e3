"""
Pre token generation for machines, after Cognito's documentation.

MiniStack makes the event and runs the function. By itself it would issue the token after a failure
of the function, invoke a function that does not allow it, and replace any claim.
"""

import contextvars
import fnmatch
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import ModuleType
from typing import Any

from local.emulated import module, replace

SOURCE = "TokenGeneration_ClientCredentials"
MACHINE_VERSION = "V3_0"
LIMIT_SECONDS = 5.0
_COGNITO = {"Service": "cognito-idp.amazonaws.com"}
# Claims that no trigger may set. It is not documented whether Cognito refuses the answer or
# ignores them.
_BARRED = frozenset(
    {
        *("acr", "amr", "at_hash", "auth_time", "azp", "client_id", "device_key", "event_id"),
        *("exp", "iat", "iss", "jti", "nbf", "nonce", "origin_jti", "sub", "token_use"),
        *("username", "version"),
    }
)

Claims = dict[str, Any]


class TriggerError(Exception):
    """The trigger failed, so there is no token; the message is Cognito's."""


def install(emulated: ModuleType) -> None:
    """Replace the trigger's invocation for machines in the Cognito service *emulated*."""
    replace(emulated, "_apply_pretoken_trigger", lambda others: MachineTrigger(emulated, others))


class MachineTrigger:
    """Pool trigger for a machine's claims; MiniStack handles the users' triggers."""

    def __init__(self, emulated: ModuleType, others: Callable[..., Claims]) -> None:
        self._emulated = emulated
        self._others = others

    def __call__(self, **request: Any) -> Claims:  # noqa: ANN401 - as MiniStack calls it
        """
        Return the claims after the trigger.

        Raises:
            TriggerError: If it fails.
        """
        if request["trigger_source"] != SOURCE:
            return self._others(**request)
        claims: Claims = request.pop("claims")
        pool = self._emulated._user_pools.get(request["pool_id"])  # noqa: SLF001
        config = (pool.get("LambdaConfig") or {}).get("PreTokenGenerationConfig") or {}
        if config.get("LambdaVersion") != MACHINE_VERSION:
            return claims
        request.pop("token_type")
        event = self._emulated._build_pretoken_event(  # noqa: SLF001
            version=MACHINE_VERSION, **request
        )
        event["request"]["groupConfiguration"] = None
        return overridden(claims, self._invoke(config["LambdaArn"], pool["Arn"], event))

    def _invoke(self, arn: str, pool_arn: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        functions = module("services.lambda_svc")
        record, config, _ = functions._get_func_record_for_ref(arn)  # noqa: SLF001
        if record is None or not may_invoke(record.get("policy", {}), pool_arn):
            msg = "PreTokenGeneration invocation failed due to error AccessDeniedException."
            raise TriggerError(msg)
        execution = functions._execution_record_for_config(record, config)  # noqa: SLF001
        run = functions._execute_function_with_config_scope  # noqa: SLF001
        # A context variable holds the Region of the request.
        context = contextvars.copy_context()
        executor = ThreadPoolExecutor(1)
        try:
            result = executor.submit(context.run, run, execution, event).result(LIMIT_SECONDS)
        except FutureTimeoutError:
            msg = "PreTokenGeneration invocation failed due to configuration: timed out."
            raise TriggerError(msg) from None
        finally:
            executor.shutdown(wait=False)
        if result.get("error"):
            msg = "PreTokenGeneration failed with error."
            raise TriggerError(msg)
        return _response(result.get("body"))


def _response(body: object) -> Mapping[str, Any]:
    try:
        answer = json.loads(body) if isinstance(body, (str, bytes)) else body
        response = answer["response"]  # type: ignore[index]
        details = response["claimsAndScopeOverrideDetails"]
    except (ValueError, KeyError, TypeError):
        msg = "Unrecognizable lambda output."
        raise TriggerError(msg) from None
    return details or {}


def may_invoke(policy: Mapping[str, Any], pool_arn: str) -> bool:
    """Return whether a function's resource policy lets Cognito invoke it for the pool."""
    return any(
        statement.get("Effect") == "Allow"
        and statement.get("Principal") == _COGNITO
        and statement.get("Action") in {"lambda:InvokeFunction", "lambda:*"}
        and _met(statement.get("Condition", {}), pool_arn)
        for statement in policy.get("Statement", [])
    )


def _met(condition: Mapping[str, Mapping[str, str]], pool_arn: str) -> bool:
    arn = condition.get("ArnLike", {}).get("AWS:SourceArn", "*")
    account = condition.get("StringEquals", {}).get("AWS:SourceAccount")
    return fnmatch.fnmatchcase(pool_arn, arn) and account in {None, pool_arn.split(":")[4]}


def overridden(claims: Claims, details: Mapping[str, Any]) -> Claims:
    """Return the access token's *claims*, changed by the trigger's *details*."""
    changes = details.get("accessTokenGeneration") or {}
    added = changes.get("claimsToAddOrOverride") or {}
    changed = claims | {
        name: value
        for name, value in added.items()
        if name not in _BARRED and not name.startswith("cognito:")
    }
    for name in changes.get("claimsToSuppress") or []:
        if name not in _BARRED:
            changed.pop(name, None)
    scopes = [
        scope
        for scope in str(changed.get("scope", "")).split()
        if scope not in (changes.get("scopesToSuppress") or [])
    ]
    scopes += [scope for scope in changes.get("scopesToAdd") or [] if scope not in scopes]
    return changed | {"scope": " ".join(scopes)}
