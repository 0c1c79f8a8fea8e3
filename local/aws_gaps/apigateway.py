"""
API Gateway: the caller's real address, settings of single methods in a template, metrics, and one
custom domain name in both Regions.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from local.doors import current_region
from local.emulated import Response, module, replace

_Scope = tuple[str, str, str] | None
_Execute = Callable[..., Awaitable[Response]]
_Settings = dict[str, Any]


def install() -> None:
    """Close the gaps of REST APIs."""
    gateway = module("services.apigateway_v1")
    replace(gateway, "_build_lambda_event_v1", _with_real_source_ip)
    replace(gateway, "find_domain_scope", lambda find: _regional_domain(gateway, find))
    replace(gateway, "_handle_execute_in_scope", lambda execute: _counting(gateway, execute))
    stacks = module("services.cloudformation.provisioners")
    replace(stacks, "_apigw_method_settings", _of_encoded_paths)


def _with_real_source_ip(build: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """
    Report the address of the connection as the caller's.

    MiniStack trusts the first entry of the caller's own `X-Forwarded-For`. API Gateway reports
    the peer of the connection and appends it to that header.
    """

    def build_event(*args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        event = build(*args, **kwargs)
        peer = module("core.responses").get_request_client_ip()
        claimed = event["headers"].get("x-forwarded-for")
        forwarded = f"{claimed}, {peer}" if claimed else peer
        event["headers"]["x-forwarded-for"] = forwarded
        event["multiValueHeaders"]["x-forwarded-for"] = [forwarded]
        event["requestContext"]["identity"]["sourceIp"] = peer
        return event

    return build_event


def _regional_domain(gateway: Any, find: Callable[[str], _Scope]) -> Callable[[str], _Scope]:  # noqa: ANN401
    """Find a custom domain in the Region of the door, if it is a Region's door."""

    def find_domain_scope(domain_name: str) -> _Scope:
        region = current_region()
        if region is None:
            return find(domain_name)
        account = module("core.responses").get_account_id()
        wanted = domain_name.lower()
        for name, _ in gateway._domain_names.items_scoped(account, region):  # noqa: SLF001
            if name.lower() == wanted:
                return account, region, name
        return None

    return find_domain_scope


def _of_encoded_paths(read: Callable[[Any], _Settings]) -> Callable[[Any], _Settings]:
    """
    Understand a template's settings of a single method.

    `/a/b` is written `/~1a~1b`. MiniStack looks for a method with the encoded path.
    """

    def method_settings(raw: Any) -> _Settings:  # noqa: ANN401
        return {
            key.removeprefix("/").replace("~1", "/") if "~1" in key else key: entry
            for key, entry in read(raw).items()
        }

    return method_settings


def _counting(gateway: Any, execute: _Execute) -> _Execute:  # noqa: ANN401
    """
    Count the errors of a stage in `AWS/ApiGateway`, the function's own answers included.

    Alarms are evaluated at once.
    """

    async def handle_execute_in_scope(api_id: str, stage: str, *rest: Any) -> Response:  # noqa: ANN401
        response = await execute(api_id, stage, *rest)
        api: Mapping[str, Any] = gateway._rest_apis.get(api_id) or {}  # noqa: SLF001
        dimensions = {"ApiName": str(api.get("name")), "Stage": stage}
        metrics = module("services.cloudwatch")
        if response[0] >= HTTPStatus.BAD_REQUEST:
            server = response[0] >= HTTPStatus.INTERNAL_SERVER_ERROR
            name = "5XXError" if server else "4XXError"
            metrics.record_metric("AWS/ApiGateway", name, 1.0, "Count", dimensions)
            metrics._evaluate_all_alarms()  # noqa: SLF001
        return response

    return handle_execute_in_scope
