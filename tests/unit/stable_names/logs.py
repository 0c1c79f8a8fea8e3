"""Names in log lines, and the metrics made from them, read from printed lines."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any, Final

from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]

from chalicelib.errors import (
    AppClientsThrottledError,
    MalformedSecretError,
    OutcomeUnknownError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
    VersionConflictError,
)
from chalicelib.http.problems import slug_of
from chalicelib.jwks.document import EMPTY
from chalicelib.jwks.refresh import KeyRefresh
from chalicelib.reconciliation.schedule import Upkeep
from chalicelib.telemetry import json_lines
from chalicelib.timing import RateLimiter
from tests.fake_keys import EAST_ISSUER, WEST_ISSUER, FakeIssuers, FakeKeyStore, key
from tests.fakes import FakeClock, FakeStateStore
from tests.gateway import call
from tests.stages import PROJECT
from tests.unit.chalicelib.clients.lifecycle_world import DAY
from tests.unit.chalicelib.reconciliation.reconcile_world import ReconcileWorld
from tests.unit.stable_names.api import OPERATIONS, PROVOCATIONS, new_api
from tests.unit.stable_names.names import Names, members
from tests.unit.stable_names.tokens import exchanged, key_set_is_gone
from tests.worlds import EAST
from trigger.index import SOURCE, VERSION, Trigger, log

Line = dict[str, Any]
KEY_ERRORS: Final = (
    MalformedSecretError,
    StoreUnavailableError,
    StoreThrottledError,
    StoreRefusedError,
    OutcomeUnknownError,
    VersionConflictError,
)


def printed(*events: Mapping[str, Any]) -> list[Line]:
    """Return the printed lines of *events*."""
    stream = io.StringIO()
    emit = json_lines(EAST, FakeClock(), stream)
    for each in events:
        emit(each)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def lines() -> list[Line]:
    """Return the lines of every event that can be produced here."""
    told = [each for _, events in exchanged() for each in events]
    told += [*key_set_is_gone()[1], *_administered(), *_scheduled(), *_refreshed(), *_warmed()]
    return [*printed(*told), *_triggered()]


def _warmed() -> Iterator[Mapping[str, Any]]:
    api = new_api()
    call(api.app, {"source": "aws.events"})
    yield from api.admin.events.seen


def _administered() -> Iterator[Mapping[str, Any]]:
    for request in OPERATIONS:
        api = new_api()
        request.sent_to(api)
        yield from api.admin.events.seen
    for happen, request in PROVOCATIONS:
        api = new_api()
        happen(api)
        request.sent_to(api)
        yield from api.admin.events.seen


def _scheduled() -> Iterator[Mapping[str, Any]]:
    def a_standby(world: ReconcileWorld) -> None:
        world.state.hand_over_to(world.other_state)

    def nobody_writes(world: ReconcileWorld) -> None:
        world.state.stored = FakeStateStore.standby().stored

    def a_rotation_that_fails(world: ReconcileWorld) -> None:
        world.east.failures["add_secret"].append(AppClientsThrottledError())

    def a_list_that_fails(world: ReconcileWorld) -> None:
        for error in (StoreUnavailableError(), StoreRefusedError()):
            # The survey calls first, and retries.
            world.store.failures["list"].extend([None, error])

    def nothing(_world: ReconcileWorld) -> None:
        """Inject no failure."""

    def a_replica_that_failed(world: ReconcileWorld) -> None:
        client_id = next(iter(world.store.stored))
        del world.store.replicas[client_id]
        world.store.failed.add(client_id)

    happened: tuple[Callable[[ReconcileWorld], object], ...] = (
        nothing,
        a_standby,
        nobody_writes,
        a_rotation_that_fails,
        a_list_that_fails,
        a_replica_that_failed,
    )
    for happen in happened:
        world = ReconcileWorld()
        world.client()
        world.clock.advance(100 * DAY)
        happen(world)
        upkeep = _upkeep(world)
        for _ in range(4):
            upkeep.run(lambda: 900.0)
            world.clock.advance(DAY)
        yield from world.events.seen


def _upkeep(world: ReconcileWorld) -> Upkeep:
    keys = _refresh(FakeKeyStore.of(EMPTY), FakeIssuers(_KEYS))
    limiter = RateLimiter(1_000.0, world.clock, world.clock.advance)
    return Upkeep(
        world.admin,
        keys,
        world.survey,
        world.reconcile.repair,
        world.both_denials,
        world.app_client_rotation,
        90,
        limiter,
        slug_of,
        world.events,
    )


_KEYS: Final = {EAST_ISSUER: (key("east"),), WEST_ISSUER: (key("west"),)}


def _refresh(store: FakeKeyStore, issuers: FakeIssuers) -> KeyRefresh:
    return KeyRefresh(store, issuers.fetches(), FakeClock())


def _refreshed() -> Iterator[Mapping[str, Any]]:
    for error in KEY_ERRORS:
        store = FakeKeyStore.of(EMPTY)
        store.failures["read"].append(error())
        yield _refresh(store, FakeIssuers(_KEYS)).refresh()
    yield _refresh(FakeKeyStore.of(EMPTY), FakeIssuers({**_KEYS, WEST_ISSUER: None})).refresh()
    store = FakeKeyStore.of(EMPTY)
    issuers = FakeIssuers(_KEYS)
    yield _refresh(store, issuers).refresh()
    yield _refresh(store, issuers).refresh()
    replica = FakeKeyStore.of(EMPTY)
    replica.replica = True
    yield _refresh(replica, FakeIssuers(_KEYS)).refresh()


def _triggered() -> Iterator[Line]:
    metadata = {"surrogate_client_id": "sgc_x", "surrogate_mac": "no"}
    event = {
        "triggerSource": SOURCE,
        "version": VERSION,
        "callerContext": {"clientId": "x"},
        "request": {"clientMetadata": metadata},
    }
    told = io.StringIO()
    with redirect_stdout(told):
        Trigger(lambda: '{"schema":1,"key":"' + "a" * 43 + '="}', FakeClock(), log)(event)
        Trigger(lambda: "", FakeClock(), log)(event)
        Trigger(lambda: "", FakeClock(), log)({**event, "request": None})
    for line in told.getvalue().splitlines():
        yield json.loads(line)


def log_lines() -> Names:
    """Return the members of each event's lines, and its outcomes."""
    by_event: dict[str, list[Line]] = defaultdict(list)
    for line in lines():
        by_event[line["event"]].append(line)
    return {event: _told(event, found) for event, found in by_event.items()}


