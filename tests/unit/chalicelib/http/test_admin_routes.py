"""Admin surface, with events as API Gateway sends them."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from chalice.app import IAMAuthorizer
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import credentials
from chalicelib.errors import (
    AppClientsUnreachableError,
    OutcomeUnknownError,
    StoreUnavailableError,
)
from chalicelib.http.admin_routes import AdminSurface, admin_routes
from chalicelib.http.application import CredentialsApp
from chalicelib.model import ClientId, Status
from chalicelib.telemetry import json_lines
from chalicelib.timing import CallDeadline
from tests.fakes import use_up
from tests.gateway import Answer, Headers, call, event
from tests.unit.chalicelib.clients.lifecycle_world import LifecycleWorld
from tests.worlds import ADOPTED, CALLER, EAST, WEST

GOOD = {"client_name": "billing", "scope": "demo/read demo/write"}
SECRET = "sgs_a-secret-that-an-exception-quotes"
CANARY = "sgs_" + "CanaryBird" * 4 + "Tweet987Z"
KEY = ("Idempotency-Key", "order-1")
NOBODY = "sgc_" + "a" * 26
NO_SECRET = "abcdefgh"
TYPE = "urn:surrogate-credentials:problem:"

# Every route: method, API Gateway resource.
ROUTES = [
    ("POST", "/clients"),
    ("GET", "/clients"),
    ("GET", "/clients/{client_id}"),
    ("PATCH", "/clients/{client_id}"),
    ("DELETE", "/clients/{client_id}"),
    ("POST", "/clients/{client_id}/restore"),
    ("POST", "/clients/{client_id}/secrets"),
    ("DELETE", "/clients/{client_id}/secrets/{secret_id}"),
    ("POST", "/clients/{client_id}/app-clients"),
    ("GET", "/denials"),
    ("POST", "/denials"),
    ("PUT", "/denials/{client_id}"),
    ("DELETE", "/denials/{client_id}"),
]
# Bodies that get as far as the use case.
VALID: dict[tuple[str, str], Any] = {
    ("POST", "/clients"): GOOD,
    ("PATCH", "/clients/{client_id}"): {"client_name": "invoicing"},
    ("POST", "/denials"): {"deny": [NOBODY]},
}
each_route = pytest.mark.parametrize(("method", "resource"), ROUTES)


@dataclass
class AdminWorld(LifecycleWorld):
    """All admin use cases in the primary Region, over fakes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.surface = AdminSurface(
            enrollment=self.enroll,
            clients=self.clients,
            rotation=self.rotation,
            app_client_rotation=self.app_client_rotation,
            deletion=self.deletion,
            denials=self.denials,
            clock=self.clock,
            call_deadline=CallDeadline(self.clock),
            emit=self.events,
        )


@dataclass
class AdminApi:
    """Admin surface of a world."""

    world: AdminWorld = field(default_factory=AdminWorld)

    def __post_init__(self) -> None:
        self.app = CredentialsApp(app_name="admin", emit=self.world.events, configure_logs=False)
        self.app.register_blueprint(admin_routes(self.world.surface))

    def call(
        self,
        method: str,
        resource: str,
        body: Any = None,
        *,
        headers: Headers = (),
        user_arn: str | None = CALLER,
        query: Sequence[tuple[str, str]] = (),
        client_id: str = NOBODY,
        secret_id: str = NO_SECRET,
    ) -> Answer:
        """Send a request; path parameters that *resource* does not have are left out."""
        given = {"client_id": client_id, "secret_id": secret_id}
        path = {name: value for name, value in given.items() if f"{{{name}}}" in resource}
        request = event(
            method,
            resource.format(**path),
            resource=resource,
            path_parameters=path or None,
            headers=[*headers, ("Content-Type", "application/json")],
            body=body if body is None or isinstance(body, (str, bytes)) else json.dumps(body),
            user_arn=user_arn,
            query=query,
        )
        return call(self.app, request)

    def enroll(self, body: Any = GOOD, **request: Any) -> Answer:
        return self.call("POST", "/clients", body, **request)

    @property
    def audit(self) -> list[Any]:
        return [event for event in self.world.events.seen if event["event"] == "admin"]


