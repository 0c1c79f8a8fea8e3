"""The OpenAPI document agrees with the code: routes, limits, problems, and every failure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from chalice.app import IAMAuthorizer
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from chalicelib import credentials, errors
from chalicelib.clients import deletion, denials, rotation
from chalicelib.clients.app_client_rotation import Step
from chalicelib.clients.errors import AppClientPendingError, DeletionUnfinishedError
from chalicelib.errors import (
    AppClientRefusedError,
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    CallTimedOutError,
    ClientExistsError,
    LogUnavailableError,
    MalformedSecretError,
    OAuthError,
    OutcomeUnknownError,
    StoreRefusedError,
    StoreUnavailableError,
    TokenEndpointUnavailableError,
    TokenNotIssuedError,
    UnknownAppClientError,
    UnknownClientError,
    VersionConflictError,
    VersionsUsedUpError,
)
from chalicelib.http import admin_requests
from chalicelib.http import problems as problems_table
from chalicelib.http.problem import TYPE_PREFIX
from chalicelib.jwks.document import document as document_of
from chalicelib.model import Origin, Replication, Status
from chalicelib.token import oauth
from chalicelib.token.allowances import TOKEN_REQUESTS_AT_ONCE
from tests.fake_keys import both_pools
from tests.fakes import Events, Failing, FakeStateStore, use_up
from tests.gateway import PUBLIC_URL, Answer, basic, call, event
from tests.unit.chalicelib.clients.lifecycle_world import LifecycleWorld
from tests.unit.chalicelib.http.api_world import (
    ANOTHER_SECRET,
    DELETED,
    DOCUMENT,
    EXAMPLE,
    EXAMPLE_SECRET,
    ApiWorld,
    document,
)
from tests.worlds import ADOPTED, CALLER, EAST, WEST

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
Operation = tuple[str, str]  # method, path


@cache
def loaded() -> dict[str, Any]:
    return document()


def resolved(part: Any) -> Any:
    """Return *part* of the document, resolved if it is a reference."""
    while "$ref" in part and part["$ref"].startswith("#/components/"):
        found: Any = loaded()
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def schema(name: str) -> Any:
    return loaded()["components"]["schemas"][name]


def operations() -> dict[Operation, Any]:
    """Return the documented operations, by method and path."""
    return {
        (method.upper(), path): operation
        for path, item in loaded()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def routes() -> dict[Operation, Any]:
    """Return the registered routes, by method and path."""
    return {
        (method, path): route
        for path, methods in ApiWorld().app.routes.items()
        for method, route in methods.items()
    }


def validator(part: Any) -> jsonschema_rs.Draft202012Validator:
    """Return the validator of a schema in the document."""
    return jsonschema_rs.Draft202012Validator({**part, "components": loaded()["components"]})


def assert_documented(answer: Answer, response: Any) -> None:
    """Assert that *answer* has the type, the headers and the body of the documented *response*."""
    if "content" in response:
        content = response["content"][answer.headers["Content-Type"]]
        validator({**content["schema"], "unevaluatedProperties": False}).validate(answer.json)
        if "status" in answer.json and answer.status >= 400 and "type" in answer.json:
            assert answer.json["status"] == answer.status
    else:
        assert not answer.body
    documented = {name.lower(): resolved(header) for name, header in response["headers"].items()}
    sent = {name.lower(): value for name, value in answer.headers.items()}
    assert sent.keys() - {"content-type"} <= documented.keys()
    for name, header in documented.items():
        assert name in sent or not header.get("required")
        if name in sent:
            whole = header["schema"]["type"] == "integer"
            validator(header["schema"]).validate(int(sent[name]) if whole else sent[name])


# The document


def test_the_document_is_valid_openapi() -> None:
    assert loaded()["openapi"].startswith("3.1.")
    validate(document(), cls=OpenAPIV31SpecValidator)


def test_no_component_is_superfluous() -> None:
    text = DOCUMENT.read_text()
    for kind, components in loaded()["components"].items():
        for name in components:
            used = f"#/components/{kind}/{name}'" in text
            assert used or kind == "securitySchemes", name


def media_types(part: Any) -> Iterator[Any]:
    """Yield every media type object below *part*."""
    if isinstance(part, list):
        for each in part:
            yield from media_types(each)
    elif isinstance(part, dict):
        yield from part.get("content", {}).values()
        for each in part.values():
            yield from media_types(each)


def test_every_example_fits_its_schema() -> None:
    seen = 0
    for media_type in media_types(loaded()):
        part = {**media_type["schema"], "unevaluatedProperties": False}
        for example in media_type.get("examples", {}).values():
            validator(part).validate(resolved(example)["value"])
            seen += 1
    assert seen > 30


def schemas(part: Any) -> Iterator[Any]:
    """Yield every schema below *part* that has a type, a pattern or a default."""
    if isinstance(part, list):
        for each in part:
            yield from schemas(each)
    elif isinstance(part, dict):
        if isinstance(part.get("type"), (str, list)) or "default" in part:
            yield part
        for each in part.values():
            yield from schemas(each)


def test_every_default_fits_its_schema() -> None:
    defaults = [part for part in schemas(loaded()) if "default" in part and "type" in part]
    assert {part["default"] for part in defaults} >= {100, 30, 604_800, 3_600}
    for part in defaults:
        validator(part).validate(part["default"])


def test_every_parameters_example_fits_its_schema() -> None:
    parameters = [
        resolved(parameter)
        for item in loaded()["paths"].values()
        for part in [item, *(item[method] for method in METHODS & item.keys())]
        for parameter in part.get("parameters", [])
    ]
    examples = [each for each in parameters if "example" in each]
    assert {each["name"] for each in examples} == {"client_id", "secret_id", "Idempotency-Key"}
    for each in examples:
        validator(each["schema"]).validate(each["example"])


def test_example_credentials_are_obviously_fictitious() -> None:
    for secret in (EXAMPLE_SECRET, ANOTHER_SECRET):
        assert credentials.is_client_secret(secret)
        assert "MadeUp" in secret
        assert credentials.secret_id(secret) in DOCUMENT.read_text()
    assert "madeup" in EXAMPLE
    example = loaded()["components"]["examples"]["IssuedClient"]["value"]
    assert (example["client_id"], example["client_secret"]) == (EXAMPLE, EXAMPLE_SECRET)
    assert example["secret_id"] == credentials.secret_id(EXAMPLE_SECRET)


# Routes


def test_every_documented_operation_is_a_route() -> None:
    assert operations().keys() <= routes().keys()


def test_every_route_is_documented_or_answers_405() -> None:
    others = {
        (method, path)
        for method, path in routes().keys() - operations().keys()
        if (method, ("GET", path) in operations()) != ("HEAD", True)
    }
    assert {path for _, path in others} == {"/oauth2/token"}
    for method, path in others:
        response = resolved(loaded()["paths"][path]["x-other-methods"])
        answer = call(ApiWorld().app, event(method, path))
        assert answer.status == 405
        if method != "HEAD":
            assert_documented(answer, response)


def test_head_is_documented_in_general_and_a_route_wherever_get_is() -> None:
    assert "HEAD is answered wherever GET is" in loaded()["info"]["description"]
    for method, path in operations():
        assert method != "GET" or ("HEAD", path) in routes()


def test_an_operation_has_its_views_name() -> None:
    for key, operation in operations().items():
        assert operation["operationId"] == routes()[key].view_name


def test_operations_signed_with_iam_are_marked() -> None:
    for key, operation in operations().items():
        iam = isinstance(routes()[key].authorizer, IAMAuthorizer)
        assert (operation["security"] == [{"sigv4": []}]) is iam
        assert ("servers" in loaded()["paths"][key[1]]) is iam


def test_the_parameters_of_a_path_are_those_of_its_route() -> None:
    for key in operations():
        item = loaded()["paths"][key[1]]
        named = [resolved(each)["name"] for each in item.get("parameters", [])]
        assert named == routes()[key].view_args


# Constants


def test_limits_agree_with_the_code() -> None:
    assert schema("ClientName")["maxLength"] == admin_requests.MAX_NAME
    assert schema("Cidrs")["maxItems"] == admin_requests.MAX_CIDRS
    assert schema("ExpiresAt")["maximum"] == admin_requests.MAX_TIME
    overlap = schema("RotationRequest")["properties"]["overlap_seconds"]
    assert overlap["maximum"] == rotation.MAX_OVERLAP_SECONDS
    assert overlap["default"] == rotation.DEFAULT_OVERLAP_SECONDS
    age = schema("AppClientRotationRequest")["properties"]["older_than_seconds"]
    assert age["maximum"] == admin_requests.MAX_AGE_SECONDS
    assert age["default"] == admin_requests.DEFAULT_AGE_SECONDS
    for name in ("deny", "allow"):
        assert schema("DenialsRequest")["properties"][name]["maxItems"] == denials.MAX_CHANGED
    assert schema("Scope")["pattern"].endswith(f"{{0,{admin_requests.MAX_SCOPES - 1}}}$")
    query = {each["name"]: each["schema"] for each in operations()["GET", "/clients"]["parameters"]}
    assert query["limit"]["maximum"] == query["limit"]["default"] == admin_requests.MAX_PAGE
    assert query["cursor"]["maxLength"] == admin_requests.MAX_CURSOR
    days = operations()["DELETE", "/clients/{client_id}"]["parameters"][0]["schema"]
    assert days["minimum"] == deletion.MIN_RECOVERY_DAYS
    assert days["maximum"] == days["default"] == deletion.MAX_RECOVERY_DAYS


def test_an_unknown_member_is_answered_with_all_documented_ones() -> None:
    seen = 0
    for (method, path), operation in operations().items():
        body = resolved(operation.get("requestBody", {}))
        media_type = body.get("content", {}).get("application/json")
        if media_type is None:
            continue
        named: dict[str, str] | None = {"client_id": EXAMPLE} if "{client_id}" in path else None
        sent = event(
            method,
            path,
            resource=path,
            path_parameters=named,
            body='{"unknown":1}',
            user_arn=CALLER,
        )
        (told,) = (
            each["detail"]
            for each in call(ApiWorld().app, sent).json["errors"]
            if each["field"] == "unknown"
        )
        members = sorted(resolved(media_type["schema"])["properties"])
        assert told == f"is unknown; known are {', '.join(members)}"
        seen += 1
    assert seen == 5


def test_body_sizes_agree_with_the_code() -> None:
    bodies = loaded()["components"]["requestBodies"].values()
    assert all(f"{admin_requests.MAX_BODY_BYTES:,} bytes" in body["description"] for body in bodies)
    token = operations()["POST", "/oauth2/token"]["requestBody"]
    assert f"{oauth.MAX_BODY_BYTES:,} bytes" in token["description"]
    assert schema("TokenRequest")["maxProperties"] == oauth._MAX_PARAMETERS


def test_patterns_agree_with_the_code() -> None:
    client_id = f"({credentials.CLIENT_ID.pattern}|{credentials.ADOPTED_CLIENT_ID.pattern})"
    assert schema("ClientId")["pattern"] == f"^{client_id}$"
    assert schema("TokenRequest")["properties"]["client_id"]["pattern"] == f"^{client_id}?$"
    assert schema("ClientSecret")["pattern"] == f"^{credentials.CLIENT_SECRET.pattern}$"


def test_enumerations_agree_with_the_code() -> None:
    assert schema("Status")["enum"] == list(Status)
    assert schema("Origin")["enum"] == list(Origin)
    assert schema("Replication")["enum"] == list(Replication)
    steps = schema("AppClientSteps")["properties"]["app_clients"]["additionalProperties"]
    assert steps["enum"] == list(Step)
    metadata = operations()["GET", "/.well-known/oauth-authorization-server"]["responses"]["200"]
    example = metadata["content"]["application/json"]["examples"]["metadata"]["value"]
    assert example == oauth.metadata(PUBLIC_URL)


def test_oauth_errors_agree_with_the_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = {kind.error for kind in kinds if issubclass(kind, OAuthError) and kind != OAuthError}
    assert set(schema("OAuthError")["properties"]["error"]["enum"]) == raised


# Problems


def slugs_of_the_table() -> set[str]:
    """Return the slugs of the admin surface, without those of operators' commands only."""
    only_operators = {AppClientPendingError, DeletionUnfinishedError}
    answered = (kind for error, kind in problems_table.KINDS.items() if error not in only_operators)
    return {problems_table.INTERNAL.slug, *(kind.slug for kind in answered)}


