"""Log of calls: Region, action and caller. Never bodies, queries or secrets."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs

_MAX_CALLS = 100_000
_SERVICE_OF_TARGET = {
    "secretsmanager": "secretsmanager",
    "AWSCognitoIdentityProviderService": "cognito-idp",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived at a door, with the status of its response."""

    time: float
    door: str
    region: str | None
    service: str
    action: str
    caller: str
    status: int
    fault: str | None = None


class CallLog:
    """Log of the latest calls."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_MAX_CALLS)

    def add(self, call: Call) -> None:
        """Append *call*."""
        self._calls.append(call)

    def clear(self) -> None:
        """Remove every call."""
        self._calls.clear()

    def describe(self) -> list[dict[str, Any]]:
        """Return the calls as JSON documents, oldest first."""
        return [asdict(call) for call in self._calls]


def classify(
    method: str, path: str, query: str, headers: Mapping[str, str], scope_service: str
) -> tuple[str, str]:
    """
    Name the service and the action of a request.

    *scope_service* is the service in the credential scope of its signature, if it has one.
    """
    if path.startswith("/_aws/execute-api/"):
        _, _, api_path = path.removeprefix("/_aws/execute-api/").partition("/")
        return "execute-api", f"{method} /{api_path.partition('/')[2]}"
    if path == "/oauth2/token":
        return "token", method
    if path.endswith("/.well-known/jwks.json"):
        return "jwks", method
    target, _, action = headers.get("x-amz-target", "").partition(".")
    if action:
        return _SERVICE_OF_TARGET.get(target, scope_service or target), action
    action = parse_qs(query).get("Action", [f"{method} {path}"])[0]
    return scope_service or "unknown", action
