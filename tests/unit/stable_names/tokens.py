"""Names of the token surface, and of its log lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from ipaddress import ip_network
from typing import Any, Final

from chalicelib.errors import (
    MalformedSecretError,
    OutcomeUnknownError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
    TokenEndpointUnavailableError,
    TokenNotIssuedError,
)
from chalicelib.model import AppClient, ClientId, Pending, Status
from chalicelib.token.allowances import REREADS_AT_ONCE, TOKEN_REQUESTS_AT_ONCE
from tests.fakes import Failing
from tests.gateway import Answer, TokenApi, basic
from tests.unit.chalicelib.http.api_world import EXAMPLE_SECRET
from tests.unit.stable_names.names import Names, members
from tests.worlds import EAST

NOBODY: Final = ClientId("sgc_" + "a" * 26)
STORE_ERRORS: Final = (
    StoreUnavailableError,
    StoreThrottledError,
    OutcomeUnknownError,
    StoreRefusedError,
    MalformedSecretError,
)

Happen = Callable[[TokenApi], object]
Ask = Callable[[TokenApi], Answer]


# Requests


def _good(api: TokenApi) -> Answer:
    return api.basic()


def _sent(*parameters: tuple[str, str], **more: Any) -> Ask:
    return lambda api: api.form(parameters or (("grant_type", "client_credentials"),), **more)


def _authenticated(client_id: str | None, client_secret: str | None, grant: str = "") -> Ask:
    def ask(api: TokenApi) -> Answer:
        pair = (client_id or api.client.client_id, client_secret or api.client.client_secret)
        return api.form([("grant_type", grant or "client_credentials")], headers=[basic(*pair)])

    return ask


ASSERTION: Final = (("grant_type", "client_credentials"), ("client_assertion", "x"))
REQUESTS: Final[tuple[Ask, ...]] = (
    _good,
    lambda api: api.call(method="GET"),
    lambda api: api.basic(("scope", "demo/more")),
    _sent(content_type="text/plain"),
    _sent(),
    _sent(*ASSERTION),
    _sent(headers=[("Authorization", "Bearer x")]),
    _authenticated(None, None, "password"),
    _authenticated(None, "sgs_x"),
    _authenticated("?", None),
    _authenticated(None, EXAMPLE_SECRET),
    _authenticated(NOBODY, None),
)


# Failures


def _denied(api: TokenApi) -> None:
    api.world.deny(api.client.client_id)


def _record(**changes: Any) -> Happen:
    return lambda api: api.world.change(api.client, **changes)


def _refusing(api: TokenApi) -> None:
    api.world.endpoint.refused.add("east-secret")


def _outdated(api: TokenApi) -> None:
    regional = api.world.store.stored[api.client.client_id].value.app_clients[EAST]
    assert isinstance(regional, AppClient)
    _record(app_clients={EAST: replace(regional, outdated=Pending(1, "why"))})(api)
    _refusing(api)


def _refusing_late(api: TokenApi) -> None:
    _refusing(api)
    api.world.endpoint.meanwhile["request_token"] = lambda: api.world.clock.advance(2)


def _refusing_while_nobody_knows(api: TokenApi) -> None:
    api.basic()
    api.world.clock.advance(10)
    _refusing(api)
    api.world.store.failures["read"].append(StoreUnavailableError())


def _refusing_what_was_not_asked_before(api: TokenApi) -> Answer:
    return api.basic(("scope", "demo/read"))


def _guessed_too_often(api: TokenApi) -> None:
    for _ in range(REREADS_AT_ONCE + 1):
        _authenticated(None, EXAMPLE_SECRET)(api)


def _asked_cognito_too_often(api: TokenApi) -> None:
    _port("endpoint", "request_token", TokenNotIssuedError())(api)
    for _ in range(TOKEN_REQUESTS_AT_ONCE):
        api.basic()


def _missing(api: TokenApi) -> None:
    api.basic()
    del api.world.store.stored[api.client.client_id]


def _port(name: str, method: str, error: Exception) -> Happen:
    def happen(api: TokenApi) -> None:
        port: Failing = getattr(api.world, name)
        port.failures[method].extend([error] * 99)

    return happen


HAPPENED: Final[tuple[Happen, ...]] = (
    _denied,
    _record(status=Status.DISABLED),
    _record(expires_at=1),
    _record(allowed_cidrs=(ip_network("203.0.113.0/24"),)),
    _record(app_clients={}),
    _outdated,
    _refusing,
    _refusing_late,
    _port("endpoint", "request_token", TokenEndpointUnavailableError()),
    _port("store", "read", RuntimeError()),
    *(_port(port, "read", error()) for port in ("denied", "store") for error in STORE_ERRORS),
)


def _both(*happen: Happen) -> Happen:
    return lambda api: [each(api) for each in happen]


HAPPENED_BEFORE: Final[tuple[tuple[Happen, Ask], ...]] = (
    (_refusing_while_nobody_knows, _refusing_what_was_not_asked_before),
    (_guessed_too_often, _authenticated(None, EXAMPLE_SECRET)),
    (_both(_guessed_too_often, _refusing), _good),
    (_asked_cognito_too_often, _good),
    (_missing, _authenticated(None, EXAMPLE_SECRET)),
)


@cache
def exchanged() -> tuple[tuple[Answer, tuple[Mapping[str, Any], ...]], ...]:
    """Return every answer of the token endpoint, with its events."""
    found = []
    for ask in REQUESTS:
        api = TokenApi()
        found.append((ask(api), tuple(api.world.events.seen)))
    for happen in HAPPENED:
        api = TokenApi()
        happen(api)
        found.append((_good(api), tuple(api.world.events.seen)))
    for happen, ask in HAPPENED_BEFORE:
        api = TokenApi()
        happen(api)
        found.append((ask(api), tuple(api.world.events.seen)))
    return tuple(found)


def key_set_is_gone() -> tuple[Answer, list[Mapping[str, Any]]]:
    """Return the answers and events when the keys cannot be read."""
    api = TokenApi()
    api.world.keys.failures["read"].append(StoreUnavailableError())
    return api.call(method="GET", path=KEY_SET), api.world.events.seen


KEY_SET: Final = "/.well-known/jwks.json"
METADATA: Final = "/.well-known/oauth-authorization-server"


def token_surface() -> Names:
    """Return the answers of the token surface."""
    answers = [answer for answer, _ in exchanged()]
    issued = [answer for answer in answers if answer.status == 200]
    errors: dict[str, list[Answer]] = defaultdict(list)
    for answer in (*(each for each in answers if each.status != 200), key_set_is_gone()[0]):
        errors[f"{answer.status} {answer.error}"].append(answer)
    return {
        "token": _answers(issued),
        "errors": {name: _answers(each) for name, each in errors.items()},
        "paths": {path: _answers(list(_read(path))) for path in _PATHS},
    }


def _answers(answers: list[Answer]) -> dict[str, Any]:
    return {
        "statuses": sorted({answer.status for answer in answers}),
        "members": members(answer.json for answer in answers if answer.body),
        "headers": sorted({name for answer in answers for name in answer.headers}),
    }


_PATHS: Final = (METADATA, KEY_SET, "/health", "/health/ready", "/health/takeover")


def _read(path: str) -> Iterator[Answer]:
    """Yield the answers at *path*: without failures, with failures, and once more."""
    api = TokenApi()
    first = api.call(method="GET", path=path)
    yield first
    if path == KEY_SET:
        yield api.call(method="GET", path=path, headers=[("If-None-Match", first.headers["ETag"])])
    ill = TokenApi()
    ill.world.endpoint.up = False
    ill.world.update_state(took_over=True)
    yield ill.call(method="GET", path=path)
    unreadable = TokenApi()
    unreadable.world.state.failures["read"] = [StoreUnavailableError()]
    yield unreadable.call(method="GET", path=path)
