"""
Upkeep of a partition that is owned: the lease is renewed, old entries are removed, what is kept is counted.

It runs beside the commits, which renew the lease too: a busy partition renews itself. It also notices when
entries wait and none of them is read, whatever the cause.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import redis.asyncio
import redis.exceptions
import structlog

from eventing import keys
from eventing.broker import functions, hand
from eventing.broker.failures import Failures
from eventing.broker.hand import HAND_MS, Kept
from eventing.broker.lane import Lane
from eventing.broker.lease import LEASE_S, RENEW_S, Lease
from eventing.broker.retention import Retention
from eventing.broker.settings import Settings

_COUNT_S = 5.0  # more often than anybody scrapes
_COUNT_LANES = 500  # at once: that takes the store some ms
_RETAIN_S = 30.0  # a partition grows by some 100 MB meanwhile, at the very most
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


class Upkeep:
    """What is done for a partition at intervals."""

    def __init__(
        self, store: redis.asyncio.Redis, broker: str, partition: int, lease: Lease, *,
        on_due: Callable[[float | None], None], failures: Failures,
    ) -> None:
        """*on_due* is told when the next retry is due, Unix ms."""
        self._failures = failures
        self.kept = Kept()  # counted every few seconds
        self.stuck_s = 0.0  # for how long entries have waited while the cursor stood still
        self.settings = Settings()  # of the broker: how much is retained
        self._store = store
        self._broker = broker
        self._partition = partition
        self._lease = lease
        self._on_due = on_due
        self._retention = Retention(store, broker, partition, lease)
        self._counted = ""  # the cursor at the last count
        self._unread_at = 0.0
        self._is_in_hand = False  # something was, when it was told

    async def run(self, busy: Iterable[Lane], cursor: Callable[[], str]) -> None:
        """Go on until cancelled, or Fenced; *cursor*: the last entry read; *busy*: who has events in hand."""
        retained_at = counted_at = time.monotonic()
        while True:
            await asyncio.sleep(RENEW_S)
            now = time.monotonic()
            with contextlib.suppress(*_STORE_AWAY):
                await self._renew()
                await self._tell(hand.told(busy, cursor(), time.time(), now))
                await self._tell_failures()
                if now - counted_at >= _COUNT_S:
                    counted_at = now
                    await self._count(cursor())
                if now - retained_at >= _RETAIN_S:
                    retained_at = now
                    await self._retention.keep(self.settings)

    async def _renew(self) -> None:
        grant = self._lease.grant
        assert grant is not None
        if grant.until - time.monotonic() < LEASE_S - RENEW_S / 2:
            self._on_due(await self._lease.renew())

    async def _tell(self, fields: list[str]) -> None:
        """Write what is in hand, or once that nothing is."""
        if fields or self._is_in_hand:
            await self._lease.owned("clarion_hand", HAND_MS, *fields)
            self._is_in_hand = bool(fields)

    async def _tell_failures(self) -> None:
        """Say why nothing arrives; a mistake in that, which is only for people, ends no delivery."""
        try:
            await self._failures.tell()
        except _STORE_AWAY:
            raise
        except Exception:
            log.exception("failures cannot be told", partition=f"{self._broker}/{self._partition}")

    async def _count(self, cursor: str) -> None:
        lanes = f"{keys.partition_tag(self._broker, self._partition)}:lanes"
        found: Any = await self._store.smembers(lanes)
        uids = [uid.decode() for uid in found]
        answer = await self._call("clarion_kept", cursor, *uids[:_COUNT_LANES])
        for at in range(_COUNT_LANES, len(uids), _COUNT_LANES):
            answer += (await self._call("clarion_kept", cursor, *uids[at:at + _COUNT_LANES]))[2:]
        before, self.kept = self.kept, hand.kept_of(answer, cursor, time.time())
        now = time.monotonic()
        is_same = (self.kept.unread_since, cursor) == (before.unread_since, self._counted)
        if self.kept.unread_since is None or not is_same:
            self._unread_at = now  # the same entry is the next one to be read since then
        self.stuck_s = now - self._unread_at
        self._counted = cursor

    async def _call(self, name: str, *arguments: str) -> Any:
        return await functions.call(
            self._store, name, [keys.partition_tag(self._broker, self._partition)], list(arguments))
