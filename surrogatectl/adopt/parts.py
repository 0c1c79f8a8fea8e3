"""Wires adoption to AWS, with the operator's own role."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from chalicelib.aws.cognito_app_clients import app_client_name
from chalicelib.credentials import SecretHasher
from chalicelib.model import ClientId
from chalicelib.settings import RegionSettings, Settings
from chalicelib.timing import RateLimiter
from surrogatectl.adopt.examine import PER_SECOND, Examiner
from surrogatectl.adopt.plan import Terms
from surrogatectl.adopt.write import Adopter
from surrogatectl.cli.audit import Audit, unaudited
from surrogatectl.cli.common import Conflict
from surrogatectl.cli.parts import writing_parts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TABLE = Config(retries={"mode": "standard", "total_max_attempts": 5}, proxies={})


@dataclass(frozen=True, slots=True)
class Parts:
    """The two steps of adoption."""

    examine: Examiner
    adopt: Adopter


def adoption_parts(settings: Settings, terms: Terms, audit: Audit = unaudited) -> Parts:
    """
    Return the parts, at work in the Region that writes; *audit* is told what they do.

    Raises:
        Failure: If no Region says that it writes, or does not answer, or the
            secondary one does.
    """
    names = (settings.primary.name, settings.secondary.name)
    parts = writing_parts(settings)
    if parts.repository.secondary:
        raise Conflict(
            "While the secondary Region writes, nobody is adopted: adopt after "
            "`surrogatectl failback`."
        )
    return Parts(
        Examiner(
            parts.app_clients,
            parts.endpoints,
            {name: RateLimiter(PER_SECOND, time.monotonic, time.sleep) for name in names},
            names,
            app_client_name(settings.secret_prefix, ClientId("")),
            terms,
        ),
        Adopter(
            parts.app_clients,
            SecretHasher(secrets.token_bytes),
            secrets.token_bytes,
            names,
            audit,
        ),
    )


def dynamodb(settings: Settings, region: str | None) -> DynamoDBClient:
    """Return a DynamoDB client for *region*, the primary one if `None`."""
    known: dict[str, RegionSettings] = {
        each.name: each for each in (settings.primary, settings.secondary)
    }
    name = region or settings.primary.name
    endpoint_url = known[name].endpoint_url if name in known else None
    return boto3.client("dynamodb", region_name=name, endpoint_url=endpoint_url, config=_TABLE)
