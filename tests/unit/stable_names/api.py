"""Names in the answers of both surfaces, read from real answers."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from chalicelib import credentials
from chalicelib.errors import (
    AppClientRefusedError,
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    CallTimedOutError,
    MalformedSecretError,
    OutcomeUnknownError,
    StoreRefusedError,
    StoreUnavailableError,
    UnknownAppClientError,
    VersionConflictError,
    VersionsUsedUpError,
)
from chalicelib.model import ClientId, Status
from deployment.stages import load_config
from deployment.templates import merged
from tests.fakes import Events, Failing, FakeStateStore, use_up
from tests.gateway import Answer, call, event
from tests.stages import PROJECT
from tests.unit.chalicelib.clients.lifecycle_world import LifecycleWorld
from tests.unit.chalicelib.http.api_world import (
    ANOTHER_SECRET,
    DELETED,
    EXAMPLE,
    EXAMPLE_SECRET,
    ApiWorld,
)
from tests.unit.stable_names.names import Names, members
from tests.worlds import ADOPTED, CALLER, EAST

URN: Final = "urn:surrogate-credentials:problem:"
NOBODY: Final = ClientId("sgc_" + "a" * 26)
SECRET_ID: Final = credentials.secret_id(EXAMPLE_SECRET)
ANOTHER_ID: Final = credentials.secret_id(ANOTHER_SECRET)
ENROLLMENT: Final = {"client_name": "billing", "scope": "demo/read"}

Happen = Callable[[ApiWorld], object]


@dataclass(frozen=True)
class Request:
    """Request to the admin API; *client_id* and *secret_id* are those in its path."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    client_id: str = EXAMPLE
    secret_id: str = ANOTHER_ID
    user_arn: str | None = CALLER

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def sent_to(self, api: ApiWorld) -> Answer:
        named = {
            name: getattr(self, name)
            for name in ("client_id", "secret_id")
            if f"{{{name}}}" in self.path
        }
        return call(
            api.app,
            event(
                self.method,
                self.path.format(**named),
                resource=self.path,
                path_parameters=named or None,
                headers=list(self.headers.items()),
                query=list(self.query.items()),
                body=self.body if isinstance(self.body, str | None) else json.dumps(self.body),
                user_arn=self.user_arn,
            ),
        )


ENROLL: Final = Request("POST", "/clients", ENROLLMENT, {"Idempotency-Key": "order-1"})
LIST: Final = Request("GET", "/clients")
SHOW: Final = Request("GET", "/clients/{client_id}", query={"last_used": "true"})
CHANGE: Final = Request("PATCH", "/clients/{client_id}", {"scope": "demo/read"})
DELETE: Final = Request("DELETE", "/clients/{client_id}")
RESTORE: Final = Request("POST", "/clients/{client_id}/restore", client_id=DELETED)
ROTATE: Final = Request("POST", "/clients/{client_id}/secrets")
RETIRE: Final = Request("DELETE", "/clients/{client_id}/secrets/{secret_id}", client_id=ADOPTED)
APP_CLIENTS: Final = Request("POST", "/clients/{client_id}/app-clients", {"older_than_seconds": 0})
DENIALS: Final = Request("GET", "/denials")
CHANGE_DENIALS: Final = Request("POST", "/denials", {"deny": [EXAMPLE]})
DENY: Final = Request("PUT", "/denials/{client_id}")
ALLOW: Final = Request("DELETE", "/denials/{client_id}", client_id=ADOPTED)
OPERATIONS: Final = (
    ENROLL,
    LIST,
    SHOW,
    CHANGE,
    DELETE,
    RESTORE,
    ROTATE,
    RETIRE,
    APP_CLIENTS,
    DENIALS,
    CHANGE_DENIALS,
    DENY,
    ALLOW,
)


def new_api(events: Events | None = None) -> ApiWorld:
    """Return an API whose clients are two hours old."""
    api = ApiWorld(LifecycleWorld(events=events or Events()))
    api.admin.clock.advance(7_200)
    return api


# Problems


def as_it_is(_api: ApiWorld) -> None:
    """Leave the world unchanged."""


def failing(port: Callable[[ApiWorld], Failing], method: str, *errors: Exception) -> Happen:
    def happen(api: ApiWorld) -> None:
        port(api).failures[method].extend(errors)

    return happen