def _told(event: str, found: list[Line]) -> dict[str, Any]:
    told: dict[str, Any] = {"members": members(found)}
    if event == "admin":
        told["actions"] = sorted({line["action"] for line in found})
        told["callers of no request"] = sorted(
            {line["caller"] for line in found if line["caller"] and ":" not in line["caller"]}
        )
    for name in ("outcome", "error"):
        values = {line[name] for line in found if name in line}
        if values:
            told[f"{name}s"] = sorted(values)
    steps = {step for line in found for step in line.get("steps", {})}
    return told | ({"steps": sorted(steps)} if steps else {})


def metrics() -> Names:
    """Return the metrics of the lines, and those of the templates."""
    return {"in log lines": _embedded(), "in infra/region.yaml": _template()}


def _embedded() -> dict[str, Any]:
    found: dict[str, set[str]] = defaultdict(set)
    for line in lines():
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            by = {f"by {' and '.join(each)}" for each in directive["Dimensions"]}
            for metric in directive["Metrics"]:
                found[f"{directive['Namespace']} {metric['Name']}"] |= by
    return {name: sorted(each) for name, each in found.items()}


def _template() -> dict[str, Any]:
    template = cfn_yaml.load(str(PROJECT / "infra" / "region.yaml"))
    filters, alarms = {}, {}
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Logs::MetricFilter":
            (made,) = properties["MetricTransformations"]
            pattern = " ".join(properties["FilterPattern"].split())
            filters[_metric(made["MetricNamespace"], made["MetricName"])] = [pattern]
        elif resource["Type"] == "AWS::CloudWatch::Alarm":
            by = [str(each["Name"]) for each in properties.get("Dimensions", [])]
            metric = _metric(properties.get("Namespace"), properties.get("MetricName"))
            alarms[str(name)] = [metric, *(f"by {each}" for each in by)]
    return {"made of lines": filters, "alarms": alarms}


def _metric(namespace: Any, name: Any) -> str:
    called = name["Fn::Sub"] if isinstance(name, Mapping) else name
    return f"{namespace} {called}"
