"""What every administrators' use case shares: who may write, and how failures are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import (
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    MalformedSecretError,
    ProblemError,
    StoreRefusedError,
    StoreUnavailableError,
    VersionConflictError,
)
from .ports import StateStore

RETRY_SECONDS = 5


def require_writer(state: StateStore, region: str, other_region: str) -> None:
    """
    Make sure that administrators' changes are made in *region*.

    Raises:
        ProblemError: If they are made in the other one; it says so.
        ServiceError: If the Region's state cannot be read.
    """
    if not state.read().value.writer:
        raise ProblemError(
            409,
            "not-the-writing-region",
            "This Region does not write",
            f"{region} is the standby. Send the request to the admin endpoint in "
            f"{other_region}, which writes; or fail over to {region} first.",
            extensions={"region": region, "writing_region": other_region},
        )


@contextmanager
def store_problems(region: str) -> Iterator[None]:
    """Turn what Secrets Manager's adapters raise into problems that name *region*."""
    try:
        yield
    except StoreUnavailableError:
        raise ProblemError(
            503,
            "store-unavailable",
            "Secrets Manager does not answer",
            f"Secrets Manager in {region} does not answer or throttles. Nothing was changed "
            "that a repeat of the request would not find. Try again.",
            retry_after=RETRY_SECONDS,
        ) from None
    except StoreRefusedError as err:
        raise ProblemError(
            500,
            "store-refused",
            "Secrets Manager refuses",
            f"In {region}: {err}. Check the role's policy and the key.",
        ) from None
    except MalformedSecretError as err:
        raise ProblemError(
            500,
            "malformed-secret",
            "A stored secret is missing or malformed",
            f"In {region}: {err} If this is a new deployment, run `surrogatectl init`.",
        ) from None
    except VersionConflictError:
        raise conflict() from None


def conflict() -> ProblemError:
    """Return the problem of a write that lost against another."""
    return ProblemError(
        409,
        "conflict",
        "Somebody else changed it at the same time",
        "Nothing was changed by this request. Read the client again and repeat.",
        retry_after=1,
    )


def cognito_problem(
    region: str,
    err: AppClientsUnreachableError | AppClientsThrottledError | AppClientsRefusedError,
) -> ProblemError:
    """Return the problem that Cognito of *region* raised."""
    match err:
        case AppClientsUnreachableError():
            return ProblemError(
                503,
                "cognito-unavailable",
                "Cognito does not answer",
                f"Cognito in {region} does not answer. Try again.",
                retry_after=RETRY_SECONDS,
            )
        case AppClientsThrottledError():
            return ProblemError(
                429,
                "cognito-throttled",
                "Cognito asks to slow down",
                f"Cognito in {region} throttles. Try again, more slowly.",
                retry_after=RETRY_SECONDS,
            )
    if err.code == "LimitExceededException":
        detail = f"The user pool in {region} is full: raise its quota of app clients."
    else:
        detail = f"The user pool in {region} answered {err.code}."
    return ProblemError(502, "cognito-refused", "Cognito refuses", detail)