class BrokenLog(Events):
    """Log that fails: no audit line can be written."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        raise OSError


def slugs_of_chalices_own_answers() -> set[str]:
    """Return the slugs that replace Chalice's only three answers for the application's routes."""
    world = ApiWorld()
    unknown = call(world.app, event("GET", "/clients/and/nothing"))
    method = call(world.app, event("PUT", "/clients"))
    crash = call(ApiWorld(LifecycleWorld(events=BrokenLog())).app, event("GET", "/clients"))
    assert [answer.status for answer in (unknown, method, crash)] == [404, 405, 500]
    return {slug(answer) for answer in (unknown, method, crash)}


def slug(answer: Answer) -> str:
    return str(answer.json["type"]).removeprefix(TYPE_PREFIX)


def documented_slugs(part: Any) -> set[str]:
    kinds = part.get("enum") or [part["const"]]
    assert all(kind.startswith(TYPE_PREFIX) for kind in kinds)
    return {kind.removeprefix(TYPE_PREFIX) for kind in kinds}


def test_problem_types_agree_with_the_code() -> None:
    documented = documented_slugs(schema("Problem")["properties"]["type"])
    assert documented == slugs_of_the_table() | slugs_of_chalices_own_answers()


def problems() -> Iterator[tuple[Operation, str, set[str]]]:
    """Yield the slugs of each operation by status."""
    for key, operation in operations().items():
        for status, response in operation["responses"].items():
            content = resolved(response).get("content", {}).get("application/problem+json")
            if content is not None:
                part = content["schema"]
                assert part["$ref"] == "#/components/schemas/Problem"
                yield key, status, documented_slugs(part["properties"]["type"])


def test_every_problem_type_is_a_response_of_some_operation() -> None:
    of_operations = set().union(*(slugs for _, _, slugs in problems()))
    # These two are answers to requests that are no operation.
    elsewhere = {"not-found", "method-not-allowed"}
    assert of_operations | elsewhere == documented_slugs(schema("Problem")["properties"]["type"])


def test_a_problem_type_has_one_status() -> None:
    statuses = defaultdict(set)
    for _, status, slugs in problems():
        for each in slugs:
            statuses[each].add(status)
    assert all(len(each) == 1 for each in statuses.values())


def test_a_response_description_names_its_problem_types() -> None:
    for key, operation in operations().items():
        for status, response in operation["responses"].items():
            content = resolved(response).get("content", {}).get("application/problem+json")
            if content is not None and status != "403":
                slugs = documented_slugs(content["schema"]["properties"]["type"])
                assert all(f"`{each}`" in resolved(response)["description"] for each in slugs), key


# Failures

JSON = ("Content-Type", "application/json")
ENROLLMENT: Operation = ("POST", "/clients")
APP_CLIENTS: Operation = ("POST", "/clients/{client_id}/app-clients")
REQUESTS: dict[Operation, dict[str, Any]] = {
    ("POST", "/oauth2/token"): {
        "headers": [("Content-Type", oauth.FORM), basic(EXAMPLE, EXAMPLE_SECRET)],
        "body": "grant_type=client_credentials",
    },
    ("GET", "/.well-known/jwks.json"): {},
    ("GET", "/health/ready"): {},
    ("GET", "/health/takeover"): {},
    ("POST", "/clients"): {
        "body": {"client_name": "billing", "scope": "demo/read"},
        "headers": [("Idempotency-Key", "order-1")],
    },
    ("GET", "/clients"): {},
    ("GET", "/clients/{client_id}"): {"query": [("last_used", "true")]},
    ("PATCH", "/clients/{client_id}"): {"body": {"scope": "demo/read demo/more"}},
    ("DELETE", "/clients/{client_id}"): {},
    ("POST", "/clients/{client_id}/restore"): {"client_id": DELETED},
    ("POST", "/clients/{client_id}/secrets"): {},
    ("DELETE", "/clients/{client_id}/secrets/{secret_id}"): {
        "client_id": ADOPTED,
        "secret_id": credentials.secret_id(ANOTHER_SECRET),
    },
    ("POST", "/clients/{client_id}/app-clients"): {"body": {"older_than_seconds": 0}},
    ("GET", "/denials"): {},
    ("POST", "/denials"): {"body": {"deny": [EXAMPLE]}},
    ("PUT", "/denials/{client_id}"): {},
    ("DELETE", "/denials/{client_id}"): {"client_id": ADOPTED},
}
OUTAGE: list[Exception] = [
    StoreUnavailableError(),
    StoreRefusedError("Secrets Manager refused: AccessDenied"),
    CallTimedOutError(),
]
COGNITO: list[Exception] = [
    AppClientsUnreachableError(),
    AppClientsThrottledError(),
    AppClientsRefusedError("LimitExceededException"),
    AppClientsRefusedError("InvalidParameterException"),
    CallTimedOutError(),
]
CHANGED: list[Exception] = [
    VersionConflictError(),
    VersionsUsedUpError(),
    UnknownClientError(),
    OutcomeUnknownError(),
]
NONE: list[Exception] = [UnknownAppClientError()]
# The documented errors of each port's methods.
STORE: Mapping[str, list[Exception]] = {
    "read": [UnknownClientError(), MalformedSecretError("The stored JSON is wrong."), *OUTAGE],
    "create": [ClientExistsError(), *OUTAGE],
    "replace": [*CHANGED, *OUTAGE],
    "replicate": [UnknownClientError(), *OUTAGE],
    "replication": [UnknownClientError(), *OUTAGE],
    "list": OUTAGE,
    "unreplicate": [UnknownClientError(), *OUTAGE],
    "schedule_deletion": OUTAGE,
    "cancel_deletion": [UnknownClientError(), *OUTAGE],
}
STATE: Mapping[str, list[Exception]] = {
    "read": [MalformedSecretError("The Region's state is missing."), *OUTAGE],
    "replace": [VersionConflictError(), OutcomeUnknownError(), *OUTAGE],
}
DENIALS: Mapping[str, list[Exception]] = {
    "read": [MalformedSecretError("A shard is missing."), *OUTAGE],
    "read_all": [MalformedSecretError("A shard is missing."), *OUTAGE],
    "replace": [VersionConflictError(), OutcomeUnknownError(), *OUTAGE],
}
KEY: Mapping[str, list[Exception]] = {"read": STATE["read"]}
SNAPSHOT: Mapping[str, list[Exception]] = {"read": STATE["read"]}
POOL: Mapping[str, list[Exception]] = {
    "unknown_scopes": COGNITO,
    "create": COGNITO,
    "delete": COGNITO,
    "describe": [*NONE, *COGNITO],
    "align": [*NONE, *COGNITO],
    "secrets": [*NONE, *COGNITO],
    "add_secret": [*NONE, *COGNITO],
    "delete_secret": [*NONE, *COGNITO],
}
ENDPOINT: Mapping[str, list[Exception]] = {
    "request_token": [AppClientRefusedError("invalid_client"), TokenEndpointUnavailableError()]
}
LOG: Mapping[str, list[Exception]] = {"last_uses": [LogUnavailableError()]}


def new_world() -> ApiWorld:
    world = LifecycleWorld()
    world.east.scopes = world.west.scopes = frozenset({"demo/read", "demo/write", "demo/more"})
    api = ApiWorld(world)
    world.denials.change([ADOPTED], [])
    world.clock.advance(7_200)
    return api


def ports(api: ApiWorld) -> list[tuple[Failing, Mapping[str, list[Exception]]]]:
    """Return every call that can fail, with its errors."""
    world = api.admin
    return [
        (world.store, STORE),
        (world.state, STATE),
        (world.denial_stores[EAST], DENIALS),
        (api.token.denied, DENIALS),
        (world.key, KEY),
        (api.token.keys, SNAPSHOT),
        (world.east, POOL),
        (world.west, POOL),
        (world.endpoints[EAST], ENDPOINT),
        (world.endpoints[WEST], ENDPOINT),
        (api.token.endpoint, ENDPOINT),
        (world.logs[EAST], LOG),
        (world.logs[WEST], LOG),
    ]


def send(api: ApiWorld, operation: Operation, **changes: Any) -> Answer:
    """Send a request that gets as far as the use case."""
    request = {"client_id": EXAMPLE, **REQUESTS[operation], **changes}
    method, path = operation
    named = {name: request[name] for name in ("client_id", "secret_id") if f"{{{name}}}" in path}
    body = request.get("body")
    return call(
        api.app,
        event(
            method,
            path.format(**named),
            resource=path,
            path_parameters=named or None,
            headers=request.get("headers", [JSON]),
            query=request.get("query", []),
            body=json.dumps(body) if isinstance(body, dict) else body,
            user_arn=request.get("user_arn", CALLER),
        ),
    )


def assert_answer_is_documented(answer: Answer, operation: Operation) -> None:
    responses = operations()[operation]["responses"]
    assert str(answer.status) in responses, answer
    assert_documented(answer, resolved(responses[str(answer.status)]))


each_operation = pytest.mark.parametrize("operation", REQUESTS, ids=" ".join)
World = Callable[[ApiWorld], object]


def as_it_is(_api: ApiWorld) -> None:
    """Leave the world unchanged."""


def app_clients_rotating(api: ApiWorld) -> None:
    send(api, APP_CLIENTS)


def app_clients_replicated(api: ApiWorld) -> None:
    app_clients_rotating(api)
    send(api, APP_CLIENTS)
    api.admin.clock.advance(7_200)


def enrolled_with_the_same_key(api: ApiWorld) -> None:
    send(api, ENROLLMENT)


def half_deleted(api: ApiWorld) -> None:
    api.admin.west.failures["delete"].append(AppClientsUnreachableError())
    api.admin.deletion.delete(EXAMPLE, 30)


# States that an operation continues from, beside its usual start.
UNDER_WAY: dict[Operation, list[World]] = {
    ENROLLMENT: [enrolled_with_the_same_key],
    APP_CLIENTS: [app_clients_rotating, app_clients_replicated],
    ("GET", "/clients/{client_id}"): [half_deleted],
    ("DELETE", "/clients/{client_id}"): [half_deleted],
}


def failures(operation: Operation) -> Iterator[ApiWorld]:
    """Yield worlds in which a call of *operation* fails, once or permanently."""
    for begin in [as_it_is, *UNDER_WAY.get(operation, [])]:
        api = begun(begin)
        for port, _ in ports(api):
            port.calls.clear()
        send(api, operation)
        for index, (port, raises) in enumerate(ports(api)):
            for name in raises:
                for count in range(port.calls.count(name)):
                    for error in raises[name]:
                        if isinstance(error, CallTimedOutError) and not is_admin(operation):
                            continue  # only administrators' connections have a time budget
                        for times in (1, 20):
                            other = begun(begin)
                            failing, _ = ports(other)[index]
                            failing.failures[name] = [*[None] * count, *[error] * times]
                            yield other


def is_admin(operation: Operation) -> bool:
    return operation[1].startswith(("/clients", "/denials"))


def begun(begin: World) -> ApiWorld:
    api = new_world()
    begin(api)
    return api


def standby(api: ApiWorld) -> None:
    api.token.update_state(writer=False)
    api.admin.other_state.stored = FakeStateStore.writing().stored


def fenced(api: ApiWorld) -> None:
    api.token.update_state(writer=False)


def no_clients(api: ApiWorld) -> None:
    api.admin.store.stored.clear()


def of_status(status: Status) -> World:
    def change(api: ApiWorld) -> None:
        for client_id, found in api.admin.store.stored.items():
            api.admin.store.scheduled.discard(client_id)
            api.admin.store.replace(replace(found.value, status=status), found.version)

    return change


def all_denied(api: ApiWorld) -> None:
    use_up(api.admin.denial_stores[EAST])


def used_just_now(api: ApiWorld) -> None:
    now = int(api.admin.clock())
    for log in api.admin.logs.values():
        log.uses[credentials.secret_id(ANOTHER_SECRET)] = now


def second_cognito_secrets(api: ApiWorld) -> None:
    for pool in (api.admin.east, api.admin.west):
        for app_client_id in pool.made:
            pool.add_secret(app_client_id, "another-cognito-secret")
    api.admin.clock.advance(7_200)


def no_cognito_secrets(api: ApiWorld) -> None:
    for pool in (api.admin.east, api.admin.west):
        for made in pool.made.values():
            made.secrets.clear()


def crash(api: ApiWorld) -> None:
    for port, raises in ports(api):
        for name in raises:
            port.failures[name].append(RuntimeError())


def took_over(api: ApiWorld) -> None:
    api.token.update_state(took_over=True)


def asked_too_often(api: ApiWorld) -> None:
    operation: Operation = ("POST", "/oauth2/token")
    api.token.endpoint.failures["request_token"] = [TokenNotIssuedError()] * 99
    for _ in range(TOKEN_REQUESTS_AT_ONCE):
        send(api, operation)


WORLDS: list[World] = [
    as_it_is,
    asked_too_often,
    standby,
    fenced,
    no_clients,
    of_status(Status.ENROLLING),
    of_status(Status.DISABLED),
    of_status(Status.DELETED),
    all_denied,
    used_just_now,
    second_cognito_secrets,
    no_cognito_secrets,
    crash,
    took_over,
]
# Requests other than the one that reaches the use case.
CHANGES: list[dict[str, Any]] = [
    {"client_id": "none"},
    {"client_id": "sgc_" + "a" * 26},
    {"client_id": ADOPTED},
    {"client_id": EXAMPLE, "secret_id": credentials.secret_id(EXAMPLE_SECRET)},
    {"secret_id": "abcdefgh"},
    {"user_arn": None},
    {"headers": [JSON, ("If-Match", '"another"')]},
    {"headers": [JSON, ("If-Match", "another")]},
    {"headers": [("If-None-Match", document_of(both_pools()).etag)]},
    {"headers": [JSON, ("Idempotency-Key", "")]},
    {"headers": []},
    {"query": [("last_used", "1"), ("force", "1"), ("recovery_days", "1"), ("limit", "0")]},
    {"query": [("force", "true")]},
    {"query": [("cursor", "of another list")]},
    {"body": "[]"},
    {"body": {"unknown": 1}},
    {"body": {"client_name": "billing", "scope": "demo/unknown"}},
    {"body": "1" * (admin_requests.MAX_BODY_BYTES + 1)},
]


@cache
def after_failures(operation: Operation) -> list[tuple[Answer, bool]]:
    """Return the answer of *operation* to a port's failure, and whether it was a crash."""
    found = []
    for api in failures(operation):
        answer = send(api, operation)
        found.append((answer, "crash" in {line["event"] for line in api.admin.events.seen}))
    return found


