"""
One partition, owned: read each event once, give it to the lanes that want it, write down what became of it.

    reader    XREAD from the cursor -> matcher -> a lane's queue, or its backlog     (reader.py)
    roster    the triggers: a lane for each, and the matcher (roster.py)
    courier   queue -> attempt -> decision -> ledger                   (courier.py)
    keeper    the ledger's page -> a commit; then a draw, and what takes long is parked (keeper.py)
    upkeep    every second: the lease; now and then: retention (upkeep.py)
    held      events that are due: to the end of the stream (held.py)
    failures  why nothing arrives, for people (failures.py)

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
import structlog

from eventing import keys
from eventing.broker import held
from eventing.broker.courier import Courier, StoreReply
from eventing.broker.entry import decode_row
from eventing.broker.failures import Failures, GivenUp
from eventing.broker.keeper import STORE_AWAY, Keeper
from eventing.broker.lane import Budget, Delivery, Entry, Lane
from eventing.broker.lease import Fenced, Lease
from eventing.broker.page import Ledger
from eventing.broker.reader import Entries, Reader
from eventing.broker.roster import Roster
from eventing.broker.sender import Sender
from eventing.broker.settings import Settings
from eventing.broker.succession import Succession
from eventing.broker.turns import Turns
from eventing.broker.upkeep import Upkeep
from eventing.broker.wellbeing import Reading
from eventing.event import Event
from eventing.projection import Record
from eventing.runtime import end

_UNREAD = Event({})

log = structlog.get_logger(__name__)

_under_way = operator.attrgetter("open_units")


class Partition:
    """One partition from the moment it is owned; `run` returns when it is no longer."""

    def __init__(
        self, *, store: redis.asyncio.Redis, broker: str, number: int, lease: Lease, sender: Sender,
        store_reply: StoreReply, budget: Budget, on_given_up: GivenUp,
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
        self._ledger = Ledger()
        self._cursor = self._grant.floor
        self._reader = Reader(store, keys.events(broker, number), lambda: self._cursor, self._received)
        self._keeper = Keeper(f"{broker}/{number}", lease, self._ledger, self._reader.ask)
        self._turns = Turns(store, f"{number}/{self._grant.epoch}", self._keeper.busy)
        self._succession = Succession(store, broker, number)
        self._failures = Failures(store, keys.failures(broker, number), self._keeper.lanes, on_given_up)
        self._roster = Roster(number, self._keeper, sender, self._turns, self._succession,
                              on_unjudged=self._failures.unjudged)
        self.upkeep = Upkeep(store, broker, number, lease, on_due=self._keeper.is_due_at,
                             failures=self._failures)
        self._woken: set[Lane] = set()  # got something to send from the page that is being read
        self._over = asyncio.Event()
        self._drain_s = 0.0
        self._recovered: dict[str, set[str]] = {}
        for pair in self._grant.resolved:
            entry_id, _, uid = pair.partition(" ")
            self._recovered.setdefault(entry_id, set()).add(uid)

    def __repr__(self) -> str:
        """Counts."""
        behind = sum(lane.behind for lane in self.lanes.values())
        return (f"<Partition {self.broker}/{self.number} [{len(self.lanes)} lanes | {behind} behind | "
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
                       self._ledger.has_room, self.upkeep.stuck_s)

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """Lanes by `namespace/trigger`."""
        return self._roster.lanes

    def adopt(self, name: str, record: Record) -> bool:
        """Match trigger *name* from the next entry on, as *record* says; False when that is not possible."""
        return self._roster.adopt(name, record, self.settings)

    def drop(self, name: str) -> None:
        """Forget a deleted trigger: what waits for it is removed."""
        self._roster.drop(name)

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
                on_decided=self._keeper.wake, failures=self._failures)
            reader = tasks.create_task(self._reader.run())
            others = [tasks.create_task(self._until_fenced(self._keeper.run(self._courier.pump))),
                      tasks.create_task(self._until_fenced(
                          self.upkeep.run(self._keeper.busy, lambda: self._cursor))),
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
        with contextlib.suppress(*STORE_AWAY):
            await self._keeper.finish()
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
        if not self.lanes and not self._recovered:  # nobody wants them: the floor rises to the last
            self._cursor = entries[-1][0].decode()
            self._ledger.add(Entry(self._cursor, _UNREAD, now))
            self._keeper.wake()
            return self._ledger.has_room
        for entry_id, fields in entries:
            self._cursor = entry_id.decode()
            self._take(Entry(self._cursor, decode_row(fields), now))
        # Who has least under way goes first: so nobody waits for what goes to one who is slow anyway.
        for lane in sorted(self._woken, key=_under_way):
            self._courier.pump(lane)
        self._keeper.busy |= self._woken
        self._woken.clear()
        self._keeper.wake()
        return self._ledger.has_room

    def _take(self, entry: Entry) -> None:
        """Give an entry to the lanes that want it."""
        resolved = self._recovered.pop(entry.id, ()) if self._recovered else ()
        if resolved:
            entry.listed = [f"{entry.id} {uid}" for uid in resolved]
        self._ledger.add(entry)
        for lane in self._roster.matcher.match(entry.event.attributes, entry.event.data):
            if lane.uid in resolved:
                continue
            entry.pending += 1
            delivery = Delivery(lane, entry.id, 1, entry.event, entry)
            if lane.behind or not lane.has_room:
                if lane.flow.is_ordered and not lane.behind:
                    # The next owner draws from the backlog before it has read all that is older: in it, too.
                    self._keeper.park(lane, entry.read_at)
                lane.behind = True
                self._keeper.drawer.backlogged.add(lane)
                self._ledger.park(delivery)
            else:
                lane.push(delivery)
                self._woken.add(lane)
