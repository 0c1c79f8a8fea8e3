"""Wires adoption to AWS, with the operator's own role."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from chalicelib.administration import Administration
from chalicelib.app_clients import PoolAppClients, app_client_name
from chalicelib.aws import Connections
from chalicelib.credentials import SecretHasher
from chalicelib.errors import ProblemError
from chalicelib.halves import Halves
from chalicelib.model import ClientId
from chalicelib.pace import Pace
from chalicelib.secrets_store import ClientSecrets, DeploymentKeySecret, StateSecret
from chalicelib.settings import RegionSettings, Settings
from chalicelib.token_endpoint import CognitoTokenEndpoint

from .adopt_examine import PER_SECOND, Examiner
from .adopt_plan import Terms
from .adopt_write import Adopter

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TABLE = Config(retries={"mode": "standard", "total_max_attempts": 5}, proxies={})


@dataclass(frozen=True, slots=True)
class Parts:
    """The two steps of adoption."""

    examine: Examiner
    adopt: Adopter


def adoption_parts(settings: Settings, terms: Terms) -> Parts:
    """
    Return the parts, at work in the Region that writes.

    Raises:
        ProblemError: If no Region says that it writes, or does not answer.
    """
    regions = (settings.primary, settings.secondary)
    names = (settings.primary.name, settings.secondary.name)
    connections = {region.name: Connections(region) for region in regions}
    halves = _writing_halves(settings, connections)
    return Parts(
        Examiner(
            halves,
            {each.name: CognitoTokenEndpoint(each.token_endpoint, time.time) for each in regions},
            {name: Pace(PER_SECOND, time.monotonic, time.sleep) for name in names},
            names,
            app_client_name(settings.secret_prefix, ClientId("")),
            terms,
        ),
        Adopter(halves, SecretHasher(secrets.token_bytes), secrets.token_bytes, names),
    )


def _writing_halves(settings: Settings, connections: dict[str, Connections]) -> Halves:
    regions = (settings.primary, settings.secondary)
    pools = {
        each.name: PoolAppClients(
            connections[each.name].admin_cognito,
            connections[each.name].admin_cognito_once,
            each.user_pool_id,
            settings.secret_prefix,
            settings.access_token_seconds,
        )
        for each in regions
    }
    for own, other in (regions, regions[::-1]):
        here, there = connections[own.name], connections[other.name]
        admin = Administration(
            region=own.name,
            other_region=other.name,
            state=StateSecret(here.admin_secrets, settings.secret_prefix, secrets.token_bytes),
            records=ClientSecrets(
                here.admin_secrets,
                there.admin_secrets,
                other.name,
                settings.secret_prefix,
                secrets.token_bytes,
            ),
            clock=time.time,
            pause=time.sleep,
        )
        try:
            admin.require_writer()
        except ProblemError as problem:
            if problem.slug == "not-the-writing-region" and own is settings.primary:
                continue
            raise
        break
    key = DeploymentKeySecret(here.admin_secrets, settings.secret_prefix)
    return Halves(admin, pools, key)


def dynamodb(settings: Settings, region: str | None) -> DynamoDBClient:
    """Return a DynamoDB client for *region*, the primary one if `None`."""
    known: dict[str, RegionSettings] = {
        each.name: each for each in (settings.primary, settings.secondary)
    }
    name = region or settings.primary.name
    endpoint_url = known[name].endpoint_url if name in known else None
    return boto3.client("dynamodb", region_name=name, endpoint_url=endpoint_url, config=_TABLE)