@pytest.fixture
def api() -> AdminApi:
    return AdminApi()


def assert_problem(answer: Answer, status: int, slug: str) -> None:
    """Assert that *answer* is a problem document (RFC 9457)."""
    assert (answer.status, answer.json["type"]) == (status, TYPE + slug)
    assert answer.json["status"] == status
    assert answer.json["title"]
    assert answer.json["detail"]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"


# The caller


@each_route
@pytest.mark.parametrize("user_arn", [None, "", "anonymous", "AIDAEXAMPLE"])
def test_without_an_iam_caller_everything_is_forbidden(
    api: AdminApi, method: str, resource: str, user_arn: str | None
) -> None:
    """The rule holds with any gateway in front of the function, or none."""
    answer = api.call(method, resource, GOOD, user_arn=user_arn)
    assert_problem(answer, 403, "forbidden")
    assert not api.world.store.calls
    assert not api.world.state.calls
    assert [each["outcome"] for each in api.audit] == ["forbidden"]


def test_without_an_identity_everything_is_forbidden(api: AdminApi) -> None:
    request = event("POST", "/clients", body=json.dumps(GOOD))
    del request["requestContext"]["identity"]
    assert_problem(call(api.app, request), 403, "forbidden")
    request["requestContext"]["identity"] = None
    assert_problem(call(api.app, request), 403, "forbidden")


def test_no_header_authenticates_a_caller(api: AdminApi) -> None:
    headers = [("X-Amz-User-Arn", CALLER), ("userArn", CALLER), ("Authorization", CALLER)]
    assert_problem(api.enroll(user_arn=None, headers=headers), 403, "forbidden")


def test_every_route_is_signed_with_iam(api: AdminApi) -> None:
    registered = {
        (method, resource): route.authorizer
        for resource, methods in api.app.routes.items()
        for method, route in methods.items()
    }
    assert {each for each in registered if each[0] != "HEAD"} == set(ROUTES)
    assert all(isinstance(each, IAMAuthorizer) for each in registered.values())


# Enrolling


def test_the_enrollment_response_has_the_secret_once(api: AdminApi) -> None:
    answer = api.enroll()
    client_id = answer.json["client_id"]
    stored = api.world.store.stored[client_id]
    assert answer.status == 201
    assert answer.headers["Location"] == f"/clients/{client_id}"
    assert answer.headers["ETag"] == f'"{stored.version}"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    assert credentials.is_client_secret(answer.json["client_secret"])
    assert answer.json | {"client_secret": "…"} == {
        "client_id": client_id,
        "client_id_issued_at": int(api.world.clock()),
        "client_name": "billing",
        "client_secret": "…",
        "client_secret_expires_at": 0,
        "grant_types": ["client_credentials"],
        "scope": "demo/read demo/write",
        "status": "active",
        "origin": "enrolled",
        "allowed_cidrs": [],
        "secret_id": stored.value.secrets[0].secret_id,
        "secrets": [
            {
                "secret_id": stored.value.secrets[0].secret_id,
                "created_at": int(api.world.clock()),
                "expires_at": 0,
            }
        ],
        "app_clients": {EAST: "ready", WEST: "ready"},
        "replication": "in_sync",
        "version": stored.version,
    }


def test_the_credentials_of_the_response_authenticate(api: AdminApi) -> None:
    answer = api.enroll().json
    record = api.world.store.stored[answer["client_id"]].value
    verified = api.world.hasher.verify(answer["client_id"], answer["client_secret"], record.secrets)
    assert verified
    assert verified.secret.secret_id == answer["secret_id"]


def test_the_enrollment_response_repeats_the_requested_members(api: AdminApi) -> None:
    expires_at = int(api.world.clock()) + 86_400
    asked = {
        **GOOD,
        "allowed_cidrs": ["192.0.2.0/24", "2001:db8::/32"],
        "client_secret_expires_at": expires_at,
    }
    answer = api.enroll(asked).json
    assert {name: answer[name] for name in asked} == asked