def of_status(status: Status) -> Happen:
    def happen(api: ApiWorld) -> None:
        found = api.admin.store.stored[EXAMPLE]
        api.admin.store.replace(replace(found.value, status=status), found.version)

    return happen


def store(api: ApiWorld) -> Failing:
    return api.admin.store


def state(api: ApiWorld) -> Failing:
    return api.admin.state


def pool(api: ApiWorld) -> Failing:
    return api.admin.east


def endpoint(api: ApiWorld) -> Failing:
    return api.admin.endpoints[EAST]


def standby(api: ApiWorld) -> None:
    api.token.update_state(writer=False)
    api.admin.other_state.stored = FakeStateStore.writing().stored


def fenced(api: ApiWorld) -> None:
    api.token.update_state(writer=False)


def all_denied(api: ApiWorld) -> None:
    use_up(api.admin.denial_stores[EAST])


def used_just_now(api: ApiWorld) -> None:
    for log in api.admin.logs.values():
        log.uses[ANOTHER_ID] = int(api.admin.clock())


def second_cognito_secrets(api: ApiWorld) -> None:
    for each in (api.admin.east, api.admin.west):
        for app_client_id in each.made:
            each.add_secret(app_client_id, "another-cognito-secret")
    api.admin.clock.advance(7_200)


def no_cognito_secrets(api: ApiWorld) -> None:
    for each in (api.admin.east, api.admin.west):
        for made in each.made.values():
            made.secrets.clear()


def enrolled(api: ApiWorld) -> None:
    ENROLL.sent_to(api)


REFUSED: Final = AppClientRefusedError("invalid_client")
PROVOCATIONS: Final[tuple[tuple[Happen, Request], ...]] = (
    (as_it_is, replace(ENROLL, body={"unknown": 1})),
    (as_it_is, replace(ENROLL, body={**ENROLLMENT, "scope": "demo/unknown"})),
    (as_it_is, replace(ENROLL, body="[]")),
    (as_it_is, replace(ENROLL, body="1" * 1_000_000)),
    (enrolled, replace(ENROLL, body={**ENROLLMENT, "client_name": "another"})),
    (as_it_is, replace(LIST, query={"cursor": "of another list"})),
    (as_it_is, replace(LIST, user_arn=None)),
    (as_it_is, replace(SHOW, client_id=NOBODY)),
    (as_it_is, replace(RETIRE, secret_id="abcdefgh")),
    (as_it_is, replace(RESTORE, client_id=NOBODY)),
    (as_it_is, Request("GET", "/clients/and/nothing")),
    (as_it_is, Request("PUT", "/clients")),
    (standby, CHANGE),
    (fenced, CHANGE),
    (of_status(Status.ENROLLING), ROTATE),
    (of_status(Status.DELETED), ROTATE),
    (failing(store, "replace", *[VersionConflictError()] * 20), CHANGE),
    (failing(store, "replace", VersionsUsedUpError()), CHANGE),
    (as_it_is, replace(CHANGE, headers={"If-Match": '"another"'})),
    (failing(pool, "add_secret", UnknownAppClientError()), APP_CLIENTS),
    (second_cognito_secrets, replace(APP_CLIENTS, client_id=ADOPTED)),
    (no_cognito_secrets, APP_CLIENTS),
    (all_denied, CHANGE_DENIALS),
    (as_it_is, replace(RETIRE, client_id=EXAMPLE, secret_id=SECRET_ID)),
    (used_just_now, RETIRE),
    (as_it_is, replace(ROTATE, client_id=ADOPTED)),
    (failing(pool, "unknown_scopes", AppClientsThrottledError()), ENROLL),
    (failing(pool, "unknown_scopes", AppClientsRefusedError("LimitExceededException")), ENROLL),
    (failing(pool, "unknown_scopes", AppClientsUnreachableError()), ENROLL),
    (failing(store, "read", StoreRefusedError("Secrets Manager refused: AccessDenied")), SHOW),
    (failing(store, "read", StoreUnavailableError()), SHOW),
    (failing(store, "read", MalformedSecretError("It is malformed.")), SHOW),
    (failing(store, "read", CallTimedOutError()), SHOW),
    (failing(store, "replace", OutcomeUnknownError()), CHANGE),
    (failing(store, "replace", *[OutcomeUnknownError()] * 20), ENROLL),
    (failing(store, "read", RuntimeError()), SHOW),
    (failing(endpoint, "request_token", *[REFUSED] * 20), APP_CLIENTS),
)


