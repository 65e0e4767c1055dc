"""
The archive: a partition's stream read back by id or time, or followed as it grows; and how it is kept small.

Reading changes nothing and needs no ownership. Entries of several partitions come in the order of their ids,
the order of the store's clock. Everything is read in pages, so memory stays bounded however long the
range is and however slow the reader.

Retention removes what is older or more than a broker keeps, but never what the partition's owner still needs
(`scripts/retain.lua`); the owner calls `retain`, since only the owner knows what that is.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import redis.asyncio
import redis.exceptions

from eventing import keys
from eventing.broker import functions
from eventing.broker.entry import decode
from eventing.broker.settings import RETENTION_AGE_S, RETENTION_BYTES
from eventing.event import Event

FIRST = "-"  # the id before all others
LAST = "+"  # the id after all others

_PAGE_ENTRIES = 100  # 100 KiB of typical events, at most 100 MiB of the largest
_BLOCK_MS = 1000  # a follower asks again after that long; shorter than any client's own time out
_ASK_S = 1.0  # how late a follower learns of partitions that were added
_AWAY_S = 0.2  # the store restarts in about 50 ms

# An entry fills that at least: the store's own figure of a stream's size is an estimate, a count is not.
_ENTRY_LEAST_BYTES = 256
_RETAIN_BATCH_ENTRIES = 10_000  # removing that many takes the store a few ms
_RETAIN_BATCHES = 100  # of one pass, so that the owner comes back in time to renew its lease


class Entry(NamedTuple):
    """An event as stored: its place and itself."""

    id: str
    partition: int
    event: Event


def id_at(when: float) -> str:
    """Least id of an entry appended at *when* (Unix time, seconds) or later."""
    return f"{max(0, int(when * 1000))}-0"


def when_of(entry_id: str) -> float:
    """Unix time, in seconds, at which the entry was appended."""
    return int(entry_id.partition("-")[0]) / 1000


def order_of(entry_id: str) -> tuple[int, int]:
    """Sort key of an id: ids are numbers, and do not sort as text."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


async def read(
    store: redis.asyncio.Redis, broker: str, partitions: Iterable[int], *, start: str = FIRST, end: str = LAST
) -> AsyncIterator[Entry]:
    """Yield entries with *start* <= id <= *end*, oldest first; raises what redis-py raises."""
    readers = [_read_one(store, broker, partition, start, end) for partition in partitions]
    heads: list[tuple[tuple[int, int], int, Entry]] = []
    for index, reader in enumerate(readers):
        async for entry in reader:
            heads.append((order_of(entry.id), index, entry))
            break
    heapq.heapify(heads)
    while heads:
        _, index, entry = heads[0]
        yield entry
        following = await anext(readers[index], None)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (order_of(following.id), index, following))


async def _read_one(
    store: redis.asyncio.Redis, broker: str, partition: int, start: str, end: str
) -> AsyncIterator[Entry]:
    key = keys.events(broker, partition)
    while True:
        page: Any = await store.xrange(key, start, end, count=_PAGE_ENTRIES)
        for entry_id, fields in page:
            yield Entry(entry_id.decode(), partition, decode(fields))
        if len(page) < _PAGE_ENTRIES:
            return
        start = "(" + page[-1][0].decode()


async def follow(
    store: redis.asyncio.Redis, broker: str, partitions: Callable[[], Awaitable[int]],
    stopping: asyncio.Event, *, after: str | None = None,
) -> AsyncIterator[Entry]:
    """
    Yield entries after id *after* (None: from now on) as they are appended, until a second after *stopping*.

    *partitions* is asked every second how many there are; one that was added is read from its beginning.
    Survives a store that goes away and comes back; nothing is missed, because the last id is kept here.
    """
    cursors: dict[bytes, tuple[int, str | None]] = {}
    ask_at = 0.0
    while not stopping.is_set():
        try:
            if time.monotonic() >= ask_at:
                start = "0" if cursors else after
                for number in range(await partitions()):
                    cursors.setdefault(keys.events(broker, number).encode(), (number, start))
                ask_at = time.monotonic() + _ASK_S
            for key, (partition, cursor) in cursors.items():
                if cursor is None:
                    cursors[key] = (partition, await _newest(store, key))
            pages: Any = await store.xread(
                {key: cursor or "0" for key, (_, cursor) in cursors.items()},
                count=_PAGE_ENTRIES, block=_BLOCK_MS)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError):
            await asyncio.sleep(_AWAY_S)
            continue
        found = pages.items() if isinstance(pages, dict) else pages
        for key, page in found:
            for entry_id, fields in page:
                partition = cursors[key][0]
                cursors[key] = (partition, entry_id.decode())
                yield Entry(entry_id.decode(), partition, decode(fields))


async def _newest(store: redis.asyncio.Redis, key: bytes) -> str:
    newest: Any = await store.xrevrange(key, count=1)
    return str(newest[0][0].decode()) if newest else "0-0"


async def retain(
    store: redis.asyncio.Redis, broker: str, partition: int, *, needed: str, now: float,
    age_s: float = RETENTION_AGE_S, size_bytes: int = RETENTION_BYTES,
) -> int:
    """
    Remove what is older than *age_s* or more than *size_bytes*, but nothing at or after id *needed*.

    Returns how many entries, a million at the most. Raises what redis-py raises.
    """
    arguments = [needed, *_bounds(now, age_s, size_bytes), _RETAIN_BATCH_ENTRIES]
    removed = 0
    for _ in range(_RETAIN_BATCHES):
        batch = await functions.call(store, "clarion_retain", [keys.events(broker, partition)], arguments)
        removed += batch
        # Only whole nodes of the stream go, so a batch with more behind it is seldom quite full.
        if batch < _RETAIN_BATCH_ENTRIES // 2:
            break
    return removed


async def is_over(
    store: redis.asyncio.Redis, broker: str, partition: int, *, now: float, age_s: float, size_bytes: int
) -> bool:
    """Whether there is still something older than *age_s*, or more than *size_bytes*."""
    return bool(await functions.call(store, "clarion_is_over", [keys.events(broker, partition)],
                                     _bounds(now, age_s, size_bytes)))


def _bounds(now: float, age_s: float, size_bytes: int) -> list[str | int]:
    """Least id, most entries, and most bytes."""
    return [id_at(now - age_s), size_bytes // _ENTRY_LEAST_BYTES, size_bytes]
