"""
What the store says: delivery records as they are written, whether anything still waits, and what is left.

Keys are those of eventing/keys.py. Nothing here writes.
"""

import asyncio
import collections
import contextlib
import json

import redis.exceptions

from tests.chaos import scenario
from tests.chaos.history import Final, Row

_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)
_LOOK_S = 0.5
_PAGE = 500
PLACES = [f"{broker}/{number}" for broker, count in scenario.PARTITIONS.items() for number in range(count)]


class Observer:
    """Follows the store of one system, through all its restarts."""

    def __init__(self, system, rows):
        """Delivery records go to *rows*."""
        self._system = system
        self._rows = rows
        self._cursors = dict.fromkeys(PLACES, "-")

    async def follow(self, ended):
        """
        Read records until *ended* is set; the store keeps only the newest.

        It is not cancelled: redis-py leaves a connection open when its closing is cancelled before it began.
        """
        while not ended.is_set():
            with contextlib.suppress(*_AWAY):  # it is dead or paused, and comes back
                await self.catch_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await ended.wait()

    async def catch_up(self):
        """Read the records that there are."""
        async with self._system.store_async() as store, asyncio.timeout(10):
            for place in PLACES:
                while page := await store.xrange(f"{{{place}}}:records", self._cursors[place], count=_PAGE):
                    for entry_id, fields in page:
                        self._rows += [_row(place, row) for row in json.loads(fields[b"r"])]
                        self._cursors[place] = f"({entry_id.decode()}"

    async def waiting(self):
        """How much still waits; None while the store is away."""
        try:
            async with self._system.store_async() as store, asyncio.timeout(5):
                return sum([sum((await _waits(store, place)).values()) for place in PLACES])
        except _AWAY:
            return None

    async def final(self):
        """What is left."""
        final = Final()
        async with self._system.store_async() as store:
            triggers = {json.loads(record)["uid"]: name.decode().partition("/")[2]
                        for name, record in (await store.hgetall("clarion:table:triggers")).items()}
            for place in PLACES:
                await _archive(store, place, final)
                final.leftovers |= await _waits(store, place)
                for uid, name in triggers.items():
                    for _, fields in await store.xrange(f"{{{place}}}:dead:{uid}"):
                        final.kept_dead.add((name, json.loads(fields[b"a"])["id"]))
                    final.pending |= await _pending(store, place, uid, name)
            final.leftovers |= await _foreign_leases(store)
        final.leftovers = {key: count for key, count in final.leftovers.items() if count}
        return final


def _row(place, row):
    _, ref, event_id, trigger, attempt, status, _, word = row
    return Row(place, ref, event_id, trigger.partition("/")[2], attempt, status, word)


async def _waits(store, place):
    """{key: members} of all that should be empty at rest; above the floor: entries that are not settled."""
    tag = f"{{{place}}}"
    lanes = [uid.decode() for uid in await store.smembers(f"{tag}:lanes")]
    found = {f"{tag}:{name}:{uid}": await store.zcard(f"{tag}:{name}:{uid}")
             for uid in lanes for name in ("backlog", "waiting")}
    for name in ("retries", "due"):
        found[f"{tag}:{name}"] = await store.zcard(f"{tag}:{name}")
    found[f"{tag}:held"] = await store.xlen(f"{tag}:held")
    found[f"{tag}:resolved"] = await store.scard(f"{tag}:resolved")
    floor = await store.hget(f"{tag}:state", "floor") or b"0-0"
    found[f"{tag}:events above the floor"] = len(await store.xrange(
        f"{tag}:events", b"(" + floor, count=_PAGE))
    return found


async def _archive(store, place, final):
    broker, start = place.rpartition("/")[0], "-"
    copies = collections.Counter()
    while page := await store.xrange(f"{{{place}}}:events", start, count=_PAGE):
        for entry_id, fields in page:
            copies[broker, json.loads(fields[b"a"])["id"]] += 1
            start = f"({entry_id.decode()}"
    for identity, count in copies.items():
        final.stored[identity] = final.stored.get(identity, 0) + count


async def _pending(store, place, uid, name):
    tag, found = f"{{{place}}}", set()
    for member in await store.zrange(f"{tag}:backlog:{uid}", 0, -1):
        ref = member.split()[0].decode()
        stream, entry_id = (f"{tag}:dead:{uid}", ref[1:]) if ref[0] in "dr" else (f"{tag}:events", ref)
        for _, fields in await store.xrange(stream, entry_id, entry_id):
            found.add((name, json.loads(fields[b"a"])["id"]))
    for member in await store.zrange(f"{tag}:retries", 0, -1):
        owner, _, ref = member.decode().split()
        for _, fields in await store.xrange(f"{tag}:events", ref, ref) if owner == uid else ():
            found.add((name, json.loads(fields[b"a"])["id"]))
    return found


async def _foreign_leases(store):
    """Leases of dispatchers that do not live."""
    living = set(await store.zrange("clarion:dispatchers", 0, -1))
    leases = {f"{{{place}}}:lease": await store.get(f"{{{place}}}:lease") for place in PLACES}
    return {f"{key} of nobody who lives": 1 for key, owner in leases.items() if owner not in living}
