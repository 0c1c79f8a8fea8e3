"""AWS clients with the operator's own role, for what the Lambda never asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.connections import UNREACHABLE
from chalicelib.settings import RegionSettings

Connect = Callable[[str, RegionSettings], Any]
"""Returns a client of a service in a Region."""

_PATIENT = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 2},
    proxies={},
)

T = TypeVar("T")


class NoAnswerError(Exception):
    """AWS did not do what was asked; the message says what it said."""


class UnreachableError(NoAnswerError):
    """Nobody answered at all."""


class AbsentError(NoAnswerError):
    """AWS answered that there is no such thing."""


_ABSENT = frozenset(
    {"ResourceNotFoundException", "NotFoundException", "NoSuchEntity", "NoSuchEntityException"}
)


def connect(service: str, region: RegionSettings) -> Any:  # noqa: ANN401 - one for each service
    """Return a client of *service* in *region*."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name=region.name,
        endpoint_url=region.endpoint_url,
        config=_PATIENT,
    )


def call_aws(call: Callable[[], T]) -> T:
    """
    Return what *call* does.

    Raises:
        AbsentError: If there is no such thing.
        UnreachableError: If nobody answers.
        NoAnswerError: If AWS refuses.
    """
    try:
        return call()
    except ClientError as err:
        error = err.response.get("Error", {})
        kind = AbsentError if error.get("Code") in _ABSENT else NoAnswerError
        raise kind(f"{error.get('Code')}: {error.get('Message')}") from None
    except UNREACHABLE as err:
        raise UnreachableError(type(err).__name__) from None
    except BotoCoreError as err:
        raise NoAnswerError(str(err)) from None
