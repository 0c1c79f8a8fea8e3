"""REST APIs imported from a document, as by `chalice deploy`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from local.cloud import Cloud


def _document(*paths: str, **more: Any) -> bytes:
    mock = {
        "type": "mock",
        "responses": {"default": {"statusCode": "200"}},
        "requestTemplates": {"application/json": '{"statusCode": 200}'},
    }
    operation = {"responses": {}, "x-amazon-apigateway-integration": mock}
    return json.dumps(
        {
            "swagger": "2.0",
            "info": {"title": "made", "version": "1.0"},
            "paths": {path: {"get": operation} for path in paths},
            **more,
        }
    ).encode()


@pytest.fixture
def gateway(cloud: Cloud) -> Any:
    return cloud.client("apigateway", "secondary")


@pytest.fixture
def api_id(gateway: Any) -> Iterator[str]:
    made = gateway.import_rest_api(
        body=_document("/one", "/one/two"), parameters={"endpointConfigurationTypes": "REGIONAL"}
    )
    yield made["id"]
    gateway.delete_rest_api(restApiId=made["id"])


def _paths(gateway: Any, api_id: str) -> set[str]:
    return {item["path"] for item in gateway.get_resources(restApiId=api_id)["items"]}


def test_an_imported_api_has_the_documents_name_routes_and_endpoint(
    gateway: Any, api_id: str
) -> None:
    api = gateway.get_rest_api(restApiId=api_id)
    assert (api["name"], api["endpointConfiguration"]["types"]) == ("made", ["REGIONAL"])
    assert _paths(gateway, api_id) == {"/", "/one", "/one/two"}


def test_an_api_is_edge_optimized_by_default(gateway: Any) -> None:
    api = gateway.import_rest_api(body=_document("/one"))
    assert api["endpointConfiguration"]["types"] == ["EDGE"]
    gateway.delete_rest_api(restApiId=api["id"])


def test_overwriting_replaces_the_routes_and_keeps_the_api_and_its_stages(
    gateway: Any, api_id: str
) -> None:
    gateway.create_deployment(restApiId=api_id, stageName="api")
    gateway.put_rest_api(restApiId=api_id, mode="overwrite", body=_document("/three"))
    assert _paths(gateway, api_id) == {"/", "/three"}
    assert [stage["stageName"] for stage in gateway.get_stages(restApiId=api_id)["item"]] == ["api"]


def test_unsupported_imports_are_refused_and_change_nothing(gateway: Any, api_id: str) -> None:
    with pytest.raises(ClientError, match="overwrite only"):
        gateway.put_rest_api(restApiId=api_id, mode="merge", body=_document("/three"))
    with pytest.raises(ClientError, match="Invalid OpenAPI document"):
        gateway.put_rest_api(restApiId=api_id, mode="overwrite", body=b"[]")
    with pytest.raises(ClientError, match="NotFound"):
        gateway.put_rest_api(restApiId="none", mode="overwrite", body=_document("/three"))
    assert _paths(gateway, api_id) == {"/", "/one", "/one/two"}


def test_chalices_patches_turn_compression_off_and_change_the_endpoint(
    gateway: Any, api_id: str
) -> None:
    compressed = [{"op": "replace", "path": "/minimumCompressionSize", "value": "512"}]
    gateway.update_rest_api(restApiId=api_id, patchOperations=compressed)
    assert gateway.get_rest_api(restApiId=api_id)["minimumCompressionSize"] == 512
    gateway.update_rest_api(
        restApiId=api_id,
        patchOperations=[
            {"op": "replace", "path": "/minimumCompressionSize", "value": ""},
            {"op": "replace", "path": "/endpointConfiguration/types/REGIONAL", "value": "EDGE"},
        ],
    )
    api = gateway.get_rest_api(restApiId=api_id)
    assert "minimumCompressionSize" not in api
    assert api["endpointConfiguration"]["types"] == ["EDGE"]


def test_the_gateways_own_answers_come_from_the_document(cloud: Cloud, gateway: Any) -> None:
    response = {
        "statusCode": "404",
        "responseTemplates": {"application/json": '{"error": "nothing there"}'},
    }
    document = _document(
        "/one",
        **{"x-amazon-apigateway-gateway-responses": {"MISSING_AUTHENTICATION_TOKEN": response}},
    )
    api_id = gateway.import_rest_api(body=document)["id"]
    gateway.create_deployment(restApiId=api_id, stageName="api")
    endpoint = cloud.endpoints["region_endpoints"]["secondary"]
    answer = requests.get(f"{endpoint}/_aws/execute-api/{api_id}/api/two", timeout=10)
    assert (answer.status_code, answer.json()) == (404, {"error": "nothing there"})
    gateway.delete_rest_api(restApiId=api_id)
