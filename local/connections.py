"""Hypercorn's open connections, so that the application can reset one of them."""

import asyncio
import importlib
from typing import Any

from local.switch import Stream


class Connections:
    """Open connections of the server, by peer address."""

    def __init__(self) -> None:
        self._streams: dict[tuple[str, int], Stream] = {}

    def reset(self, peer: tuple[str, int]) -> None:
        """Reset the connection from *peer*."""
        stream = self._streams.get((peer[0], peer[1]))
        if stream is not None:
            stream.reset()

    def track(self) -> None:
        """Make Hypercorn register its connections; call before serving."""
        run = importlib.import_module("hypercorn.asyncio.run")
        base: Any = run.TCPServer
        streams = self._streams

        class TrackedServer(base):  # type: ignore[misc]
            reader: asyncio.StreamReader
            writer: asyncio.StreamWriter

            async def run(self) -> None:
                peer = self.writer.get_extra_info("peername")
                streams[peer] = Stream(self.reader, self.writer)
                try:
                    await super().run()
                finally:
                    streams.pop(peer, None)

        run.TCPServer = TrackedServer  # type: ignore[attr-defined]
