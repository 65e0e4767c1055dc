"""
Acknowledgements: a dispatcher says in the projection `lanes` which generation of a trigger it matches where.

Those of a few milliseconds go together, and what stands there already is not written again. A store that is
away is told when it is back.
"""

import asyncio

import orjson
import redis.asyncio
import redis.exceptions

from eventing import keys, projection
from eventing.projection import Record

_BATCH = 500
_TOGETHER_S = 0.02
_AWAY_S = 0.2  # the store restarts in about 50 ms
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)


class Acknowledgements:
    """What one dispatcher has to say; `run` is its task."""

    def __init__(self, store: redis.asyncio.Redis) -> None:
        """Nothing to say yet."""
        self._store = store
        self._unsaid: dict[str, Record | None] = {}
        self._is_any = asyncio.Event()

    def __repr__(self) -> str:
        """How many."""
        return f"<Acknowledgements [{len(self._unsaid)} to be written]>"

    def say(self, name: str, record: Record | None) -> None:
        """Write *record* under `namespace/trigger/partition`, soon; None removes it."""
        self._unsaid[name] = record
        self._is_any.set()

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._is_any.wait()
            await asyncio.sleep(_TOGETHER_S)
            self._is_any.clear()
            unsaid, self._unsaid = self._unsaid, {}
            try:
                while unsaid:
                    batch = dict(list(unsaid.items())[:_BATCH])
                    await self._write(batch)
                    for name in batch:
                        del unsaid[name]
            except _STORE_AWAY:
                self._unsaid = unsaid | self._unsaid
                self._is_any.set()
                await asyncio.sleep(_AWAY_S)

    async def _write(self, batch: dict[str, Record | None]) -> None:
        stored = await self._store.hmget(keys.table("lanes"), list(batch))
        known = [None if value is None else orjson.loads(value) for value in stored]
        await projection.write_many(self._store, "lanes", {
            name: record for (name, record), old in zip(batch.items(), known, strict=True) if record != old})
