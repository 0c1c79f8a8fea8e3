"""
Settings of user pools as Cognito documents them: features of a tier, and resets by an update.

`UpdateUserPool` resets settings that the request omits to their defaults.
"""

from collections.abc import Mapping
from typing import Any

from local.aws_gaps.errors import AwsError

# UpdateUserPool resets these when the request omits them. Tiers are not documented to be reset.
DEFAULTS: Mapping[str, Any] = {
    "Policies": {
        "PasswordPolicy": {
            "MinimumLength": 8,
            "RequireUppercase": True,
            "RequireLowercase": True,
            "RequireNumbers": True,
            "RequireSymbols": True,
            "TemporaryPasswordValidityDays": 7,
        }
    },
    "DeletionProtection": "INACTIVE",
    "LambdaConfig": {},
    "AutoVerifiedAttributes": [],
    "SmsVerificationMessage": "",
    "EmailVerificationMessage": "",
    "EmailVerificationSubject": "",
    "SmsAuthenticationMessage": "",
    "MfaConfiguration": "OFF",
    "EmailConfiguration": {},
    "SmsConfiguration": {},
    "UserPoolTags": {},
    "AdminCreateUserConfig": {"AllowAdminCreateUserOnly": False, "UnusedAccountValidityDays": 7},
    "AccountRecoverySetting": {},
    "DeviceConfiguration": None,
    "UserPoolAddOns": None,
    "VerificationMessageTemplate": None,
    "UserAttributeUpdateSettings": None,
}
_ACCESS_TOKEN_VERSIONS = frozenset({"V2_0", "V3_0"})


def check(request: Mapping[str, Any], tier: str) -> None:
    """
    Check *request* against a pool of *tier*.

    Raises:
        AwsError: If Cognito would refuse it.
    """
    config = (request.get("LambdaConfig") or {}).get("PreTokenGenerationConfig") or {}
    if config.get("LambdaVersion") in _ACCESS_TOKEN_VERSIONS and tier == "LITE":
        msg = "Access token customization is not available in the LITE tier."
        raise AwsError("FeatureUnavailableInTierException", msg)
    policy = (request.get("Policies") or {}).get("PasswordPolicy") or {}
    admin = request.get("AdminCreateUserConfig") or {}
    if "TemporaryPasswordValidityDays" in policy and "UnusedAccountValidityDays" in admin:
        msg = (
            "Please use TemporaryPasswordValidityDays in PasswordPolicy instead of "
            "UnusedAccountValidityDays"
        )
        raise AwsError("InvalidParameterException", msg)


def reset(pool: dict[str, Any], request: Mapping[str, Any]) -> None:
    """Reset settings that *request* omits to their defaults."""
    for name, default in DEFAULTS.items():
        if name not in request:
            if default is None:
                pool.pop(name, None)
            else:
                pool[name] = default
