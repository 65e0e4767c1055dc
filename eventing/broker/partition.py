"""
One partition, owned: read each event once, give it to the lanes that want it, write down what became of it.

    reader    XREAD from the cursor -> matcher -> a lane's queue, or its backlog     (reader.py)
    courier   queue -> attempt -> decision -> ledger                   (courier.py)
    keeper    every 20 to 50 ms, if there is something: the ledger's page -> a commit; then a draw (drawer.py)
    upkeep    every second: the lease; now and then: retention (upkeep.py)
    held      events that are due: to the end of the stream (held.py)

What is still pending a second after it was read is parked: it is in the backlog from then on, stays open or
queued here, and holds the floor no longer. So a slow subscriber holds up neither the floor nor, through
it, the reader.

When the store is away nothing is lost and nothing is sent past the lease; when it is back, the same
owner goes on if nobody else has become it. Fenced ends the ownership: what was open is given up, and the
next owner sends it again.
"""

import asyncio
import contextlib
import operator
import time
from collections.abc import Coroutine, Mapping
from typing import Any

import redis.asyncio
import redis.exceptions
import structlog

from eventing import keys
from eventing.broker import held
from eventing.broker.courier import Courier, StoreReply
from eventing.broker.delivery import policy_of
from eventing.broker.drawer import Drawer
from eventing.broker.filters import FilterInvalid
from eventing.broker.flow import PLAIN, FlowInvalid, flow_of
from eventing.broker.lane import NOWHERE, Budget, Delivery, Entry, Lane
from eventing.broker.lease import Fenced, Lease
from eventing.broker.matcher import Matcher
from eventing.broker.page import Ledger, Page
from eventing.broker.reader import Entries, Reader
from eventing.broker.sender import Sender
from eventing.broker.settings import Settings
from eventing.broker.stream import decode_row
from eventing.broker.succession import Succession
from eventing.broker.turns import Turns
from eventing.broker.upkeep import Upkeep
from eventing.broker.wellbeing import Reading
from eventing.event import Event
from eventing.projection import Record
from eventing.runtime import end

COMMIT_S = 0.02  # a commit costs an fsync, about 1 ms, and some 400 µs here
# Where nobody waits for what it brings. An append that meets a commit waits for its fsync: so 1 in 100 does.
_CALM_COMMIT_S = 0.05
PARK_S = 1.0  # how long an attempt may hold the floor
_SWEEP_S = 0.25  # how exactly that is kept
_IDLE_S = 1.0  # what the lease held up, while the store was away, goes on after that
HELD_ENTRIES = 4096  # read and above the floor; a second of them is parked
HELD_BYTES = 64 * 1024 * 1024
_FLOOR_S = 1.0  # a floor that rises over entries nobody wants is written that often
_FORGET_ENTRIES = 1000
_TELL_S = 60.0
_AWAY_S = 0.2  # the store restarts in about 50 ms
_STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)
_UNREAD = Event({})

log = structlog.get_logger(__name__)

