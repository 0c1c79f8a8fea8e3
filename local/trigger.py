"""
Token trigger, deployed beside each pool from `infra/region.yaml`.

Of that template only the trigger's resources are deployed: role, function, log group and the
permission for Cognito, as for an existing pool.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from local.deploy import DeploymentError, await_stack

TEMPLATE = Path("infra/region.yaml")
_OURS = "Trigger"
_OUTPUT = "TriggerArn"
# The SDK of AWS's Python runtime; functions have no other package here.
_SDK = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML loader that reads CloudFormation's short forms as long ones."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


def template_of(project: Path) -> dict[str, Any] | None:
    """Return the trigger's part of *project*'s template, `None` without one."""
    path = project / TEMPLATE
    if not path.exists():
        return None
    whole = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    resources = {name: r for name, r in whole["Resources"].items() if name.startswith(_OURS)}
    ours = {name: r for name, r in resources.items() if r["Type"].split(":")[2] != "CloudWatch"}
    # The pool is not in this stack, so the branch that refers to it is removed.
    source = ours["TriggerPermission"]["Properties"]["SourceArn"]["Fn::Sub"][1]
    source["Pool"] = {"Ref": "ExistingUserPoolId"}
    return {
        "Parameters": whole["Parameters"],
        "Conditions": whole["Conditions"],
        "Resources": ours,
        "Outputs": {_OUTPUT: whole["Outputs"][_OUTPUT]},
    }


def digest_of(template: dict[str, Any]) -> str:
    """Return the digest of the template."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()


def deploy(  # noqa: PLR0913 - given by name
    client: Callable[[str], Any],
    template: dict[str, Any],
    *,
    role: str,
    other_region: str,
    pool: str,
    prefix: str,
    sdk: Path,
) -> None:
    """
    Deploy the trigger of *pool*, and attach it.

    Raises:
        DeploymentError: If the stack does not reach a completed state.
    """
    parameters = {
        "Role": role,
        "OtherRegion": other_region,
        "ExistingUserPoolId": pool,
        "ExistingTokenHost": "localhost",
        "NamePrefix": prefix,
    }
    cloudformation, name = client("cloudformation"), f"{prefix}-trigger-{role}"
    arguments = {
        "StackName": name,
        "TemplateBody": json.dumps(template),
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    try:
        cloudformation.update_stack(**arguments)
    except cloudformation.exceptions.ClientError:
        cloudformation.create_stack(**arguments)
    arn = await_stack(cloudformation, name)[_OUTPUT]
    _bring_sdk(client("lambda"), arn, sdk)
    client("cognito-idp").update_user_pool(
        UserPoolId=pool,
        LambdaConfig={"PreTokenGenerationConfig": {"LambdaArn": arn, "LambdaVersion": "V3_0"}},
    )


def _bring_sdk(functions: Any, arn: str, sdk: Path) -> None:  # noqa: ANN401
    found = functions.get_function_configuration(FunctionName=arn)
    variables = {**found["Environment"]["Variables"], "PYTHONPATH": str(sdk)}
    functions.update_function_configuration(FunctionName=arn, Environment={"Variables": variables})


def make_sdk(site_packages: Path, directory: Path) -> Path:
    """
    Fill *directory* with links to the SDK in *site_packages*, and no others.

    Raises:
        DeploymentError: If the SDK is missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in _SDK:
        if not (site_packages / name).exists():
            msg = f"{site_packages} has no {name}"
            raise DeploymentError(msg)
        link = directory / name
        link.unlink(missing_ok=True)
        link.symlink_to(site_packages / name)
    return directory
