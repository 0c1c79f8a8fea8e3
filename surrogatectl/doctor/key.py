"""Checks of a Region's own KMS key, where one is configured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chalicelib.aws.jwks_secret import jwks_secret_name
from chalicelib.aws.region_state import deployment_secret_name, state_secret_name
from chalicelib.settings import RegionSettings
from surrogatectl.cli.findings import Finding, failed, ok, warning
from surrogatectl.cli.operators import AbsentError, call_aws
from surrogatectl.doctor.context import DoctorContext


def kms_key(context: DoctorContext, role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the key, and whether the secrets that stand there already are encrypted with it."""
    wanted = region.kms_key_id
    if wanted is None:
        return
    kms = context.connect("kms", region)
    setting = f"KMS_KEY_ID_{role.upper()}"
    try:
        key = _described(kms, wanted)
    except AbsentError:
        yield failed(
            "KMS key",
            region.name,
            f"There is no {wanted} ({setting}): no client can be enrolled.",
            "infra/region.yaml makes a key with KmsKey; `surrogatectl configure` takes its ARN.",
        )
        return
    if key.get("KeyState") != "Enabled":
        yield failed(
            "KMS key",
            region.name,
            f"{wanted} ({setting}) is {key.get('KeyState')}: what it encrypts cannot be read.",
            "Enable it, or cancel its deletion, before anything else.",
        )
        return
    others = [
        name for name in _secrets(context) if not _uses(context, kms, region, name, key["Arn"])
    ]
    if others:
        yield warning(
            "KMS key",
            region.name,
            f"{', '.join(others)} are not encrypted with {wanted}.",
            "They were made before, and can be read all the same. See docs/deploy.md, “A key of "
            "your own”, for how to change it.",
        )
        return
    yield ok("KMS key", region.name, f"{wanted} is enabled, and encrypts what `init` made.")


def _secrets(context: DoctorContext) -> tuple[str, ...]:
    prefix = context.settings.secret_prefix
    return state_secret_name(prefix), deployment_secret_name(prefix), jwks_secret_name(prefix)


def _uses(context: DoctorContext, kms: Any, region: RegionSettings, name: str, arn: str) -> bool:  # noqa: ANN401
    """Return whether the secret *name* is encrypted with the key *arn*; `init` makes what lacks."""
    try:
        secret = call_aws(lambda: context.secrets(region).describe_secret(SecretId=name))
    except AbsentError:
        return True  # another check tells
    named = secret.get("KmsKeyId")
    if named is None:
        return False
    try:
        # An alias may lead to the same key.
        return bool(_described(kms, named)["Arn"] == arn)
    except AbsentError:
        return False


def _described(kms: Any, named: str) -> Any:  # noqa: ANN401 - a client, and its answer
    return call_aws(lambda: kms.describe_key(KeyId=named))["KeyMetadata"]
