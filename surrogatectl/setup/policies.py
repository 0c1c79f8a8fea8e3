"""
IAM policies of the stages and of the operators.

The functions below derive `.chalice/policy-*.json` (one per stage) and
`infra/operators-policy.json` from `.chalice/config.json`; a test compares them.
After an edit by hand, `python -m surrogatectl.setup.policies` writes them, as
`surrogatectl configure` does; with the name of a DynamoDB table it prints the
policy for `adopt --table`.  `infra/policies.md` explains each wildcard.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from surrogatectl.cli.configuration import ROLES, admin_urls

Config = Mapping[str, Any]
Document = dict[str, Any]
Statement = dict[str, Any]

OPERATORS_POLICY = Path("infra/operators-policy.json")
EXAMPLE = "_EXAMPLE"
UNKNOWN_API: Final = "EXAMPLE"
"""ID of no API: those of AWS are in lower case."""

_ALIAS = "alias/"
_SURFACES = "token admin"


@dataclass(frozen=True, slots=True)
class Names:
    """
    Names of a deployment's resources.

    *pools* maps a Region to its user pool's ID, *kms_keys* to its KMS key if one is
    configured, *apis* to the ID of its admin API if it is known.
    """

    primary: str
    secondary: str
    prefix: str
    app_name: str
    pools: Mapping[str, str]
    kms_keys: Mapping[str, str] = field(default_factory=dict)
    apis: Mapping[str, str] = field(default_factory=dict)
    api_stage: str = "api"

    @classmethod
    def of(cls, config: Config, urls: Mapping[str, str] | None = None) -> Names:
        """Read the names from the Chalice configuration, and from the admin APIs' *urls*."""
        common = config["environment_variables"]
        primary, secondary = common["REGION_PRIMARY"], common["REGION_SECONDARY"]
        return cls(
            primary,
            secondary,
            common["SECRET_PREFIX"],
            config["app_name"],
            {
                primary: common["USER_POOL_ID_PRIMARY"],
                secondary: common["USER_POOL_ID_SECONDARY"],
            },
            {
                region: key
                for region, key in (
                    (primary, common.get("KMS_KEY_ID_PRIMARY")),
                    (secondary, common.get("KMS_KEY_ID_SECONDARY")),
                )
                if key
            },
            {
                region: found
                for region, role in ((primary, "primary"), (secondary, "secondary"))
                if (found := _api_id((urls or {}).get(role, ""), region))
            },
            config.get("api_gateway_stage", "api"),
        )

    @property
    def both(self) -> tuple[str, str]:
        """Both Regions' names."""
        return self.primary, self.secondary

    def other(self, region: str) -> str:
        """Return the Region that is not *region*."""
        return self.secondary if region == self.primary else self.primary

    def all_secrets(self, *regions: str) -> list[str]:
        """Return the ARNs of all secrets of the deployment, with their suffixes and without."""
        # One ARN per kind and Region: the operators' policy has to fit into a managed policy.
        kinds = ("clients/*", "denials/*", "region*", "deployment*", "jwks*", "canary*")
        return [self._secret(region, kind) for region in regions for kind in kinds]

    def clients(self, *regions: str) -> list[str]:
        """Return the ARNs of the clients' records."""
        return [self._secret(region, "clients/*") for region in regions]

    def state(self, *regions: str, maybe: bool = False) -> list[str]:
        """Return the ARNs of the Region states; *maybe* includes states that do not exist yet."""
        return self._one("region", regions, maybe=maybe)

    def denials(self, *regions: str) -> list[str]:
        """Return the ARNs of the shards of the Regions' denials."""
        return [self._secret(region, "denials/*") for region in regions]

    def deployment_key(self, *regions: str, maybe: bool = False) -> list[str]:
        """Return the ARNs of the deployment key and its replica; *maybe* as in `state`."""
        return self._one("deployment", regions, maybe=maybe)

    def keys(self, *regions: str, maybe: bool = False) -> list[str]:
        """Return the ARNs of the snapshot of both pools' signing keys; *maybe* as in `state`."""
        return self._one("jwks", regions, maybe=maybe)

    def canary(self, *regions: str) -> list[str]:
        """Return the ARNs of the canary's credential, with its suffix and without."""
        # One ARN per Region: the operators' policy has to fit into a managed policy.
        return [self._secret(region, "canary*") for region in regions]

    def _one(self, name: str, regions: Sequence[str], *, maybe: bool) -> list[str]:
        # AWS appends a hyphen and six random characters.
        endings = ("", "-??????") if maybe else ("-??????",)
        return [self._secret(region, name + end) for region in regions for end in endings]

    def _secret(self, region: str, name: str) -> str:
        return f"arn:aws:secretsmanager:{region}:*:secret:{self.prefix}/{name}"

    def own_logs(self, region: str, stage: str, surfaces: Sequence[str]) -> list[str]:
        """Return the ARNs of the log groups of *stage*'s own functions."""
        functions = [stage, f"{stage}-upkeep"] if "admin" in surfaces else [stage]
        # The group itself, and its streams.
        return [
            self._log_group(region, function) + end for function in functions for end in ("", ":*")
        ]

    def use_logs(self, surfaces: Sequence[str]) -> list[str]:
        """Return the ARNs of the log groups of both Regions' functions that serve tokens."""
        split = "" if "token" in surfaces else "-token"
        # AWS's reference has the group itself; its authorization takes the group's streams.
        return [
            self._log_group(region, role + split) + end
            for region, role in zip(self.both, ROLES, strict=True)
            for end in ("", ":*")
        ]

    def _log_group(self, region: str, stage: str) -> str:
        return f"arn:aws:logs:{region}:*:log-group:/aws/lambda/{self.app_name}-{stage}"

    def admin_api(self, region: str) -> str:
        """Return the ARN of the methods of *region*'s admin API; of none if it is unknown."""
        api = self.apis.get(region, UNKNOWN_API)
        return f"arn:aws:execute-api:{region}:*:{api}/{self.api_stage}/*"

    def user_pools(self, *regions: str) -> list[str]:
        """Return the ARNs of the user pools; an example pool becomes a wildcard."""
        return [
            f"arn:aws:cognito-idp:{region}:*:userpool/{self._pool(region)}" for region in regions
        ]

    def kms_key(self, region: str) -> str:
        """Return the ARN of the KMS key of *region*; an alias becomes a wildcard."""
        named = self.kms_keys[region]
        if named.startswith("arn:"):
            return named
        which = "*" if named.startswith(_ALIAS) else named
        return f"arn:aws:kms:{region}:*:key/{which}"

    def _pool(self, region: str) -> str:
        pool = self.pools[region]
        return "*" if EXAMPLE in pool else pool


