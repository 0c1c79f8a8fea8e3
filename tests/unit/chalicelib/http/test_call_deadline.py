"""
An admin call is answered within 20 seconds, even when AWS hangs.

Every route runs over the real adapters and `fake_aws`, whose calls take a
test's duration on a fake clock.  The check that `Connections` makes before each
request (`tests/contract/test_connections.py`) is made here as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from chalicelib.errors import CallTimedOutError, LogUnavailableError
from chalicelib.http.admin_routes import AdminSurface, admin_routes
from chalicelib.http.application import CredentialsApp
from chalicelib.model import Status
from chalicelib.timing import CLEAR_UP_SECONDS, WORK_SECONDS, CallDeadline
from tests.aws_worlds import REGIONS, Operators
from tests.fake_aws import TOKEN_ENDPOINT, Call, CarryOut
from tests.fakes import Events, FakeClock
from tests.gateway import Answer, call, event
from tests.unit.chalicelib.clients.crash_scenes import DAY, READ, WRITE, Scene
from tests.unit.chalicelib.clients.test_crashes import settle
from tests.worlds import CALLER, EAST, WEST

SECONDS = 20
TRY_SECONDS = 4.0  # one to connect, three for the answer
NEVER_DUE = "older_than_seconds"
FOUND = {"client_name": "billing", "scope": READ}


class SlowScene(Scene):
    """Scene with operators on the admin API, and a slow or failing AWS."""

    def __init__(self, ill: Callable[[SlowScene, Call], None]) -> None:
        super().__init__((READ, WRITE))
        self.events = Events()
        self.ill = ill
        operators = self.operators
        surface = AdminSurface(
            enrollment=operators.enroll,
            clients=operators.clients,
            rotation=operators.rotation,
            app_client_rotation=operators.app_client_rotation,
            deletion=operators.deletion,
            denials=operators.denials[EAST],
            clock=self.world.clock,
            call_deadline=operators.call_deadline,
            emit=self.events,
        )
        self.app = CredentialsApp(app_name="slow", emit=self.events, configure_logs=False)
        self.app.register_blueprint(admin_routes(surface))

    def fall_ill(self) -> None:
        self.world.aws.watch(self._accident)
        for region, log in self.operators.logs.items():
            log.meanwhile["last_uses"] = partial(self._search, region)

    def _search(self, region: str) -> None:
        try:
            self._request(Call(region, "logs", "FilterLogEvents"))
        except ReadTimeoutError:
            raise LogUnavailableError from None

    def recover(self) -> None:
        """End AWS's failures, and the time limit of the next process."""
        self.world.aws.watch()
        self.operators = Operators(self.world)

    def _accident(self, number: int, call: Call, carry_out: CarryOut) -> Any:
        assert number >= 0
        self._request(call)
        return carry_out()

    def _request(self, made: Call) -> None:
        if made.service != TOKEN_ENDPOINT:  # it has a deadline of its own
            self.operators.call_deadline.require_time()
        self.ill(self, made)

    def answer(self, route: Route) -> tuple[Answer, float]:
        """Return the answer of *route*, and its duration."""
        path: dict[str, str] = {"client_id": self.client_id}
        if "{secret_id}" in route.resource:
            path["secret_id"] = self.handed_out[0].secret_id
        if "{" not in route.resource:
            path = {}
        request = event(
            route.method,
            route.resource.format(**path),
            resource=route.resource,
            path_parameters=path or None,
            body=None if route.body is None else json.dumps(route.body),
            query=route.query,
            user_arn=CALLER,
        )
        began = self.world.clock()
        answer = call(self.app, request)
        return answer, self.world.clock() - began


@dataclass(frozen=True)
class Route:
    """Request to the admin API with its preconditions."""

    method: str
    resource: str
    body: Any = None
    prepare: Callable[[Scene], object] = lambda _: None
    query: tuple[tuple[str, str], ...] = ()


def _two_secrets(scene: Scene) -> None:
    scene.rotate(7 * DAY)


def _deleted(scene: Scene) -> None:
    scene.operators.deletion.delete(scene.client_id, 7)


CLIENT = "/clients/{client_id}"
ROUTES = {
    "enroll": Route("POST", "/clients", FOUND),
    "list": Route("GET", "/clients"),
    "show": Route("GET", CLIENT, query=(("last_used", "true"),)),
    "rename": Route("PATCH", CLIENT, {"client_name": "renamed"}),
    "widen": Route("PATCH", CLIENT, {"scope": f"{READ} {WRITE}"}),
    "narrow": Route("PATCH", CLIENT, {"scope": READ}),
    "delete": Route("DELETE", CLIENT),
    "restore": Route("POST", f"{CLIENT}/restore", prepare=_deleted),
    "rotate": Route("POST", f"{CLIENT}/secrets"),
    "retire": Route("DELETE", f"{CLIENT}/secrets/{{secret_id}}", prepare=_two_secrets),
    "retire by force": Route(
        "DELETE",
        f"{CLIENT}/secrets/{{secret_id}}",
        prepare=_two_secrets,
        query=(("force", "true"),),
    ),
    "rotate-app-clients": Route("POST", f"{CLIENT}/app-clients", {NEVER_DUE: 0}),
    "list-denials": Route("GET", "/denials"),
    "change-denials": Route("POST", "/denials", {"deny": ["sgc_" + "a" * 26]}),
    "deny": Route("PUT", "/denials/{client_id}"),
    "allow": Route("DELETE", "/denials/{client_id}", prepare=lambda scene: scene.deny(deny=True)),
}


