"""
Route 53's health checks, run from one place instead of about fifteen.

Covered: HTTP, HTTPS, their `_STR_MATCH` forms, TCP and CALCULATED, with `Inverted` and `Disabled`,
`RequestInterval`, `FailureThreshold`, and the documented time-outs. CLOUDWATCH_METRIC and
RECOVERY_CONTROL checks are not evaluated: they report what `InsufficientDataHealthStatus` says.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_CONNECT_TIMEOUT = 4.0
_TCP_CONNECT_TIMEOUT = 10.0
_RESPONSE_TIMEOUT = 2.0
_SEARCHED_BYTES = 5120
_HEALTHY_STATUSES = range(200, 400)
_POLLED_TYPES = frozenset({"HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Local address of a health check's endpoint."""

    host: str
    port: int
    path_prefix: str = ""
    tls: bool = False


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Configuration of one health check."""

    type: str
    address: str = ""
    host: str = ""
    port: int = 80
    path: str = "/"
    search: str = ""
    interval: int = 30
    threshold: int = 3
    inverted: bool = False
    disabled: bool = False
    children: tuple[str, ...] = ()
    health_threshold: int = 0
    without_data: str = "LastKnownStatus"

    @classmethod
    def from_route53(cls, config: Mapping[str, Any]) -> "HealthCheck":
        """Read a configuration in the API's form."""
        kind = config["Type"]
        return cls(
            type=kind,
            address=config.get("IPAddress", ""),
            host=config.get("FullyQualifiedDomainName", ""),
            port=config.get("Port", 443 if kind.startswith("HTTPS") else 80),
            path=config.get("ResourcePath", "/"),
            search=config.get("SearchString", ""),
            interval=config.get("RequestInterval", 30),
            threshold=config.get("FailureThreshold", 3),
            inverted=config.get("Inverted", False),
            disabled=config.get("Disabled", False),
            children=tuple(config.get("ChildHealthChecks", ())),
            health_threshold=config.get("HealthThreshold", 0),
            without_data=config.get("InsufficientDataHealthStatus", "LastKnownStatus"),
        )


class Prober:
    """Prober of one endpoint; only consecutive equal results change its status."""

    def __init__(self, check: HealthCheck, endpoint: Endpoint, interval: float) -> None:
        self.check = check
        self.endpoint = endpoint
        self._interval = interval
        self._streak = 0
        # Route 53 considers a new endpoint healthy until it has results; inverting applies to that
        # assumption as well, so a new inverted check is unhealthy.
        self.endpoint_healthy = True
        self.observations = 0
        self.last_observation = "not observed yet"

    async def run(self) -> None:
        """Poll until canceled."""
        while True:
            started = asyncio.get_running_loop().time()
            self._count(await self._probe())
            elapsed = asyncio.get_running_loop().time() - started
            await asyncio.sleep(max(self._interval - elapsed, 0.01))

    def _count(self, healthy: bool) -> None:  # noqa: FBT001 - the only argument
        self.observations += 1
        self._streak = self._streak + 1 if healthy is not self.endpoint_healthy else 0
        if self._streak >= self.check.threshold:
            self.endpoint_healthy = healthy
            self._streak = 0

    async def _probe(self) -> bool:
        try:
            healthy, self.last_observation = await self._observe()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as err:
            self.last_observation = str(err) or type(err).__name__
            return False
        return healthy

    async def _observe(self) -> tuple[bool, str]:
        is_tcp = self.check.type == "TCP"
        # Route 53 validates no certificates either.
        context = ssl._create_unverified_context() if self.endpoint.tls else None  # noqa: S323, SLF001
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(self.endpoint.host, self.endpoint.port, ssl=context),
            _TCP_CONNECT_TIMEOUT if is_tcp else _CONNECT_TIMEOUT,
        )
        try:
            if is_tcp:
                return True, "connected"
            writer.write(
                f"GET {self.endpoint.path_prefix}{self.check.path} HTTP/1.1\r\n"
                f"Host: {self.check.host or self.endpoint.host}\r\n"
                "User-Agent: Amazon-Route53-Health-Check-Service (local stand-in)\r\n"
                "Accept: */*\r\nConnection: close\r\n\r\n".encode()
            )
            line = await asyncio.wait_for(reader.readline(), _RESPONSE_TIMEOUT)
            status = int(line.split(b" ", 2)[1]) if line.startswith(b"HTTP/") else 0
            healthy = status in _HEALTHY_STATUSES
            if healthy and self.check.search:
                text = await asyncio.wait_for(self._body_start(reader), _RESPONSE_TIMEOUT)
                healthy = self.check.search.encode() in text
            return healthy, f"HTTP {status}"
        finally:
            with contextlib.suppress(OSError):
                writer.close()

    @staticmethod
    async def _body_start(reader: asyncio.StreamReader) -> bytes:
        await reader.readuntil(b"\r\n\r\n")
        text = b""
        while len(text) < _SEARCHED_BYTES and (more := await reader.read(_SEARCHED_BYTES)):
            text += more
        return text[:_SEARCHED_BYTES]


class HealthChecks:
    """All health checks, synchronized with the emulator's."""

    def __init__(self, locate: Callable[[HealthCheck], Endpoint | None], time_scale: float) -> None:
        """Find endpoints on this machine with *locate*; divide intervals by *time_scale*."""
        self._locate = locate
        self._time_scale = time_scale
        self._checks: dict[str, HealthCheck] = {}
        self._probers: dict[str, Prober] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def update(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        """Start, restart and stop probers so that they match *configs*."""
        checks = {key: HealthCheck.from_route53(config) for key, config in configs.items()}
        for key in [*self._probers]:
            if self._wanted(key, checks) is None:
                self._tasks.pop(key).cancel()
                del self._probers[key]
        for key, check in checks.items():
            endpoint = self._locate(check)
            if endpoint is not None and check.type in _POLLED_TYPES and key not in self._probers:
                prober = Prober(check, endpoint, check.interval / self._time_scale)
                self._probers[key] = prober
                self._tasks[key] = asyncio.create_task(prober.run())
        self._checks = checks

    def _wanted(self, key: str, checks: Mapping[str, HealthCheck]) -> HealthCheck | None:
        """Return the configuration of a running prober if its endpoint is unchanged."""
        check, prober = checks.get(key), self._probers[key]
        if check is None or self._locate(check) != prober.endpoint or check != prober.check:
            return None
        return check

    def is_healthy(self, key: str) -> bool:
        """Return the status of a health check; one that does not exist is healthy."""
        check = self._checks.get(key)
        if check is None or check.disabled:
            # Route 53 stops a disabled check and considers it healthy, before inverting.
            return check is None or not check.inverted
        return self._raw(key, check) is not check.inverted

    def _raw(self, key: str, check: HealthCheck) -> bool:
        if check.type == "CALCULATED":
            healthy = sum(self.is_healthy(child) for child in check.children if child != key)
            return healthy >= check.health_threshold
        prober = self._probers.get(key)
        if prober is not None:
            return prober.endpoint_healthy
        return check.without_data != "Unhealthy"

    def status(self) -> dict[str, Any]:
        """Describe every health check for people."""
        return {
            key: {
                "type": check.type,
                "inverted": check.inverted,
                "healthy": self.is_healthy(key),
                "observations": prober.observations if (prober := self._probers.get(key)) else 0,
                "last_observation": prober.last_observation if prober else "not polled",
                "resource_path": check.path,
            }
            for key, check in self._checks.items()
        }
