"""
Network process of the local cloud: every public port, and the switch of each Region.

It is a process of its own, so that a Region can be cut off without the emulator's cooperation.
It knows nothing of AWS except for the routing in `cloud_port`, `dns` and `front_door`.
"""

import argparse
import asyncio
import json
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local import lifeline
from local.cloud_port import CloudPort
from local.front_door import FrontDoor
from local.httpio import (
    BadRequestError,
    RequestHead,
    call_json,
    json_response,
    read_body,
    read_head,
)
from local.switch import LOOPBACK, Mode, RegionSwitch


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Start settings of the network process."""

    regions: tuple[str, str]
    region_ports: dict[str, int]
    domain_ports: dict[str, int]
    region_doors: dict[str, int]
    domain_doors: dict[str, int]
    cloud_port: int
    front_door_port: int
    control_port: int
    admin_door: int
    domain_name: str
    time_scale: float

    @classmethod
    def load(cls, path: Path) -> "NetworkSettings":
        """Read the settings that `save` wrote."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write the settings for the process to read."""
        path.write_text(json.dumps(asdict(self), indent=2))

    @property
    def admin_url(self) -> str:
        """URL of the emulator's control interface."""
        return f"http://{LOOPBACK}:{self.admin_door}"


class Network:
    """Listeners and their control interface."""

    def __init__(self, settings: NetworkSettings) -> None:
        self._settings = settings
        self._switches = {
            region: RegionSwitch(
                region,
                {
                    settings.region_ports[region]: settings.region_doors[region],
                    settings.domain_ports[region]: settings.domain_doors[region],
                },
            )
            for region in settings.regions
        }
        self._cloud = CloudPort(
            self._switches, settings.region_doors, settings.admin_url, settings.regions[0]
        )
        self._front_door = FrontDoor(
            name=settings.domain_name,
            admin_url=settings.admin_url,
            domain_ports=settings.domain_ports,
            region_ports=settings.region_ports,
            own_port=settings.front_door_port,
            time_scale=settings.time_scale,
            region_is_up=lambda region: self._switches[region].mode is Mode.UP,
        )

    async def serve(self) -> None:
        """Serve until canceled."""
        for switch in self._switches.values():
            await switch.set_mode(Mode.UP)
        await asyncio.start_server(self._cloud.accept, LOOPBACK, self._settings.cloud_port)
        await asyncio.start_server(
            self._front_door.accept, LOOPBACK, self._settings.front_door_port
        )
        await asyncio.start_server(self._control, LOOPBACK, self._settings.control_port)
        await self._front_door.watch()

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await read_head(reader)
            if head is not None:
                writer.write(await self._answer(head, await read_body(reader, head)))
                await writer.drain()
        except (BadRequestError, ValueError, KeyError) as err:
            writer.write(json_response({"message": str(err)}, 400))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: RequestHead, body: bytes) -> bytes:
        match (head.method, head.path.strip("/").split("/")):
            case ("GET", ["status"]):
                return json_response(self._status())
            case ("PUT", ["regions", region]) if region in self._switches:
                mode = Mode(json.loads(body)["mode"])
                await self._set_mode(region, mode)
                return json_response(self._status())
            case ("POST", ["front-door", "forget"]):
                self._front_door.forget()
                return json_response(self._status())
        return json_response({"message": "no such control"}, 404)

    async def _set_mode(self, region: str, mode: Mode) -> None:
        """Set the switch, and notify the emulator: replication to a lost Region stops too."""
        announce = {"region": region, "up": mode is Mode.UP}
        if mode is not Mode.UP:
            await asyncio.to_thread(self._tell_emulator, announce)
        await self._switches[region].set_mode(mode)
        if mode is Mode.UP:
            await asyncio.to_thread(self._tell_emulator, announce)

    def _tell_emulator(self, announce: dict[str, Any]) -> None:
        try:
            call_json(f"{self._settings.admin_url}/_local/regions", "POST", announce)
        except OSError as err:
            print(f"the emulator was not told of {announce}: {err}", file=sys.stderr)

    def _status(self) -> dict[str, Any]:
        return {
            "regions": {
                region: {"mode": switch.mode, "connections": switch.accepted}
                for region, switch in self._switches.items()
            },
            "front_door": self._front_door.status(),
            "time_scale": self._settings.time_scale,
        }


async def _run(settings: NetworkSettings) -> None:
    task = asyncio.create_task(Network(settings).serve())
    loop = asyncio.get_running_loop()

    def end() -> None:
        # Errors of connections that are cut off at shutdown are expected.
        loop.set_exception_handler(lambda _loop, _context: None)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    try:
        await task
    except asyncio.CancelledError:
        print("network: stopped", flush=True)


def main() -> None:
    """Run the network process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path)
    parser.add_argument(lifeline.OPTION, type=int)
    arguments = parser.parse_args()
    lifeline.follow(arguments.lifeline)
    asyncio.run(_run(NetworkSettings.load(arguments.settings)))


if __name__ == "__main__":
    main()
