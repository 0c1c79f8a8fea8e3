"""
Customer managed keys: secrets made in each Region are encrypted with that Region's key.

The emulator records the named key and does not check permissions to use it: the policies'
key permissions are tested as text (tests/unit/surrogatectl/setup/test_policies.py).  Only AWS
shows whether they suffice.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from local.cloud import Cloud
from tests.e2e.conftest import CommandLine

ROLES = ("primary", "secondary")
Json = dict[str, Any]


@dataclass(frozen=True)
class Keys:
    """A key in each Region, and an unused prefix."""

    cloud: Cloud
    arns: Mapping[str, str]
    prefix: str

    @property
    def settings(self) -> dict[str, str]:
        named = {f"KMS_KEY_ID_{role.upper()}": arn for role, arn in self.arns.items()}
        return {**named, "SECRET_PREFIX": self.prefix}

    def key_of(self, role: str, name: str) -> str | None:
        store = self.cloud.client("secretsmanager", role, "root")
        found: str | None = store.describe_secret(SecretId=f"{self.prefix}/{name}").get("KmsKeyId")
        return found


@pytest.fixture
def keys(cloud: Cloud) -> Keys:
    arns = {
        role: cloud.client("kms", role, "root").create_key()["KeyMetadata"]["Arn"] for role in ROLES
    }
    return Keys(cloud, arns, f"kms-{secrets.token_hex(4)}")


@pytest.fixture
def found(surrogatectl: CommandLine) -> Callable[..., list[Json]]:
    """Return `doctor`'s checks of the keys."""

    def found(**settings: str) -> list[Json]:
        done = surrogatectl.run("doctor", "--output=json", **settings)
        return [each for each in json.loads(done.stdout)["checks"] if each["check"] == "KMS key"]

    return found


def test_secrets_made_by_init_and_canary_are_encrypted_with_the_regions_keys(
    keys: Keys, surrogatectl: CommandLine, found: Callable[..., list[Json]]
) -> None:
    done = surrogatectl.run("init", **keys.settings)
    assert done.returncode == 0, done.stderr
    # The deployed functions enroll the canary, and have no keys here; the command has, and stores
    # its credential.
    assert surrogatectl.run("canary", "--scope=demo/read", **keys.settings).returncode == 0
    for role in ROLES:
        for name in ("region", "deployment", "jwks", "canary"):
            assert keys.key_of(role, name) == keys.arns[role]
    assert [each["level"] for each in found(**keys.settings)] == ["ok", "ok"]


def test_doctor_names_secrets_made_before_the_key(
    keys: Keys, surrogatectl: CommandLine, found: Callable[..., list[Json]]
) -> None:
    assert surrogatectl.run("init", SECRET_PREFIX=keys.prefix).returncode == 0
    assert keys.key_of("primary", "region") is None
    for each in found(**keys.settings):
        assert each["level"] == "warning"
        assert (
            f"{keys.prefix}/region, {keys.prefix}/deployment, {keys.prefix}/jwks" in each["detail"]
        )


def test_doctor_reports_a_missing_key_or_one_scheduled_for_deletion(
    keys: Keys, surrogatectl: CommandLine, found: Callable[..., list[Json]]
) -> None:
    surrogatectl.run("init", **keys.settings)
    kms = keys.cloud.client("kms", "secondary", "root")
    kms.schedule_key_deletion(KeyId=keys.arns["secondary"], PendingWindowInDays=7)
    here, there = found(**{**keys.settings, "KMS_KEY_ID_PRIMARY": "alias/none"})
    assert (here["level"], there["level"]) == ("failed", "failed")
    assert "There is no alias/none (KMS_KEY_ID_PRIMARY)" in here["detail"]
    assert "PendingDeletion" in there["detail"]
