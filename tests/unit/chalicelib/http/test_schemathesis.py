"""
Application against the OpenAPI document: accepted and refused requests, and answers.

Schemathesis makes the requests and checks the answers.  Each request goes to an
application of its own, so that each failure can be reproduced alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from chalicelib.credentials import secret_id
from chalicelib.model import ClientSummary, Page, RegionState
from tests.fakes import FakeAppClients, FakeClock, FakeRecordStore, FakeStateStore
from tests.unit.chalicelib.clients.lifecycle_world import LifecycleWorld
from tests.unit.chalicelib.http.api_world import (
    ANOTHER_SECRET,
    DELETED,
    DISABLED,
    EXAMPLE,
    EXAMPLE_SECRET,
    ApiWorld,
    document,
)
from tests.worlds import ADOPTED
from tests.wsgi import SIGNATURE, Gateway

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Case = schemathesis.Case[Any]

FORBIDDEN = "urn:surrogate-credentials:problem:forbidden"
SECRETS = [EXAMPLE_SECRET, ANOTHER_SECRET]
CONFIG = {
    "seed": 1,
    "suppress-health-check": ["too_slow"],
    "generation": {
        "max-examples": 25,
        "deterministic": True,
        "allow-extra-parameters": False,  # unknown parameters of a query are ignored
        "with-security-parameters": False,  # the tests sign
    },
    "dictionaries": {
        "client-ids": {"values": [EXAMPLE, ADOPTED, DISABLED, DELETED]},
        "client-secrets": {"values": SECRETS},
        "secret-ids": {"values": [secret_id(secret) for secret in SECRETS]},
    },
    "parameters": {
        "path.client_id": {"dictionary": "client-ids", "probability": 0.7},
        "path.secret_id": {"dictionary": "secret-ids", "probability": 0.7},
        "body.client_id": {"dictionary": "client-ids", "probability": 0.9},
        "body.client_secret": {"dictionary": "client-secrets", "probability": 0.9},
    },
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "412"]},
    },
    "operations": [
        {
            # Unknown credentials, in two places, and scopes that were not granted.
            "include-name": "POST /oauth2/token",
            "generation": {"with-security-parameters": True},
            "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "400", "401"]}},
        },
    ],
}


class EveryScope(frozenset[str]):
    """Scopes of a pool that defines every requested one."""

    def __contains__(self, scope: object) -> bool:
        return True

    def issuperset(self, scopes: object) -> bool:
        return True


class AnyCursorStore(FakeRecordStore):
    """Store that accepts every cursor."""

    def list(self, cursor: str | None, limit: int) -> Page[ClientSummary]:
        return super().list(None, limit)


def gateway() -> Gateway:
    """Return a new application in which every referenced resource exists."""
    world = LifecycleWorld(
        clock=FakeClock(0.0),  # every expiry lies in the future
        store=AnyCursorStore(),
        state=FakeStateStore.of(RegionState(writer=True, took_over=True)),
        east=FakeAppClients(scopes=EveryScope()),
        west=FakeAppClients(scopes=EveryScope()),
    )
    return Gateway(ApiWorld(world).app)


def one_request(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request with an application of its own."""
    return gateway()(environ, start_response)


def closed(loaded: dict[str, Any]) -> dict[str, Any]:
    """Return the document with answers closed to unlisted members."""
    answers = [*loaded["components"]["responses"].values()]
    for path in loaded["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict):
                answers += operation.get("responses", {}).values()
    for answer in answers:
        for media_type in answer.get("content", {}).values():
            _close(media_type["schema"])
    for schema in loaded["components"]["schemas"].values():
        for part in _parts(schema):
            _close(part)
    return loaded


def _close(schema: dict[str, Any]) -> None:
    if "$ref" in schema or "properties" in schema:
        schema["unevaluatedProperties"] = False
    for part in _parts(schema):
        _close(part)


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the schemas of the parts of *schema*."""
    yield from schema.get("properties", {}).values()
    if "items" in schema:
        yield schema["items"]


def openapi(**more: Any) -> schemathesis.BaseSchema:
    """Return the document, to be tested with `CONFIG` and *more*."""
    config = schemathesis.Config.from_dict(CONFIG | more)
    schema = schemathesis.openapi.from_dict(closed(document()), config=config)
    schema.app = one_request
    return schema


schemathesis.openapi.format(
    "printable",
    st.text(
        st.characters(exclude_categories=["C", "Z"], include_characters=" "),
        min_size=1,
        max_size=128,
    ).filter(str.strip),
)
schemathesis.openapi.format("cidr", st.ip_addresses().map(str))

SIGNED = openapi()
UNSIGNED = openapi(
    generation={"max-examples": 10, "deterministic": True},
    phases={"coverage": {"enabled": False}},
    checks={"positive_data_acceptance": {"expected-statuses": ["403"]}},
).exclude(tag="token")
# Deleted resources must be gone: schemathesis does not know about restoring.
WITHOUT_RESTORE = SIGNED.exclude(operation_id="restore_client")


def signature(case: Case) -> dict[str, str]:
    """Return the signature headers for *case*, if its operation is signed with IAM."""
    return {} if case.operation.tags == ["token"] else {"Authorization": SIGNATURE}


@SIGNED.parametrize()
def test_responses_conform_to_the_document(case: Case) -> None:
    case.call_and_validate(headers=signature(case))


@UNSIGNED.parametrize()
def test_unsigned_requests_are_forbidden(case: Case) -> None:
    response = case.call_and_validate()
    assert response.status_code == 403
    assert response.json()["type"] == FORBIDDEN


class Life(WITHOUT_RESTORE.as_state_machine()):  # type: ignore[misc]
    """Sequence of requests, each with values from earlier answers."""

    def setup(self) -> None:
        self.gateway = gateway()

    def get_call_kwargs(self, case: Case) -> dict[str, Any]:
        return {"app": self.gateway, "headers": signature(case)}


def test_request_sequences_conform_to_the_document() -> None:
    Life.run(
        settings=settings(
            max_examples=15,
            stateful_step_count=10,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
    )
