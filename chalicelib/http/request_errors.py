"""Errors in administrators' requests, as types with data; `problems` has their texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.errors import OperationError


class UnsignedRequestError(OperationError):
    """The request carries no IAM caller."""


@dataclass(eq=False)
class InvalidFieldsError(OperationError):
    """Some fields are not valid; *fields* maps each to its fault."""

    fields: Mapping[str, str]


class NoChangeError(OperationError):
    """The request changes nothing."""


class InvalidJsonError(OperationError):
    """The body is not a JSON object."""


@dataclass(eq=False)
class BodyTooLargeError(OperationError):
    """The body has more than *limit* bytes."""

    limit: int


class MalformedClientIdError(OperationError):
    """The path has no valid client ID; it is not quoted, as it may be a secret."""


class MalformedSecretIdError(OperationError):
    """The path has no valid secret ID; it is not quoted, as it may be the secret itself."""
