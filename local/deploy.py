"""
Deployment of a stage: staged copy, `chalice package`, upload, CloudFormation.

The project is copied first, because its configuration has to name this cloud's user pools and ports
and `make up` never edits a tracked file. The zip is the one that AWS would get from `make deploy`,
except for the dates and the order of its files; the template differs only in the location of that
zip.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from deployment import staging
from deployment.stages import DeploymentError as StagingError
from local.state import Role

_PARTS = ("app.py", "chalicelib", "vendor", "requirements.txt", ".chalice")
_ARCHITECTURES = {"aarch64": "arm64", "arm64": "arm64"}
_DEFAULT_API_STAGE = "api"
_STACK_SECONDS = 120.0
_FAILED_STATES = ("FAILED", "ROLLBACK_COMPLETE")


class DeploymentError(Exception):
    """A stage could not be packaged or deployed."""


@dataclass(frozen=True, slots=True)
class Package:
    """Packaged stage."""

    template: dict[str, Any]
    archive: bytes
    api_stage: str


def load_config(project: Path) -> dict[str, Any]:
    """
    Return the project's Chalice configuration.

    Raises:
        DeploymentError: If there is none.
    """
    path = project / ".chalice" / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError) as err:
        msg = f"{path} cannot be read: {err}"
        raise DeploymentError(msg) from None
    return config


def project_files(project: Path) -> list[Path]:
    """Return the files of *project* that a deployment needs, as relative paths."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *_PARTS],
        cwd=project,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        found = [Path(os.fsdecode(name)) for name in listed.stdout.split(b"\0") if name]
    else:
        found = [path.relative_to(project) for path in _walk(project)]
    return sorted(path for path in set(found) if (project / path).is_file())


def _walk(project: Path) -> Iterator[Path]:
    for part in _PARTS:
        path = project / part
        if path.is_file():
            yield path
        for child in path.rglob("*"):
            if child.is_file() and "__pycache__" not in child.parts:
                yield child


def mirror(project: Path, target: Path, config: Mapping[str, Any], *, link: bool = False) -> None:
    """
    Make *target* a copy of *project* with another configuration.

    With *link* its files are links, so that edits take effect at once.
    """
    wanted = {*project_files(project), Path(".chalice/config.json")}
    for path in [*target.rglob("*")]:
        relative = path.relative_to(target)
        keep = relative in wanted or relative.parts[:2] == (".chalice", "deployments")
        if not keep and (path.is_file() or path.is_symlink()):
            path.unlink()
    for relative in wanted:
        destination = target / relative
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.unlink(missing_ok=True)
        if relative == Path(".chalice/config.json"):
            destination.write_text(json.dumps(config, indent=2))
        elif link:
            destination.symlink_to(project / relative)
        else:
            shutil.copy2(project / relative, destination)


def local_config(
    config: Mapping[str, Any], settings: Mapping[str, str], regions: Mapping[str, str]
) -> dict[str, Any]:
    """
    Return the project's configuration with this cloud's *settings*.

    Every stage keeps its keys; its Region becomes this cloud's Region of the same role.
    """
    common = config.get("environment_variables", {})
    stages = {}
    for name, stage in config.get("stages", {}).items():
        own = stage.get("environment_variables", {})
        region = regions[_role_of_stage(name, own.get("APP_REGION"), common)]
        stages[name] = {**stage, "environment_variables": {**own, "APP_REGION": region}}
    return {
        **config,
        "lambda_architecture": _ARCHITECTURES.get(platform.machine(), "x86_64"),
        "environment_variables": {**common, **settings},
        "stages": stages,
    }


def _role_of_stage(name: str, region: str | None, common: Mapping[str, str]) -> Role:
    if region and region == common.get("REGION_SECONDARY"):
        return Role.SECONDARY
    if region and region == common.get("REGION_PRIMARY"):
        return Role.PRIMARY
    return Role.SECONDARY if Role.SECONDARY in name else Role.PRIMARY


def fingerprint(directory: Path) -> str:
    """Return a digest of the inputs of a deployment of the mirrored project."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(Path(staging.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if path.is_file() and relative.parts[:2] != (".chalice", "deployments"):
            digest.update(f"{relative}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def without_aws_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* without variables that configure an AWS SDK."""
    return {
        key: value
        for key, value in environ.items()
        if not key.startswith("AWS_") or key == "AWS_CA_BUNDLE"
    }


def stage(directory: Path, target: Path, cache: Path) -> Path:
    """
    Make *target* the staged copy of the mirrored project, and return it.

    Its dependencies are installed and compiled once for all clouds with the same *cache*.

    Raises:
        DeploymentError: If that fails.
    """
    try:
        vendor = dependencies(directory, cache)
        return staging.stage(directory, target, load_config(directory), vendor=vendor)
    except StagingError as err:
        raise DeploymentError(str(err)) from None