class BrokenLog(Events):
    """Log that fails: no audit line can be written."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        raise OSError


def _provoked() -> Iterator[Answer]:
    for happen, request in PROVOCATIONS:
        api = new_api()
        happen(api)
        yield request.sent_to(api)
    yield LIST.sent_to(new_api(BrokenLog()))


def problems() -> Names:
    """Return every problem of the admin API: its type, status, title and other members."""
    found: dict[str, list[Answer]] = defaultdict(list)
    for answer in _provoked():
        assert answer.headers["Content-Type"] == "application/problem+json", answer
        assert answer.json["status"] == answer.status
        assert answer.json["type"].startswith(URN)
        found[answer.json["type"].removeprefix(URN)].append(answer)
    return {slug: _problem(answers) for slug, answers in found.items()}


def _problem(answers: list[Answer]) -> dict[str, Any]:
    (status,) = {answer.status for answer in answers}
    (title,) = {answer.json["title"] for answer in answers}
    return {
        "status": status,
        "title": title,
        "members": members(answer.json for answer in answers),
        "fields": sorted(
            {each["field"] for answer in answers for each in answer.json.get("errors", [])}
        ),
        "headers": sorted({name for answer in answers for name in answer.headers}),
    }


def gateways_own() -> Names:
    """Return API Gateway's own responses, as configured for `chalice`."""
    found: dict[str, dict[str, Any]] = {}
    config = load_config(PROJECT)
    for stage in sorted(config["stages"]):
        for resource in merged(config, stage)["Resources"].values():
            for name, response in _responses(resource):
                template = response["ResponseTemplates"]["application/json"]
                kind = re.search(r'"(?:type|error)": "([^"]+)"', template)
                assert kind
                status = response.get("StatusCode", "the gateway's")
                found.setdefault(f"merge-{stage}", {})[name] = f"{kind[1]}, status {status}"
    return found


def _responses(part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(part, dict):
        for name, value in part.items():
            if isinstance(value, dict) and "ResponseTemplates" in value:
                yield name, value
            else:
                yield from _responses(value)


# Requests and their answers


def admin_api() -> Names:
    """Return the requests and answers of each operation."""
    return {str(request): _operation(request) for request in OPERATIONS}


def _operation(request: Request) -> dict[str, Any]:
    answers = [request.sent_to(new_api())]
    if request is DELETE:
        api = new_api()
        api.admin.west.failures["delete"].append(AppClientsUnreachableError())
        answers.append(request.sent_to(api))
    assert all(200 <= answer.status < 300 for answer in answers), answers
    return {
        "statuses": sorted({answer.status for answer in answers}),
        "members": members(answer.json for answer in answers),
        "headers": sorted({name for answer in answers for name in answer.headers}),
        "request members": _taken(request),
        "request parameters": _known(replace(request, query={"unknown?": "1"}), "unknown?"),
        "request headers": _headers(request),
    }


def _known(request: Request, name: str) -> list[str]:
    """Return the known names, as listed in the problem for an unknown one."""
    told = _wrong(request).get(name, "")
    _, _, known = told.partition("known are ")
    return known.split(", ") if known else []


@cache
def _candidates() -> frozenset[str]:
    """Return every member that any operation names as known."""
    asked = (_known(replace(each, body={"unknown?": 1}), "unknown?") for each in OPERATIONS)
    return frozenset(name for known in asked for name in known)


def _taken(request: Request) -> list[str]:
    """Return the accepted members of the body: those reported as invalid and not as unknown."""
    told = _wrong(replace(request, body={name: [{}] for name in _candidates()}))
    return sorted(
        name
        for name, detail in told.items()
        if name in _candidates() and not detail.startswith("is unknown")
    )


def _headers(request: Request) -> list[str]:
    """Return the effective headers: those that are refused if invalid."""
    malformed = {"If-Match": "none", "Idempotency-Key": "\t"}
    return sorted(_wrong(replace(request, headers=malformed)).keys() & malformed.keys())


def _wrong(request: Request) -> dict[str, str]:
    content = request.sent_to(new_api()).json
    return {each["field"]: each["detail"] for each in content.get("errors", [])}


def routes() -> Names:
    """Return every path with its methods."""
    return {path: sorted(methods) for path, methods in ApiWorld().app.routes.items()}
