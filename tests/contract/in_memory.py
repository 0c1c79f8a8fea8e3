"""In-memory AWS of the crash tests, held to the same contract suite as the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.aws_worlds import AwsWorld
from tests.contract.implementations import TwoRegions

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_secretsmanager import SecretsManagerClient


@dataclass(frozen=True, slots=True)
class InMemory(TwoRegions):
    """Both Regions in memory, where replication is immediate: its clock stands still."""

    world: AwsWorld = field(default_factory=lambda: AwsWorld(list_seconds=0, replica_seconds=0))

    def secrets(self, region: str, *, repeating: bool = False) -> SecretsManagerClient:
        return self.world.aws.secrets_manager(self.world.secrets[region])

    def cognito(self, region: str) -> CognitoIdentityProviderClient:
        return self.world.aws.cognito(self.world.pools[region])
