"""User pool that resets omitted settings, and functions that Cognito may invoke."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from tests.operator_fakes import refusal

Json = dict[str, Any]
# Settings of a pool that people use as well: all that UpdateUserPool could reset.
FULL: Json = {
    "Name": "people-and-machines",
    "Policies": {
        "PasswordPolicy": {
            "MinimumLength": 14,
            "RequireUppercase": True,
            "RequireLowercase": True,
            "RequireNumbers": True,
            "RequireSymbols": False,
            "PasswordHistorySize": 3,
            "TemporaryPasswordValidityDays": 2,
        },
        "SignInPolicy": {"AllowedFirstAuthFactors": ["PASSWORD", "WEB_AUTHN"]},
    },
    "DeletionProtection": "ACTIVE",
    "LambdaConfig": {
        "PreSignUp": "arn:aws:lambda:us-east-1:123456789012:function:sign-up",
        "KMSKeyID": "arn:aws:kms:us-east-1:123456789012:key/1",
    },
    "Status": "Enabled",
    "SchemaAttributes": [{"Name": "email"}],
    "AutoVerifiedAttributes": ["email"],
    "AliasAttributes": ["email"],
    "SmsVerificationMessage": "Your code is {####}",
    "EmailVerificationMessage": "Your code is {####}",
    "EmailVerificationSubject": "Your code",
    "VerificationMessageTemplate": {
        "SmsMessage": "Your code is {####}",
        "EmailMessage": "Your code is {####}",
        "EmailSubject": "Your code",
        "DefaultEmailOption": "CONFIRM_WITH_CODE",
    },
    "SmsAuthenticationMessage": "Your code is {####}",
    "UserAttributeUpdateSettings": {"AttributesRequireVerificationBeforeUpdate": ["email"]},
    "MfaConfiguration": "OPTIONAL",
    "DeviceConfiguration": {
        "ChallengeRequiredOnNewDevice": True,
        "DeviceOnlyRememberedOnUserPrompt": True,
    },
    "EstimatedNumberOfUsers": 17,
    "EmailConfiguration": {
        "SourceArn": "arn:aws:ses:us-east-1:123456789012:identity/example.com",
        "EmailSendingAccount": "DEVELOPER",
        "From": "no-reply@example.com",
    },
    "SmsConfiguration": {
        "SnsCallerArn": "arn:aws:iam::123456789012:role/sms",
        "ExternalId": "x",
        "SnsRegion": "us-east-1",
    },
    "UserPoolTags": {"owner": "payments"},
    "Domain": "machines",
    "AdminCreateUserConfig": {"AllowAdminCreateUserOnly": True, "UnusedAccountValidityDays": 2},
    "UserPoolAddOns": {"AdvancedSecurityMode": "ENFORCED"},
    "UsernameConfiguration": {"CaseSensitive": False},
    "AccountRecoverySetting": {
        "RecoveryMechanisms": [{"Priority": 1, "Name": "verified_email"}],
    },
    "UserPoolTier": "PLUS",
}
_CREATED_ONLY = {
    *("Id", "Arn", "Name", "Status", "SchemaAttributes", "AliasAttributes", "UsernameAttributes"),
    *("EstimatedNumberOfUsers", "Domain", "CustomDomain", "UsernameConfiguration"),
}


@cache
def service_model() -> Any:
    return botocore.session.get_session().get_service_model("cognito-idp")


@dataclass
class ResettingPool:
    """Cognito with one pool, whose update removes every omitted setting."""

    user_pool_id: str
    region: str
    settings: Json = field(default_factory=lambda: copy.deepcopy(FULL))
    ignored: frozenset[str] = frozenset()
    forgotten: frozenset[str] = frozenset()
    updates: int = 0

    def __post_init__(self) -> None:
        self.arn = f"arn:aws:cognito-idp:{self.region}:123456789012:userpool/{self.user_pool_id}"
        self.meta = SimpleNamespace(service_model=service_model())

    def describe_user_pool(self, *, UserPoolId: str) -> Json:
        if UserPoolId != self.user_pool_id:
            raise refusal("ResourceNotFoundException")
        described = {"Id": UserPoolId, "Arn": self.arn, **self.settings}
        return {"UserPool": copy.deepcopy(described)}

    def update_user_pool(self, **request: Any) -> None:
        shape = service_model().operation_model("UpdateUserPool").input_shape
        report = ParamValidator().validate(request, shape)
        assert not report.has_errors(), report.generate_report()
        assert request.pop("UserPoolId") == self.user_pool_id
        password = request.get("Policies", {}).get("PasswordPolicy", {})
        admin = request.get("AdminCreateUserConfig", {})
        if "TemporaryPasswordValidityDays" in password and "UnusedAccountValidityDays" in admin:
            raise refusal("InvalidParameterException")
        kept = {k: v for k, v in self.settings.items() if k in _CREATED_ONLY}
        sent = {k: v for k, v in request.items() if k not in self.ignored}
        self.settings = {**kept, **copy.deepcopy(sent)}
        for name in self.forgotten:
            self.settings["LambdaConfig"].pop(name)
        if "TemporaryPasswordValidityDays" in password:
            # It is shown under both members.
            days = password["TemporaryPasswordValidityDays"]
            shown = self.settings.setdefault("AdminCreateUserConfig", {})
            shown["UnusedAccountValidityDays"] = days
        self.updates += 1


@dataclass
class TriggerFunctions:
    """Lambda with functions, each with a resource policy; *run* answers invocations."""

    region: str
    permitted: dict[str, list[Json]] = field(default_factory=dict)
    run: Callable[[Json], Any] = lambda event: event

    def arn(self, name: str) -> str:
        return f"arn:aws:lambda:{self.region}:123456789012:function:{name}"

    def permit(self, name: str, pool_arn: str, account: str = "123456789012") -> None:
        self.permitted.setdefault(name, []).append(
            {
                "Sid": "cognito",
                "Effect": "Allow",
                "Principal": {"Service": "cognito-idp.amazonaws.com"},
                "Action": "lambda:InvokeFunction",
                "Resource": self.arn(name),
                "Condition": {
                    "ArnLike": {"AWS:SourceArn": pool_arn},
                    "StringEquals": {"AWS:SourceAccount": account},
                },
            }
        )

    def get_function_configuration(self, *, FunctionName: str) -> Json:
        if FunctionName not in self.permitted:
            raise refusal("ResourceNotFoundException")
        return {"FunctionArn": self.arn(FunctionName)}

    def get_policy(self, *, FunctionName: str) -> Json:
        statements = self.permitted[FunctionName.rpartition(":")[2]]
        if not statements:
            raise refusal("ResourceNotFoundException")
        return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": statements})}
