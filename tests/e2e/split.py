"""Split stages, deployed from the staged copy, as the documentation recommends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deployment import staging
from deployment.stages import load_config
from local import deploy
from local.cloud import Cloud
from local.rollout import DEPENDENCIES

STAGES = ("primary-token", "primary-admin", "secondary-token")


@dataclass(frozen=True)
class SplitStage:
    """Split stage; *role* is its function's IAM role, *region* the role of its Region."""

    name: str
    region: str
    base_url: str
    function: str
    role: str


@dataclass(frozen=True)
class Split:
    """Both stages of the primary Region, the token stage of the other, and their zip."""

    token: SplitStage
    admin: SplitStage
    standby: SplitStage
    archive: Path


def deploy_split(cloud: Cloud, directory: Path) -> Split:
    """Deploy the split stages to *cloud*; the stacks stay as long as it runs."""
    cloud.copy_project(directory / "project")
    config = load_config(directory / "project")
    vendor = deploy.dependencies(directory / "project", DEPENDENCIES)
    staged = staging.stage(directory / "project", directory / "staged", config, vendor=vendor)
    token, admin, standby = (_deploy(cloud, staged, name, directory / name) for name in STAGES)
    return Split(token, admin, standby, directory / token.name / "deployment.zip")


def _deploy(cloud: Cloud, staged: Path, name: str, output: Path) -> SplitStage:
    archive = staging.archive(staged, name, output)
    template: dict[str, Any] = json.loads((output / "sam.json").read_text())
    region = name.partition("-")[0]
    api_id = deploy.deploy(
        partial(_root_client, cloud, region),
        f"split-{name}",
        deploy.Package(template, archive.read_bytes(), "api"),
        replace=False,
    )
    function = f"surrogate-credentials-{name}"
    found = cloud.client("lambda", region, "root").get_function_configuration(FunctionName=function)
    endpoint = cloud.endpoints["region_endpoints"][region]
    return SplitStage(
        name,
        region,
        f"{endpoint}/_aws/execute-api/{api_id}/api",
        function,
        found["Role"].rpartition("/")[2],
    )


def _root_client(cloud: Cloud, region: str, service: str) -> Any:
    return cloud.client(service, region, "root")
