"""
Gateway limits for an API made by `chalice deploy`, which cannot set them.

The limits are those of the template (`templates.merged`) and survive later deployments.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from deployment.stages import Config
from deployment.templates import merged

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_apigateway.type_defs import PatchOperationTypeDef

_PATHS = {
    "ThrottlingRateLimit": "throttling/rateLimit",
    "ThrottlingBurstLimit": "throttling/burstLimit",
    "MetricsEnabled": "metrics/enabled",
    "LoggingLevel": "logging/loglevel",
    "DataTraceEnabled": "logging/dataTrace",
}


def apply(project: Path, config: Config, stage: str, client: "APIGatewayClient") -> None:
    """Set the limits of *stage* after Chalice deployed it from *project*."""
    client.update_stage(
        restApiId=_rest_api_id(project, stage),
        stageName=config.get("api_gateway_stage", "api"),
        patchOperations=_patches(config, stage),
    )


def _rest_api_id(project: Path, stage: str) -> str:
    deployed = json.loads((project / ".chalice" / "deployed" / f"{stage}.json").read_text())
    return next(
        str(found["rest_api_id"])
        for found in deployed["resources"]
        if found["resource_type"] == "rest_api"
    )


def _patches(config: Config, stage: str) -> "list[PatchOperationTypeDef]":
    return [
        {
            "op": "replace",
            "path": f"{settings['ResourcePath']}/{settings['HttpMethod']}/{path}",
            "value": _text(settings[name]),
        }
        for settings in merged(config, stage)["Resources"]["RestAPI"]["Properties"][
            "MethodSettings"
        ]
        for name, path in _PATHS.items()
    ]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
