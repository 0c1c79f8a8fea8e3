"""
Each ARN of each policy has a form that AWS documents for its action.

`FORMS` follows the Service Authorization Reference, except for CloudWatch Logs: its reference has
`log-group:NAME`, and its authorization takes `log-group:NAME:*`, so that a policy needs both.
cfn-lint ships the reference in a form of its own, with which the table is compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import cfnlint  # type: ignore[import-untyped]
import pytest
from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]

from surrogatectl.setup.policies import adoption_policy, all_policies
from tests.stages import PROJECT

_SECRET = ("arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME",)
_POOL = ("arn:aws:cognito-idp:REGION:ACCOUNT:userpool/NAME",)
_GROUP = "arn:aws:logs:REGION:ACCOUNT:log-group:NAME"
_LOGS = (_GROUP, f"{_GROUP}:*")
# The streams are all that these two write to.
_STREAMS = (f"{_GROUP}:*",)
_FUNCTION = ("arn:aws:lambda:REGION:ACCOUNT:function:NAME",)
_ROLE = ("arn:aws:iam::ACCOUNT:role/NAME",)
_KEY = ("arn:aws:kms:REGION:ACCOUNT:key/NAME",)
_NO_RESOURCE: tuple[str, ...] = ()

FORMS: Mapping[str, tuple[str, ...]] = {
    "acm:DescribeCertificate": ("arn:aws:acm:REGION:ACCOUNT:certificate/NAME",),
    "apigateway:GET": ("arn:aws:apigateway:REGION::/domainnames/NAME",),
    "cloudformation:DescribeStacks": ("arn:aws:cloudformation:REGION:ACCOUNT:stack/NAME",),
    "cognito-idp:AddUserPoolClientSecret": _POOL,
    "cognito-idp:CreateUserPoolClient": _POOL,
    "cognito-idp:DeleteUserPoolClient": _POOL,
    "cognito-idp:DeleteUserPoolClientSecret": _POOL,
    "cognito-idp:DescribeUserPool": _POOL,
    "cognito-idp:DescribeUserPoolClient": _POOL,
    "cognito-idp:ListResourceServers": _POOL,
    "cognito-idp:ListUserPoolClientSecrets": _POOL,
    "cognito-idp:ListUserPoolClients": _POOL,
    "cognito-idp:UpdateUserPoolClient": _POOL,
    "dynamodb:Scan": ("arn:aws:dynamodb:REGION:ACCOUNT:table/NAME",),
    "execute-api:Invoke": ("arn:aws:execute-api:REGION:ACCOUNT:NAME",),
    "iam:GetRolePolicy": _ROLE,
    "iam:ListRolePolicies": _ROLE,
    "kms:Decrypt": _KEY,
    "kms:DescribeKey": _KEY,
    "kms:Encrypt": _KEY,
    "kms:GenerateDataKey": _KEY,
    "lambda:GetFunctionConfiguration": _FUNCTION,
    "lambda:GetPolicy": _FUNCTION,
    "lambda:InvokeFunction": _FUNCTION,
    "logs:CreateLogGroup": _LOGS,
    "logs:CreateLogStream": _STREAMS,
    "logs:FilterLogEvents": _LOGS,
    "logs:PutLogEvents": _STREAMS,
    "secretsmanager:BatchGetSecretValue": _NO_RESOURCE,
    "secretsmanager:CreateSecret": _SECRET,
    "secretsmanager:DeleteSecret": _SECRET,
    "secretsmanager:DescribeSecret": _SECRET,
    "secretsmanager:GetSecretValue": _SECRET,
    "secretsmanager:ListSecretVersionIds": _SECRET,
    "secretsmanager:ListSecrets": _NO_RESOURCE,
    "secretsmanager:PutSecretValue": _SECRET,
    "secretsmanager:RemoveRegionsFromReplication": _SECRET,
    "secretsmanager:ReplicateSecretToRegions": _SECRET,
    "secretsmanager:RestoreSecret": _SECRET,
    "secretsmanager:StopReplicationToReplica": _SECRET,
    "secretsmanager:TagResource": _SECRET,
    "secretsmanager:UpdateSecret": _SECRET,
    "secretsmanager:UpdateSecretVersionStage": _SECRET,
}

CONFIG = json.loads((PROJECT / ".chalice" / "config.json").read_text())
KEYS = {
    "us-east-1": "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
    "us-west-2": "alias/surrogate",
}
# `${AWS::Region}` and the like, as CloudFormation replaces them.
PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "111122223333"}

Statement = Mapping[str, Any]


def policies() -> Iterator[tuple[str, Sequence[Statement]]]:
    """Yield every identity-based policy that this project ships, with and without KMS keys."""
    common = CONFIG["environment_variables"]
    with_keys = {
        **CONFIG,
        "environment_variables": {
            **common,
            "KMS_KEY_ID_PRIMARY": KEYS["us-east-1"],
            "KMS_KEY_ID_SECONDARY": KEYS["us-west-2"],
        },
    }
    for path in (
        *(PROJECT / ".chalice").glob("policy-*.json"),
        PROJECT / "infra/operators-policy.json",
    ):
        yield path.name, json.loads(path.read_text())["Statement"]
    for path, document in all_policies(with_keys).items():
        yield f"{path.name} with keys", document["Statement"]
    yield "adoption", adoption_policy("us-east-1", "oauth-clients")["Statement"]
    for template in (PROJECT / "infra").glob("*.yaml"):
        declared = cfn_yaml.load(str(template))["Resources"]
        for name, resource in declared.items():
            if resource["Type"] == "AWS::IAM::Role":
                for policy in resource["Properties"]["Policies"]:
                    yield f"{template.name} {name}", policy["PolicyDocument"]["Statement"]


STATEMENTS = [
    pytest.param(statement, id=f"{name} {statement['Sid']}")
    for name, statements in policies()
    for statement in statements
]


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _resources(statement: Statement) -> list[str]:
    return [
        re.sub(
            r"\$\{([\w:]+)\}",
            lambda found: PSEUDO.get(found[1], "x"),
            each if isinstance(each, str) else each["Fn::Sub"],
        )
        for each in _many(statement["Resource"])
    ]


def _named(resource: str, form: str) -> tuple[str, str, str] | None:
    """Return the Region, the account and the name in *resource*, if it has the *form*."""
    pattern = re.escape(form)
    for placeholder, expression in (
        ("REGION", r"(?P<region>[a-z]{2}(-[a-z]+)+-\d)"),
        ("ACCOUNT", r"(?P<account>\*|\d{12})"),
        ("NAME", r"(?P<name>[^:]+)"),
    ):
        pattern = pattern.replace(placeholder, expression)
    found = re.fullmatch(pattern, resource)
    if found is None:
        return None
    parts = found.groupdict()
    return parts.get("region", ""), parts.get("account", ""), parts["name"]


def _example(form: str, region: str, account: str, name: str) -> str:
    """Return the ARN of a resource that a policy's wildcards cover."""
    plain = re.sub(r"[*?]", "x", name)
    return (
        form.replace("REGION", region)
        .replace("ACCOUNT", "111122223333" if account == "*" else account)
        .replace("NAME", plain)
    )


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_arn_has_a_documented_form_of_its_action(statement: Statement) -> None:
    resources = _resources(statement)
    actions = _many(statement["Action"])
    if not any(FORMS[action] for action in actions):
        assert resources == ["*"]
        return
    of_an_action: set[str] = set()
    for action in actions:
        forms = FORMS[action]
        named = {
            found: resource
            for resource in resources
            for form in forms
            if (found := _named(resource, form)) is not None
        }
        assert named, f"{action} is granted on nothing that it knows"
        of_an_action |= {
            resource
            for resource in resources
            if any(_named(resource, form) is not None for form in forms)
        }
        for found in named:
            for form in forms:
                asked = _example(form, *found)
                assert any(fnmatchcase(asked, each) for each in resources), f"{action}: {asked}"
    # CreateLogGroup, which only some have, is what the group itself is for.
    of_an_action |= {each for each in resources if f"{each}:*" in resources}
    assert of_an_action == set(resources)


