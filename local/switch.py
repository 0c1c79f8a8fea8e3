"""
Switch that cuts a whole Region off the network.

A Region is reachable through TCP listeners that forward every byte to the emulator. In the mode
*refused* the listeners are closed and open connections are reset, as when hosts are dead; in the
mode *hanging* connections are established and never answered, as when packets are dropped.
"""

import asyncio
import contextlib
import enum
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
_CHUNK = 65_536
# l_onoff = 1, l_linger = 0: closing sends RST instead of FIN.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def loopback_url(port: int) -> str:
    """Return the URL of *port* on this machine."""
    return f"http://{LOOPBACK}:{port}"


class Mode(enum.StrEnum):
    """Network mode of a Region."""

    UP = "up"
    REFUSED = "refused"
    HANGING = "hanging"


@dataclass(frozen=True, slots=True)
class Stream:
    """Reader and writer of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def peer_host(self) -> str:
        """Source address of the connection."""
        peer = self.writer.get_extra_info("peername")
        return str(peer[0]) if peer else LOOPBACK

    def reset(self) -> None:
        """Abort the connection so that the peer sees a reset."""
        sock = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.writer.transport.abort()


async def connect(port: int, source: str = LOOPBACK) -> Stream:
    """
    Connect to *port* on this machine from the address *source*.

    The source address reaches the API as its caller's address, so that allowed CIDR blocks can be
    tested from 127.0.0.2.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, port, local_addr=(source, 0))
    return Stream(reader, writer)


async def _copy(source: asyncio.StreamReader, destination: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        destination.write(data)
        await destination.drain()


class Link:
    """Client connection with its upstream connection."""

    def __init__(self, client: Stream, upstream: Stream) -> None:
        self._client = client
        self._upstream = upstream
        self._held = False
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Forward bytes in both directions until either side ends or the link is held."""
        self._tasks = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        if self._held:
            return
        if any(not task.cancelled() and task.exception() for task in done):
            self.reset()
        else:
            self._client.writer.close()
            self._upstream.writer.close()

    async def _requests(self) -> None:
        await _copy(self._client.reader, self._upstream.writer)
        self._upstream.writer.write_eof()

    async def _answers(self) -> None:
        await _copy(self._upstream.reader, self._client.writer)
        # Nothing can follow: do not wait for a client that keeps its side open.
        self._tasks[0].cancel()
        self._client.writer.close()

    def hold(self) -> None:
        """Stop forwarding, but keep both connections."""
        self._held = True
        for task in self._tasks:
            task.cancel()

    def reset(self) -> None:
        """Reset both connections."""
        self._held = True
        for task in self._tasks:
            task.cancel()
        self._client.reset()
        self._upstream.reset()


class Listener:
    """
    TCP port that can be closed and reopened without losing it to another process.

    While closed, its socket stays bound but does not listen, which the kernel answers like an
    unused port.
    """

    def __init__(self, port: int, switch: "RegionSwitch", upstream_port: int) -> None:
        self._port = port
        self._switch = switch
        self._upstream_port = upstream_port
        self._server: asyncio.Server | None = None
        self._reserved = self._bind()

    def _bind(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((LOOPBACK, self._port))
        return sock

    async def open(self) -> None:
        """Accept connections; no effect if open."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, sock=self._reserved)

    def close(self) -> None:
        """Refuse connections; no effect if closed."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._reserved = self._bind()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._switch.carry(Stream(reader, writer), self._upstream_port)


class RegionSwitch:
    """Switch over all listeners of one Region."""

    def __init__(self, region: str, forwards: Mapping[int, int]) -> None:
        """Map the Region's public ports to the emulator's ports by *forwards*."""
        self.region = region
        self.mode = Mode.UP
        self.accepted = 0
        self._listeners = [Listener(port, self, behind) for port, behind in forwards.items()]
        self._links: set[Link] = set()
        self._frozen: set[Link | Stream] = set()

    async def set_mode(self, mode: Mode) -> None:
        """
        Set *mode*; no connection made in another mode survives unchanged.

        On entering *hanging* live connections freeze. Frozen connections are reset on leaving it: a
        request sent meanwhile must not be executed minutes later.
        """
        self.mode = mode
        frozen, self._frozen = self._frozen, set()
        for item in frozen:
            item.reset()
        links, self._links = self._links, set()
        for link in links:
            if mode is Mode.HANGING:
                link.hold()
                self._frozen.add(link)
            elif mode is Mode.REFUSED:
                link.reset()
            else:
                self._links.add(link)
        for listener in self._listeners:
            if mode is Mode.REFUSED:
                listener.close()
            else:
                await listener.open()

    async def carry(self, client: Stream, upstream_port: int, first: bytes = b"") -> None:
        """Forward *client* to *upstream_port*, after *first*, as far as the mode allows."""
        self.accepted += 1
        upstream = None
        if self.mode is Mode.UP:
            try:
                upstream = await connect(upstream_port, client.peer_host)
            except OSError:
                client.reset()
                return
        # The mode may have changed while the connection was being made.
        if self.mode is Mode.REFUSED:
            client.reset()
            if upstream is not None:
                upstream.reset()
            return
        if upstream is None or self.mode is Mode.HANGING:
            self._frozen.add(client)
            if upstream is not None:
                upstream.reset()
            return
        upstream.writer.write(first)
        link = Link(client, upstream)
        self._links.add(link)
        await link.run()
        self._links.discard(link)
