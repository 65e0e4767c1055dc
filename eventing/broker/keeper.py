"""
The keeper of a partition: what was decided is written, what waits is drawn, and what takes long is parked.

    every 20 to 50 ms, if there is something    the ledger's page -> a commit; then a draw (drawer.py)
    four times a second                         what has held the floor for a second -> parked

Parked is what is still pending a second after it was read: it is in the backlog from then on, stays open or
queued here, and holds the floor no longer. So a slow subscriber holds up neither the floor nor, through
it, the reader.

When the store is away nothing is lost; when it is back, the same page goes again. Nothing here takes time for
a lane that has nothing queued, open or in its backlog, however many there are.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import redis.exceptions
import structlog

from eventing.broker.drawer import Drawer
from eventing.broker.lane import Lane
from eventing.broker.lease import Lease
from eventing.broker.page import Ledger, Page

COMMIT_S = 0.02  # a commit costs an fsync, about 1 ms, and some 400 µs here
# Where nobody waits for what it brings. An append that meets a commit waits for its fsync: so 1 in 100 does.
_CALM_COMMIT_S = 0.05
PARK_S = 1.0  # how long an attempt may hold the floor
_SWEEP_S = 0.25  # how exactly that is kept
_IDLE_S = 1.0  # what the lease held up, while the store was away, goes on after that
_FLOOR_S = 1.0  # a floor that rises over entries nobody wants is written that often
_FORGET_ENTRIES = 1000
_AWAY_S = 0.2  # the store restarts in about 50 ms
STORE_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


class Keeper:
    """Commits of one partition, and its lanes as they are kept. Methods raise Fenced."""

    def __init__(self, partition: str, lease: Lease, ledger: Ledger, on_room: Callable[[], None]) -> None:
        """*partition* is its name, for people; *on_room* is called when more may be read."""
        assert lease.grant is not None
        self.lanes: dict[str, Lane] = {}  # by uid
        self.busy: set[Lane] = set()  # had something queued or open when last swept, or got it since
        self.drawer = Drawer(lease, ledger, self.lanes)
        self._partition = partition
        self._lease = lease
        self._grant = lease.grant
        self._ledger = ledger
        self._on_room = on_room
        self._page: Page | None = None  # turned, and not known to be committed
        self._commits = 0
        self._committed_at = self._swept_at = 0.0
        self._gone: list[str] = list(self._grant.backlogs)  # uids to be forgotten, unless they are adopted
        self._work = asyncio.Event()
        self.wake = self._work.set  # there is something to write or to draw

    def __repr__(self) -> str:
        """Counts of lanes."""
        return f"<Keeper of {self._partition} [{len(self.busy)} of {len(self.lanes)} lanes busy]>"

    def welcome(self, lane: Lane) -> None:
        """Keep *lane*, and what waits for it already."""
        self.lanes[lane.uid] = lane
        if self._grant.backlogs.get(lane.uid):
            lane.behind = True
            self.drawer.backlogged.add(lane)
        if lane.uid in self._gone:
            self._gone.remove(lane.uid)
        self.wake()

    def dismiss(self, lane: Lane) -> None:
        """Keep *lane* no more: it holds nothing up, and what waits for it is removed."""
        del self.lanes[lane.uid]
        self.drawer.backlogged.discard(lane)
        self.busy.discard(lane)
        lane.is_gone = True
        for delivery in [*lane.empty(), *lane.open]:
            if delivery.entry is not None:
                self._ledger.drop(delivery.entry)
                delivery.entry = None
        self._gone.append(lane.uid)
        self.wake()

    def is_due_at(self, due_ms: float | None) -> None:
        """Note when the next retry is due: somebody else may have added one (a dead letter, redriven)."""
        if due_ms != self.drawer.next_due_ms:
            self.drawer.next_due_ms = due_ms
            self.wake()

    def park(self, lane: Lane, before: float) -> None:
        """Park what *lane* has in hand of entries that were read until then; it stays queued or open."""
        for delivery in (*lane.open, *lane.queue):
            if delivery.entry is not None and delivery.entry.read_at <= before:
                self._ledger.park(delivery)
                assert delivery.member is not None
                lane.taken.add(delivery.member)

    async def run(self, pump: Callable[[Lane], None]) -> None:
        """Go on for ever; *pump* a lane that may send."""
        def drawn(lane: Lane) -> None:
            self.busy.add(lane)
            pump(lane)

        is_away = False
        while True:
            await self._wait()
            began = time.monotonic()
            gone, self._gone = self._gone, []
            try:
                await self._commit()
                await self._forget(gone)
                if await self.drawer.draw(drawn):
                    self.wake()
                is_away = False
            except STORE_AWAY as error:
                if not is_away:
                    log.warning("cannot commit yet", partition=self._partition, error=str(error))
                is_away = True
                self._gone = gone + self._gone
                self.wake()
                await asyncio.sleep(_AWAY_S)
            if began - self._swept_at >= _SWEEP_S:
                self._swept_at = began
                self._sweep(began, pump)
            is_calm = not any(lane.wants_more for lane in self.drawer.backlogged)
            pause_s = _CALM_COMMIT_S if is_calm else COMMIT_S
            await asyncio.sleep(max(0.0, pause_s - (time.monotonic() - began)))

    async def finish(self) -> None:
        """Write what is left. Raises what redis-py raises."""
        while self._grant.until and (self._page is not None or self._ledger.is_dirty):
            await self._commit()

    async def _wait(self) -> None:
        """Return when there is something to write or to draw, or a retry is due."""
        waits = [_SWEEP_S if len(self._ledger) or self.drawer.backlogged else _IDLE_S]
        if self.drawer.next_due_ms is not None:
            waits.append(max(0.0, self.drawer.next_due_ms / 1000 - time.time()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(waits)):
                await self._work.wait()
        self._work.clear()

    async def _commit(self) -> None:
        """Write the page, if it says something; one that may have been written goes again as it was."""
        if self._page is None:
            is_stale = len(self._ledger) and time.monotonic() - self._committed_at >= _FLOOR_S
            if not self._ledger.is_dirty and self._ledger.has_room and not is_stale:
                return
            self._page = self._ledger.turn()
            self._commits += 1
        self.drawer.next_due_ms = await self._lease.commit(self._commits, self._page.arguments())
        self._committed_at = time.monotonic()
        page, self._page = self._page, None
        for uid, members in page.drained.items():
            if uid in self.lanes:
                self.lanes[uid].taken.difference_update(members)
        for uid, to_sink, _ in page.dead:
            if to_sink and uid in self.lanes:
                self.drawer.backlogged.add(self.lanes[uid])
        if self._ledger.has_room:
            self._on_room()

    async def _forget(self, uids: list[str]) -> None:
        """Remove what is kept for deleted triggers; what the last page said about them has been written."""
        while uids:
            while await self._lease.owned("clarion_forget", uids[-1], _FORGET_ENTRIES):
                continue
            uids.pop()

    def _sweep(self, now: float, pump: Callable[[Lane], None]) -> None:
        """Park what holds the floor for too long; send on what a window or the lease held up."""
        is_held = self._ledger.is_held_since(now - PARK_S)
        self.busy.difference_update([lane for lane in self.busy if not (lane.queue or lane.open)])
        for lane in self.busy:
            if is_held:
                self.park(lane, now - PARK_S)
            if lane.queue:
                pump(lane)
