"""
A TCP proxy that can cut a connection when the answer comes: the request was served, and its sender never
knows.

It reads no HTTP. What is cut is reset, not closed, on both sides.
"""

import asyncio
import contextlib

from tests.chaos.server import Server


class Proxy(Server):
    """In front of one port, which may be another one tomorrow."""

    def __init__(self, upstream):
        """*upstream* returns the port to connect to."""
        self._upstream = upstream
        self._cuts = 0
        self.cut = 0  # answers so far

    def cut_next(self, answers):
        """Cut so many answers from now on; 0: no more."""
        self._cuts = answers

    async def serve(self, reader, writer):
        ends = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._upstream())
            ends.append(back)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, back))
                tasks.create_task(self._return(there, writer))
        except* (OSError, asyncio.CancelledError):
            pass  # either side went: so does the other
        finally:
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader, writer):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError("the client is done")

    async def _return(self, reader, writer):
        while chunk := await reader.read(65536):
            if self._cuts > 0:
                self._cuts -= 1
                self.cut += 1
                raise ConnectionResetError("cut on purpose")
            writer.write(chunk)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        raise ConnectionResetError("the server is done")