def _api_id(url: str, region: str) -> str | None:
    """Return the ID of the REST API with the default endpoint *url*."""
    api, _, rest = (urlsplit(url).hostname or "").partition(".")
    return api if rest.startswith(f"execute-api.{region}.") else None


def all_policies(config: Config, urls: Mapping[str, str] | None = None) -> dict[Path, Document]:
    """
    Return every policy of the deployment that *config* describes, by its file.

    *urls* maps a role to its admin API's URL, as far as known.
    """
    names = Names.of(config, urls)
    made: dict[Path, Document] = {OPERATORS_POLICY: operators_policy(names)}
    for name, stage in config["stages"].items():
        own = {**config["environment_variables"], **stage.get("environment_variables", {})}
        surfaces = own.get("SURFACES", _SURFACES).split()
        path = Path(".chalice") / stage["iam_policy_file"]
        made[path] = stage_policy(names, own["APP_REGION"], surfaces, name)
    return made


def stage_policy(names: Names, own: str, surfaces: Sequence[str], stage: str) -> Document:
    """Return the policy of *stage*'s functions in the Region *own*, serving *surfaces*."""
    statements = [
        _allow(
            "Logs",
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            names.own_logs(own, stage, surfaces),
        )
    ]
    if "admin" in surfaces:
        # The admin surface also reads the secrets of the exchange.
        statements.extend(_administration(names, own, surfaces))
    else:
        statements.append(
            _allow(
                "ReadRecordsStateAndKeys",
                ["secretsmanager:GetSecretValue"],
                [*names.clients(own), *names.denials(own), *names.state(own), *names.keys(own)],
            )
        )
        statements.extend(_use_keys(names, {own: ["kms:Decrypt"]}))
    return _document(statements)


