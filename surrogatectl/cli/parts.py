"""Admin parts with the operator's own role, in the Region that writes."""

from __future__ import annotations

import secrets
import time

from chalicelib.aws.connections import LOST_SECONDS, Connections
from chalicelib.composition.admin import AdminParts
from chalicelib.errors import OperationError
from chalicelib.http.problems import explain
from chalicelib.settings import Settings
from chalicelib.timing import CircuitBreaker
from surrogatectl.cli.common import Failure, Unavailable, operation_failure


def operators_parts(settings: Settings, *, here: Connections, there: Connections) -> AdminParts:
    """Return the admin parts of *settings*' own Region, with the operator's own role."""
    return AdminParts(
        settings=settings,
        here=here,
        there=there,
        clock=time.time,
        pause=time.sleep,
        random_bytes=secrets.token_bytes,
    )


def writing_parts(settings: Settings) -> AdminParts:
    """
    Return the admin parts of the Region that writes.

    Raises:
        Failure: If neither Region writes.
        Unavailable: If the writer is unknown.
    """
    failures: list[OperationError] = []
    for each in (settings, settings.seen_from_the_other_region()):
        parts = operators_parts(
            each,
            here=Connections(each.own),
            there=Connections(each.other, CircuitBreaker(time.time, LOST_SECONDS)),
        )
        try:
            parts.repository.require_writer()
        except OperationError as err:
            failures.append(err)
            continue
        return parts
    message = "\n".join(map(explain, failures))
    if any(isinstance(operation_failure(each), Unavailable) for each in failures):
        raise Unavailable(message)
    raise Failure(f"Neither Region writes.\n{message}")