def test_a_body_may_arrive_base64_encoded(api: AdminApi) -> None:
    answer = api.enroll(json.dumps({**GOOD, "client_name": "Grüße"}).encode())
    assert (answer.status, answer.json["client_name"]) == (201, "Grüße")


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key", "IDEMPOTENCY-KEY"])
def test_a_repeat_with_the_same_key_is_the_same_client(api: AdminApi, name: str) -> None:
    answers = [api.enroll(headers=[(name, "order-1")]).json for _ in range(2)]
    assert answers[0]["client_id"] == answers[1]["client_id"]
    assert answers[0]["client_secret"] != answers[1]["client_secret"]


def test_the_same_key_of_another_caller_is_another_client(api: AdminApi) -> None:
    one = api.enroll(headers=[KEY]).json
    other = api.enroll(headers=[KEY], user_arn=CALLER + "2").json
    assert one["client_id"] != other["client_id"]


def test_a_reused_key_is_a_problem_that_names_the_header(api: AdminApi) -> None:
    api.enroll(headers=[KEY])
    answer = api.enroll({**GOOD, "client_name": "other"}, headers=[KEY])
    assert_problem(answer, 409, "idempotency-key-reused")
    assert answer.json["errors"] == [{"field": "Idempotency-Key", "detail": "used before"}]


def test_all_errors_are_reported_in_one_problem(api: AdminApi) -> None:
    answer = api.enroll({"scope": "x", "name": "y"}, headers=[("Idempotency-Key", "a b")])
    assert_problem(answer, 400, "invalid-request")
    fields = {error["field"]: error["detail"] for error in answer.json["errors"]}
    assert fields.keys() == {"client_name", "scope", "name", "Idempotency-Key"}
    assert not api.world.store.calls


def test_a_standby_names_the_writing_region() -> None:
    world = AdminWorld()
    world.state.hand_over_to(world.other_state)
    answer = AdminApi(world).enroll()
    assert_problem(answer, 409, "not-the-writing-region")
    assert (answer.json["region"], answer.json["writing_region"]) == (EAST, WEST)


