"""
Concurrency of Lambda functions: the account's quota, and a used-up one behind API Gateway.

MiniStack takes any reservation, ignores those of CloudFormation, and passes a throttled function's
429 on. On AWS a part of the quota cannot be reserved, and a REST API answers 500.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from local.emulated import Response, error, module, replace
from local.quota import Quota

_RESERVED = "ReservedConcurrentExecutions"

# A function's name, and what it is to reserve.
_Refusal = Callable[[str, int], str | None]
_Put = Callable[[str, Mapping[str, Any]], Response]
_Provision = Callable[..., tuple[str, dict[str, Any]]]
_Shape = Callable[[Mapping[str, Any]], Any]
_Invoke = Callable[..., Awaitable[Any]]


class _ThrottledFunctionError(Exception):
    """The function's concurrency is used up."""


def install(quota: Quota) -> None:
    """Close the gaps of reserved concurrency."""
    functions = module("services.lambda_svc")

    def refusal(name: str, wanted: int) -> str | None:
        known = functions._functions  # noqa: SLF001 - those of the request's Region
        others = sum(int(known[each].get("concurrency") or 0) for each in known if each != name)
        return quota.refusal(others + wanted)

    replace(functions, "_put_function_concurrency", lambda put: _within_quota(refusal, put))
    handlers = module("services.cloudformation.provisioners")._RESOURCE_HANDLERS  # noqa: SLF001
    function = handlers["AWS::Lambda::Function"]
    function["create"] = _reserving(functions, refusal, function["create"], properties_at=1)
    function["update"] = _reserving(functions, refusal, function["update"], properties_at=2)
    gateway = module("services.apigateway_v1")
    replace(gateway, "_lambda_proxy_response", _refusing_throttled)
    replace(gateway, "_invoke_lambda_proxy_v1", lambda invoke: _failing(gateway, invoke))


def _within_quota(refusal: _Refusal, put: _Put) -> _Put:
    def put_function_concurrency(name: str, data: Mapping[str, Any]) -> Response:
        refused = refusal(name, int(data.get(_RESERVED, 0)))
        if refused is not None:
            return error("InvalidParameterValueException", refused)
        return put(name, data)

    return put_function_concurrency


def _reserving(
    functions: Any,  # noqa: ANN401
    refusal: _Refusal,
    provision: _Provision,
    *,
    properties_at: int,
) -> _Provision:
    """Set what a template's function reserves; *provision* takes its properties at that place."""

    def provisioned(*arguments: Any, **named: Any) -> tuple[str, dict[str, Any]]:  # noqa: ANN401
        name, attributes = provision(*arguments, **named)
        wanted = arguments[properties_at].get(_RESERVED)
        if wanted is not None and (refused := refusal(name, int(wanted))):
            raise ValueError(refused)
        functions._functions[name]["concurrency"] = wanted if wanted is None else int(wanted)  # noqa: SLF001
        return name, attributes

    return provisioned


def _refusing_throttled(shape: _Shape) -> _Shape:
    def lambda_proxy_response(result: Mapping[str, Any]) -> Any:  # noqa: ANN401
        if result.get("throttle"):
            raise _ThrottledFunctionError
        return shape(result)

    return lambda_proxy_response


def _failing(gateway: Any, invoke: _Invoke) -> _Invoke:  # noqa: ANN401
    async def invoke_lambda_proxy(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        try:
            return await invoke(*arguments, **named)
        except _ThrottledFunctionError:
            return gateway._gw_error("DEFAULT_5XX", "Internal server error")  # noqa: SLF001

    return invoke_lambda_proxy
