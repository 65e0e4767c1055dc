"""
What became of one event: found in the archive by its id, and at each trigger as far as that is known.

    delivered         the last row of the delivery record says so
    dead letter sink  the same of the dead letter that it was: the sink took it
    retry             it failed, and will be tried again
    dead              it is a dead letter, or was one
    waiting           in the backlog, or not read yet
    unknown           nothing is on record: it did not match, the trigger is younger, or the record is gone

Reading changes nothing and needs no ownership. Both searches are bounded: the archive by a time and a number
of entries, the record by how much of it is kept. Whether a filter wants the event is not asked here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import redis.asyncio

from eventing import keys
from eventing.broker import archive, failures
from eventing.broker.entry import decode
from eventing.projection import Record

_PAGE_ENTRIES = 200
_LOOK_ENTRIES = 100_000  # of the archive: a second or two
_MOST = 10  # events of one id; sources may choose the same
_LETTERS = 500  # looked at for one reason
_CLOCKS_MS = 1000  # by which the store's may differ from a dispatcher's


@dataclass(frozen=True, slots=True)
class Fate:
    """At one trigger: *state* as above; `when` and `next_at` are Unix times, `status` 0 is no answer."""

    trigger: str
    state: str
    attempt: int = 0
    status: int = 0
    when: float | None = None
    next_at: float | None = None
    reason: str = ""


async def find(store: redis.asyncio.Redis, broker: str, partitions: int, event_id: str,
               since: float) -> tuple[list[archive.Entry], bool]:
    """Events called *event_id* stored *since* (Unix time), newest first; and whether these are all."""
    found: list[archive.Entry] = []
    left, is_whole = _LOOK_ENTRIES, True
    for partition in range(partitions):
        mine, looked, is_all = await _find(store, broker, partition, event_id, since,
                                           most=left // (partitions - partition))
        found = sorted([*found, *mine], key=lambda entry: archive.order_of(entry.id), reverse=True)
        left -= looked
        is_whole = is_whole and is_all and len(found) <= _MOST
        del found[_MOST:]
    return found, is_whole


async def _find(store: redis.asyncio.Redis, broker: str, partition: int, event_id: str, since: float, *,
                most: int) -> tuple[list[archive.Entry], int, bool]:
    """As `find` in one partition, among *most* entries; how many these were; and whether these are all."""
    needle = orjson.dumps(event_id)
    found: list[archive.Entry] = []
    looked, end = 0, archive.LAST
    while True:
        page: Any = await store.xrevrange(keys.events(broker, partition), end, archive.id_at(since),
                                          count=_PAGE_ENTRIES)
        looked += len(page)
        for entry_id, fields in page:
            if needle in fields[b"a"] and (event := decode(fields)).attributes.get("id") == event_id:
                found.append(archive.Entry(entry_id.decode(), partition, event))
        if len(page) < _PAGE_ENTRIES:
            return found, looked, True
        if looked >= most or len(found) > _MOST:
            return found, looked, False
        end = f"({page[-1][0].decode()}"


async def of(store: redis.asyncio.Redis, broker: str, entry: archive.Entry,
             triggers: Mapping[str, Record]) -> list[Fate]:
    """What became of *entry* at each of *triggers*, records of that table."""
    rows = await _rows(store, broker, entry)
    found = []
    for name, record in sorted(triggers.items()):
        row = rows.get(name)
        found.append(await _pending(store, broker, entry, name, record["uid"]) if row is None else
                     await _tried(store, broker, entry, record["uid"], row))
    return found


async def _rows(store: redis.asyncio.Redis, broker: str, entry: archive.Entry) -> dict[str, list[Any]]:
    """The last row of the delivery record (page.py has the columns) of each trigger."""
    event_id = entry.event.attributes.get("id")
    needle, found = orjson.dumps(event_id), dict[str, list[Any]]()
    start, key = f"{entry.id.partition('-')[0]}-0", keys.records(broker, entry.partition)
    while True:
        page: Any = await store.xrange(key, start, count=_PAGE_ENTRIES)
        for _, fields in page:
            if needle in fields[b"r"]:
                for row in orjson.loads(fields[b"r"]):
                    if row[2] == event_id and (row[1] == entry.id or row[1][0] in "dr"):
                        found[row[3]] = row
        if len(page) < _PAGE_ENTRIES:
            return found
        start = f"({page[-1][0].decode()}"


async def _pending(store: redis.asyncio.Redis, broker: str, entry: archive.Entry, name: str,
                   uid: str) -> Fate:
    """Of one without an attempt on record."""
    tag = keys.partition_tag(broker, entry.partition)
    waits = await store.zscore(f"{tag}:backlog:{uid}", f"{entry.id} 1") is not None
    floor: Any = await store.hget(f"{tag}:state", "floor")
    is_ahead = floor is None or archive.order_of(entry.id) > archive.order_of(floor.decode())
    return Fate(name, "waiting" if waits or is_ahead else "unknown")


async def _tried(store: redis.asyncio.Redis, broker: str, entry: archive.Entry, uid: str,
                 row: list[Any]) -> Fate:
    """Of one whose last attempt is *row*."""
    when_ms, ref, _, name, attempt, status, _, decided = row
    if decided == "retry":
        state = "retry"
    elif decided == "dead letter":
        state = "dead"
    else:
        state = "dead letter sink" if ref[0] == "d" else "delivered"
    next_ms, reason = None, ""
    if state == "retry":
        tag = keys.partition_tag(broker, entry.partition)
        next_ms = await store.zscore(f"{tag}:retries", f"{uid} {attempt + 1} {ref}")
        told: Any = await store.hget(keys.failures(broker, entry.partition), uid)
        failure = failures.read(told).failure if told else None
        if failure is not None and failure.event == entry.event.attributes.get("id"):
            reason = failure.reason
    elif state == "dead":
        reason = await _reason(store, keys.dead(broker, entry.partition, uid), entry.id, when_ms)
    return Fate(name, state, attempt, status, when_ms / 1000, next_ms and next_ms / 1000, reason)


async def _reason(store: redis.asyncio.Redis, key: str, entry_id: str, when_ms: int) -> str:
    """Why *entry_id* became a dead letter; "" if it is none any more, or one of too many of that time."""
    start = f"{max(0, when_ms - _CLOCKS_MS)}-0"
    page: Any = await store.xrange(key, start, count=_LETTERS)
    return next((str(fields[b"reason"].decode()) for _, fields in page
                 if fields[b"entry"].decode() == entry_id), "")
