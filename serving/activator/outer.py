"""
Connections of the data port that ask for a Service: the ingress gives them to the serving role as they are.

    client --- ingress reads the first head --(descriptor, bytes)--> outer -> activator
    client --- outer -> activator -> worker          this request and all that follow on the connection

So a Service's answer crosses one process instead of two. What a client may do here is what it may do at the
ingress: the same limits, and only Services that are not for inner use. A connection that asks for something
else later, as those of other proxies may, goes back to the ingress, which then keeps it.
"""

import asyncio
import socket
from pathlib import Path

from eventing.http.exchange import Exchange
from eventing.http.handover import Taker
from eventing.http.server import Limits, Server
from serving.activator.door import Activator

# What waits for a worker is a connection each: two and a half seconds' worth at 3,000 requests/s.
_CONNECTIONS = 8000
_SOON = (b"retry-after", b"1")
# A client takes its answers within milliseconds; one that does not for a second, or sends half a request
# behind one for the ingress, is asked to come again.
_AGAIN_S, _TRIES = 0.01, 100


class Outer:
    """All connections that were given to this role."""

    def __init__(self, activator: Activator, path: Path, tasks: asyncio.TaskGroup) -> None:
        """Take them at the unix socket *path*. Raises OSError where that cannot be had."""
        self._activator = activator
        self._loop = asyncio.get_running_loop()
        self._tasks = tasks
        self._server = Server(self.handle, Limits(connections=_CONNECTIONS))
        self._taker = Taker(path, self._take)

    def __repr__(self) -> str:
        """The connections."""
        return f"<Outer {self._server!r}>"

    def handle(self, exchange: Exchange) -> None:
        """Take one request."""
        host = exchange.header(b"host") or b""
        is_served = self._activator.serves(host)
        if is_served:
            self._activator.handle(exchange)
        elif is_served is False:
            self._activator.refuse(exchange, 404, f"no Service answers at {host.decode('latin-1')}")
        else:
            self._give_back(exchange, _TRIES)

    def _give_back(self, exchange: Exchange, tries: int) -> None:
        """Let the ingress have the connection, once what was answered on it has left this process."""
        if exchange.hand_over(self._taker.give):
            return
        if tries:
            self._loop.call_later(_AGAIN_S, self._give_back, exchange, tries - 1)
        else:
            exchange.keep_alive = False  # a new connection meets the ingress
            self._activator.refuse(exchange, 503, "this connection is for Services; ask again on a new one",
                                   (_SOON,))

    async def close(self, grace_s: float) -> None:
        """Take nothing more, finish what is in flight within *grace_s*."""
        self._taker.close()
        await self._server.close(grace_s)

    def _take(self, sock: socket.socket, data: bytes) -> None:
        self._tasks.create_task(self._server.adopt(sock, data))
