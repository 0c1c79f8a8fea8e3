"""
Control interface of the emulator: `/_local/…` on the admin door.

`GET owner` and `GET dns` serve the network; `regions` and `replication` set the effect of a lost
Region on replication; `concurrency` sets the account's quota; `faults` and `calls` serve tests. The
Regions' doors do not expose it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from local.calls import CallLog
from local.emulated import module
from local.faults import Faults
from local.quota import Quota
from local.replication import Replication

# The merged query and JSON body of a request.
Question = Mapping[str, Any]


class Control:
    """Handler of control requests."""

    def __init__(
        self, calls: CallLog, faults: Faults, replication: Replication, quota: Quota
    ) -> None:
        self._calls = calls
        self._faults = faults
        self._replication = replication
        self._quota = quota
        self._routes: dict[tuple[str, str], Callable[[Question], object]] = {
            ("GET", "ready"): lambda _: {"ready": True},
            ("GET", "owner"): lambda question: {"region": _owner(question)},
            ("GET", "dns"): lambda _: _dns(),
            ("GET", "calls"): lambda _: calls.describe(),
            ("DELETE", "calls"): lambda _: calls.clear(),
            ("GET", "faults"): lambda _: faults.describe(),
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): lambda _: faults.clear(),
            ("GET", "regions"): lambda _: replication.describe(),
            ("POST", "regions"): self._set_region,
            ("POST", "replication"): self._set_lag,
            ("POST", "concurrency"): self._set_concurrency,
        }

    def answer(
        self, method: str, path: str, query: Mapping[str, list[str]], body: bytes
    ) -> tuple[int, object]:
        """Return the status and the JSON document for a request."""
        route = self._routes.get((method, path.removeprefix("/_local/")))
        if route is None:
            return 404, {"message": "no such control"}
        question = {key: values[0] for key, values in query.items()}
        try:
            return 200, route({**question, **json.loads(body or b"{}")})
        except KeyError as err:
            return 400, {"message": f"{err} is missing"}
        except (ValueError, TypeError) as err:
            return 400, {"message": str(err)}

    def _add_fault(self, question: Question) -> object:
        self._faults.add(question)
        return self._faults.describe()

    def _set_region(self, question: Question) -> object:
        self._replication.set_region(str(question["region"]), up=bool(question["up"]))
        return self._replication.describe()

    def _set_lag(self, question: Question) -> object:
        self._replication.set_lag(float(question["lag"]))
        return self._replication.describe()

    def _set_concurrency(self, question: Question) -> object:
        self._quota.total = int(question["quota"])
        return {"quota": self._quota.total}


def _owner(question: Question) -> str | None:
    """Return the Region of an API or an app client."""
    if api_id := question.get("api_id"):
        for name in ("services.apigateway_v1", "services.apigateway"):
            scope = module(name).find_api_scope(api_id)
            if scope is not None:
                return str(scope[1])
    if client_id := question.get("client_id"):
        pools = module("services.cognito")._user_pools  # noqa: SLF001
        for (_, region, _), pool in pools.all_items():
            if client_id in pool["_clients"]:
                return str(region)
    return None


def _dns() -> dict[str, Any]:
    """
    Return every record and health check.

    This is Route 53's data plane: it answers even when the Region of its API is down, so it does
    not pass through that API.
    """
    route53 = module("services.route53")
    with route53._lock:  # noqa: SLF001
        zones = [*route53._records.values()]  # noqa: SLF001
        checks = [*route53._health_checks.values()]  # noqa: SLF001
    return {
        "records": [_record_document(record) for zone in zones for record in zone],
        "health_checks": {check["id"]: check["config"] for check in checks},
    }


def _record_document(record: Mapping[str, Any]) -> dict[str, Any]:
    keys = (
        "Name", "Type", "TTL", "ResourceRecords", "AliasTarget",
        "Failover", "Weight", "HealthCheckId", "SetIdentifier",
    )  # fmt: skip
    return {key: record[key] for key in keys if key in record}
