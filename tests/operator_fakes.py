"""In-memory fakes of the other services that `configure` and `doctor` call."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.settings import RegionSettings, Settings
from tests.stages import environment

Json = dict[str, Any]
POOL_DOMAIN = "machines"


def settings(**changes: str) -> Settings:
    """Return the shipped settings, with *changes*, as the operators' side reads them."""
    domains = {
        "OAUTH_HOST_PRIMARY": f"https://{POOL_DOMAIN}.auth.us-east-1.amazoncognito.com/oauth2/token",
        "OAUTH_HOST_SECONDARY": (
            f"https://{POOL_DOMAIN}.auth.us-west-2.amazoncognito.com/oauth2/token"
        ),
    }
    return Settings.from_env({**environment("primary"), **domains, **changes})


def refusal(code: str, operation: str = "Operation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


@dataclass
class FakePool:
    """Cognito of one Region with one user pool."""

    user_pool_id: str
    domain: str | None = POOL_DOMAIN
    custom_domain: str | None = None
    scopes: tuple[str, ...] = ("demo/read", "demo/write")
    app_clients: int = 0
    per_page: int = 1
    arn: str = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/x"
    settings: Json = field(default_factory=dict)

    def describe_user_pool(self, *, UserPoolId: str) -> Json:
        self._check(UserPoolId)
        named = {"Domain": self.domain, "CustomDomain": self.custom_domain}
        named |= {"Id": UserPoolId, "Arn": self.arn, **self.settings}
        return {"UserPool": {k: v for k, v in named.items() if v}}

    def list_resource_servers(
        self, *, UserPoolId: str, MaxResults: int, NextToken: str = "0"
    ) -> Json:
        self._check(UserPoolId)
        start = int(NextToken)
        servers = [scope.split("/") for scope in self.scopes]
        page = [
            {"Identifier": name, "Name": name, "Scopes": [{"ScopeName": scope}]}
            for name, scope in servers[start : start + self.per_page]
        ]
        after = start + self.per_page
        return {
            "ResourceServers": page,
            **({"NextToken": str(after)} if after < len(servers) else {}),
        }

    def list_user_pool_clients(
        self, *, UserPoolId: str, MaxResults: int, NextToken: str = "0"
    ) -> Json:
        self._check(UserPoolId)
        left = self.app_clients - int(NextToken)
        more = {"NextToken": str(int(NextToken) + MaxResults)} if left > MaxResults else {}
        return {"UserPoolClients": [{"ClientName": "x"}] * min(left, MaxResults), **more}

    def _check(self, user_pool_id: str) -> None:
        if user_pool_id != self.user_pool_id:
            raise refusal("ResourceNotFoundException")


@dataclass
class FakeStacks:
    """CloudFormation of one Region."""

    outputs: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def describe_stacks(self, *, StackName: str) -> Json:
        if StackName not in self.outputs:
            raise refusal("ValidationError")
        outputs = self.outputs[StackName].items()
        return {"Stacks": [{"Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in outputs]}]}


@dataclass
class FakeFunctions:
    """Lambda and IAM: functions, their environments, and their roles' inline policies."""

    environments: dict[str, Mapping[str, str]] = field(default_factory=dict)
    policies: dict[str, Json] = field(default_factory=dict)
    permissions: dict[str, list[Json]] = field(default_factory=dict)
    run: Callable[[Json], Any] = lambda event: event

    def get_policy(self, *, FunctionName: str) -> Json:
        if not self.permissions.get(FunctionName):
            raise refusal("ResourceNotFoundException")
        return {"Policy": json.dumps({"Statement": self.permissions[FunctionName]})}

    def invoke(self, *, FunctionName: str, Payload: str) -> Json:
        assert FunctionName in self.permissions
        try:
            answer = self.run(json.loads(Payload))
        except ValueError:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b"{}")}
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    def get_function_configuration(self, *, FunctionName: str) -> Json:
        if FunctionName not in self.environments:
            raise refusal("ResourceNotFoundException")
        return {
            "Role": f"arn:aws:iam::123456789012:role/{FunctionName}",
            "Environment": {"Variables": dict(self.environments[FunctionName])},
        }

    def list_role_policies(self, *, RoleName: str) -> Json:
        return {"PolicyNames": [RoleName] if RoleName in self.policies else []}

    def get_role_policy(self, *, RoleName: str, PolicyName: str) -> Json:
        return {"PolicyDocument": self.policies[PolicyName]}


@dataclass
class FakeDomains:
    """API Gateway's custom domains, and ACM's certificates."""

    domain: str
    ends: float
    status: str = "ISSUED"

    def get_domain_name(self, *, domainName: str) -> Json:
        if domainName != self.domain:
            raise refusal("NotFoundException")
        return {"regionalCertificateArn": "arn:certificate"}

    def describe_certificate(self, *, CertificateArn: str) -> Json:
        return {
            "Certificate": {
                "Status": self.status,
                "NotAfter": datetime.fromtimestamp(self.ends, UTC),
            }
        }


@dataclass
class FakeKeys:
    """KMS of one Region: *keys* maps ARNs to the state of the key, *aliases* names to ARNs."""

    keys: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def describe_key(self, *, KeyId: str) -> Json:
        arn = self.aliases.get(KeyId, KeyId)
        if arn not in self.keys:
            raise refusal("NotFoundException")
        return {"KeyMetadata": {"Arn": arn, "KeyState": self.keys[arn]}}


@dataclass
class FakeConnect:
    """`Connect` to *services*, by service and Region; a Region in *lost* is out of reach."""

    services: dict[tuple[str, str], Any]
    lost: set[str] = field(default_factory=set)

    def __call__(self, service: str, region: RegionSettings) -> Any:
        if region.name in self.lost:
            return Lost(region.name)
        return self.services[service, region.name]


@dataclass(frozen=True)
class Lost:
    """Client of a Region that does not answer."""

    region: str

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**_: object) -> Any:
            raise EndpointConnectionError(endpoint_url=f"https://{self.region}")

        return call


@dataclass
class FakeWeb:
    """`Web` without a network: *answers* maps URLs to status and JSON."""

    answers: dict[str, tuple[int, Json]] = field(default_factory=dict)
    token_status: int = 400
    addresses: list[str] = field(default_factory=lambda: ["192.0.2.1"])
    ends: float | OSError = 0.0

    def get(self, url: str) -> tuple[int, Json]:
        return self.answers.get(url, (0, {}))

    def post_nothing(self, url: str) -> int:
        return self.token_status

    def resolve(self, host: str) -> list[str]:
        return self.addresses

    def certificate_ends(self, host: str, port: int) -> float:
        if isinstance(self.ends, OSError):
            raise self.ends
        return self.ends
