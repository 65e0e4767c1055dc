"""
Upkeep of a partition that is owned: the lease is renewed, old entries are removed, what is kept is counted.

It runs beside the commits, which renew the lease too: a busy partition renews itself.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
import redis.exceptions

from eventing import keys
from eventing.broker import archive, functions
from eventing.broker.lease import LEASE_S, RENEW_S, Lease
from eventing.broker.settings import Settings

_COUNT_S = 5.0  # more often than anybody scrapes
_RETAIN_S = 30.0  # a partition grows by some 100 MB meanwhile, at the very most
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)


@dataclass(slots=True)
class Kept:
    """What the store holds for a partition, counted every few seconds."""

    lag_s: float = 0.0  # between the last entry that was read and the last that there is
    retries: int = 0
    lanes: dict[str, tuple[int, int]] = field(default_factory=dict)  # by uid: backlog, dead letters


class Upkeep:
    """What is done for a partition at intervals."""

    def __init__(
        self, store: redis.asyncio.Redis, broker: str, partition: int, lease: Lease,
        on_due: Callable[[float | None], None],
    ) -> None:
        """*on_due* is told when the next retry is due, Unix ms."""
        self.kept = Kept()
        self.settings = Settings()  # of the broker: how much is retained
        self._store = store
        self._broker = broker
        self._partition = partition
        self._lease = lease
        self._on_due = on_due

    async def run(self, cursor: Callable[[], str]) -> None:
        """Go on until cancelled, or Fenced; *cursor* is the id of the last entry that was read."""
        retained_at = counted_at = time.monotonic()
        while True:
            await asyncio.sleep(RENEW_S)
            now = time.monotonic()
            with contextlib.suppress(*_STORE_AWAY):
                await self._renew()
                if now - counted_at >= _COUNT_S:
                    counted_at = now
                    await self._count(cursor())
                if now - retained_at >= _RETAIN_S:
                    retained_at = now
                    await self._retain()

    async def _renew(self) -> None:
        grant = self._lease.grant
        assert grant is not None
        if grant.until - time.monotonic() < LEASE_S - RENEW_S / 2:
            self._on_due(await self._lease.renew())

    async def _count(self, cursor: str) -> None:
        last, retries, *lanes = await self._call("clarion_kept")
        self.kept = Kept(
            max(0.0, archive.when_of(last.decode()) - archive.when_of(cursor)), retries,
            {uid.decode(): (backlog, dead)
             for uid, backlog, dead in zip(lanes[::3], lanes[1::3], lanes[2::3], strict=True)})

    async def _retain(self) -> None:
        """Remove what is too old or too much, but nothing that anybody waits for."""
        needed = [entry_id.decode() for entry_id in await self._call("clarion_needed")]
        oldest = min(needed, key=archive.order_of)
        await archive.retain(
            self._store, self._broker, self._partition, needed=oldest, now=time.time(),
            age_s=self.settings.retention_age_s, size_bytes=self.settings.retention_bytes)

    async def _call(self, name: str) -> Any:
        return await functions.call(
            self._store, name, [keys.partition_tag(self._broker, self._partition)], [])