@cache
def answers(operation: Operation) -> list[Answer]:
    """Return all answers of *operation* over worlds, requests and failures."""
    found = [answer for answer, _ in after_failures(operation)]
    found += [send(begun(world), operation) for world in WORLDS]
    for changes in CHANGES:
        for world in (as_it_is, second_cognito_secrets):
            found.append(send(begun(world), operation, **changes))
    return found


def test_the_examined_operations_are_complete() -> None:
    static = {("GET", "/health"), ("GET", "/.well-known/oauth-authorization-server")}
    assert REQUESTS.keys() == operations().keys() - static


@pytest.mark.slow
@each_operation
def test_every_observed_response_is_documented(operation: Operation) -> None:
    responses = operations()[operation]["responses"]
    for answer in answers(operation):
        assert str(answer.status) in responses, answer
        assert_documented(answer, resolved(responses[str(answer.status)]))


@pytest.mark.slow
@each_operation
def test_every_documented_status_is_observed(operation: Operation) -> None:
    documented = operations()[operation]["responses"].keys()
    seen = {str(answer.status) for answer in answers(operation)}
    # API Gateway reports its own throttling.
    gateway = {"429"} & {status for status in documented if gateways(operation, status)}
    assert documented - gateway == seen


def gateways(operation: Operation, status: str) -> bool:
    response = operations()[operation]["responses"][status]
    return bool(response.get("$ref") == "#/components/responses/GatewayThrottled")


@pytest.mark.slow
@each_operation
def test_every_documented_problem_type_is_observed(operation: Operation) -> None:
    documented = {each for key, _, slugs in problems() if key == operation for each in slugs}
    seen = {slug(answer) for answer in answers(operation) if answer.body and "type" in answer.json}
    # These are documented for all operations alike.
    alike = {"malformed-secret", "outcome-unknown", "internal-server-error"}
    assert documented - alike == seen - alike


@pytest.mark.slow
@each_operation
def test_no_failure_of_a_port_is_a_crash(operation: Operation) -> None:
    for answer, crashed in after_failures(operation):
        assert not crashed, answer