def _administration(names: Names, own: str, surfaces: Sequence[str]) -> Iterator[Statement]:
    other = names.other(own)
    yield _allow(
        "ReadRecordsStateAndKeys",
        ["secretsmanager:GetSecretValue"],
        [
            *names.clients(own),
            *names.denials(own),
            *names.state(own),
            *names.deployment_key(own),
            *names.keys(own),
        ],
    )
    yield _LIST_SECRETS
    # The secondary Region promotes a replica at its first write.
    stands_in = [_PROMOTE] if own == names.secondary else []
    yield {
        **_allow("WriteRecords", [*_WRITE_RECORDS, *stands_in], names.clients(own)),
        "Condition": {**_replicas(other), **_RECOVERABLE},
    }
    yield _allow("WriteDenials", _WRITE_VALUE, names.denials(own))
    yield _allow("RefreshKeys", _WRITE_VALUE, names.keys(own))
    # The schedule restores replicas that failed.
    yield {
        **_allow("RestoreReplicas", _REPLICATE, [*names.deployment_key(own), *names.keys(own)]),
        "Condition": _replicas(other),
    }
    # The scheduled survey compares replicas and states; it writes neither.
    yield _allow(
        "LookAtReplicas",
        ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
        names.clients(other),
    )
    yield _allow(
        "LookAtOtherReplicas",
        ["secretsmanager:DescribeSecret"],
        # A replica may be missing.
        [*names.deployment_key(other, maybe=True), *names.keys(other, maybe=True)],
    )
    yield _allow(
        "LookAtTheOtherState",
        ["secretsmanager:GetSecretValue"],
        [*names.denials(other), *names.state(other)],
    )
    yield _allow("MakeAppClients", _APP_CLIENTS, names.user_pools(own, other))
    yield _allow("ReadUseOfSecrets", ["logs:FilterLogEvents"], names.use_logs(surfaces))
    yield from _use_keys(names, dict.fromkeys(names.both, _ENCRYPT))


def _use_keys(names: Names, needed: Mapping[str, Sequence[str]]) -> Iterator[Statement]:
    """
    Allow actions on the Regions' configured KMS keys, over Secrets Manager only.

    The AWS managed key `aws/secretsmanager` needs no permissions.
    """
    for region, actions in needed.items():
        if region in names.kms_keys:
            sid = f"Use{'Primary' if region == names.primary else 'Secondary'}KmsKey"
            yield _over_secrets_manager(names, sid, actions, [region])


def _over_secrets_manager(
    names: Names, sid: str, actions: Sequence[str], regions: Sequence[str]
) -> Statement:
    services = [f"secretsmanager.{each}.amazonaws.com" for each in names.both]
    aliases = [key for each in regions if (key := names.kms_keys[each]).startswith(_ALIAS)]
    # A policy cannot name an alias as a resource.
    by_alias = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": sorted({*aliases})}}
    return {
        **_allow(sid, actions, [names.kms_key(region) for region in regions]),
        "Condition": {
            "StringEquals": {"kms:ViaService": services},
            **(by_alias if aliases else {}),
        },
    }