_under_way = operator.attrgetter("open_units")


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
        self._matcher: Matcher[Lane] = Matcher(self._unjudged)
        self._ledger = Ledger()
        self._page: Page | None = None  # turned, and not known to be committed
        self._commits = 0
        self._drawer = Drawer(lease, self._ledger, self._by_uid)
        self._turns = Turns(store, f"{number}/{self._grant.epoch}")
        self._succession = Succession(store, broker, number)
        self._gone: list[str] = list(self._grant.backlogs)  # uids to be forgotten, unless they are adopted
        self._woken: set[Lane] = set()  # got something to send from the page that is being read
        self._busy: set[Lane] = set()  # had something queued or open when last swept, or got it since
        self._committed_at = self._swept_at = 0.0
        self._work = asyncio.Event()
        self._over = asyncio.Event()
        self._drain_s = 0.0
        self._cursor = self._grant.floor
        self.upkeep = Upkeep(store, broker, number, lease, self._is_due_at)
        self._reader = Reader(store, keys.events(broker, number), lambda: self._cursor, self._received)
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
    def settings(self) -> Settings:
        """What its broker asks for."""
        return self.upkeep.settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self.upkeep.settings = settings

    @property
    def reading(self) -> Reading:
        """How its reader is."""
        return Reading(f"{self.broker}/{self.number}", self._reader.heard_at, self._reader.trouble,
                       self._has_room(), self.upkeep.stuck_s)

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
        self._instruct(fresh, record)
        if lane is None:
            self._lanes[name] = self._by_uid[uid] = fresh
            if self._grant.backlogs.get(uid):
                fresh.behind = True
                self._drawer.backlogged.add(fresh)
            if uid in self._gone:
                self._gone.remove(uid)
            self._work.set()
        return True

    def _instruct(self, lane: Lane, record: Record) -> None:
        """Let *lane* serve its trigger as *record* says."""
        try:
            flow = flow_of(record.get("annotations") or {}).share(self.number, self.settings.partitions)
        except FlowInvalid as error:
            # Refused at admission; one that was there before is served as if it said nothing.
            log.warning("annotation not understood", trigger=lane.name, error=str(error))
            flow = PLAIN
        self._turns.follow(lane, flow)
        self._succession.follow(lane, self.settings.growths)
        lane.subscriber = record.get("subscriber") or ""
        lane.policy = policy_of(record.get("delivery"), max_age_s=flow.max_age_s, waits=flow.waits_for_poison)
        lane.route = self._sender.route(
            lane.subscriber, lane.namespace, wants_reply=flow.batch_events == 1)
        sink = lane.policy.dead_letter_url
        lane.letter_route = NOWHERE if sink is None else \
            self._sender.route(sink, lane.namespace, wants_reply=False)

    def drop(self, name: str) -> None:
        """Forget a deleted trigger: it holds nothing up, and what waits for it is removed."""
        lane = self._lanes.pop(name, None)
        if lane is None:
            return
        del self._by_uid[lane.uid]
        self._matcher.remove(lane)
        self._drawer.backlogged.discard(lane)
        self._busy.discard(lane)
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
            reader = tasks.create_task(self._reader.run())
            others = [tasks.create_task(self._until_fenced(self._keep())),
                      tasks.create_task(self._until_fenced(
                          self.upkeep.run(self._busy, lambda: self._cursor))),
                      tasks.create_task(self._turns.run(self._courier.pump)),
                      tasks.create_task(self._succession.run(self._courier.pump)),
                      tasks.create_task(held.release(self._store, self.broker, self.number))]
            try:
                await self._over.wait()
            except asyncio.CancelledError:  # one of the others failed: what is open ends with them
                self._courier.stop()
                raise
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
            await self._turns.leave()
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

    def _received(self, entries: Entries) -> bool:
        """Take what has been read; returns whether there is room for more."""
        now = time.monotonic()
        if not self._lanes and not self._recovered:  # nobody wants them: the floor rises to the last
            self._cursor = entries[-1][0].decode()
            self._ledger.add(Entry(self._cursor, _UNREAD, now))
            self._work.set()
            return self._has_room()
        for entry_id, fields in entries:
            self._cursor = entry_id.decode()
            self._take(Entry(self._cursor, decode_row(fields), now))
        # Who has least under way goes first: so nobody waits for what goes to one who is slow anyway.
        for lane in sorted(self._woken, key=_under_way):
            self._courier.pump(lane)
        self._busy |= self._woken
        self._woken.clear()
        self._work.set()
        return self._has_room()

    def _has_room(self) -> bool:
        return len(self._ledger) < HELD_ENTRIES and self._ledger.size_bytes < HELD_BYTES

    def _take(self, entry: Entry) -> None:
        """Give an entry to the lanes that want it."""
        resolved = self._recovered.pop(entry.id, ()) if self._recovered else ()
        if resolved:
            entry.listed = [f"{entry.id} {uid}" for uid in resolved]
        self._ledger.add(entry)
        for lane in self._matcher.match(entry.event.attributes, entry.event.data):
            if lane.uid in resolved:
                continue
            entry.pending += 1
            delivery = Delivery(lane, entry.id, 1, entry.event, entry)
            if lane.behind or not lane.has_room:
                if lane.flow.is_ordered and not lane.behind:
                    # The next owner draws from the backlog before it has read all that is older: in it, too.
                    self._park(lane, entry.read_at)
                lane.behind = True
                self._drawer.backlogged.add(lane)
                self._ledger.park(delivery)
            else:
                lane.push(delivery)
                self._woken.add(lane)

    def _unjudged(self, lane: Lane, reason: str) -> None:
        """An event that the filter of *lane* did not look at, to save time: told once a minute."""
        lane.unjudged += 1
        now = time.monotonic()
        if now >= lane.tell_unjudged_at:
            log.warning("filter taken for false: it cannot be judged", trigger=lane.name,
                        reason=reason, events=lane.unjudged)
            lane.unjudged, lane.tell_unjudged_at = 0, now + _TELL_S

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
                if await self._drawer.draw(self._drawn):
                    self._work.set()
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
            is_calm = not any(lane.wants_more for lane in self._drawer.backlogged)
            pause_s = _CALM_COMMIT_S if is_calm else COMMIT_S
            await asyncio.sleep(max(0.0, pause_s - (time.monotonic() - began)))

    def _drawn(self, lane: Lane) -> None:
        self._busy.add(lane)
        self._courier.pump(lane)

    def _is_due_at(self, due_ms: float | None) -> None:
        """Note when the next retry is due: somebody else may have added one (a dead letter, redriven)."""
        if due_ms != self._drawer.next_due_ms:
            self._drawer.next_due_ms = due_ms
            self._work.set()

    async def _wait(self) -> None:
        """Return when there is something to write or to draw, or a retry is due."""
        waits = [_SWEEP_S if len(self._ledger) or self._drawer.backlogged else _IDLE_S]
        if self._drawer.next_due_ms is not None:
            waits.append(max(0.0, self._drawer.next_due_ms / 1000 - time.time()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(waits)):
                await self._work.wait()
        self._work.clear()

    async def _commit(self) -> None:
        """Write the page, if it says something; one that may have been written goes again as it was."""
        if self._page is None:
            is_full = not self._has_room()
            is_stale = len(self._ledger) and time.monotonic() - self._committed_at >= _FLOOR_S
            if not self._ledger.is_dirty and not is_full and not is_stale:
                return
            self._page = self._ledger.turn()
            self._commits += 1
        self._drawer.next_due_ms = await self._lease.commit(self._commits, self._page.arguments())
        self._committed_at = time.monotonic()
        page, self._page = self._page, None
        for uid, members in page.drained.items():
            if uid in self._by_uid:
                self._by_uid[uid].taken.difference_update(members)
        for uid, to_sink, _ in page.dead:
            if to_sink and uid in self._by_uid:
                self._drawer.backlogged.add(self._by_uid[uid])
        if self._has_room():
            self._reader.ask()

    async def _forget(self, uids: list[str]) -> None:
        """Remove what is kept for deleted triggers; what the last page said about them has been written."""
        while uids:
            while await self._lease.owned("clarion_forget", uids[-1], _FORGET_ENTRIES):
                continue
            uids.pop()

    def _sweep(self, now: float) -> None:
        """Park what holds the floor for too long; send on what a window or the lease held up."""
        is_held = self._ledger.is_held_since(now - PARK_S)
        self._busy.difference_update([lane for lane in self._busy if not (lane.queue or lane.open)])
        for lane in self._busy:
            if is_held:
                self._park(lane, now - PARK_S)
            if lane.queue:
                self._courier.pump(lane)

    def _park(self, lane: Lane, before: float) -> None:
        """Park what *lane* has in hand of entries that were read until then; it stays queued or open."""
        for delivery in (*lane.open, *lane.queue):
            if delivery.entry is not None and delivery.entry.read_at <= before:
                self._ledger.park(delivery)
                assert delivery.member is not None
                lane.taken.add(delivery.member)
