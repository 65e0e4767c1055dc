"""
Reads a partition's stream from a cursor on, over a connection of its own.

    ask -> XREAD COUNT 256 BLOCK 1000 -> the store answers when there is something -> take -> ask ...

One question is under way at a time; while the partition has no room none is asked. redis-py opens the
connection (address, password, TLS), then its transport is ours: hiredis parses, and `take` is called from
within the read. A redis-py command costs about 100 µs of Python however small, which was a fifth of what the
dispatcher spent on an event when events come ten at a time.

A connection that fails, or an answer that is none, means another one; the cursor is the partition's, so
nothing is missed or taken twice. This module does not know what is in an entry.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import hiredis
import redis.asyncio
import redis.exceptions

_READ_ENTRIES = 256
_BLOCK_S = 1.0  # how often a reader without anything to read hears from the store
_PATIENCE_S = 5.0  # beyond that: a store that needs seconds is away
_CONNECT_S = 2.0
_AWAY_S = 0.2  # the store restarts in about 50 ms
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)

# (id, [field, value, ...]) of each entry, in order.
Entries = list[tuple[bytes, list[bytes]]]


class Reader(asyncio.Protocol):
    """One reader; `run` is its task."""

    def __init__(self, store: redis.asyncio.Redis, key: str, cursor: Callable[[], str],
                 take: Callable[[Entries], bool]) -> None:
        """Read what follows *cursor* in *key*; *take* says whether there is room for more."""
        self.heard_at = time.monotonic()  # when the store last said something, or needed not
        self._store = store
        self._key = key
        self._cursor = cursor
        self._take = take
        self._has_room = True
        self._transport: asyncio.Transport | None = None
        self._parser = hiredis.Reader()
        self._asked_at: float | None = None
        self._lost = asyncio.Event()

    async def run(self) -> None:
        """Read for ever."""
        while True:
            pool = self._store.connection_pool
            connection = pool.connection_class(**pool.connection_kwargs)
            try:
                async with asyncio.timeout(_CONNECT_S):
                    await connection.connect()  # type: ignore[no-untyped-call]
                await self._serve(connection)
            except _STORE_AWAY:
                pass  # the partition's commits say so in the log
            finally:
                self._transport = None
                await connection.disconnect(nowait=True)
            await asyncio.sleep(_AWAY_S)

    async def _serve(self, connection: Any) -> None:
        """Read over *connection* until it is lost."""
        self._parser = hiredis.Reader()
        self._asked_at = None
        self._lost.clear()
        # redis-py has no other way to hand over a connection that it has opened.
        transport = cast("asyncio.Transport", connection._writer.transport)  # noqa: SLF001  see above
        transport.set_protocol(self)
        self._transport = transport
        self.ask()
        while not self._lost.is_set():
            now = time.monotonic()
            if self._asked_at is None:
                self.heard_at = now
            elif now - self._asked_at > _BLOCK_S + _PATIENCE_S:
                transport.abort()
            try:
                async with asyncio.timeout(_BLOCK_S):
                    await self._lost.wait()
            except TimeoutError:
                continue

    def ask(self) -> None:
        """There is room again."""
        self._has_room = True
        if self._transport is None or self._asked_at is not None:
            return
        self._asked_at = time.monotonic()
        question: Any = ("XREAD", "COUNT", _READ_ENTRIES, "BLOCK", int(_BLOCK_S * 1000), "STREAMS",
                         self._key, self._cursor())
        self._transport.write(hiredis.pack_command(question))

    # -- asyncio.Protocol ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse; hand on what is whole, and ask for more."""
        self._parser.feed(data)
        answer = self._parser.gets()
        if answer is False:
            return
        self.heard_at = time.monotonic()
        self._asked_at = None
        if isinstance(answer, Exception):
            if self._transport is not None:
                self._transport.abort()
            return
        for _, entries in (answer.items() if isinstance(answer, dict) else answer or ()):
            self._has_room = self._take(entries)
        if self._has_room:
            self.ask()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Wake `run`."""
        self._transport = None
        self._lost.set()
