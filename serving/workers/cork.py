"""
uvicorn's side of a connection, with the head of an answer and its body in one write.

uvicorn writes the head at once and the body when it comes, which nearly always is before anything else
happens. Two writes are two packets, and whoever reads them may wake up twice. Here the first one waits for
the second, or for the loop's next turn: an answer that is streamed still leaves at once.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# A larger body is not copied behind its head.
_JOINED_BYTES = 64 * 1024


class Corked:
    """A transport that holds one write back for a moment; all else is the transport's own."""

    __slots__ = ("_held", "_loop", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        """Write to *transport*."""
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        """What the transport has."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold *data*, or send it behind what is held."""
        held = self._held
        if not held:
            self._held = data
            self._loop.call_soon(self._flush)
        elif len(data) <= _JOINED_BYTES:
            self._held = b""
            self._transport.write(held + data)
        else:
            self._flush()
            self._transport.write(data)

    def close(self) -> None:
        """Send what is held, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if held and not self.is_closing():
            self._transport.write(held)


class Protocol(HttpToolsProtocol):
    """What uvicorn is told to speak."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hold writes to *transport* back."""
        super().connection_made(cast("asyncio.Transport", Corked(transport)))
