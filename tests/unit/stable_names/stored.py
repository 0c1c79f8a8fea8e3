"""Names in stored documents and settings, and the fixed sets of values."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]

from chalicelib import model
from chalicelib.clients.app_client_rotation import Step
from chalicelib.reconciliation import drift
from chalicelib.settings import Settings
from surrogatectl.adopt import rows as adopt_rows
from surrogatectl.cli import findings
from surrogatectl.cli.configuration import find_deployment
from surrogatectl.drill import events as drill_events
from surrogatectl.drill.cloud import VARIABLE
from surrogatectl.regions import failback_plan
from surrogatectl.regions import failover as takeover
from tests.aws_worlds import PREFIX
from tests.stages import PROJECT, environment
from tests.unit.stable_names.commands import Session, Stored
from tests.unit.stable_names.names import Names, members
from trigger.index import CLAIM

_CLIENTS: Final = f"{PREFIX}/clients/"
_DENIALS: Final = f"{PREFIX}/denials/"


def stored(session: Session) -> Names:
    """Return the secrets of a deployment, and the names of its app clients."""
    by_name: dict[str, list[Stored]] = defaultdict(list)
    for each in session.stored:
        by_name[_named(each.name)].append(each)
    return {
        "secrets": {name: _secret(found) for name, found in by_name.items()},
        "app clients": sorted(session.app_clients),
        "claim": CLAIM,
    }


def _named(name: str) -> str:
    """Return *name* with what stands for a client, or a number, instead of it."""
    for start, what in ((_CLIENTS, "<client ID>"), (_DENIALS, "<number>")):
        if name.startswith(start):
            return f"{start}{what}"
    return name


def _secret(found: Iterable[Stored]) -> dict[str, Any]:
    found = list(found)
    contents = [json.loads(each.text) for each in found]
    tags = [each.tags for each in found]
    names = {content["client_name"] for content in contents if "client_name" in content}
    described = {each.description for each in found if each.text != "{}"}
    return {
        "members": members(content for content in contents if content),
        "schemas": sorted({content["schema"] for content in contents if content}),
        "tags": sorted({name for each in tags for name in each}),
        "kinds": sorted({each["surrogate:kind"] for each in tags}),
        "labels": sorted({label for each in found for label in each.labels}),
        "description": "client_name" if names and described <= names else "none",
    }


class _Asked(dict[str, str]):
    """Environment that records the variables read, and their defaults."""

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables)
        self.defaults: dict[str, str] = {}

    def get(self, key: str, default: Any = None, /) -> Any:
        self._note(key, default)
        return super().get(key, default)

    def __getitem__(self, key: str) -> str:
        self._note(key, None)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._note(str(key), None)
        return super().__contains__(key)

    def _note(self, key: str, default: str | None) -> None:
        self.defaults[key] = "no default" if default is None else default


def settings() -> Names:
    """Return the environment variables read, with their defaults."""
    function, operators = _Asked(environment("primary")), _Asked(environment("primary"))
    Settings.from_env(function)
    find_deployment(operators, PROJECT)
    names = operators.defaults.keys() - function.defaults.keys()
    return {
        "of the function": dict(function.defaults),
        "of the operators": {name: operators.defaults[name] for name in names},
        "of a drill": VARIABLE,
    }


def stages() -> Names:
    """Return the stages with their differences, from the configuration for `chalice`."""
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text())
    return {
        "application": config["app_name"],
        "stage of the gateway": config["api_gateway_stage"],
        "variables": sorted(config["environment_variables"]),
        "stages": {
            name: {
                "variables": sorted(stage["environment_variables"]),
                "functions": sorted(stage.get("lambda_functions", {})),
                "policy": stage["iam_policy_file"],
            }
            for name, stage in config["stages"].items()
        },
    }


def templates() -> Names:
    """Return the templates' parameters and outputs."""
    found = {}
    for name in ("region", "routing"):
        template = cfn_yaml.load(str(PROJECT / "infra" / f"{name}.yaml"))
        found[f"infra/{name}.yaml"] = {
            "parameters": sorted(map(str, template["Parameters"])),
            "outputs": sorted(map(str, template.get("Outputs", {}))),
            "variables of functions": sorted(
                str(variable)
                for resource in template["Resources"].values()
                if resource["Type"] == "AWS::Lambda::Function"
                for variable in resource["Properties"]["Environment"]["Variables"]
            ),
        }
    return found


_CLOSED: Final[dict[str, type[StrEnum]]] = {
    "status of a client": model.Status,
    "origin of a client": model.Origin,
    "replication of a record": model.Replication,
    "step of an app client's rotation": Step,
    "kind of drift": drift.Kind,
    "result of a repair": drift.Result,
    "result of a check before a failover": takeover.Result,
    "fate of a record in a failback": failback_plan.Resolution,
    "record to keep": failback_plan.Keep,
    "standing of a row to adopt": adopt_rows.Standing,
    "level of a finding": findings.Level,
    "request in a drill": drill_events.Kind,
    "moment of a drill": drill_events.Mark,
    "change in a drill": drill_events.When,
}


def closed_sets() -> Names:
    """Return the enumerated values that are stored, logged or printed."""
    return {what: sorted(each.value for each in values) for what, values in _CLOSED.items()}
