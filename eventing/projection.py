"""
What one role tells another: a table, a hash in Redis with one writer and many followers.

The control plane resolves names, defaults and precedence, and writes plain records; the data plane keeps
a copy in memory and never asks. Neither needs the other to be alive. Tables and their shapes are drawn
in `eventing/keys.py`.

A follower subscribes first and loads second, so a change between the two is seen twice rather than never;
after a lost connection it does both again and reports what differs. Changes carry only the name: the
value is read from the hash, so the last one wins whatever the order. One read at a time: an older value
never comes after a newer one.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

import orjson
import redis.asyncio
import redis.exceptions
import structlog

from eventing import keys

Record = dict[str, Any]
OnChange = Callable[[str, Record | None], None]

log = structlog.get_logger(__name__)

_RECONNECT_S = 0.2  # Valkey restarts in about 50 ms; five tries a second cost nothing


async def write(store: redis.asyncio.Redis, table: str, name: str, record: Mapping[str, Any] | None) -> None:
    """Set record *name* of *table* (None deletes it) and tell the followers."""
    await write_many(store, table, {name: record})


async def write_many(
    store: redis.asyncio.Redis, table: str, records: Mapping[str, Mapping[str, Any] | None]
) -> None:
    """Set or delete many records of one table in one round trip."""
    if not records:
        return
    pipe = store.pipeline(transaction=True)
    for name, record in records.items():
        if record is None:
            pipe.hdel(keys.table(table), name)
        else:
            pipe.hset(keys.table(table), name, orjson.dumps(record, option=orjson.OPT_SORT_KEYS))
        pipe.publish(keys.TABLES_CHANNEL, f"{table} {name}")
    await pipe.execute()


async def read(store: redis.asyncio.Redis, table: str) -> dict[str, Record]:
    """All records of *table* by name."""
    raw: dict[Any, Any] = await store.hgetall(keys.table(table))
    return {name.decode(): orjson.loads(value) for name, value in raw.items()}


async def read_one(store: redis.asyncio.Redis, table: str, name: str) -> Record | None:
    """Record *name* of *table*, or None."""
    value = await store.hget(keys.table(table), name)
    return None if value is None else orjson.loads(value)


class Follower:
    """
    Copies of some tables in memory, kept up to date until `run` is cancelled.

    `on_change[table](name, record)` is called for every record when it is first loaded, whenever it
    changes, and with None when it goes; never twice in a row with an equal record. What it raises over one
    record is logged: the role goes on with the others.
    """

    def __init__(self, store: redis.asyncio.Redis, on_change: Mapping[str, OnChange]) -> None:
        """Follow the tables that *on_change* names."""
        self._store = store
        self._on_change = on_change
        self._known: dict[str, dict[str, Record]] = {table: {} for table in on_change}
        self._reading = asyncio.Lock()
        self.loaded = asyncio.Event()

    def __repr__(self) -> str:
        """Counts by table."""
        counts = " | ".join(f"{len(records)} {table}" for table, records in self._known.items())
        return f"<Follower [{counts}]>"

    def table(self, name: str) -> Mapping[str, Record]:
        """The copy of one table."""
        return self._known[name]

    async def look(self, table: str, names: Collection[str]) -> None:
        """
        Read records *names* of *table* now, whether or not anybody has told of a change.

        Raises what redis-py does when the store is away.
        """
        async with self._reading:
            found = await self._store.hmget(keys.table(table), list(names))
            for name, value in zip(names, found, strict=True):
                self._tell(table, name, None if value is None else orjson.loads(value))

    async def run(self) -> None:
        """Follow for ever; survives a store that goes away and comes back, and says so."""
        is_away = False
        while True:
            try:
                async with self._store.pubsub() as channel:
                    await channel.subscribe(keys.TABLES_CHANNEL)
                    async for message in channel.listen():
                        await self._take(message)
                        if is_away:
                            log.info("the store is back")
                            is_away = False
            except (redis.exceptions.RedisError, OSError) as error:
                if not is_away:
                    log.warning("the store is away; waiting for it", error=str(error))
                    is_away = True
            await asyncio.sleep(_RECONNECT_S)

    async def _take(self, message: Mapping[str, Any]) -> None:
        # The client subscribes again by itself after a lost connection, and says so here: what changed
        # in between was told to nobody, so each "subscribe" means to load.
        if message["type"] == "subscribe":
            await self._load()
            self.loaded.set()
        elif message["type"] == "message":
            table, _, name = message["data"].decode().partition(" ")
            if table in self._on_change:
                await self.look(table, (name,))

    async def _load(self) -> None:
        async with self._reading:
            for table in self._on_change:
                fresh = await read(self._store, table)
                for name in self._known[table].keys() - fresh.keys():
                    self._tell(table, name, None)
                for name, record in fresh.items():
                    self._tell(table, name, record)

    def _tell(self, table: str, name: str, record: Record | None) -> None:
        known = self._known[table]
        if known.get(name) == record:
            return
        if record is None:
            del known[name]
        else:
            known[name] = record
        try:
            self._on_change[table](name, record)
        except Exception:
            log.exception("a record was not understood", table=table, name=name)
