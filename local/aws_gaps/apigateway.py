"""API Gateway: the caller's real address, and one custom domain name in both Regions."""

from collections.abc import Callable
from typing import Any

from local.doors import current_region
from local.emulated import module, replace

_Scope = tuple[str, str, str] | None


def install() -> None:
    """Close the gaps of REST APIs."""
    gateway = module("services.apigateway_v1")
    replace(gateway, "_build_lambda_event_v1", _with_real_source_ip)
    replace(gateway, "find_domain_scope", lambda find: _regional_domain(gateway, find))


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