def dependencies(directory: Path, cache: Path) -> Path:
    """
    Return the mirrored project's dependencies, from *cache* if they are there.

    Raises:
        StagingError: If they cannot be installed.
    """
    config = load_config(directory)
    digest = hashlib.sha256(repr((sys.version, config.get("lambda_architecture"))).encode())
    for path in (directory / "requirements.txt", Path(staging.__file__)):
        digest.update(path.read_bytes())
    made = cache / digest.hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        # Another cloud that starts at the same time waits, and finds them installed.
        flock(lock, LOCK_EX)
        if not made.exists():
            unfinished = cache / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            staging.dependencies(directory, unfinished, config)
            unfinished.rename(made)
    return made


def package(directory: Path, stage: str, region: str, output: Path) -> Package:
    """
    Run `chalice package` for *stage* of the staged copy.

    Raises:
        DeploymentError: If it fails; the message has its output.
    """
    chalice = Path(sys.executable).with_name("chalice")
    merged = f"{staging.MERGED}/{stage}.json"
    done = subprocess.run(
        [str(chalice), "package", "--stage", stage, "--merge-template", merged, str(output)],
        cwd=directory,
        env={**without_aws_variables(os.environ), "AWS_DEFAULT_REGION": region},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        msg = f"chalice package --stage {stage} failed:\n{done.stdout}{done.stderr}"
        raise DeploymentError(msg)
    config = load_config(directory)
    stage_config = config.get("stages", {}).get(stage, {})
    return Package(
        template=json.loads((output / "sam.json").read_text()),
        archive=(output / "deployment.zip").read_bytes(),
        api_stage=stage_config.get("api_gateway_stage")
        or config.get("api_gateway_stage", _DEFAULT_API_STAGE),
    )


def deploy(client: Callable[[str], Any], stack: str, made: Package, *, replace: bool) -> str:
    """
    Deploy a packaged stage with CloudFormation; return the ID of its REST API.

    *client* makes clients for the Region. With *replace* an existing stack of that name is updated,
    or recreated if that fails.

    Raises:
        DeploymentError: If the stack does not reach a completed state.
    """
    key = f"{stack}/{hashlib.sha256(made.archive).hexdigest()}.zip"
    s3 = client("s3")
    bucket = _ensure_bucket(s3)
    s3.put_object(Bucket=bucket, Key=key, Body=made.archive)
    template = json.dumps(_with_code_at(made.template, f"s3://{bucket}/{key}"))
    cloudformation = client("cloudformation")
    arguments = {
        "StackName": stack,
        "TemplateBody": template,
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    if replace:
        try:
            cloudformation.update_stack(**arguments)
            return _await_api(cloudformation, stack)
        except (DeploymentError, cloudformation.exceptions.ClientError):
            cloudformation.delete_stack(StackName=stack)
            _await_deletion(cloudformation, stack)
    cloudformation.create_stack(**arguments)
    return _await_api(cloudformation, stack)


def _ensure_bucket(s3: Any) -> str:  # noqa: ANN401
    """Return the name of the Region's code bucket; create it if it is missing."""
    region = s3.meta.region_name
    name = f"deployments-{region}"
    if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        constraint = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **({} if region == "us-east-1" else constraint))
    return name


def _with_code_at(template: Mapping[str, Any], uri: str) -> dict[str, Any]:
    resources = {}
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if "CodeUri" in properties:
            properties = {**properties, "CodeUri": uri}
        resources[name] = {**resource, "Properties": properties}
    return {**template, "Resources": resources}


def _await_api(cloudformation: Any, stack: str) -> str:  # noqa: ANN401
    return await_stack(cloudformation, stack)["RestAPIId"]


def await_stack(cloudformation: Any, stack: str) -> dict[str, str]:  # noqa: ANN401
    """
    Wait until *stack* is complete; return its outputs.

    Raises:
        DeploymentError: If it fails, or takes too long.
    """
    deadline = time.monotonic() + _STACK_SECONDS
    while time.monotonic() < deadline:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        status: str = found["StackStatus"]
        if any(failed in status for failed in _FAILED_STATES):
            reasons = _failures(cloudformation, stack)
            msg = f"stack {stack}: {status}\n{reasons}"
            raise DeploymentError(msg)
        if status.endswith("_COMPLETE"):
            return {item["OutputKey"]: str(item["OutputValue"]) for item in found["Outputs"]}
        time.sleep(0.1)
    msg = f"stack {stack} was not completed within {_STACK_SECONDS:.0f} s"
    raise DeploymentError(msg)


def _failures(cloudformation: Any, stack: str) -> str:  # noqa: ANN401
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    return "\n".join(
        f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for event in events
        if event["ResourceStatus"].endswith("_FAILED")
    )


def _await_deletion(cloudformation: Any, stack: str) -> None:  # noqa: ANN401
    deadline = time.monotonic() + _STACK_SECONDS
    while time.monotonic() < deadline:
        try:
            found = cloudformation.describe_stacks(StackName=stack)["Stacks"]
        except cloudformation.exceptions.ClientError:
            return
        if all(item["StackStatus"] == "DELETE_COMPLETE" for item in found):
            return
        time.sleep(0.1)
    msg = f"stack {stack} was not deleted within {_STACK_SECONDS:.0f} s"
    raise DeploymentError(msg)