def operators_policy(names: Names) -> Document:
    """Return the policy of the operators' role, in both Regions."""
    both = names.both
    stacks = [f"arn:aws:cloudformation:{region}:*:stack/*" for region in both]
    functions = [f"arn:aws:lambda:{region}:*:function:{names.app_name}-*" for region in both]
    triggers = [f"{function}-trigger" for function in functions]
    apis = [names.admin_api(region) for region in both]
    domains = [f"arn:aws:apigateway:{region}::/domainnames/*" for region in both]
    certificates = [f"arn:aws:acm:{region}:*:certificate/*" for region in both]
    logs = [f"arn:aws:logs:{region}:*:log-group:/aws/lambda/{names.app_name}-*" for region in both]
    return _document(
        [
            _allow("CallTheAdminApi", ["execute-api:Invoke"], apis),
            _allow(
                "ReadRecordsStatesAndKeys",
                ["secretsmanager:GetSecretValue"],
                names.all_secrets(*both),
            ),
            _LIST_SECRETS,
            {
                **_allow("WriteRecords", [*_WRITE_RECORDS, *_FAIL_BACK], names.clients(*both)),
                "Condition": _replicas(*both),
            },
            {
                **_allow(
                    "MakeSteerAndRemoveStates",
                    [
                        "secretsmanager:CreateSecret",
                        "secretsmanager:DeleteSecret",
                        "secretsmanager:DescribeSecret",
                        "secretsmanager:ListSecretVersionIds",
                        *_WRITE_VALUE,
                        "secretsmanager:TagResource",
                    ],
                    [*names.denials(*both), *names.state(*both, maybe=True)],
                ),
                "Condition": _NOT_REPLICATED,
            },
            {
                **_allow(
                    "MakeReplicateAndRemoveKeys",
                    [
                        "secretsmanager:CreateSecret",
                        "secretsmanager:DeleteSecret",
                        "secretsmanager:DescribeSecret",
                        "secretsmanager:RemoveRegionsFromReplication",
                        "secretsmanager:ReplicateSecretToRegions",
                        "secretsmanager:TagResource",
                    ],
                    [
                        *names.deployment_key(*both, maybe=True),
                        *names.keys(*both, maybe=True),
                        *names.canary(*both),
                    ],
                ),
                "Condition": _replicas(*both),
            },
            _allow(
                "RefreshKeysAndCanary", _WRITE_VALUE, [*names.keys(*both), *names.canary(*both)]
            ),
            _allow(
                "MakeAppClientsAndLookAtPools",
                [
                    *_APP_CLIENTS,
                    "cognito-idp:DescribeUserPool",
                ],
                names.user_pools(*both),
            ),
            # One statement, since the policy has to fit into a managed policy; each action applies
            # to one kind of resource only.
            _allow(
                "LookAtTheDeployment",
                [
                    "acm:DescribeCertificate",
                    "apigateway:GET",
                    "cloudformation:DescribeStacks",
                    "lambda:GetFunctionConfiguration",
                    "lambda:GetPolicy",
                    "logs:FilterLogEvents",
                ],
                [*certificates, *domains, *stacks, *functions, *logs],
            ),
            # Test of the claim, with an app client that does not exist.
            _allow("AskTriggers", ["lambda:InvokeFunction"], triggers),
            _allow(
                "LookAtTheirRoles",
                ["iam:GetRolePolicy", "iam:ListRolePolicies"],
                # CloudFormation names roles after the stack.
                ["arn:aws:iam::*:role/*"],
            ),
            *_operators_keys(names),
        ]
    )


def adoption_policy(region: str, table: str) -> Document:
    """Return what `adopt --table` needs beside the operators' policy, as long as it is used."""
    resource = f"arn:aws:dynamodb:{region}:*:table/{table}"
    return _document([_allow("AdoptFromTable", ["dynamodb:Scan"], [resource])])


def _replicas(*regions: str) -> dict[str, Any]:
    """
    Return the condition that a secret is replicated to *regions* only.

    Calls that replicate nothing meet it.  CreateSecret can replicate, too.
    """
    return {"ForAllValues:StringEquals": {_REPLICA_REGIONS: list(regions)}}


