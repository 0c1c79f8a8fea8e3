"""Copy of the project, deployed to the local cloud by Chalice, and the resources it makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.deploy import without_aws_variables

ROLES = ("primary", "secondary")

Inventory = dict[str, set[str]]


@dataclass(frozen=True)
class Rehearsal:
    """Copy of the project, and the shell from which it is deployed."""

    cloud: Cloud
    project: Path

    @classmethod
    def new(cls, cloud: Cloud, project: Path, app_name: str) -> Rehearsal:
        """Copy the project, configured for *cloud*, under another name: its own is in use there."""
        cloud.copy_project(project)
        path = project / ".chalice" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "app_name": app_name}))
        return cls(cloud, project)

    def run(self, *command: str, **shell: str) -> subprocess.CompletedProcess[str]:
        """Run *command* in a shell with credentials, and only the Region settings of *shell*."""
        operator = {
            key: value
            for key, value in self.cloud.environment.items()
            if key in {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
        }
        return subprocess.run(
            command,
            cwd=self.project,
            env={**without_aws_variables(os.environ), **operator, **shell},
            input='{"unknown": "event"}',
            capture_output=True,
            text=True,
            check=False,
        )

    def chalice(self, *arguments: str, **shell: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(Path(sys.executable).with_name("chalice")), *arguments, **shell)

    def succeed(self, *arguments: str, **shell: str) -> str:
        done = self.chalice(*arguments, **shell)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deployed(self, stage: str) -> dict[str, dict[str, Any]]:
        """Return Chalice's record of *stage*, by kind of resource."""
        text = (self.project / ".chalice" / "deployed" / f"{stage}.json").read_text()
        return {found["resource_type"]: found for found in json.loads(text)["resources"]}

    def base_url(self, stage: str) -> str:
        endpoint = self.cloud.endpoints["region_endpoints"][stage.partition("-")[0]]
        api_id = self.deployed(stage)["rest_api"]["rest_api_id"]
        return f"{endpoint}/_aws/execute-api/{api_id}/api"


def inventory(cloud: Cloud) -> Inventory:
    """Return the resources that Chalice makes, in both Regions."""
    found: Inventory = {}
    for role in ROLES:
        functions = cloud.client("lambda", role).list_functions()["Functions"]
        found[f"{role} functions"] = {function["FunctionName"] for function in functions}
        apis = cloud.client("apigateway", role).get_rest_apis()["items"]
        found[f"{role} APIs"] = {api["id"] for api in apis}
        rules = cloud.client("events", role).list_rules()["Rules"]
        found[f"{role} schedules"] = {rule["Name"] for rule in rules}
    roles = cloud.client("iam").list_roles()["Roles"]
    found["roles"] = {role["RoleName"] for role in roles}
    return found


def added(cloud: Cloud, before: Inventory) -> Inventory:
    """Return the resources that are new since *before*."""
    now = inventory(cloud)
    return {kind: now[kind] - before[kind] for kind in now if now[kind] - before[kind]}
