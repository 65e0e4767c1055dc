"""
uvicorn's side of a connection, with the head of an answer and its body in one write.

uvicorn writes the head at once and the body when it comes, which nearly always is before anything else
happens. Two writes are two packets, and whoever reads them may wake up twice. Here the first one waits for
the second, or for the loop's next turn: an answer that is streamed still leaves at once.

And an app sees the same of a connection by a unix socket, on which only our activator asks, as of one by the
port: what it says of who asked is to be believed, and is, where the connection comes from loopback.

uvicorn's `send` waits for nothing but a client that does not read, and does nothing once the client has left
(ASGI 2.3): an app that sends without end would keep the loop for itself, which then never hears that the
client left. Here it waits for the loop's next turn now and then, and who goes on with a body when there were
turns enough to hear of it gets an OSError (as by ASGI 2.4).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# A larger body is not copied behind its head.
_JOINED_BYTES = 64 * 1024
_LOOPBACK = "127.0.0.1"
# Others get their turn after as many messages of one answer; most answers have two. And of a body whose
# client has left, as many take a turn each.
_MESSAGES_A_TURN = 16


class Corked:
    """A transport that holds one write back for a moment; all else is the transport's own."""

    __slots__ = ("_held", "_loop", "_told", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, told: Mapping[str, Any]) -> None:
        """Write to *transport*; *told* is to be said of it in place of what it says itself."""
        self._transport = transport
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        """What the transport has."""
        return getattr(self._transport, name)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self._told[name] if name in self._told else self._transport.get_extra_info(name, default)

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


class Exchange:
    """The app, as uvicorn calls it for one request, with a `send` that ends; see the module."""

    __slots__ = ("_app", "_cycle", "_messages", "_unheard")

    def __init__(self, app: Callable[..., Awaitable[Any]], cycle: RequestResponseCycle) -> None:
        """Have *app* answer the request of *cycle*."""
        self._app = app
        self._cycle = cycle
        self._messages = 0
        self._unheard = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, _send: Any) -> Any:
        """Serve the request; that its client has left is nobody's error."""
        try:
            return await self._app(scope, receive, self.send)
        except (OSError, ExceptionGroup) as error:
            other = error.split(OSError)[1] if isinstance(error, ExceptionGroup) else None
            if other is not None or not self._cycle.disconnected:
                raise

    def send(self, message: Any) -> Awaitable[None]:
        """Send *message*; raises OSError if the client has left, and the app does not heed that."""
        self._messages += 1
        if self._messages % _MESSAGES_A_TURN and not self._cycle.transport.is_closing():
            return self._cycle.send(message)
        return self._send_later(message)

    async def _send_later(self, message: Any) -> None:
        await asyncio.sleep(0)
        cycle = self._cycle
        if cycle.transport.is_closing() and message.get("more_body") and not cycle.response_complete:
            self._unheard += 1
            if self._unheard > _MESSAGES_A_TURN:
                cycle.disconnected = True
                raise ConnectionAbortedError("the client has left")
        await cycle.send(message)


class Protocol(HttpToolsProtocol):
    """
    What uvicorn is told to speak.

    It looks after idle connections now and then: uvicorn's timer, made and cancelled with every request,
    costs as much as a tenth of it.
    """

    _idle_check: asyncio.TimerHandle | None = None
    _answered = False  # since the last look

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hold writes to *transport* back."""
        sock = transport.get_extra_info("socket")
        told: dict[str, Any] = {}
        if sock is not None and sock.family == socket.AF_UNIX:
            told = {"socket": None, "peername": (_LOOPBACK, 0),
                    "sockname": (self.config.host, self.config.port)}
        super().connection_made(cast("asyncio.Transport", Corked(transport, told)))
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        super().connection_lost(exc)
        if self._idle_check is not None:
            self._idle_check.cancel()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, Exchange(app, cycle))  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """Go on to the request that came ahead, if one did."""
        self._answered = True
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _look_later(self) -> None:
        self._idle_check = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _look(self) -> None:
        """Close the connection if nothing was asked since the last look, and nothing is being answered."""
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and not self._answered:
            self.timeout_keep_alive_handler()
        else:
            self._answered = False
            self._look_later()
