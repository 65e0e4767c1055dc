"""A client that hides nothing: one request on one connection, no retry, and every byte is accounted for."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass

LIMIT_S = 60


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one request; `status` 0: no whole answer came, and `text` says why."""

    status: int
    text: str
    cold: bool = False
    began_s: float
    took_s: float

    def json(self):
        """The body of a clean answer."""
        return json.loads(self.text)


class Connection:
    """A connection to 127.0.0.1 that may be used again until it breaks."""

    def __init__(self, port):
        self._port = port
        self._streams = None

    async def ask(self, method, target, headers, body=b""):
        """Send one request; whatever happens is an Answer."""
        began_s = time.monotonic()
        status, text, cold = 0, "", False
        try:
            async with asyncio.timeout(LIMIT_S):
                status, text, cold = await self._exchange(method, target, headers, body)
        except TimeoutError:
            text = f"no answer within {LIMIT_S} s"
        except (OSError, EOFError, ValueError) as error:
            text = repr(error)
        if not status:
            await self.close()
        return Answer(status=status, text=text, cold=cold, began_s=began_s,
                      took_s=time.monotonic() - began_s)

    async def _exchange(self, method, target, headers, body):
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()),
                 f"content-length: {len(body)}", "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in rest if line)
        if fields.get("transfer-encoding") == "chunked":
            text = await _chunks(reader)
        else:
            text = await reader.readexactly(int(fields.get("content-length", 0)))
        if fields.get("connection") == "close":
            await self.close()
        return int(first.split()[1]), text.decode(), "clarion-cold-start" in fields

    async def close(self):
        """Let go of it."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _chunks(reader):
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def ask(port, method, target, headers, body=b""):
    """One request on a connection of its own."""
    connection = Connection(port)
    try:
        return await connection.ask(method, target, headers, body)
    finally:
        await connection.close()
