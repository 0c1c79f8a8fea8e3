"""HEAD: the answer of GET without its body (RFC 9110 §9.3.2), at both surfaces."""

from __future__ import annotations

from typing import Any

import pytest
from chalice.app import IAMAuthorizer

from chalicelib.errors import StoreUnavailableError
from tests.gateway import Answer, call, event
from tests.unit.chalicelib.http.api_world import EXAMPLE, ApiWorld
from tests.worlds import ADOPTED, CALLER

READ = [
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/clients",
    "/clients/{client_id}",
    "/denials",
    "/health",
    "/health/ready",
    "/health/takeover",
]


def ask(method: str, path: str, world: ApiWorld | None = None, **request: Any) -> Answer:
    client_id = request.pop("client_id", EXAMPLE)
    named = {"client_id": client_id} if "{client_id}" in path else None
    signed = {"user_arn": CALLER, **request}
    sent = event(
        method, path.format(client_id=client_id), resource=path, path_parameters=named, **signed
    )
    return call((world or ApiWorld()).app, sent)


def test_head_is_a_method_wherever_get_is() -> None:
    routes = ApiWorld().app.routes
    readable = {path for path, methods in routes.items() if "GET" in methods}
    assert readable == {*READ, "/oauth2/token"}
    for path in readable:
        get, head = routes[path]["GET"], routes[path]["HEAD"]
        assert head.view_function is get.view_function
        assert isinstance(head.authorizer, IAMAuthorizer) is isinstance(
            get.authorizer, IAMAuthorizer
        )


@pytest.mark.parametrize("path", [*READ, "/oauth2/token", "/nothing"])
@pytest.mark.parametrize("client_id", [EXAMPLE, ADOPTED, "sgc_nobody", "x"])
def test_head_has_the_status_and_headers_of_get_and_no_body(path: str, client_id: str) -> None:
    world = ApiWorld()
    get, head = (ask(method, path, world, client_id=client_id) for method in ("GET", "HEAD"))
    assert (head.status, head.headers) == (get.status, get.headers)
    assert get.body
    assert head.body == ""


@pytest.mark.parametrize("path", ["/clients/{client_id}/secrets", "/denials/{client_id}"])
def test_head_where_get_is_not_allowed_has_no_body_either(path: str) -> None:
    head = ask("HEAD", path)
    assert (head.status, head.body) == (405, "")
    assert head.headers == ask("GET", path).headers


def test_head_follows_the_preconditions_and_failures_of_get() -> None:
    etag = ask("GET", "/.well-known/jwks.json").headers["ETag"]
    head = ask("HEAD", "/.well-known/jwks.json", headers=[("If-None-Match", etag)])
    assert (head.status, head.headers["ETag"], head.body) == (304, etag, "")
    world = ApiWorld()
    world.token.keys.failures["read"] = [StoreUnavailableError("text")]
    failed = ask("HEAD", "/.well-known/jwks.json", world)
    assert (failed.status, failed.headers["Retry-After"], failed.body) == (503, "5", "")


def test_an_unsigned_head_at_the_admin_surface_is_forbidden_and_audited() -> None:
    world = ApiWorld()
    forbidden = ask("HEAD", "/clients/{client_id}", world, user_arn=None)
    assert (forbidden.status, forbidden.body) == (403, "")
    assert "ETag" not in forbidden.headers
    ask("HEAD", "/clients/{client_id}", world)
    lines = [each for each in world.admin.events.seen if each["event"] == "admin"]
    assert [(each["action"], each["outcome"]) for each in lines] == [
        ("show", "forbidden"),
        ("show", "done"),
    ]
