"""
Retention of a partition that is owned: what is too old or too much goes, but nothing that anybody waits for.

    first .. w ......... w .... w .......... floor .. last      w: in a backlog, or to be tried again
             `- spared, and all before the next w may go

One event that waits for its retry would keep everything that came after it. So the oldest of what waits is
spared: copied to where a draw finds it (`scripts/spare.lua`), and the stream is cut beyond it; step by step,
and only while there is more than the broker keeps. A copy goes when nobody waits for it any more. At most
`COPIES` are made; what waits beyond them keeps the stream as long as it is, and a warning says so.

Nothing is lost on the way: all that waits up to the place that `spared` names has its copy, written in one
call with it, before the stream is cut. Below the floor an event is waited for by fewer and fewer triggers,
never by more, so what an earlier look found is at most too much.
"""

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import redis.asyncio
import structlog

from eventing import keys
from eventing.broker import archive, functions
from eventing.broker.lease import Lease
from eventing.broker.page import place_of
from eventing.broker.settings import Settings

COPIES = 1000  # in one partition; each would be in the stream otherwise, so they cost next to nothing
_STEP_COPIES = 100  # made in one call, which takes the store about 0.2 ms, or 10 ms for the largest
_STEP_BYTES = 8 * 1024 * 1024
_STEPS = COPIES // _STEP_COPIES  # of one pass, so that the owner comes back in time to renew its lease
_UIDS = 50  # looked through in one call

log = structlog.get_logger(__name__)


class _Spared(NamedTuple):
    """What has been spared: `place` is where all before it, and itself, have copies."""

    floor: str
    place: int
    copies: set[str]  # ids
    uids: list[str]  # triggers that have, or had, something waiting


class Retention:
    """Of one partition. Methods raise what redis-py raises, or Fenced."""

    def __init__(self, store: redis.asyncio.Redis, broker: str, partition: int, lease: Lease) -> None:
        """*lease* is held."""
        self._store = store
        self._broker = broker
        self._partition = partition
        self._lease = lease
        self._is_told = False  # that more waits than is spared

    def __repr__(self) -> str:
        """Whose it is."""
        return f"<Retention of {self._broker}/{self._partition}>"

    async def keep(self, settings: Settings) -> None:
        """Remove what *settings* do not keep, as far as nobody waits for it."""
        bounds: dict[str, Any] = {"now": time.time(), "age_s": settings.retention_age_s,
                                  "size_bytes": settings.retention_bytes}
        await self._drop()
        for _ in range(_STEPS):
            needed = [entry_id.decode() for entry_id in await self._call("clarion_needed")]
            await archive.retain(self._store, self._broker, self._partition,
                                 needed=min(needed, key=archive.order_of), **bounds)
            if not await archive.is_over(self._store, self._broker, self._partition, **bounds):
                self._is_told = False
                return
            if not await self._spare():
                return

    async def _drop(self) -> None:
        """Drop the copies that nobody waits for."""
        spared = await self._spared()
        if spared.copies:
            waited = await self._waited(spared.uids, -1, spared.place, len(spared.copies))
            gone = spared.copies - {entry_id for _, entry_id in waited}
            if gone:
                await self._write(gone, ())

    async def _spare(self) -> bool:
        """Copy the oldest entries that are waited for and have no copy; whether there were any."""
        spared = await self._spared()
        room = min(_STEP_COPIES, COPIES - len(spared.copies))
        waited = await self._waited(spared.uids, spared.place, place_of(spared.floor) - 1, room + 1)
        if len(waited) > room:  # all that wait up to a place, or none
            waited = [each for each in waited if each[0] < waited[room][0]][:room]
            if not waited:
                self._tell()
                return False
        return bool(waited) and bool(await self._write((), waited))

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            log.warning("more is kept than the broker asks for: too many events wait for their triggers",
                        partition=f"{self._broker}/{self._partition}", spared=COPIES)

    async def _spared(self) -> _Spared:
        floor, place, copies, uids = await self._call("clarion_spared")
        return _Spared(floor.decode(), int(place), {each.decode() for each in copies},
                       [uid.decode() for uid in uids])

    async def _waited(self, uids: list[str], after: int, upto: int, most: int) -> list[tuple[int, str]]:
        """Place and id of what waits between two places, oldest first; of each trigger at most so many."""
        waited: set[tuple[int, str]] = set()
        for start in range(0, len(uids), _UIDS):
            found = await self._call("clarion_waited", after, upto, most, *uids[start:start + _UIDS])
            waited.update((int(place), entry_id.decode())
                          for place, entry_id in zip(found[::2], found[1::2], strict=True))
        return sorted(waited)

    async def _write(self, gone: Iterable[str], waited: Iterable[tuple[int, str]]) -> int:
        dropped = list(gone)
        copied = await self._lease.owned("clarion_spare", _STEP_BYTES, len(dropped), *dropped,
                                         *(part for each in waited for part in each))
        return int(copied)

    async def _call(self, name: str, *arguments: str | int) -> Any:
        return await functions.call(
            self._store, name, [keys.partition_tag(self._broker, self._partition)], list(arguments))
