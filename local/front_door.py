"""
Front door: stands for the clients' resolver and network on the way to the service's name.

A connection goes to the target of the name at the moment it is made and stays there until it ends,
like the connections of a client that keeps them alive across a failover. Answers are cached for
their TTL; TTLs and the intervals of health checks are divided by the time scale, so that a drill
takes seconds.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from local.dns import Answer, Record, answer, api_id_of_host, normal_name, region_of_host
from local.health_checks import Endpoint, HealthCheck, HealthChecks
from local.httpio import call_json
from local.switch import LOOPBACK, Link, Stream, connect

_POLL_SECONDS = 0.25
_HISTORY = 200


class FrontDoor:
    """Proxy that resolves one name and forwards connections to the Region of the answer."""

    def __init__(  # noqa: PLR0913 - settings of one process, given once
        self,
        *,
        name: str,
        admin_url: str,
        domain_ports: Mapping[str, int],
        region_ports: Mapping[str, int],
        own_port: int,
        time_scale: float,
        region_is_up: Callable[[str], bool],
    ) -> None:
        self._name = normal_name(name)
        self._admin_url = admin_url
        self._domain_ports = domain_ports
        self._region_ports = region_ports
        self._own_port = own_port
        self._time_scale = time_scale
        self._region_is_up = region_is_up
        self._records: list[Record] = []
        self._checks = HealthChecks(self._locate, time_scale)
        self._cached: tuple[Answer, float] | None = None
        self._history: deque[dict[str, str]] = deque(maxlen=_HISTORY)
        self._seen: dict[str, str] = {}

    async def watch(self) -> None:
        """Follow the records and health checks in the emulator until canceled."""
        while True:
            try:
                zone = await asyncio.to_thread(call_json, f"{self._admin_url}/_local/dns")
            except OSError as err:
                print(f"front door: the emulator's records cannot be read: {err}", file=sys.stderr)
            else:
                self._records = [
                    record for item in zone["records"] if (record := Record.from_route53(item))
                ]
                self._checks.update(zone["health_checks"])
                self._note_changes()
            await asyncio.sleep(_POLL_SECONDS)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        client = Stream(reader, writer)
        found = self._resolve()
        region = region_of_host(found.target) if found else None
        port = self._domain_ports.get(region) if region else None
        if port is None:
            client.reset()
            return
        try:
            upstream = await connect(port, client.peer_host)
        except OSError:
            client.reset()
            return
        await Link(client, upstream).run()

    def forget(self) -> None:
        """Empty the resolver's cache."""
        self._cached = None

    def status(self) -> dict[str, Any]:
        """Return the target of the name, the health checks, and the history of changes."""
        authoritative = self._ask_route53()
        cached = self._fresh_answer()
        return {
            "name": self._name,
            "answer": authoritative.target if authoritative else None,
            "region": region_of_host(authoritative.target) if authoritative else None,
            "cached_answer": cached.target if cached else None,
            "health_checks": self._checks.status(),
            "history": [*self._history],
        }

    def _fresh_answer(self) -> Answer | None:
        """Return the resolver's cached answer while its TTL lasts."""
        if self._cached is None or time.monotonic() >= self._cached[1]:
            return None
        return self._cached[0]

    def _resolve(self) -> Answer | None:
        found = self._fresh_answer()
        if found is not None:
            return found
        found = self._ask_route53()
        if found is not None:
            self._cached = (found, time.monotonic() + found.ttl / self._time_scale)
        return found

    def _ask_route53(self) -> Answer | None:
        return answer(self._name, self._records, self._record_is_healthy)

    def _record_is_healthy(self, record: Record) -> bool:
        if record.health_check_id and not self._checks.is_healthy(record.health_check_id):
            return False
        if record.evaluate_target_health:
            # An alias's target is API Gateway itself, which is down with its Region.
            region = region_of_host(record.target)
            return region is None or region not in self._domain_ports or self._region_is_up(region)
        return True

    def _locate(self, check: HealthCheck) -> Endpoint | None:
        """Find the endpoint of a health check on this machine."""
        if check.address:
            return Endpoint(check.address, check.port, tls=check.type.startswith("HTTPS"))
        host = normal_name(check.host)
        if host == self._name:
            return Endpoint(LOOPBACK, self._own_port)
        region = region_of_host(host)
        if region not in self._domain_ports or region is None:
            return None
        api_id = api_id_of_host(host)
        if api_id is None:
            return Endpoint(LOOPBACK, self._domain_ports[region])
        return Endpoint(LOOPBACK, self._region_ports[region], f"/_aws/execute-api/{api_id}")

    def _note_changes(self) -> None:
        """Add changes since the last call to the history."""
        found = self._ask_route53()
        now = {f"name {self._name}": found.target if found else "no answer"}
        for key, check in self._checks.status().items():
            now[f"health check {key}"] = "healthy" if check["healthy"] else "unhealthy"
        for subject, state in now.items():
            if self._seen.get(subject) != state:
                self._history.append(
                    {
                        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                        "subject": subject,
                        "state": state,
                    }
                )
        self._seen = now
