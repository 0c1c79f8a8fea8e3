"""
Fault injection: failing answers of a service, for tests.

A fault names a Region, a service and optionally an action, and is answered in that service's own
protocol. `service` is `secretsmanager`, `cognito-idp`, `token` (Cognito's token endpoint), `jwks`,
`execute-api` or any other name of a credential scope.
"""

import asyncio
import enum
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


class FaultMode(enum.StrEnum):
    """Kind of failure of a call."""

    THROTTLE = "throttle"
    ERROR500 = "error500"
    SLOW = "slow"
    GARBAGE = "garbage"
    DENY = "deny"
    RESET = "reset"


@dataclass(slots=True)
class Fault:
    """Fault rule; the oldest matching rule that is not used up applies."""

    number: int
    region: str | None
    service: str
    mode: FaultMode
    action: str | None = None
    delay: float = 0.0
    times: int | None = None
    probability: float = 1.0

    def matches(self, region: str | None, service: str, action: str) -> bool:
        """Return whether the rule matches this call, even if it is used up."""
        return (
            self.region in (None, region)
            and self.service == service
            and self.action in (None, action)
        )


@dataclass(frozen=True, slots=True)
class FaultAnswer:
    """Complete response of a fault."""

    status: int
    content_type: str
    body: bytes


_JSON = "application/json"
_AMZ_JSON = "application/x-amz-json-1.1"
_PAGE = b"<html><head><title>%s</title></head><body><h1>%s</h1></body></html>"
# Error codes per service: throttled, internal, denied.
_AMZ_CODES = {
    "secretsmanager": ("ThrottlingException", "InternalServiceError", "AccessDeniedException"),
    "cognito-idp": ("TooManyRequestsException", "InternalErrorException", "AccessDeniedException"),
}
_OTHER_CODES = ("ThrottlingException", "InternalFailure", "AccessDeniedException")


class Faults:
    """Fault rules in force."""

    def __init__(self, seed: int = 1) -> None:
        """Start without rules; at a probability below 1, the same *seed* fails the same calls."""
        self._rules: list[Fault] = []
        self._made = 0
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def add(self, document: Mapping[str, Any]) -> Fault:
        """
        Add a rule from its JSON document.

        Raises:
            ValueError: If the document has an unknown mode or lacks the service.
        """
        if "service" not in document:
            msg = "a fault needs a service"
            raise ValueError(msg)
        self._made += 1
        fault = Fault(
            number=self._made,
            region=document.get("region"),
            service=document["service"],
            mode=FaultMode(document.get("mode", FaultMode.ERROR500)),
            action=document.get("action"),
            delay=float(document.get("delay", 0)),
            times=document.get("times"),
            probability=float(document.get("probability", 1)),
        )
        self._rules.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def describe(self) -> list[dict[str, Any]]:
        """Return the rules as JSON documents."""
        return [asdict(rule) for rule in self._rules]

    def strike(self, region: str | None, service: str, action: str) -> Fault | None:
        """Return the fault for this call, and count it."""
        for rule in self._rules:
            if rule.times == 0 or not rule.matches(region, service, action):
                continue
            if rule.probability < 1 and self._random.random() >= rule.probability:
                continue
            if rule.times is not None:
                rule.times -= 1
            return rule
        return None


async def wait(fault: Fault) -> None:
    """Wait for the fault's delay."""
    if fault.delay:
        await asyncio.sleep(fault.delay)


def answer(fault: Fault, service: str, action: str) -> FaultAnswer:
    """Return the failing answer of *service*; `slow` and `reset` have none."""
    if fault.mode is FaultMode.GARBAGE:
        return FaultAnswer(200, "text/html", _PAGE % (b"Welcome", b"Welcome"))
    if service in ("token", "jwks"):
        return _plain(fault.mode)
    if service == "execute-api":
        status, message = {
            FaultMode.THROTTLE: (429, "Too Many Requests"),
            FaultMode.DENY: (403, "Forbidden"),
        }.get(fault.mode, (500, "Internal server error"))
        return FaultAnswer(status, _JSON, json.dumps({"message": message}).encode())
    throttled, internal, denied = _AMZ_CODES.get(service, _OTHER_CODES)
    status, code, message = {
        FaultMode.THROTTLE: (400, throttled, "Rate exceeded"),
        FaultMode.DENY: (400, denied, f"User is not authorized to perform: {service}:{action}"),
    }.get(fault.mode, (500, internal, "An internal error occurred"))
    body = json.dumps({"__type": code, "message": message}).encode()
    return FaultAnswer(status, _AMZ_JSON, body)


def _plain(mode: FaultMode) -> FaultAnswer:
    """Answer as a user pool's domain does: its failures are no OAuth responses."""
    if mode is FaultMode.THROTTLE:
        return FaultAnswer(429, "text/plain", b"Rate exceeded")
    if mode is FaultMode.DENY:
        return FaultAnswer(403, "text/html", _PAGE % (b"403 Forbidden", b"403 Forbidden"))
    return FaultAnswer(
        500, "text/html", _PAGE % (b"500 Internal Server Error", b"Internal Server Error")
    )
