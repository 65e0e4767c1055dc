"""
A connection to the store that redis-py opens (address, password, TLS); from then on its transport is ours.

    link = Link(on_reply, on_lost)
    await link.open(store)
    link.write(pack_command(...))       on_reply(reply) follows, one a command and in their order
    await link.close()

hiredis packs and parses, and `on_reply` is called from within the read: no task, no future, no time-out a
command. A redis-py command costs 100 µs of Python and more however small. An error that the store answers is
a reply too, an exception that is not raised. Whoever asks counts the replies that are due, and how long he
waits. This module does not know what is asked.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import hiredis
import redis.asyncio

_CONNECT_S = 2.0


class Link(asyncio.Protocol):
    """One connection, used once; neither callback may raise."""

    def __init__(self, on_reply: Callable[[Any], None], on_lost: Callable[[], None]) -> None:
        """*on_lost* is called when the other side, or `abort`, has ended it."""
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._parser = hiredis.Reader()
        self._connection: Any = None
        self._transport: asyncio.Transport | None = None

    def __repr__(self) -> str:
        """Whether it is open."""
        return f"<Link [{'open' if self.is_open else 'closed'}]>"

    @property
    def is_open(self) -> bool:
        """Whether something can be written."""
        return self._transport is not None

    async def open(self, store: redis.asyncio.Redis) -> None:
        """Connect as *store* connects. Raises what redis-py raises, OSError or TimeoutError."""
        pool = store.connection_pool
        self._connection = pool.connection_class(**pool.connection_kwargs)
        async with asyncio.timeout(_CONNECT_S):
            await self._connection.connect()
        # redis-py has no other way to hand over a connection that it has opened.
        transport = cast("asyncio.Transport", self._connection._writer.transport)  # noqa: SLF001  see above
        transport.set_protocol(self)
        self._transport = transport

    def write(self, packed: bytes) -> None:
        """Send commands as `hiredis.pack_command` packs them; nothing happens if the connection is lost."""
        if self._transport is not None:
            self._transport.write(packed)

    def abort(self) -> None:
        """Cut it: what comes cannot be trusted, or does not come."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Hear nothing more, and close."""
        self._transport = None
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    # -- asyncio.Protocol ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Hand on what is whole."""
        self._parser.feed(data)
        while self._transport is not None:
            reply = self._parser.gets()
            if reply is False:
                return
            self._on_reply(reply)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell it, unless it was closed by us."""
        if self._transport is not None:
            self._transport = None
            self._on_lost()
