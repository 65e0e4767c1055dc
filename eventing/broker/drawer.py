"""
What waits in backlogs comes back here: the draw (`scripts/draw.lua`), which brings retries that are due, too.

A lane draws when little is left in its queue, and gets a share of what may be queued in all. It has caught
up when a draw found less than was asked for, and nothing was added meanwhile. What is drawn stays in the
backlog until a commit says what became of it; `Lane.taken` keeps it from being drawn twice.

Which lanes got retries is said by one answer only. Where that is lost, the draw goes again under its number,
and hears of them.
"""

import time
from collections.abc import Callable, Mapping

import orjson
import structlog

from eventing.broker.entry import decode
from eventing.broker.lane import WINDOW_LEAST, Delivery, Lane
from eventing.broker.lease import Lease, due_of
from eventing.broker.page import Ledger
from eventing.event import Event

QUEUED_LIMIT = 2048  # units drawn from backlogs into queues; a lane gets a quarter of what is free
_DRAW_BYTES = 8 * 1024 * 1024
_DUE_ENTRIES = 500  # retries moved by one draw

log = structlog.get_logger(__name__)


class Drawer:
    """Backlogs and retries of one partition, seen from its owner."""

    def __init__(self, lease: Lease, ledger: Ledger, lanes: Mapping[str, Lane]) -> None:
        """*lanes* by uid; *lease* is held."""
        assert lease.grant is not None
        self.backlogged: set[Lane] = set()  # have something in their backlog that is not in hand
        self.next_due_ms = lease.grant.next_due_ms
        self._lease = lease
        self._ledger = ledger
        self._lanes = lanes
        self._draws = 1  # the number of the next one: each until it was answered
        self._is_owed = False  # the answer to that one, which was asked for before

    def __repr__(self) -> str:
        """Count of lanes."""
        return f"<Drawer [{len(self.backlogged)} lanes with a backlog]>"

    async def draw(self, pump: Callable[[Lane], None]) -> bool:
        """Queue what lanes have room for, *pump* each of them; returns whether there is more at once."""
        queued = sum(lane.queue_units for lane in self.backlogged)
        share = max(WINDOW_LEAST, (QUEUED_LIMIT - queued) // 4)
        wants = {lane.uid: [min(share, lane.limit) - lane.queue_units, list(lane.taken)]
                 for lane in self.backlogged
                 if lane.wants_more and lane.queue_units < share and not lane.is_gone}
        now_ms = time.time() * 1000
        is_due = self.next_due_ms is not None and self.next_due_ms <= now_ms
        if not (wants or is_due or self._is_owed) or self._lease.grant is None or not self._lease.grant.holds:
            return False
        self._is_owed = True
        due, touched, drawn = await self._lease.owned(
            "clarion_draw", int(now_ms), _DUE_ENTRIES, _DRAW_BYTES, orjson.dumps(wants), self._draws)
        self._draws, self._is_owed = self._draws + 1, False
        self.next_due_ms = due_of(due)
        for uid, more, *members in drawn:
            lane = self._lanes.get(uid.decode())
            if lane is None:
                continue
            for member, fields in zip(members[::2], members[1::2], strict=True):
                self._take(lane, member.decode(), dict(zip(fields[::2], fields[1::2], strict=True)))
            if not more and not self._ledger.is_parking(lane.uid):
                self.backlogged.discard(lane)
                lane.behind = False
            pump(lane)
        known = {self._lanes[uid.decode()] for uid in touched if uid.decode() in self._lanes}
        self.backlogged |= known
        return bool(known)

    def _take(self, lane: Lane, member: str, fields: dict[bytes, bytes]) -> None:
        """Queue what was drawn."""
        ref, attempt, *due_ms = member.split(" ")
        lane.taken.add(member)
        if not fields:
            # A dead letter that somebody purged; an entry is kept as long as anybody waits for it.
            self._ledger.leave(Delivery(lane, ref, int(attempt), Event({}), None, member))
            if ref[0] not in "dr":
                log.error("an entry is gone", trigger=lane.name, entry=ref)
            return
        letter = {name.decode(): value.decode() for name, value in fields.items()
                  if name not in (b"a", b"d")}
        delivery = Delivery(lane, ref, int(attempt), decode(fields), None, member, letter or None)
        wait_s = int(due_ms[0]) / 1000 - time.time() if due_ms else 0.0
        if wait_s > 0 and lane.flow.is_ordered:
            lane.hold(delivery, time.monotonic() + wait_s)
        else:
            lane.push(delivery)
