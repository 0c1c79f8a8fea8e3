"""
Records and health check of `infra/routing.yaml`, in the form of Route 53's API.

The local cloud's CloudFormation cannot make a health check. Because the template is read here, the
front door follows the records that are deployed on AWS and not a copy.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parents[1] / "infra" / "routing.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class _Template(yaml.SafeLoader):  # type: ignore[misc]
    """YAML with CloudFormation's short forms."""


def _short_form(_loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    return {name: node.value}


_Template.add_multi_constructor("!", _short_form)


@dataclass(frozen=True, slots=True)
class Routing:
    """Resources of the template, with parameter values substituted."""

    health_check: dict[str, Any]
    records: list[dict[str, Any]]


def read_routing(parameters: Mapping[str, str], health_check_id: str) -> Routing:
    """
    Read the template with *parameters*, and its own defaults for the others.

    Raises:
        KeyError: If a parameter is missing that has no default.
        ValueError: If the template has an unsupported construct.
    """
    template = yaml.load(TEMPLATE.read_text(), Loader=_Template)  # noqa: S506 - a SafeLoader
    values = {
        name: declared["Default"]
        for name, declared in template["Parameters"].items()
        if "Default" in declared
    } | dict(parameters)
    resources = template["Resources"]
    (check,) = (name for name, each in resources.items() if _is(each, "HealthCheck"))
    values[check] = health_check_id
    return Routing(
        _resolved(resources[check]["Properties"]["HealthCheckConfig"], values),
        [
            _resolved(
                # The zone is a parameter of the API call, not part of a record.
                {k: v for k, v in each["Properties"].items() if k != "HostedZoneId"},
                values,
            )
            for each in resources.values()
            if _is(each, "RecordSet")
        ],
    )


def _is(resource: Mapping[str, Any], kind: str) -> bool:
    return bool(resource["Type"] == f"AWS::Route53::{kind}")


def _resolved(item: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(item, list):
        return [_resolved(each, values) for each in item]
    if not isinstance(item, dict):
        return item
    match item:
        case {"Ref": str(name)}:
            return values[name]
        case {"Sub": str(text)}:
            return _VARIABLE.sub(lambda found: str(values[found[1]]), text)
        case _ if any(key[0].islower() or key in {"GetAtt", "If", "Join"} for key in item):
            msg = f"{TEMPLATE.name}: {item} is not read here"
            raise ValueError(msg)
    return {key: _resolved(value, values) for key, value in item.items()}