def test_a_region_out_of_reach_is_a_503_with_retry_after(api: AdminApi) -> None:
    api.world.east.failures["create"] = [AppClientsUnreachableError()]
    answer = api.enroll()
    assert_problem(answer, 503, "cognito-unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert answer.json["left_behind"] == [f"perhaps an app client in {EAST}"]


def test_a_pending_app_client_and_a_missing_replica_are_reported(
    api: AdminApi,
) -> None:
    api.world.west.failures["create"] = [AppClientsUnreachableError()]
    api.world.store.failures["replicate"] = [StoreUnavailableError()]
    answer = api.enroll()
    assert answer.status == 201
    assert answer.json["app_clients"] == {EAST: "ready", WEST: "pending"}
    assert answer.json["replication"] == "missing"


def test_a_problem_has_no_empty_members(api: AdminApi) -> None:
    answer = api.call("GET", "/clients/{client_id}", client_id=NOBODY)
    assert_problem(answer, 404, "unknown-client")
    assert answer.json.keys() == {"type", "title", "status", "detail", "errors"}
    assert "Retry-After" not in answer.headers


# Showing and changing


def test_a_client_is_shown_without_anything_secret(api: AdminApi) -> None:
    enrolled = api.enroll()
    client_id = enrolled.json["client_id"]
    shown = api.call("GET", "/clients/{client_id}", client_id=client_id)
    assert shown.status == 200
    assert shown.headers["ETag"] == enrolled.headers["ETag"]
    assert shown.headers["Cache-Control"] == "no-store"
    without = {"client_secret", "secret_id"}
    assert shown.json == {
        name: value for name, value in enrolled.json.items() if name not in without
    }


def test_a_change_with_the_current_version_is_made(api: AdminApi) -> None:
    enrolled = api.enroll()
    changed = api.call(
        "PATCH",
        "/clients/{client_id}",
        {"client_name": "invoicing"},
        headers=[("If-Match", enrolled.headers["ETag"])],
        client_id=enrolled.json["client_id"],
    )
    assert (changed.status, changed.json["client_name"]) == (200, "invoicing")
    assert changed.headers["ETag"] != enrolled.headers["ETag"]


def test_a_change_with_an_outdated_version_is_refused(api: AdminApi) -> None:
    enrolled = api.enroll()
    client_id = enrolled.json["client_id"]
    path = "/clients/{client_id}"
    api.call("PATCH", path, {"client_name": "first"}, client_id=client_id)
    answer = api.call(
        "PATCH",
        path,
        {"client_name": "second"},
        headers=[("If-Match", enrolled.headers["ETag"])],
        client_id=client_id,
    )
    assert_problem(answer, 412, "changed-meanwhile")
    assert answer.json["errors"][0]["field"] == "If-Match"
    assert api.world.store.stored[client_id].value.client_name == "first"


@each_route
def test_an_unknown_query_parameter_is_named(api: AdminApi, method: str, resource: str) -> None:
    """A mistyped recovery_days must not become the default."""
    answer = api.call(method, resource, VALID.get((method, resource)), query=[("limt", "1")])
    assert_problem(answer, 400, "invalid-request")
    assert [each["field"] for each in answer.json["errors"]] == ["limt"]
    assert not api.world.store.calls


def test_an_unknown_client_is_denied_and_reported_as_unknown(api: AdminApi) -> None:
    """In an emergency a typo would leave the intended client undenied."""
    known = api.enroll().json["client_id"]
    many = [f"sgc_{letter * 26}" for letter in "abcdefghijklmnopqrstuvw"]
    answer = api.call("POST", "/denials", {"deny": [*many, known]})
    assert answer.json["unknown"] == sorted(many)
    assert set(answer.json["denied"]) == {*many, known}
    one = api.call("PUT", "/denials/{client_id}", client_id=NOBODY)
    assert one.json["unknown"] == [NOBODY]
    assert api.call("PUT", "/denials/{client_id}", client_id=known).json["unknown"] == []
    assert "unknown" not in api.call("DELETE", "/denials/{client_id}", client_id=known).json


def test_with_unreadable_records_no_client_is_reported_as_unknown(api: AdminApi) -> None:
    api.world.store.failures["read_many"] = [StoreUnavailableError()]
    answer = api.call("PUT", "/denials/{client_id}", client_id=NOBODY)
    assert (answer.status, answer.json["unknown"], answer.json["denied"]) == (200, [], [NOBODY])


def test_retiring_a_secret_reports_the_replication_status(api: AdminApi) -> None:
    first = api.enroll().json
    client_id = first["client_id"]
    api.call("POST", "/clients/{client_id}/secrets", client_id=client_id)
    api.world.store.lag = True
    retired = api.call(
        "DELETE",
        "/clients/{client_id}/secrets/{secret_id}",
        client_id=client_id,
        secret_id=first["secret_id"],
    )
    assert (retired.status, retired.json["replication"]) == (200, "in_progress")


@pytest.mark.parametrize("client_id", ["x", "sgc_short", "..", "%2e%2e", "clients"])
@pytest.mark.parametrize(
    ("method", "resource"), [each for each in ROUTES if "{client_id}" in each[1]]
)
def test_a_malformed_client_id_is_not_found(
    api: AdminApi, method: str, resource: str, client_id: str
) -> None:
    answer = api.call(method, resource, GOOD, client_id=client_id)
    assert_problem(answer, 404, "unknown-client")
    assert not [each for each in api.world.store.calls if each != "read"]


# The audit


def test_every_enrollment_leaves_one_audit_line(api: AdminApi) -> None:
    answer = api.enroll().json
    assert api.world.events.seen == [
        {
            "event": "admin",
            "action": "enroll",
            "caller": CALLER,
            "client_id": answer["client_id"],
            "secret_id": answer["secret_id"],
            "outcome": "done",
        }
    ]


def test_a_refused_enrollment_leaves_one_audit_line(api: AdminApi) -> None:
    api.enroll({})
    assert api.world.events.seen == [
        {
            "event": "admin",
            "action": "enroll",
            "caller": CALLER,
            "client_id": None,
            "secret_id": None,
            "outcome": "invalid-request",
        }
    ]


@each_route
def test_every_request_leaves_one_audit_line(api: AdminApi, method: str, resource: str) -> None:
    api.call(method, resource)
    (line,) = api.world.events.seen
    assert (line["event"], line["caller"]) == ("admin", CALLER)
    assert line["client_id"] == (NOBODY if "{client_id}" in resource else None)


def test_no_audit_line_holds_a_secret(api: AdminApi) -> None:
    first = api.enroll(headers=[KEY]).json
    client_id = first["client_id"]
    rotated = api.call("POST", "/clients/{client_id}/secrets", client_id=client_id).json
    api.call("GET", "/clients/{client_id}", client_id=client_id)
    logged = json.dumps(api.world.events.seen)
    assert len(api.audit) == 3
    for secret in (first["client_secret"], rotated["client_secret"], "argon2", "cognito-secret"):
        assert secret not in logged
    assert first["secret_id"] in logged
    assert rotated["secret_id"] in logged


@pytest.mark.parametrize(
    ("method", "resource", "parameter"),
    [
        (method, resource, parameter)
        for method, resource in ROUTES
        for parameter in re.findall(r"{(\w+)}", resource)
    ],
)
def test_a_secret_in_the_path_is_not_logged_or_echoed(
    api: AdminApi, method: str, resource: str, parameter: str
) -> None:
    """A client secret sent in place of an ID appears neither in the log nor in the answer."""
    path = {"client_id": api.enroll().json["client_id"], parameter: CANARY}
    answer = api.call(method, resource, GOOD, **path)
    slug = "unknown-client" if parameter == "client_id" else "unknown-secret"
    assert_problem(answer, 404, slug)
    assert answer.json["errors"] == [{"field": parameter, "detail": "malformed"}]
    assert api.audit[-1][parameter] is None
    for text in (str(answer), json.dumps(api.world.events.seen)):
        assert not [part for part in (CANARY[4:12], CANARY[-8:]) if part in text]


def test_an_adopted_client_appears_in_the_audit_by_its_handle(api: AdminApi) -> None:
    for method in ("PUT", "DELETE"):
        api.call(method, "/denials/{client_id}", client_id=ADOPTED)
    assert [each["client_id"] for each in api.audit] == [credentials.loggable(ADOPTED)] * 2
    assert ADOPTED not in json.dumps(api.world.events.seen)


def test_the_audit_line_lists_clients_denied_and_allowed_in_bulk(api: AdminApi) -> None:
    api.call("POST", "/denials", {"deny": [NOBODY], "allow": [ADOPTED]})
    (line,) = api.audit
    assert line["denied"] == [NOBODY]
    assert line["allowed"] == [credentials.loggable(ADOPTED)]


def test_the_audit_line_lists_requested_denials_when_the_list_is_full(api: AdminApi) -> None:
    use_up(api.world.denial_stores[EAST])
    refused = api.call("POST", "/denials", {"deny": [NOBODY], "allow": [ADOPTED]})
    assert_problem(refused, 409, "denials-full")
    (line,) = api.audit
    assert (line["denied"], line["allowed"]) == ([NOBODY], [credentials.loggable(ADOPTED)])


@pytest.mark.parametrize("step", ["create", "replace"])
def test_the_audit_line_names_a_client_whose_enrollment_failed(api: AdminApi, step: str) -> None:
    """The client may exist all the same: an operator needs its ID to find it."""
    failure = OutcomeUnknownError() if step == "replace" else StoreUnavailableError()
    api.world.store.failures[step] = [failure]
    answer = api.enroll()
    assert answer.status == 503
    (line,) = api.audit
    assert credentials.CLIENT_ID.fullmatch(line["client_id"])
    assert credentials.SECRET_ID.fullmatch(line["secret_id"])
    if step == "replace":
        assert answer.json["client_id"] == line["client_id"]
        stored = api.world.record(line["client_id"]).secrets[0]
        assert stored.secret_id == line["secret_id"]


def test_the_audit_line_names_a_secret_whose_rotation_failed(api: AdminApi) -> None:
    client_id = api.enroll().json["client_id"]
    api.world.store.failures["replace"] = [OutcomeUnknownError()]
    answer = api.call("POST", "/clients/{client_id}/secrets", client_id=client_id)
    assert_problem(answer, 503, "outcome-unknown")
    line = api.audit[-1]
    assert line["client_id"] == client_id
    assert credentials.SECRET_ID.fullmatch(line["secret_id"])
    assert line["secret_id"] != api.audit[0]["secret_id"]


@each_route
def test_the_audit_line_of_an_unauthenticated_request_names_its_client(
    api: AdminApi, method: str, resource: str
) -> None:
    api.call(method, resource, user_arn=None)
    (line,) = api.audit
    assert line["client_id"] == (NOBODY if "{client_id}" in resource else None)
    assert line["secret_id"] == (NO_SECRET if "{secret_id}" in resource else None)


def test_no_response_has_a_cognito_identifier_or_secret(api: AdminApi) -> None:
    client_id = api.enroll().json["client_id"]
    for answer in (
        api.call("GET", "/clients/{client_id}", client_id=client_id),
        api.call("GET", "/clients"),
        api.call("PATCH", "/clients/{client_id}", {"scope": "demo/read"}, client_id=client_id),
        api.call("POST", "/clients/{client_id}/app-clients", client_id=client_id),
    ):
        assert answer.status == 200
        for pool in (api.world.east, api.world.west):
            assert not [each for each in pool.made if each in str(answer)]
            assert pool.user_pool_id not in str(answer)
        assert "$argon2" not in str(answer)
        assert "cognito-secret" not in str(answer)


# A crash


@each_route
def test_a_crash_is_a_problem_without_the_exceptions_text(
    method: str, resource: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the answer nor the application's log nor Chalice's log quotes the exception."""
    world, ours, chalices = AdminWorld(), io.StringIO(), io.StringIO()
    for port in (world.state, world.store, world.denial_stores[EAST]):
        for name in ("read", "read_all", "list"):
            port.failures[name] = [RuntimeError(f"quoting {SECRET}") for _ in range(9)]
    world.surface = replace(world.surface, emit=json_lines(EAST, world.clock, ours))
    api = AdminApi(world)
    api.app.log.addHandler(handler := logging.StreamHandler(chalices))
    try:
        answer = api.call(method, resource, VALID.get((method, resource)))
    finally:
        api.app.log.removeHandler(handler)
    assert_problem(answer, 500, "internal")
    lines = [json.loads(line) for line in ours.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["crash", "admin"]
    assert (lines[0]["error"], lines[1]["outcome"]) == ("RuntimeError", "internal")
    printed = capfd.readouterr()
    for text in (str(answer), ours.getvalue(), chalices.getvalue(), printed.out, printed.err):
        assert SECRET not in text


@given(
    body=st.none() | st.binary(max_size=40) | st.text(max_size=40),
    key=st.none() | st.text(max_size=20),
    if_match=st.none() | st.text(max_size=20),
    query=st.lists(st.tuples(st.sampled_from(["limit", "cursor", "force"]), st.text(max_size=9))),
    route=st.sampled_from(ROUTES),
    client_id=st.text(max_size=30) | st.just(NOBODY),
)
def test_any_request_gets_a_well_formed_answer(
    *,
    body: bytes | str | None,
    key: str | None,
    if_match: str | None,
    query: list[tuple[str, str]],
    route: tuple[str, str],
    client_id: str,
) -> None:
    api = AdminApi()
    headers = [("Idempotency-Key", key), ("If-Match", if_match)]
    method, resource = route
    answer = api.call(
        method,
        resource,
        body,
        headers=[(name, value) for name, value in headers if value is not None],
        query=query,
        client_id=client_id,
    )
    assert answer.status != 500, api.world.events.seen
    assert answer.headers["Cache-Control"] == "no-store"
    if answer.status >= 400:
        slug = answer.json["type"].removeprefix(TYPE)
        assert re.fullmatch(r"[a-z-]+", slug)
        assert_problem(answer, answer.status, slug)
    else:
        assert answer.headers["Content-Type"] == "application/json"


def test_an_unsupported_method_is_a_problem(api: AdminApi) -> None:
    answer = api.call("PUT", "/clients")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "POST, GET, HEAD"


def test_a_disabled_client_is_shown_as_disabled(api: AdminApi) -> None:
    client_id = ClientId(api.enroll().json["client_id"])
    path = "/clients/{client_id}"
    answer = api.call("PATCH", path, {"status": "disabled"}, client_id=client_id)
    assert answer.json["status"] == "disabled"
    assert api.world.store.stored[client_id].value.status is Status.DISABLED
