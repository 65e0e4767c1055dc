"""
Reads a partition's stream from a cursor on, over a connection of its own.

    ask -> XREAD COUNT 256 BLOCK 1000 -> the store answers when there is something -> take -> ask ...

One question is under way at a time; while the partition has no room none is asked. `take` is called from
within the read (link.py).

A connection that fails, or an answer that is none, means another one; the cursor is the partition's, so
nothing is missed or taken twice. This module does not know what is in an entry.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import hiredis
import redis.asyncio
import redis.exceptions

from eventing.broker.link import Link

_READ_ENTRIES = 256
_BLOCK_S = 1.0  # how often a reader without anything to read hears from the store
_PATIENCE_S = 5.0  # beyond that: a store that needs seconds is away
_AWAY_S = 0.2  # the store restarts in about 50 ms
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)

# (id, [field, value, ...]) of each entry, in order.
Entries = list[tuple[bytes, list[bytes]]]


class Reader:
    """One reader; `run` is its task."""

    def __init__(self, store: redis.asyncio.Redis, key: str, cursor: Callable[[], str],
                 take: Callable[[Entries], bool]) -> None:
        """Read what follows *cursor* in *key*; *take* says whether there is room for more."""
        self.heard_at = time.monotonic()  # when the store last answered
        self.trouble = ""  # what it said, if that was no answer
        self._store = store
        self._key = key
        self._cursor = cursor
        self._take = take
        self._has_room = True
        self._link: Link | None = None
        self._asked_at: float | None = None
        self._lost = asyncio.Event()

    def __repr__(self) -> str:
        """What it waits for."""
        state = "closed" if self._link is None else "resting" if self._asked_at is None else "asking"
        return f"<Reader of {self._key} [{state}]>"

    async def run(self) -> None:
        """Read for ever."""
        while True:
            link = Link(self._answered, self._lost.set)
            try:
                await link.open(self._store)
                await self._serve(link)
            except _STORE_AWAY:
                pass  # the partition's commits say so in the log
            finally:
                self._link = None
                await link.close()
            await asyncio.sleep(_AWAY_S)

    async def _serve(self, link: Link) -> None:
        """Read over *link* until it is lost."""
        self._link = link
        self._asked_at = None
        self._lost.clear()
        self.ask()
        while not self._lost.is_set():
            if self._asked_at is not None and time.monotonic() - self._asked_at > _BLOCK_S + _PATIENCE_S:
                link.abort()
            try:
                async with asyncio.timeout(_BLOCK_S):
                    await self._lost.wait()
            except TimeoutError:
                continue

    def ask(self) -> None:
        """There is room again."""
        self._has_room = True
        if self._link is None or self._asked_at is not None:
            return
        self._asked_at = time.monotonic()
        question: Any = ("XREAD", "COUNT", _READ_ENTRIES, "BLOCK", int(_BLOCK_S * 1000), "STREAMS",
                         self._key, self._cursor())
        self._link.write(hiredis.pack_command(question))

    def _answered(self, answer: Any) -> None:
        """Hand on what came, and ask for more."""
        self._asked_at = None
        if isinstance(answer, Exception):
            self.trouble = str(answer)
            if self._link is not None:
                self._link.abort()
            return
        self.heard_at, self.trouble = time.monotonic(), ""
        for _, entries in (answer.items() if isinstance(answer, dict) else answer or ()):
            self._has_room = self._take(entries)
        if self._has_room:
            self.ask()
