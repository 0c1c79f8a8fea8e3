"""
REST APIs imported from an OpenAPI document, as by `chalice deploy`.

MiniStack treats ImportRestApi as CreateRestApi, so that every route is missing; lacks PutRestApi;
fails on two of Chalice's patches; and ignores the gateway responses of a document, CloudFormation's
included. MiniStack's own code reads the rest of the document.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from local.emulated import Response, module, replace

Handler = Callable[..., Awaitable[Response]]

_ENDPOINT_TYPES = "/endpointConfiguration/types/"
_COMPRESSION = "/minimumCompressionSize"
_GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"


def install() -> None:
    """Close the gaps of ImportRestApi, PutRestApi and UpdateRestApi."""
    gateway = module("services.apigateway_v1")
    replace(gateway, "_import_rest_api", lambda read: _with_gateway_responses(gateway, read))
    replace(gateway, "handle_request", lambda handle: _with_documents(gateway, handle))
    replace(gateway, "_update_rest_api", lambda update: _with_chalice_patches(gateway, update))


def _with_documents(gateway: Any, handle: Handler) -> Handler:  # noqa: ANN401
    async def handle_request(
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, Any],
    ) -> Response:
        parts = path.strip("/").split("/")
        importing = (method, parts) == ("POST", ["restapis"]) and _has_mode(query_params, "import")
        putting = method == "PUT" and parts[0] == "restapis" and len(parts) == 2  # noqa: PLR2004
        if not importing and not putting:
            return await handle(method, path, headers, body, query_params)
        try:
            document = json.loads(body)
        except ValueError:
            return _bad_request(gateway, "Invalid OpenAPI document")
        if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
            return _bad_request(gateway, "Invalid OpenAPI document")
        if importing:
            return _import(gateway, document, query_params)
        if not _has_mode(query_params, "overwrite"):
            return _bad_request(
                gateway, "The local cloud knows PutRestApi with mode=overwrite only"
            )
        return _overwrite(gateway, unquote(parts[1]), document)

    return handle_request


def _import(
    gateway: Any,  # noqa: ANN401
    document: Mapping[str, Any],
    query_params: Mapping[str, Any],
) -> Response:
    # The default of the parameter.
    types = _values(query_params, "endpointConfigurationTypes") or ["EDGE"]
    api_id = gateway._import_rest_api(  # noqa: SLF001
        document, {**_properties(document), "endpointConfiguration": {"types": types}}
    )
    response: Response = gateway._get_rest_api(api_id)  # noqa: SLF001
    return 201, *response[1:]


def _overwrite(gateway: Any, api_id: str, document: Mapping[str, Any]) -> Response:  # noqa: ANN401
    """Replace the API's definition, and keep its ID, deployments and stages."""
    api = gateway._rest_apis.get(api_id)  # noqa: SLF001
    if api is None:
        response: Response = gateway._get_rest_api(api_id)  # noqa: SLF001
        return response
    resources = gateway._resources[api_id]  # noqa: SLF001
    root = next(resource for resource in resources.values() if resource["path"] == "/")
    gateway._resources[api_id] = {root["id"]: {**root, "resourceMethods": {}}}  # noqa: SLF001
    for part in (gateway._authorizers_v1, gateway._models, gateway._gateway_responses):  # noqa: SLF001
        part[api_id] = {}
    api |= _properties(document)
    schemes = gateway._import_security_schemes(api_id, document)  # noqa: SLF001
    for path, item in document["paths"].items():
        gateway._import_path_item(api_id, path, item, schemes, document.get("security"))  # noqa: SLF001
    _put_gateway_responses(gateway, api_id, document)
    answer: Response = gateway._get_rest_api(api_id)  # noqa: SLF001
    return answer


def _with_gateway_responses(gateway: Any, read: Callable[..., str]) -> Callable[..., str]:  # noqa: ANN401
    def import_rest_api(document: Mapping[str, Any], base_data: Any = None) -> str:  # noqa: ANN401
        api_id = read(document, base_data)
        _put_gateway_responses(gateway, api_id, document)
        return api_id

    return import_rest_api


def _put_gateway_responses(gateway: Any, api_id: str, document: Mapping[str, Any]) -> None:  # noqa: ANN401
    for kind, response in document.get(_GATEWAY_RESPONSES, {}).items():
        status, _, body = gateway._put_gateway_response(api_id, kind, response)  # noqa: SLF001
        if status >= HTTPStatus.BAD_REQUEST:
            msg = f"gateway response {kind}: {body.decode()}"
            raise ValueError(msg)


def _properties(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document's properties of the API as a whole."""
    information = document.get("info", {})
    return {
        "name": str(information.get("title", "unnamed")),
        "version": str(information.get("version", "")),
        "description": str(information.get("description", "")),
        "binaryMediaTypes": document.get("x-amazon-apigateway-binary-media-types", []),
        "policy": document.get("x-amazon-apigateway-policy"),
    }


def _with_chalice_patches(gateway: Any, update: Callable[..., Response]) -> Callable[..., Response]:  # noqa: ANN401
    """Apply the patches whose value MiniStack would store unchanged: `''` turns compression off."""

    def update_rest_api(api_id: str, data: dict[str, Any]) -> Response:
        api = gateway._rest_apis.get(api_id)  # noqa: SLF001
        left = []
        for patch in data.get("patchOperations", []):
            path, value = patch.get("path", ""), patch.get("value")
            if api is not None and path == _COMPRESSION:
                api["minimumCompressionSize"] = int(value) if value else None
            elif api is not None and path.startswith(_ENDPOINT_TYPES):
                types = api["endpointConfiguration"]["types"]
                replaced = path.removeprefix(_ENDPOINT_TYPES)
                api["endpointConfiguration"]["types"] = [
                    value if known == replaced else known for known in types
                ]
            else:
                left.append(patch)
        return update(api_id, {**data, "patchOperations": left})

    return update_rest_api


def _has_mode(query_params: Mapping[str, Any], mode: str) -> bool:
    return _values(query_params, "mode") == [mode]


def _values(query_params: Mapping[str, Any], name: str) -> list[str]:
    value = query_params.get(name, [])
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _bad_request(gateway: Any, message: str) -> Response:  # noqa: ANN401
    response: Response = gateway._v1_error("BadRequestException", message, 400)  # noqa: SLF001
    return response
