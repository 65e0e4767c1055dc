"""
One partition, owned: read each event once, give it to the lanes that want it, write down what became of it.

    reader    XREAD from the cursor -> matcher -> a lane's queue, or its backlog
    courier   queue -> attempt -> decision -> ledger                   (courier.py)
    keeper    every 20 ms, if there is something: the ledger's page -> one commit; then draw from backlogs
    upkeep    every second: the lease; now and then: retention (upkeep.py)

What is still pending a second after it was read is parked: it is in the backlog from then on, stays open or
queued here, and holds the floor no longer. So a slow subscriber holds up neither the floor nor, through
it, the reader.

When the store is away nothing is lost and nothing is sent past the lease; when it is back, the same
owner goes on if nobody else has become it. Fenced ends the ownership: what was open is given up, and the
next owner sends it again.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Coroutine, Mapping
from typing import Any

import orjson
import redis.asyncio
import redis.exceptions
import structlog

from eventing import keys
from eventing.broker.courier import Courier, StoreReply
from eventing.broker.delivery import policy_of
from eventing.broker.filters import FilterInvalid
from eventing.broker.lane import QUEUE, WINDOW_LEAST, Budget, Delivery, Entry, Lane
from eventing.broker.lease import Fenced, Lease, due_of
from eventing.broker.matcher import Matcher
from eventing.broker.page import Ledger, Page
from eventing.broker.sender import Sender
from eventing.broker.stream import decode
from eventing.broker.upkeep import Upkeep
from eventing.event import Event
from eventing.projection import Record
from eventing.runtime import end

COMMIT_S = 0.02  # a commit costs an fsync, about 1 ms, and some 400 µs here
PARK_S = 1.0  # how long an attempt may hold the floor
_SWEEP_S = 0.25  # how exactly that is kept
_IDLE_S = 1.0  # what the lease held up, while the store was away, goes on after that
_READ_ENTRIES = 256
_READ_BLOCK_MS = 1000  # shorter than redis-py's own time-out of 5 s
HELD_ENTRIES = 4096  # read and above the floor; a second of them is parked
HELD_BYTES = 64 * 1024 * 1024
QUEUED_LIMIT = 2048  # units drawn from backlogs into queues; a lane gets a quarter of what is free
_FLOOR_S = 1.0  # a floor that rises over entries nobody wants is written that often
_DRAW_BYTES = 8 * 1024 * 1024
_DUE_ENTRIES = 500  # retries moved by one draw
_FORGET_ENTRIES = 1000
_AWAY_S = 0.2  # the store restarts in about 50 ms
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


class Partition:
    """One partition from the moment it is owned; `run` returns when it is no longer."""

    def __init__(
        self, *, store: redis.asyncio.Redis, broker: str, number: int, lease: Lease, sender: Sender,
        store_reply: StoreReply, budget: Budget,
    ) -> None:
        """*lease* has been acquired."""
        assert lease.grant is not None
        self.broker = broker
        self.number = number
        self._store = store
        self._lease = lease
        self._grant = lease.grant
        self._sender = sender
        self._store_reply = store_reply
        self._budget = budget
        self._lanes: dict[str, Lane] = {}  # by name, namespace/trigger
        self._by_uid: dict[str, Lane] = {}
        self._matcher: Matcher[Lane] = Matcher()
        self._ledger = Ledger()
        self._page: Page | None = None  # turned, and not known to be committed
        self._commits = 0
        self._next_due_ms = self._grant.next_due_ms
        self._gone: list[str] = list(self._grant.backlogs)  # uids to be forgotten, unless they are adopted
        self._woken: set[Lane] = set()  # got something to send from the page that is being read
        self._backlogged: set[Lane] = set()  # have something in their backlog that is not in hand
        self._committed_at = self._swept_at = 0.0
        self._work = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._over = asyncio.Event()
        self._drain_s = 0.0
        self._cursor = self._grant.floor
        self.upkeep = Upkeep(store, broker, number, lease, self._is_due_at)
        self.read_at = time.monotonic()  # when the reader last heard from the store
        self._recovered: dict[str, set[str]] = {}
        for pair in self._grant.resolved:
            entry_id, _, uid = pair.partition(" ")
            self._recovered.setdefault(entry_id, set()).add(uid)

    def __repr__(self) -> str:
        """Counts."""
        behind = sum(lane.behind for lane in self._lanes.values())
        return (f"<Partition {self.broker}/{self.number} [{len(self._lanes)} lanes | {behind} behind | "
                f"{len(self._ledger)} above the floor]>")

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """Lanes by `namespace/trigger`."""
        return self._lanes

    # --- triggers ---------------------------------------------------------------------------------

    def adopt(self, name: str, record: Record) -> bool:
        """Match trigger *name* from the next entry on, as *record* says; False when that is not possible."""
        uid = record["uid"]
        lane = self._lanes.get(name)
        if lane is not None and lane.uid != uid:
            self.drop(name)
            lane = None
        if lane is not None and lane.generation > record["generation"]:
            return True  # a follower that was overtaken
        fresh = lane or Lane(uid, name)
        try:
            self._matcher.put(fresh, record)
        except FilterInvalid as error:
            log.warning("filter does not compile", trigger=name, error=str(error))
            return False
        fresh.generation = record["generation"]
        fresh.subscriber = record.get("subscriber") or ""
        fresh.policy = policy_of(record.get("delivery"))
        if lane is None:
            self._lanes[name] = self._by_uid[uid] = fresh
            if self._grant.backlogs.get(uid):
                fresh.behind = True
                self._backlogged.add(fresh)
            if uid in self._gone:
                self._gone.remove(uid)
            self._work.set()
        return True

    def drop(self, name: str) -> None:
        """Forget a deleted trigger: it holds nothing up, and what waits for it is removed."""
        lane = self._lanes.pop(name, None)
        if lane is None:
            return
        del self._by_uid[lane.uid]
        self._matcher.remove(lane)
        self._backlogged.discard(lane)
        lane.is_gone = True
        for delivery in [*lane.empty(), *lane.open]:
            if delivery.entry is not None:
                self._ledger.drop(delivery.entry)
                delivery.entry = None
        self._gone.append(lane.uid)
        self._work.set()

    # --- the ownership ----------------------------------------------------------------------------

    def leave(self, drain_s: float) -> None:
        """End the ownership: read no more, wait *drain_s* for what is open, commit, release."""
        self._drain_s = drain_s
        self._over.set()

    async def run(self) -> None:
        """Serve until `leave` is called or another owner appears."""
        async with asyncio.TaskGroup() as tasks:
            self._courier = Courier(
                ledger=self._ledger, sender=self._sender, store_reply=self._store_reply,
                budget=self._budget, tasks=tasks, may_send=lambda: self._grant.holds,
                on_decided=self._work.set)
            reader = tasks.create_task(self._read())
            others = [tasks.create_task(self._until_fenced(self._keep())),
                      tasks.create_task(self._until_fenced(self.upkeep.run(lambda: self._cursor)))]
            await self._over.wait()
            # 1. Nothing new is read, or sent.
            await end([reader])
            # 2. What is open may finish; the lease is renewed meanwhile.
            await self._courier.close(self._drain_s)
            await end(others)
            # 3. What was decided is written. 4. The next owner begins.
            await self._until_fenced(self._finish())
        self._grant.until = 0.0

    async def _finish(self) -> None:
        with contextlib.suppress(*_STORE_AWAY):
            while self._grant.until and (self._page is not None or self._ledger.is_dirty):
                await self._commit()
            await self._lease.release()

    async def _until_fenced(self, work: Coroutine[Any, Any, None]) -> None:
        """Do *work*; that there is another owner ends this ownership."""
        try:
            await work
        except Fenced:
            log.warning("lost to another dispatcher", partition=f"{self.broker}/{self.number}")
            self._grant.until = 0.0
            self.leave(0.0)

    async def erase(self) -> None:
        """Remove everything that is kept about the partition: its broker was deleted. It is owned still."""
        await self._lease.owned("clarion_erase")

    # --- reader -----------------------------------------------------------------------------------

    async def _read(self) -> None:
        key = keys.events(self.broker, self.number)
        while True:
            await self._has_room.wait()
            try:
                found: Any = await self._store.xread(
                    {key: self._cursor}, count=_READ_ENTRIES, block=_READ_BLOCK_MS)
            except _STORE_AWAY:
                await asyncio.sleep(_AWAY_S)
                continue
            self.read_at = time.monotonic()
            pages = found.values() if isinstance(found, dict) else [page for _, page in found]
            for entry_id, fields in itertools.chain.from_iterable(pages):
                self._cursor = entry_id.decode()
                self._take(Entry(self._cursor, decode(fields), self.read_at))
            while self._woken:
                self._courier.pump(self._woken.pop())

    def _take(self, entry: Entry) -> None:
        """Give an entry to the lanes that want it."""
        resolved = self._recovered.pop(entry.id, set()) if self._recovered else set()
        entry.listed = [f"{entry.id} {uid}" for uid in resolved]
        self._ledger.add(entry)
        for lane in self._matcher.match(entry.event.attributes):
            if lane.uid in resolved:
                continue
            entry.pending += 1
            delivery = Delivery(lane, entry.id, 1, entry.event, entry)
            if lane.behind or not lane.has_room:
                lane.behind = True
                self._backlogged.add(lane)
                self._ledger.park(delivery)
            else:
                lane.push(delivery)
                self._woken.add(lane)
        if len(self._ledger) >= HELD_ENTRIES or self._ledger.size_bytes >= HELD_BYTES:
            self._has_room.clear()
        self._work.set()

    # --- keeper -----------------------------------------------------------------------------------

    async def _keep(self) -> None:
        is_away = False
        while True:
            await self._wait()
            began = time.monotonic()
            gone, self._gone = self._gone, []
            try:
                await self._commit()
                await self._forget(gone)
                await self._draw()
                is_away = False
            except _STORE_AWAY as error:
                if not is_away:
                    log.warning("cannot commit yet", partition=f"{self.broker}/{self.number}",
                                error=str(error))
                is_away = True
                self._gone = gone + self._gone
                self._work.set()
                await asyncio.sleep(_AWAY_S)
            if began - self._swept_at >= _SWEEP_S:
                self._swept_at = began
                self._sweep(began)
            await asyncio.sleep(max(0.0, COMMIT_S - (time.monotonic() - began)))

    def _is_due_at(self, due_ms: float | None) -> None:
        """Note when the next retry is due: somebody else may have added one (a dead letter, redriven)."""
        if due_ms != self._next_due_ms:
            self._next_due_ms = due_ms
            self._work.set()

    async def _wait(self) -> None:
        """Return when there is something to write or to draw, or a retry is due."""
        waits = [_SWEEP_S if len(self._ledger) or self._backlogged else _IDLE_S]
        if self._next_due_ms is not None:
            waits.append(max(0.0, self._next_due_ms / 1000 - time.time()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(waits)):
                await self._work.wait()
        self._work.clear()

    async def _commit(self) -> None:
        """Write the page, if it says something; one that may have been written goes again as it was."""
        if self._page is None:
            is_full = not self._has_room.is_set()
            is_stale = len(self._ledger) and time.monotonic() - self._committed_at >= _FLOOR_S
            if not self._ledger.is_dirty and not is_full and not is_stale:
                return
            self._page = self._ledger.turn()
            self._commits += 1
        self._next_due_ms = await self._lease.commit(self._commits, self._page.arguments())
        self._committed_at = time.monotonic()
        page, self._page = self._page, None
        for uid, members in page.drained.items():
            if uid in self._by_uid:
                self._by_uid[uid].taken.difference_update(members)
        for uid, to_sink, _ in page.dead:
            if to_sink and uid in self._by_uid:
                self._backlogged.add(self._by_uid[uid])
        if len(self._ledger) < HELD_ENTRIES and self._ledger.size_bytes < HELD_BYTES:
            self._has_room.set()

    async def _draw(self) -> None:
        """Move retries that are due into backlogs; queue what lanes with a backlog have room for."""
        queued = sum(lane.queue_units for lane in self._backlogged)
        share = min(QUEUE, max(WINDOW_LEAST, (QUEUED_LIMIT - queued) // 4))
        wants = {lane.uid: [share - lane.queue_units, list(lane.taken)] for lane in self._backlogged
                 if lane.wants_more and lane.queue_units < share and not lane.is_gone}
        now_ms = time.time() * 1000
        is_due = self._next_due_ms is not None and self._next_due_ms <= now_ms
        if (not wants and not is_due) or not self._grant.holds:
            return
        due, touched, drawn = await self._lease.owned(
            "clarion_draw", int(now_ms), _DUE_ENTRIES, _DRAW_BYTES, orjson.dumps(wants))
        self._next_due_ms = due_of(due)
        for uid, more, *members in drawn:
            lane = self._by_uid.get(uid.decode())
            if lane is None:
                continue
            for member, fields in zip(members[::2], members[1::2], strict=True):
                self._unpark(lane, member.decode(), dict(zip(fields[::2], fields[1::2], strict=True)))
            if not more and not self._ledger.is_parking(lane.uid):
                self._backlogged.discard(lane)
                lane.behind = False
            self._courier.pump(lane)
        for uid in touched:
            if uid.decode() in self._by_uid:
                self._backlogged.add(self._by_uid[uid.decode()])
                self._work.set()

    def _unpark(self, lane: Lane, member: str, fields: dict[bytes, bytes]) -> None:
        """Queue what was drawn from the backlog."""
        ref, _, attempt = member.partition(" ")
        lane.taken.add(member)
        if not fields:
            # A dead letter that somebody purged; an entry is kept as long as anybody waits for it.
            delivery = Delivery(lane, ref, int(attempt), Event({}), None, member)
            self._ledger.leave(delivery)
            if ref[0] not in "dr":
                log.error("an entry is gone", trigger=lane.name, entry=ref, broker=self.broker)
            return
        letter = {name.decode(): value.decode() for name, value in fields.items()
                  if name not in (b"a", b"d")}
        lane.push(Delivery(lane, ref, int(attempt), decode(fields), None, member, letter or None))

    async def _forget(self, uids: list[str]) -> None:
        """Remove what is kept for deleted triggers; what the last page said about them has been written."""
        while uids:
            cursor: bytes | str = "0"
            while True:
                cursor = await self._lease.owned("clarion_forget", uids[-1], cursor, _FORGET_ENTRIES)
                if cursor == b"0":
                    break
            uids.pop()

    def _sweep(self, now: float) -> None:
        """Park what holds the floor for too long; send on what a window or the lease held up."""
        is_held = self._ledger.is_held_since(now - PARK_S)
        for lane in self._lanes.values():
            if is_held:
                for delivery in (*lane.open, *lane.queue):
                    if delivery.entry is not None and delivery.entry.read_at < now - PARK_S:
                        self._ledger.park(delivery)
                        assert delivery.member is not None
                        lane.taken.add(delivery.member)
            if lane.queue:
                self._courier.pump(lane)
