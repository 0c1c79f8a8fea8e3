"""Health checks change their status as Route 53's do."""

import asyncio
from collections.abc import Callable
from typing import Self

from local.health_checks import Endpoint, HealthCheck, HealthChecks

FAST = 10_000.0  # time scale: an interval of 10 s is a millisecond


class Server:
    """Server that answers every request with one changeable status."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {self.status} X\r\nConnection: close\r\n\r\nall is well".encode())
        await writer.drain()
        writer.close()


def locate(check: HealthCheck) -> Endpoint:
    return Endpoint(check.address, check.port)


async def becomes(condition: Callable[[], bool]) -> bool:
    for _ in range(6_000):
        if condition():
            return True
        await asyncio.sleep(0.005)
    return False


def config(port: int, **rest: object) -> dict[str, object]:
    base = {"Type": "HTTP", "IPAddress": "127.0.0.1", "Port": port, "RequestInterval": 10}
    return {**base, **rest}


def test_only_consecutive_failures_count() -> None:
    async def scenario() -> None:
        async with Server(200) as server:
            checks = HealthChecks(locate, FAST)
            checks.update({"c": config(server.port, FailureThreshold=3)})
            assert checks.is_healthy("c"), "a new check is taken for healthy"
            server.status = 503
            assert await becomes(lambda: not checks.is_healthy("c"))
            server.status = 302
            assert await becomes(lambda: checks.is_healthy("c"))
            checks.update({})

    asyncio.run(scenario())


def test_a_new_inverted_check_starts_unhealthy() -> None:
    async def scenario() -> None:
        async with Server(404) as server:
            checks = HealthChecks(locate, FAST)
            checks.update({"c": config(server.port, Inverted=True)})
            assert not checks.is_healthy("c")
            assert await becomes(lambda: checks.is_healthy("c"))
            server.status = 200
            assert await becomes(lambda: not checks.is_healthy("c"))
            checks.update({})

    asyncio.run(scenario())


def test_a_disabled_check_is_healthy_unless_it_is_inverted() -> None:
    async def scenario() -> None:
        checks = HealthChecks(locate, FAST)
        checks.update(
            {
                "plain": config(1, Disabled=True),
                "inverted": config(1, Disabled=True, Inverted=True),
            }
        )
        assert checks.is_healthy("plain")
        assert not checks.is_healthy("inverted")
        checks.update({})

    asyncio.run(scenario())


def test_the_body_is_searched() -> None:
    async def scenario() -> None:
        async with Server(200) as server:
            checks = HealthChecks(locate, FAST)
            match = {"Type": "HTTP_STR_MATCH", "FailureThreshold": 1}
            checks.update(
                {
                    "found": config(server.port, SearchString="well", **match),
                    "missing": config(server.port, SearchString="ill", **match),
                }
            )
            assert await becomes(lambda: not checks.is_healthy("missing"))
            assert checks.is_healthy("found")
            checks.update({})

    asyncio.run(scenario())


def test_a_calculated_check_counts_its_children() -> None:
    async def scenario() -> None:
        checks = HealthChecks(locate, FAST)
        up, down = config(1, Disabled=True), config(1, Disabled=True, Inverted=True)
        both = {"Type": "CALCULATED", "ChildHealthChecks": ["up", "down"]}
        checks.update(
            {
                "up": up,
                "down": down,
                "any": {**both, "HealthThreshold": 1},
                "all": {**both, "HealthThreshold": 2},
            }
        )
        assert checks.is_healthy("any")
        assert not checks.is_healthy("all")
        checks.update({})

    asyncio.run(scenario())


def test_a_changed_configuration_starts_over() -> None:
    async def scenario() -> None:
        async with Server(500) as server:
            checks = HealthChecks(locate, FAST)
            checks.update({"c": config(server.port, FailureThreshold=1)})
            assert await becomes(lambda: not checks.is_healthy("c"))
            checks.update({"c": config(server.port, FailureThreshold=1, ResourcePath="/other")})
            assert checks.is_healthy("c")
            checks.update({})

    asyncio.run(scenario())
