"""
How each revision fares, in table `scales`: what the control plane makes conditions of.

    look at a revision --> tell(pool) --> a batch a quarter of a second later, of what has changed

When the role starts the table says which revisions have shown that they can start. What decides about them is
not known here.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import redis.asyncio
import redis.exceptions

from eventing import projection
from serving.activator.pool import Pool

_PAUSE_S = 0.25  # a few writes a second, however many revisions change
_RETRY_STORE_S = 0.2  # Valkey restarts in about 50 ms


class Reports:
    """What table `scales` says, and is to say."""

    def __init__(self, store: redis.asyncio.Redis) -> None:
        """Nothing is read before `recall`, and nothing written before `publish` runs."""
        self._store = store
        self._healthy: dict[str, Mapping[str, Any]] = {}  # proved before this process began
        self._unwritten: dict[str, Mapping[str, Any] | None] = {}
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        """How many wait to be written."""
        return f"<Reports [{len(self._unwritten)} not written yet]>"

    async def recall(self) -> None:
        """Read which revisions have shown that they can start; once, before the rest."""
        while True:
            try:
                known = await projection.read(self._store, "scales")
            except (redis.exceptions.RedisError, OSError):
                await asyncio.sleep(_RETRY_STORE_S)
                continue
            self._healthy = {name: record for name, record in known.items() if record.get("healthy")}
            self._unwritten.update(dict.fromkeys(known))  # whoever is still there reports again
            return

    def proof(self, name: str, uid: str) -> Mapping[str, Any] | None:
        """What was said of this very revision, if it has shown that it can start; it is asked once."""
        found = self._healthy.pop(name, None)
        return found if found is not None and found["uid"] == uid else None

    def loaded(self) -> None:
        """Every revision that exists was told: what the table says of others is outdated."""
        self._healthy.clear()
        self._changed.set()

    def tell(self, pool: Pool) -> None:
        """Write how *pool* fares, if that has changed."""
        record = dict(pool.report())
        if record != pool.reported:
            pool.reported = record
            self._unwritten[pool.name] = record
            self._changed.set()

    def forget(self, name: str) -> None:
        """Revision *name* is gone."""
        self._unwritten[name] = None
        self._changed.set()

    async def publish(self) -> None:
        """Write what has changed, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            batch, self._unwritten = self._unwritten, {}
            try:
                await projection.write_many(self._store, "scales", batch)
            except (redis.exceptions.RedisError, OSError):
                self._unwritten = {**batch, **self._unwritten}
                self._changed.set()
            await asyncio.sleep(_PAUSE_S)
