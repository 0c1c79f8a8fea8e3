"""
The emulator's control interface: `/_local/…` on the admin door.

`GET owner` and `GET dns` serve the network; `regions` and `replication` steer what a lost Region means
for replication; `faults` and `calls` serve tests. It is out of reach through the doors of the Regions.
"""

import json
from collections.abc import Mapping
from typing import Any

from local.calls import CallLog
from local.emulated import module
from local.faults import Faults
from local.replication import Replication


class Control:
    """Answers control requests."""

    def __init__(self, calls: CallLog, faults: Faults, replication: Replication) -> None:
        self._calls = calls
        self._faults = faults
        self._replication = replication

    def answer(
        self, method: str, path: str, query: Mapping[str, list[str]], body: bytes
    ) -> tuple[int, Any]:
        """Return the status and the JSON document for a request."""
        try:
            document = json.loads(body) if body else {}
            return 200, self._dispatch(method, path.removeprefix("/_local/"), query, document)
        except LookupError as err:
            return 404, {"message": f"no such control: {err}"}
        except (ValueError, TypeError) as err:
            return 400, {"message": str(err)}

    def _dispatch(
        self, method: str, name: str, query: Mapping[str, list[str]], document: Mapping[str, Any]
    ) -> Any:  # noqa: ANN401 - a JSON document
        match method, name:
            case "GET", "ready":
                return {"ready": True}
            case "GET", "owner":
                return {"region": _owner({key: value[0] for key, value in query.items()})}
            case "GET", "dns":
                return _dns()
            case "GET", "calls":
                return self._calls.describe()
            case "DELETE", "calls":
                self._calls.clear()
                return []
            case "GET", "faults":
                return self._faults.describe()
            case "POST", "faults":
                self._faults.add(document)
                return self._faults.describe()
            case "DELETE", "faults":
                self._faults.clear()
                return []
            case "POST", "regions":
                self._replication.set_region(str(document["region"]), up=bool(document["up"]))
                return self._replication.describe()
            case "POST", "replication":
                self._replication.set_lag(float(document["lag"]))
                return self._replication.describe()
            case "GET", ("regions" | "replication"):
                return self._replication.describe()
        raise LookupError(f"{method} {name}")  # noqa: EM102


def _owner(question: Mapping[str, str]) -> str | None:
    """Return the Region that an API or an app client lives in."""
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

    This is Route 53's data plane: it goes on answering whatever becomes of the Region that its API
    is in, so it does not pass through that API.
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