def test_the_table_names_the_granted_actions_and_no_others() -> None:
    granted = {
        action
        for _, statements in policies()
        for statement in statements
        for action in _many(statement["Action"])
    }
    assert granted == set(FORMS)


@pytest.mark.parametrize("action", FORMS)
def test_the_table_agrees_with_the_service_authorization_reference(action: str) -> None:
    data = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    service, _, call = action.partition(":")
    reference = json.loads(data.read_text())[service]
    kinds = {
        kind.rstrip("*").lower() for kind in reference["Actions"][call.lower()].get("Resources", [])
    }
    documented = [
        form
        for kind, known in reference["Resources"].items()
        if kind.lower() in kinds
        for form in known["ARNFormats"]
    ]
    assert bool(documented) == bool(FORMS[action])
    for form in FORMS[action]:
        example = _example(form, "us-east-1", "111122223333", "x")
        assert any(
            re.fullmatch(re.sub(r"\$\{\w+\}", "[^:]*", each), example) for each in documented
        ), form


def test_a_log_group_without_its_streams_is_not_enough() -> None:
    """As the functions' policies had it: `retire` was refused on AWS."""
    group = "arn:aws:logs:us-east-1:*:log-group:/aws/lambda/x"
    statement = {"Sid": "x", "Action": "logs:FilterLogEvents", "Resource": group}
    with pytest.raises(AssertionError):
        test_every_arn_has_a_documented_form_of_its_action(statement)
    both = {**statement, "Resource": [group, f"{group}:*"]}
    test_every_arn_has_a_documented_form_of_its_action(both)
