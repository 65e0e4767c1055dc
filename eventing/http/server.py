"""
Serve HTTP/1.1: `serve(handler, ...)` listens and returns a Server, which knows its connections and ends them.

    server = await serve(handle, host="127.0.0.1", port=8080, limits=Limits(body_s=10))
    ...
    await server.close(grace_s=10)

The end, in order: 1. no connection is accepted any more, 2. idle connections close, 3. what is in flight is
answered, with `Connection: close`, 4. after the grace what is left is cut.
"""

import asyncio
import contextlib
import email.utils
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from eventing.http.asked import BodyReceiver
from eventing.http.connection import Connection
from eventing.http.exchange import Exchange, Handler
from eventing.http.wire import Header, status_line

__all__ = ["BodyReceiver", "Exchange", "Handler", "Header", "Limits", "Server", "serve"]

# Two seconds' worth of connections at 1,000/s; the kernel caps it at net.core.somaxconn.
_BACKLOG = 2048
# Of the Date header, and of every time limit: nobody notices half a second in a limit of many.
_TICK_S = 0.5
# Connections that are told 503 beside those that are served, and may take their time to hear it; those above
# that are told, and closed at once.
_REFUSALS = 128


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may make the server spend. Times are not exact: up to a tick (0.5 s) longer."""

    connections: int = 2000  # two descriptors each with an upstream, within what Linux allows a process
    head_bytes: int = 64 * 1024  # Node.js allows 16 KiB; an event's extensions travel in its head
    headers: int = 128  # a hundred extensions and what proxies add
    head_s: float = 10.0  # from a request's first byte to the end of its head
    body_s: float = 60.0  # from a request's first byte to its last; streamed: between two reads
    idle_s: float = 75.0  # between requests: longer than clients keep theirs, so that they are who closes
    write_s: float = 30.0  # how long a client may take nothing at all of its answer
    linger_s: float = 2.0  # how long a refused client may go on sending before it is cut


class Server:
    """A listening socket and its connections. Made by `serve`."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        """Not listening yet."""
        self._loop = asyncio.get_running_loop()
        self.handler = handler
        self.limits = limits
        self.tick_s = min(_TICK_S, *(_times(limits)))
        self.now = 0.0  # seconds that count towards limits, at the last tick
        self._ticked_s = self._loop.time()
        self.closing = False
        self.heads: dict[int, bytes] = {}  # status -> status line and Date, filled anew every tick
        self.port = 0  # TCP port it listens on; 0 on a unix socket
        self._listener: asyncio.AbstractServer | None = None
        self._connections: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def __repr__(self) -> str:
        """How many connections."""
        return f"<Server [{len(self._connections)} connections{' | closing' if self.closing else ''}]>"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def listen(self, listener: asyncio.Server) -> None:
        """Belong to *listener*, which has made this server's connections all along."""
        self._listener = listener
        for sock in listener.sockets:
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                self.port = sock.getsockname()[1]

    async def adopt(self, sock: socket.socket, data: bytes) -> None:
        """Go on with a connection that another process has accepted, and read *data* of."""
        connection = Connection(self, data)
        with contextlib.suppress(OSError):  # its client is gone already
            await self._loop.connect_accepted_socket(lambda: connection, sock)
            connection.go_on()

    async def close(self, grace_s: float) -> None:
        """Stop accepting, let what is in flight finish for *grace_s*, cut the rest."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for connection in tuple(self._connections):
            connection.close_if_idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        for connection in tuple(self._connections):
            connection.abort()
        await self._empty.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- for connections ----------------------------------------------------------------------------------

    def admit(self, connection: Connection) -> bool:
        """Count a new connection; False: it is one too many and is to be refused."""
        if not self._connections:
            self._empty.clear()
            if self._timer is None:
                self._tick()
        self._connections.add(connection)
        return len(self._connections) <= self.limits.connections

    @property
    def is_crowded(self) -> bool:
        """Whether even those that are refused are too many."""
        return len(self._connections) > self.limits.connections + _REFUSALS

    def forget(self, connection: Connection) -> None:
        """A connection is lost."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def head(self, status: int) -> bytes:
        """Status line and Date of an answer."""
        head = self.heads.get(status)
        if head is None:
            date = email.utils.formatdate(time.time(), usegmt=True).encode()
            head = self.heads[status] = b"%bdate: %b\r\n" % (status_line(status), date)
        return head

    def _tick(self) -> None:
        """Advance the clock and check every connection; rests while there is none."""
        time_s = self._loop.time()
        # Time that this process stood still is not the clients' slowness: at most two ticks count.
        self.now += min(time_s - self._ticked_s, 2 * self.tick_s)
        self._ticked_s = time_s
        self.heads.clear()
        for connection in tuple(self._connections):
            connection.check(self.now)
        busy = bool(self._connections) or self._timer is None
        self._timer = self._loop.call_later(self.tick_s, self._tick) if busy else None


def _times(limits: Limits) -> tuple[float, ...]:
    """A tick that is short enough for the shortest limit."""
    times = (limits.head_s, limits.body_s, limits.idle_s, limits.write_s, limits.linger_s)
    return tuple(time_s / 4 for time_s in times)


async def serve(handler: Handler, *, sock: socket.socket | None = None, host: str = "127.0.0.1",
                port: int = 0, path: Path | None = None, limits: Limits | None = None) -> Server:
    """
    Listen on *sock* (a bound stream socket), else on the unix socket *path*, else on *host* and *port*.

    *handler* is called with every Exchange as soon as its head is complete; it returns at once and answers
    then or later. Raises OSError when the address cannot be had.
    """
    loop = asyncio.get_running_loop()
    server = Server(handler, limits or Limits())

    def connect() -> Connection:
        return Connection(server)

    listener: asyncio.Server
    if path is not None:
        listener = await loop.create_unix_server(connect, str(path), backlog=_BACKLOG)
    elif sock is not None and sock.family == socket.AF_UNIX:
        listener = await loop.create_unix_server(connect, sock=sock, backlog=_BACKLOG)
    elif sock is not None:
        listener = await loop.create_server(connect, sock=sock, backlog=_BACKLOG)
    else:
        listener = await loop.create_server(connect, host, port, backlog=_BACKLOG)
    server.listen(listener)
    return server