def _operators_keys(names: Names) -> Iterator[Statement]:
    """Allow both Regions' KMS keys tersely: the policy has to fit into a managed policy."""
    if not names.kms_keys:
        return
    by_alias = {each for each, key in names.kms_keys.items() if key.startswith(_ALIAS)}
    for sid, regions in (
        ("UseKmsKeys", sorted({*names.kms_keys} - by_alias)),
        ("UseKmsKeysByAlias", sorted(by_alias)),
    ):
        if regions:
            yield _over_secrets_manager(names, sid, _ENCRYPT, regions)
    keys = [names.kms_key(region) for region in names.both if region in names.kms_keys]
    yield _allow("LookAtKmsKeys", ["kms:DescribeKey"], keys)


_WRITE_RECORDS = [
    "secretsmanager:CreateSecret",
    "secretsmanager:DeleteSecret",
    "secretsmanager:DescribeSecret",
    "secretsmanager:PutSecretValue",
    "secretsmanager:RemoveRegionsFromReplication",
    "secretsmanager:ReplicateSecretToRegions",
    "secretsmanager:RestoreSecret",
    "secretsmanager:TagResource",
    "secretsmanager:UpdateSecret",
    "secretsmanager:UpdateSecretVersionStage",
]
_PROMOTE = "secretsmanager:StopReplicationToReplica"
_FAIL_BACK = ["secretsmanager:ListSecretVersionIds", _PROMOTE]
_REPLICA_REGIONS: Final = "secretsmanager:AddReplicaRegions"
_NOT_REPLICATED = {"Null": {_REPLICA_REGIONS: "true"}}
# No function can delete a secret at once. Calls other than DeleteSecret meet this.
_RECOVERABLE = {"BoolIfExists": {"secretsmanager:ForceDeleteWithoutRecovery": "false"}}
# As AWS documents for UpdateSecret, and for a replica's key.
_ENCRYPT = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
_WRITE_VALUE = [
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
]
_REPLICATE = [
    "secretsmanager:DescribeSecret",
    "secretsmanager:RemoveRegionsFromReplication",
    "secretsmanager:ReplicateSecretToRegions",
]
_APP_CLIENTS = [
    "cognito-idp:AddUserPoolClientSecret",
    "cognito-idp:CreateUserPoolClient",
    "cognito-idp:DeleteUserPoolClient",
    "cognito-idp:DeleteUserPoolClientSecret",
    "cognito-idp:DescribeUserPoolClient",
    "cognito-idp:ListResourceServers",
    "cognito-idp:ListUserPoolClientSecrets",
    "cognito-idp:ListUserPoolClients",
    "cognito-idp:UpdateUserPoolClient",
]


def _allow(sid: str, actions: Sequence[str], resources: Sequence[str]) -> Statement:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": actions[0] if len(actions) == 1 else list(actions),
        "Resource": resources[0] if len(resources) == 1 else list(resources),
    }


_LIST_SECRETS = _allow(
    "ListRecords", ["secretsmanager:ListSecrets", "secretsmanager:BatchGetSecretValue"], ["*"]
)


def _document(statements: Sequence[Statement]) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def text(document: Document) -> str:
    """Return *document* as the text of its file."""
    return json.dumps(document, indent=2) + "\n"


def main() -> None:
    """Write the policies of the project in this directory, or print that for a table."""
    parser = argparse.ArgumentParser(prog="python -m surrogatectl.setup.policies")
    parser.add_argument("--adopt-table", help="print the policy that reads this DynamoDB table")
    parser.add_argument("--table-region", help="its Region; the primary one if not given")
    arguments = parser.parse_args()
    config = json.loads(Path(".chalice/config.json").read_text())
    if arguments.adopt_table:
        region = arguments.table_region or config["environment_variables"]["REGION_PRIMARY"]
        print(text(adoption_policy(region, arguments.adopt_table)), end="")
        return
    for path, document in all_policies(config, admin_urls(os.environ, Path.cwd())).items():
        path.write_text(text(document))


if __name__ == "__main__":
    main()
