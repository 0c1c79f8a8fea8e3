"""AWS clients with the operator's own role, for calls that the Lambda never makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.connections import UNREACHABLE
from chalicelib.settings import RegionSettings

Connect = Callable[[str, RegionSettings], Any]
"""Function that returns a client of a service in a Region."""

_CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 2},
    proxies={},
)

T = TypeVar("T")


class NoAnswerError(Exception):
    """Failed AWS call; the message quotes AWS."""


class UnreachableError(NoAnswerError):
    """AWS call without any answer."""


class AbsentError(NoAnswerError):
    """AWS call about a resource that does not exist."""


_ABSENT = frozenset(
    {"ResourceNotFoundException", "NotFoundException", "NoSuchEntity", "NoSuchEntityException"}
)


def connect(service: str, region: RegionSettings) -> Any:  # noqa: ANN401 - one for each service
    """Return a client of *service* in *region*."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        region_name=region.name,
        endpoint_url=region.endpoint_url,
        config=_CONFIG,
    )


def call_aws(call: Callable[[], T]) -> T:
    """
    Return the result of *call*.

    Raises:
        AbsentError: If the resource does not exist.
        UnreachableError: If AWS does not answer.
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
