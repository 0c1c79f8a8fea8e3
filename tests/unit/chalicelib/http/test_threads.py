"""
Application called by several threads at once.

Lambda calls it once at a time; another host may have a pool of threads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Barrier, get_ident
from typing import Any

import pytest
from chalice.app import Blueprint, Response

from chalicelib.http.application import CredentialsApp
from chalicelib.model import AccessToken, AppClient, IssuedCredentials
from chalicelib.ports import Deadline
from chalicelib.timing import WORK_SECONDS, CallDeadline
from chalicelib.token.oauth import FORM
from tests.fakes import Events, FakeClock, FakeTokenEndpoint
from tests.gateway import basic, call, event, token_app
from tests.unit.chalicelib.http.api_world import ApiWorld
from tests.worlds import CALLER, ExchangeWorld

THREADS = 8
BODY = "grant_type=client_credentials"


@dataclass
class NamingEndpoint(FakeTokenEndpoint):
    """Token endpoint whose tokens name the client that they were issued for."""

    def request_token(
        self, app_client: AppClient, scope: str, metadata: Mapping[str, str], deadline: Deadline
    ) -> AccessToken:
        issued = super().request_token(app_client, scope, metadata, deadline)
        return AccessToken(f"of-{metadata['surrogate_client_id']}", issued.expires_at)


@pytest.fixture(autouse=True)
def _threads_that_alternate_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], list[str]]) -> list[str]:
    """Return the faults that *work* finds in `THREADS` threads that start together."""
    start = Barrier(THREADS)

    def run(number: int) -> list[str]:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as threads:
        return [fault for faults in threads.map(run, range(THREADS)) for fault in faults]


def test_threads_get_their_own_tokens_only() -> None:
    """Every second request has a wrong secret, so that no right one may answer it."""
    world = ExchangeWorld()
    world.exchange = replace(world.exchange, endpoint=NamingEndpoint(clock=world.clock))
    app = token_app(world)
    clients = [world.client() for _ in range(THREADS)]

    def ask(client: IssuedCredentials, secret: str) -> Any:
        headers = [("Content-Type", FORM), basic(client.client_id, secret)]
        return call(app, event(headers=headers, body=BODY))

    def work(number: int) -> list[str]:
        own, next_one = clients[number], clients[(number + 1) % THREADS]
        faults = []
        for _ in range(400):
            got = ask(own, own.client_secret)
            if got.status != 200 or got.json["access_token"] != f"of-{own.client_id}":
                faults.append(f"{own.client_id} got {got}")
            refused = ask(own, next_one.client_secret)
            if refused.status not in {401, 429}:  # 429: too many of them to look each up
                faults.append(f"a wrong secret got {refused}")
        return faults

    assert in_threads(work) == []


def test_threads_get_the_clients_that_their_paths_name() -> None:
    world = ApiWorld()
    names = [f"client-{number}" for number in range(THREADS)]
    enrolled = [
        _admin(world, "POST", "/clients", f'{{"client_name":"{n}","scope":"demo/read"}}')
        for n in names
    ]

    def work(number: int) -> list[str]:
        client_id, faults = enrolled[number].json["client_id"], []
        for turn in range(150):
            name = f"{names[number]}-{turn}"
            changed = _admin(
                world, "PATCH", "/clients/{client_id}", f'{{"client_name":"{name}"}}', client_id
            )
            if changed.status != 200 or changed.json["client_name"] != name:
                faults.append(f"{name} got {changed}")
        return faults

    assert in_threads(work) == []


def _admin(
    world: ApiWorld, method: str, resource: str, body: str, client_id: str | None = None
) -> Any:
    path = resource if client_id is None else resource.format(client_id=client_id)
    return call(
        world.app,
        event(
            method,
            path,
            resource=resource,
            path_parameters={"client_id": client_id} if client_id else None,
            headers=[("Content-Type", "application/json")],
            body=body,
            user_arn=CALLER,
        ),
    )


def test_middleware_blueprint_and_application_know_the_threads_own_request() -> None:
    app = CredentialsApp(app_name="threads", emit=Events(), configure_logs=False)
    routes = Blueprint(__name__)

    @app.middleware("http")
    def through(request: Any, get_response: Callable[[Any], Response]) -> Response:
        answer = get_response(request)
        assert app.current_request is not None
        seen = request.path, app.current_request.path, app.lambda_context
        answer.headers["X-Seen"] = " ".join(map(str, seen))
        return answer

    @routes.route("/{name}")
    def view(name: str) -> Response:
        seen = (routes.current_request.uri_params or {}).get("name"), routes.lambda_context
        return Response(f"{name} {seen}", {"Content-Type": "text/plain"})

    app.register_blueprint(routes)

    def work(number: int) -> list[str]:
        name, context = f"name-{number}", get_ident()
        faults = []
        for _ in range(300):
            sent = event("GET", f"/{name}", resource="/{name}", path_parameters={"name": name})
            got = app(sent, context)
            expected = f"{name} {(name, context)}", f"/{{name}} /{{name}} {context}"
            if (got["body"], got["headers"]["X-Seen"]) != expected:
                faults.append(f"{name} got {got}")
        return faults

    assert in_threads(work) == []


def test_a_call_in_one_thread_does_not_extend_the_time_of_another() -> None:
    clock = FakeClock(0.0)
    deadline = CallDeadline(clock)
    began, others_began = Barrier(2), Barrier(2)

    def slow() -> bool:
        deadline.begin()
        began.wait()
        others_began.wait()
        try:
            deadline.require_time()
        except Exception:  # noqa: BLE001 - any refusal
            return True
        return False

    def other() -> None:
        began.wait()
        clock.advance(WORK_SECONDS)
        deadline.begin()
        others_began.wait()

    with ThreadPoolExecutor(2) as threads:
        refused, _ = threads.submit(slow), threads.submit(other)
        assert refused.result() is True
