"""Rollout of the project to both Regions: resources around it, settings, stages."""

import os
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path

import boto3

from local import deploy, provision, trigger
from local.deploy import without_aws_variables
from local.httpio import get
from local.launch import CODE_ROOT, CloudError
from local.progress import Progress
from local.provision import ClientFactory
from local.state import CloudState, Deployment, Role
from local.switch import loopback_url

DEPENDENCIES = CODE_ROOT / "build" / "dependencies"


def provision_regions(state: CloudState, client: ClientFactory) -> None:
    """Create the resources around the service in both Regions, and the operators' identities."""
    primary = state.regions[Role.PRIMARY]
    for role, region in state.regions.items():
        state.user_pools[role] = provision.create_user_pool(client, region)
        provision.create_custom_domain(client, region, state.domain_name)
    state.hosted_zone_id = provision.create_hosted_zone(client, primary, state.domain_name)
    state.identities |= provision.create_identities(client, primary)


def project_settings(state: CloudState) -> dict[str, str]:
    """Return the project's settings for both stages, completed with this cloud's values."""
    regional: dict[str, str] = {}
    for role, region in state.regions.items():
        endpoint = loopback_url(state.ports.region[region])
        regional |= {
            f"REGION_{role.upper()}": region,
            f"USER_POOL_ID_{role.upper()}": state.user_pools[role],
            f"OAUTH_HOST_{role.upper()}": f"{endpoint}/oauth2/token",
            f"ENDPOINT_URL_{role.upper()}": endpoint,
        }
    return {
        **deploy.load_config(Path(state.project)).get("environment_variables", {}),
        **regional,
        "PUBLIC_URL": loopback_url(state.ports.front_door),
        "SECRET_PREFIX": state.secret_prefix,
        **state.overrides,
    }


def mirror_project(state: CloudState, directory: Path, *, link: bool = False) -> None:
    """Make *directory* a copy of the project, or links to it, with this cloud's settings."""
    project = Path(state.project)
    config = deploy.local_config(deploy.load_config(project), state.settings, state.regions)
    deploy.mirror(project, directory, config, link=link)


def initialize_project(project: Path, environment: Mapping[str, str]) -> None:
    """
    Run the project's `init`, which creates the secrets that its stages need at start.

    Raises:
        CloudError: If it fails; the message has its output.
    """
    _surrogatectl(project, environment, "init")


def make_canary(project: Path, environment: Mapping[str, str]) -> None:
    """
    Run the project's `canary`, which enrolls the client that a failover tests a Region with.

    Raises:
        CloudError: If it fails; the message has its output.
    """
    scope = f"{provision.RESOURCE_SERVER}/{provision.SCOPES[0]}"
    _surrogatectl(project, environment, "canary", f"--scope={scope}")


def _surrogatectl(project: Path, environment: Mapping[str, str], *arguments: str) -> None:
    command = project / ".venv" / "bin" / "surrogatectl"
    if not command.exists():
        return
    done = subprocess.run(
        [str(command), *arguments],
        env={**without_aws_variables(os.environ), **environment},
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        msg = f"surrogatectl {arguments[0]} failed:\n{done.stdout}{done.stderr}"
        raise CloudError(msg)


def deploy_stages(
    state: CloudState, client: ClientFactory, build: Path, code: str, progress: Progress
) -> None:
    """Package the mirrored project in *build* for both stages, and deploy them."""
    packages = {}
    with progress.step("dependencies compiled"):
        staged = deploy.stage(build / "project", build / "staged", DEPENDENCIES)
    for role, region in state.regions.items():
        # In sequence: the second reuses the first one's build.
        with progress.step(f"{role} packaged"):
            packages[role] = deploy.package(staged, role, region, build / "packages" / role)
    with progress.step("both stages deployed"), ThreadPoolExecutor() as pool:
        jobs = {
            role: pool.submit(
                deploy.deploy,
                partial(_in_region, client, state.regions[role]),
                f"{state.secret_prefix}-{role}",
                made,
                replace=role in state.deployments,
            )
            for role, made in packages.items()
        }
        api_ids = {role: job.result() for role, job in jobs.items()}
    for role, api_id in api_ids.items():
        stage = packages[role].api_stage
        state.deployments[role] = Deployment(
            stack=f"{state.secret_prefix}-{role}",
            api_url_path=f"/_aws/execute-api/{api_id}/{stage}",
            code=code,
        )
        provision.map_custom_domain(client, state.regions[role], state.domain_name, api_id, stage)
    state.health_check_id = provision.point_name_at_regions(client, state)


def deploy_triggers(state: CloudState, client: ClientFactory, build: Path) -> None:
    """Deploy the token trigger, and attach it to both pools."""
    template = trigger.template_of(Path(state.project))
    if template is None or state.trigger == trigger.digest_of(template):
        return
    sdk = trigger.make_sdk(Path(boto3.__file__).parents[1], build / "sdk")
    for role, region in state.regions.items():
        (other,) = set(state.regions.values()) - {region}
        trigger.deploy(
            partial(_in_region, client, region),
            template,
            role=role,
            other_region=other,
            pool=state.user_pools[role],
            prefix=state.secret_prefix,
            sdk=sdk,
        )
    state.trigger = trigger.digest_of(template)


def unhealthy(urls: Mapping[str, str], seconds: float) -> dict[str, str]:
    """Wait until every URL answers with 200; after *seconds* return the answers of the others."""
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor() as pool:
        answers = pool.map(partial(_await_ok, deadline=deadline), urls.values())
        return {
            name: f"{status} {body}"
            for name, (status, body) in zip(urls, answers, strict=True)
            if status != HTTPStatus.OK
        }


def _in_region(client: ClientFactory, region: str, service: str) -> object:
    return client(service, region)


def _await_ok(url: str, deadline: float) -> tuple[int, str]:
    while True:
        # On a busy machine a function starts slowly, and a timeout would start another beside it.
        answer = get(url, timeout=max(1.0, deadline - time.monotonic()))
        if answer[0] == HTTPStatus.OK or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)
