"""
Append: the events of a partition reach the disk here, many at a time, before anybody is told that they did.

Group commit: all events that arrive while an append is under way wait, and go together in the next.

    offer -> [waiting: a group per partition] -> one FCALL a group, one write -> reply after fsync -> told

A flight is every group that waits, up to a limit of bytes; one is on the way at a time, over a connection
that stays open (link.py): whatever arrives meanwhile makes the next one larger. (Two on the way make smaller
groups and more fsyncs, and were not faster.) The next one leaves before those of the last are told. The store
answers after its fsync (`appendfsync always`), so a reply means "on disk".

A group of batches is one call, on however many partitions: they are stored whole or not at all. An event
whose `deliverat` is to come is held (`scripts/release.lua` moves it to the stream); one that was sent before,
within the window that its broker remembers, is not stored again and counts as stored.

What the store answers, and what the one who offered the event is told:

    how many were repeats                              None: stored, now or before
    OOM, READONLY, MISCONF, BUSY, any other error      Unavailable: not stored
    Function not found                                 nothing yet: functions are loaded, the group goes again
    nothing (connection lost, time out)                Unavailable: not known, perhaps stored
    not connected, or the queue is full                Unavailable, at once: not stored

After READONLY the connection is made anew, which succeeds once it leads to a primary (connection.py).
A producer sends an Unavailable event again with the same id, as the CloudEvents contract lets it.
This module does not know HTTP, brokers' records, triggers or filters.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
import redis.exceptions
import structlog

from eventing import keys
from eventing.broker import functions
from eventing.broker.arrival import DELIVER_AT, due_ms
from eventing.broker.entry import encode
from eventing.broker.group import BATCH_LIMIT_EVENTS, GROUP_LIMIT_EVENTS, Group, OnStored
from eventing.broker.link import Link
from eventing.connection import NoPrimary, leads_elsewhere
from eventing.errors import Unavailable
from eventing.event import Event

QUEUE_LIMIT_EVENTS = 20_000  # a second of a fast machine's ingest; more only makes producers wait longer
QUEUE_LIMIT_BYTES = 64 * 1024 * 1024  # what a role may hold in memory on behalf of producers
_FLIGHT_LIMIT_BYTES = 4 * 1024 * 1024  # what is written at once
_REPLY_TIMEOUT_S = 5.0  # an fsync of a busy disk takes tens of ms; a store that needs seconds is away
# A flight of fewer events waits for what the answers to the last one bring: each costs Valkey an fsync, and
# three processes a wake-up, however few it carries.
_WORTH_EVENTS = 12
_LOOK_S = 1.0  # how often a flight is looked after; a timer for each would cost more than it is worth
_BATCHES = -1  # in place of a partition: where batches of a broker wait, on whichever partitions they are
_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)  # Valkey restarts in about 50 ms

# Why the store refuses, by the first word of its error.
_REFUSALS = {
    "OOM": "the store is out of memory",
    "READONLY": "the store is read-only",
    "MISCONF": "the store cannot write to its disk",
    "BUSY": "the store is busy",
}
_AWAY = "the store is away"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Counts:
    """What has happened since the start of the process, for /metrics."""

    stored: int = 0  # with repeats
    repeats: int = 0
    refused: int = 0  # one an event or batch
    # groups[i]: calls that carried fewer than 2**i events (and at least 2**(i-1)).
    groups: list[int] = field(default_factory=lambda: [0] * (GROUP_LIMIT_EVENTS.bit_length() + 1))
    flight_s: float = 0.0  # from write to reply, over all calls


def _put(group: Group, broker: str, partition: int, event: Event) -> int:
    """Add *event* to *group*; returns its size in bytes."""
    attributes = event.attributes
    due = None
    if DELIVER_AT in attributes:
        due = due_ms(attributes[DELIVER_AT])
        if due <= time.time() * 1000:
            due = None
    identity = f"{attributes['source']}\n{attributes['id']}" if group.window_ms else None
    return group.add(keys.events(broker, partition), *encode(event), due=due, identity=identity)


class Stream:
    """Appends events for one process; `run` is its task, and the only one that talks to the store."""

    def __init__(self, store: redis.asyncio.Redis) -> None:
        """Append through a connection of its own, made as *store* makes its connections."""
        self._store = store
        self._link = Link(self._landed, self._on_lost)
        self._is_open = False
        self.absence = _AWAY  # why it is closed, while it is
        self._is_leaving = False  # a flight takes off as soon as what has been read is offered
        self._gathered = 0  # events that waited at the loop's last turn, while a small flight gathers
        self._waiting: deque[Group] = deque()
        self._open_groups: dict[tuple[str, int, int], Group] = {}  # the newest waiting group of a partition
        self._flying: deque[Group] = deque()
        self._strayed: list[Group] = []  # landed where the functions were not, and to go again
        self._departed = 0.0
        self._queued_events = 0
        self._queued_bytes = 0
        self._alarm = asyncio.Event()
        self.connected = asyncio.Event()
        self.counts = Counts()

    def __repr__(self) -> str:
        """Counts of events."""
        flying = sum(group.events for group in self._flying)
        return (f"<Stream [{self._queued_events - flying} waiting | {flying} in flight | "
                f"{self.counts.stored} stored | {self.counts.refused} refused]>")

    def offer(
        self, broker: str, partition: int, event: Event, on_stored: OnStored, window_ms: int = 0
    ) -> None:
        """
        Queue *event*; *on_stored* is called once: with None when it is on disk, or with why it may not be.

        It may be called before this returns (the store is away, the queue is full), and must not raise.
        *window_ms* is for how long the broker knows an event that is sent again; 0: it does not.
        """
        if self._refuses(on_stored):
            return
        where = (broker, partition, window_ms)
        group = self._open_groups.get(where)
        if group is None or group.is_full:
            group = self._open_groups[where] = Group(window_ms)
            self._waiting.append(group)
        self._queued_bytes += _put(group, broker, partition, event)
        self._queued_events += 1
        group.waiters.append(on_stored)
        self._leave()

    def offer_all(
        self, broker: str, placed: Sequence[tuple[int, Event]], on_stored: OnStored, window_ms: int = 0
    ) -> None:
        """Queue events, each with its partition, to be stored all or none; otherwise like `offer`."""
        if self._refuses(on_stored):
            return
        where = (broker, _BATCHES, window_ms)
        group = self._open_groups.get(where)
        if group is None or group.is_full or group.events + len(placed) > BATCH_LIMIT_EVENTS:
            group = self._open_groups[where] = Group(window_ms)
            self._waiting.append(group)
        for partition, event in placed:
            self._queued_bytes += _put(group, broker, partition, event)
        self._queued_events += len(placed)
        group.waiters.append(on_stored)
        self._leave()

    def _refuses(self, on_stored: OnStored) -> bool:
        if not self._is_open:
            self._refuse(on_stored, self.absence)
        elif self._queued_events >= QUEUE_LIMIT_EVENTS or self._queued_bytes >= QUEUE_LIMIT_BYTES:
            self._refuse(on_stored, "too many events wait to be stored")
        else:
            return False
        return True

    async def append(self, broker: str, partition: int, event: Event, window_ms: int = 0) -> None:
        """Return when *event* is on disk; raises Unavailable when it is not, or may not be. See `offer`."""
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_stored(error: Unavailable | None) -> None:
            if told.done():
                return  # the caller was cancelled; the event may be stored all the same
            if error is None:
                told.set_result(None)
            else:
                told.set_exception(error)

        self.offer(broker, partition, event, on_stored, window_ms)
        await told

    async def run(self) -> None:
        """Append for ever; a store that goes away is asked again with back-off."""
        failures = 0
        while True:
            self._link = Link(self._landed, self._on_lost)
            try:
                await self._open()
                failures = 0
                await self._watch()
            except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
                self.absence = _REFUSALS["READONLY"] if isinstance(error, NoPrimary) else _AWAY
                if failures == 0:
                    log.warning("store away", error=str(error))
            finally:
                self._is_open = False
                self.connected.clear()
                self._fail_all()
                await self._link.close()
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1

    async def _open(self) -> None:
        await self._link.open(self._store)
        async with asyncio.timeout(_REPLY_TIMEOUT_S):
            await functions.load(self._store)
        self._is_open = self._link.is_open
        self.connected.set()

    async def _watch(self) -> None:
        """Return, by raising, when the connection is lost or an answer is overdue."""
        while self._link.is_open:
            if self._strayed:
                await self._send_again()
            if self._flying and time.monotonic() - self._departed > _REPLY_TIMEOUT_S:
                raise TimeoutError(f"no answer for {_REPLY_TIMEOUT_S:.0f} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._alarm.wait()
            self._alarm.clear()
        raise redis.exceptions.ConnectionError("the connection was closed")

    def _on_lost(self) -> None:
        self._is_open = False
        self._alarm.set()

    def _leave(self) -> None:
        """Have a flight take off, unless one is on the way: then `_landed` does."""
        if not self._flying and not self._is_leaving:
            self._is_leaving = True
            asyncio.get_running_loop().call_soon(self._take_off)

    def _gather(self) -> None:
        """Take off once a turn of the loop has brought nothing more, or there is enough."""
        if self._gathered < self._queued_events < _WORTH_EVENTS:
            self._gathered = self._queued_events
            asyncio.get_running_loop().call_soon(self._gather)
        else:
            self._take_off()

    def _take_off(self) -> None:
        """Send what waits, in one write, unless a flight is on the way."""
        self._is_leaving = False
        if self._flying or not self._waiting or not self._is_open:
            return
        size_bytes = 0
        packed: list[bytes] = []
        while self._waiting and size_bytes < _FLIGHT_LIMIT_BYTES:
            group = self._waiting.popleft()
            size_bytes += group.size_bytes
            self._flying.append(group)
            packed.append(group.command())
        self._open_groups = {where: group for where, group in self._open_groups.items()
                             if group in self._waiting}
        self._departed = time.monotonic()
        self._link.write(packed[0] if len(packed) == 1 else b"".join(packed))

    def _landed(self, reply: Any) -> None:
        """Start the next flight, and tell those of the one that a reply is for."""
        group = self._flying.popleft()
        if not self._flying:
            self.counts.flight_s += time.monotonic() - self._departed
            if self._queued_events - group.events >= _WORTH_EVENTS:
                # Before anybody is told: the store works on the next flight while answers are written here.
                self._take_off()
            elif not self._is_leaving:
                self._is_leaving = True
                self._gathered = -1
                asyncio.get_running_loop().call_soon(self._gather)
        if not isinstance(reply, Exception):
            self._stored(group, reply)
        elif functions.is_unknown(reply) and not group.is_second_try:
            self._strayed.append(group)
            self._alarm.set()
        else:
            refusal = str(reply).removeprefix("ERR ")
            self._fail(group, _REFUSALS.get(refusal.split(" ", 1)[0], f"the store refused: {refusal}"))
            if leads_elsewhere(reply):
                self._link.abort()

    def _stored(self, group: Group, repeats: int) -> None:
        self._forget(group)
        self.counts.stored += group.events
        self.counts.repeats += repeats
        self.counts.groups[group.events.bit_length()] += 1
        for told in group.waiters:
            told(None)

    async def _send_again(self) -> None:
        """Load the functions that the store had lost, and let the groups that met none go once more."""
        await functions.load(self._store)
        for group in self._strayed:
            group.is_second_try = True
        self._waiting.extend(self._strayed)
        self._strayed.clear()
        self._leave()

    def _fail_all(self) -> None:
        for group in [*self._flying, *self._strayed, *self._waiting]:
            self._fail(group, "the store went away; the event may have been stored")
        self._flying.clear()
        self._strayed.clear()
        self._waiting.clear()
        self._open_groups.clear()

    def _fail(self, group: Group, reason: str) -> None:
        self._forget(group)
        for told in group.waiters:
            self._refuse(told, reason)

    def _refuse(self, told: OnStored, reason: str) -> None:
        self.counts.refused += 1
        told(Unavailable(f"{reason}; try again"))

    def _forget(self, group: Group) -> None:
        self._queued_events -= group.events
        self._queued_bytes -= group.size_bytes