def slow(seconds: float) -> Callable[[SlowScene, Call], None]:
    """Answer every call after *seconds*."""

    def ill(scene: SlowScene, _: Call) -> None:
        scene.world.clock.advance(seconds)

    return ill


def hanging(region: str) -> Callable[[SlowScene, Call], None]:
    """Answer no call to *region*; each is tried twice, as by botocore."""

    def ill(scene: SlowScene, made: Call) -> None:
        if made.region != region:
            return
        scene.world.clock.advance(TRY_SECONDS)
        if made.service != TOKEN_ENDPOINT:
            scene.operators.call_deadline.require_time()
            scene.world.clock.advance(TRY_SECONDS)
        raise ReadTimeoutError(endpoint_url=region)

    return ill


def failing(seconds: float, operation: str) -> Callable[[SlowScene, Call], None]:
    """Answer every call after *seconds*, but *operation* never."""

    def ill(scene: SlowScene, made: Call) -> None:
        scene.world.clock.advance(seconds)
        if made.operation == operation:
            raise ReadTimeoutError(endpoint_url="lost")

    return ill


ILLNESSES = {
    **{f"{each} s a call": slow(each) for each in (0.2, 0.7, 1.1, 1.6, 2.0, 2.5, 2.9, 3.9)},
    **{f"{each} hangs": hanging(each) for each in REGIONS},
    "the token endpoint hangs": failing(1.4, "RequestToken"),
    "the second write hangs": failing(1.1, "UpdateSecretVersionStage"),
}


@pytest.mark.parametrize("ill", ILLNESSES.values(), ids=ILLNESSES)
@pytest.mark.parametrize("action", ROUTES)
def test_every_call_is_answered_in_time(
    action: str, ill: Callable[[SlowScene, Call], None]
) -> None:
    route = ROUTES[action]
    scene = SlowScene(ill)
    route.prepare(scene)
    scene.fall_ill()
    answer, took = scene.answer(route)
    scene.recover()
    assert took < SECONDS
    assert answer.headers["Content-Type"] in {"application/json", "application/problem+json"}
    (line,) = scene.events.seen
    assert (line["event"], line["caller"]) == ("admin", CALLER)
    if answer.status >= 400:
        assert answer.json["type"].endswith(f":{line['outcome']}")
        assert answer.status in {409, 503}
    else:
        assert line["outcome"] == "done"
    # Abandoned work is found and repaired.
    settle(scene)


@pytest.mark.parametrize("seconds", [1.6, 2.0, 2.5, 2.9, 3.9])
def test_an_enrollment_out_of_time_is_undone_or_reported(seconds: float) -> None:
    scene = SlowScene(slow(seconds))
    before = set(scene.world.record_secrets(EAST))
    scene.fall_ill()
    answer, _ = scene.answer(ROUTES["enroll"])
    scene.recover()
    assert answer.status == 503
    new = set(scene.world.records()) - before
    if answer.json["type"].endswith(":out-of-time"):
        # The secret was not delivered, so it must not authenticate.
        assert all(scene.world.record(each).status is not Status.ACTIVE for each in new)
        assert not new or answer.json["left_behind"]
    else:
        assert answer.json["type"].endswith(":outcome-unknown")
        assert answer.json["client_id"]


def test_time_is_left_until_the_budget_is_used() -> None:
    clock = FakeClock()
    call_deadline = CallDeadline(clock)
    clock.advance(10_000)
    call_deadline.require_time()  # no call has begun
    call_deadline.begin()
    clock.advance(WORK_SECONDS - 0.1)
    call_deadline.require_time()
    clock.advance(0.1)
    with pytest.raises(CallTimedOutError):
        call_deadline.require_time()
    call_deadline.require_time()  # to clear up
    clock.advance(CLEAR_UP_SECONDS - WORK_SECONDS)
    for _ in range(2):
        with pytest.raises(CallTimedOutError):
            call_deadline.require_time()
    call_deadline.begin()
    call_deadline.require_time()


def test_a_pause_is_no_longer_than_the_time_that_is_left() -> None:
    clock, pauses = FakeClock(), list[float]()
    call_deadline = CallDeadline(clock)
    pause = call_deadline.bounded(pauses.append)
    pause(60)
    call_deadline.begin()
    pause(2)
    clock.advance(WORK_SECONDS - 1)
    pause(2)
    clock.advance(2)
    pause(2)
    assert pauses == [60, 2, 1, 0]


def test_the_region_of_the_timeout_is_named() -> None:
    scene = SlowScene(slow(2.9))
    scene.fall_ill()
    answer, _ = scene.answer(ROUTES["enroll"])
    assert EAST in answer.json["detail"] or WEST in answer.json["detail"]
    assert answer.headers["Retry-After"] == "5"
