"""All checks of `doctor`, in an order that people can read."""

from __future__ import annotations

from collections.abc import Iterator

from chalicelib.errors import ServiceError
from surrogatectl.cli.configuration import ROLES
from surrogatectl.cli.findings import Finding, failed
from surrogatectl.cli.operators import NoAnswerError, UnreachableError
from surrogatectl.doctor.both import TOGETHER, name
from surrogatectl.doctor.context import DoctorContext
from surrogatectl.doctor.identity import IDENTITY
from surrogatectl.doctor.region import PER_REGION, region_answers


def examine(context: DoctorContext) -> Iterator[Finding]:
    """Make every check; what a lost Region keeps from being seen is said once."""
    lost = 0
    for role, region in zip(ROLES, context.regions, strict=True):
        try:
            yield from region_answers(context, role, region)
        except UnreachableError as err:
            lost += 1
            yield failed(
                "region",
                region.name,
                f"The Region does not answer ({err}); nothing else was looked at there.",
                "If it is down for others too, `surrogatectl status` tells what to do. Else check "
                "your network.",
            )
            continue
        for check in (*PER_REGION, *IDENTITY):
            yield from _made(check.__name__, region.name, check(context, role, region))
    for both in TOGETHER:
        if not lost or both is name:
            yield from _made(both.__name__, None, both(context))


def _made(check: str, region: str | None, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except (NoAnswerError, ServiceError) as err:
        yield failed(
            check.replace("_", " "),
            region,
            f"It cannot be looked at: {err or type(err).__name__}.",
            "Give your role infra/operators-policy.json, or look again when AWS answers.",
        )
