"""
Which worker of a revision takes a request, and who waits: the limit `containerConcurrency`, kept over all.

    take()          a place at once, or None: then the caller may wait
    wait(ticket)    at the end of a bounded queue; `ticket.admitted(slot)` once its turn has come
    elsewhere(slot) a place now at another worker that is ready, for who had one and lost it
    give_back(slot) a request has ended: the place goes to whoever waits longest

No worker ever has more than `limit` requests (0: no limit), and nobody overtakes: while somebody waits,
`take` gives nothing. A closed slot (its worker drains or is gone) gets nothing more and says when it is
empty. Workers that are ready come first; one that is only starting is used when no other has room, because
its socket keeps what it is sent.

Choice of a worker, as in Knative's activator: limit 0: the less busy of two drawn at random; 1 to 3: the
first with room, so that few workers stay busy and the others can go; more: in turn.

Pure but for the dice: no clock, no I/O. What a ticket is, and what is done with a slot, is not known here.
"""

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from serving.workers.backend import Worker

QUEUE_DEPTH = 10_000  # Knative's activator holds as many for one revision
_FEW = 3  # up to this limit the first worker with room is taken


class Ticket(Protocol):
    """Somebody who waits for a place; no method may raise."""

    def admitted(self, slot: "Slot") -> None:
        """Its turn: it has a place at *slot* now and must give it back."""

    def refused(self, status: int, reason: str, retry_after_s: float) -> None:
        """There will be no place: HTTP status, what to tell, and when it may be worth asking again."""


class Slot:
    """One worker and the requests it has."""

    __slots__ = ("has_answered", "inside", "is_open", "is_ready", "is_retired", "on_empty", "ready_since",
                 "worker")

    def __init__(self, worker: Worker) -> None:
        """Nothing inside; `is_ready` when the worker accepts requests."""
        self.worker = worker
        self.inside = 0
        self.is_ready = False
        self.is_open = True  # may be given requests
        self.is_retired = False  # will be stopped: for good, while a closed slot may open again
        self.has_answered = False  # at least one request
        self.ready_since = 0.0
        self.on_empty: Callable[[], None] | None = None  # called once, when closed and empty

    def __repr__(self) -> str:
        """Worker, load, and state."""
        state = "closed" if not self.is_open else "ready" if self.is_ready else "starting"
        return f"<Slot {self.worker.id} [{self.inside} inside | {state}]>"

    def lasted_s(self, now: float) -> float:
        """For how long it has been ready until *now*."""
        return now - self.ready_since if self.is_ready else 0.0


class Breaker:
    """The workers of one revision and the queue before them."""

    __slots__ = ("_admitting", "_early", "_ready", "_turn", "_waiting", "depth", "limit")

    def __init__(self, limit: int, depth: int = QUEUE_DEPTH) -> None:
        """At most *limit* requests a worker (0: any number), at most *depth* that wait."""
        self.limit = limit
        self.depth = depth
        self._ready: list[Slot] = []
        self._early: list[Slot] = []
        self._waiting: OrderedDict[Ticket, None] = OrderedDict()
        self._turn = 0
        self._admitting = False

    def __repr__(self) -> str:
        """Places and queue."""
        return f"<Breaker [{len(self._ready)} ready | {len(self._early)} early | {self.waiting} waiting]>"

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take(self) -> Slot | None:
        """A place now, unless there is none or somebody waits already."""
        if self._waiting:
            return None
        slot = self._ready[0] if not self.limit and len(self._ready) == 1 else self._choose()
        if slot is not None:
            slot.inside += 1
        return slot

    def wait(self, ticket: Ticket, *, first: bool = False) -> bool:
        """Queue *ticket*; False if the queue is full. *first*: it had a place and lost it."""
        if len(self._waiting) >= self.depth:
            return False
        self._waiting[ticket] = None
        if first:
            self._waiting.move_to_end(ticket, last=False)
        self._admit()
        return True

    def elsewhere(self, slot: Slot) -> Slot | None:
        """A place now at a ready worker that is not in *slot*, before whoever waits, if there is one."""
        others = [each for each in self._ready if each is not slot]
        found = self._with_room(others) if self.limit else self._less_busy(others)
        if found is not None:
            found.inside += 1
        return found

    def forget(self, ticket: Ticket) -> bool:
        """Take *ticket* out of the queue; False if it is not in it."""
        if ticket not in self._waiting:
            return False
        del self._waiting[ticket]
        return True

    def dismiss(self) -> list[Ticket]:
        """Empty the queue; everyone who waited, longest first."""
        waited = list(self._waiting)
        self._waiting.clear()
        return waited

    def give_back(self, slot: Slot) -> None:
        """A request at *slot* has ended."""
        slot.inside -= 1
        if slot.is_open:
            if self._waiting:
                self._admit()
        elif slot.inside == 0 and slot.on_empty is not None:
            slot.on_empty()
            slot.on_empty = None

    def add(self, slot: Slot) -> None:
        """A worker that may be sent requests already, although it is not ready."""
        self._early.append(slot)
        self._admit()

    def opened(self, slot: Slot) -> None:
        """A worker that is ready (and was not retired meanwhile)."""
        self.close(slot)
        slot.is_open = slot.is_ready = True
        self._ready.append(slot)
        self._admit()

    def close(self, slot: Slot) -> None:
        """Give *slot* nothing more."""
        slot.is_open = False
        for slots in (self._ready, self._early):
            if slot in slots:
                slots.remove(slot)

    def _admit(self) -> None:
        """Let in whoever has a place now; not nested: a ticket may end at once and give its place back."""
        if self._admitting:
            return
        self._admitting = True
        try:
            while self._waiting and (slot := self._choose()) is not None:
                slot.inside += 1
                ticket, _ = self._waiting.popitem(last=False)
                ticket.admitted(slot)
        finally:
            self._admitting = False

    def _choose(self) -> Slot | None:
        if not self.limit:
            return self._less_busy(self._ready or self._early)
        return self._with_room(self._ready) or self._with_room(self._early)

    @staticmethod
    def _less_busy(slots: list[Slot]) -> Slot | None:
        if len(slots) <= 1:
            return slots[0] if slots else None
        count = len(slots)
        first = int(random.random() * count)  # noqa: S311  dice, no secret; a tenth of what sample() costs
        second = int(random.random() * (count - 1))  # noqa: S311
        one, other = slots[first], slots[second + (second >= first)]
        return one if one.inside <= other.inside else other

    def _with_room(self, slots: list[Slot]) -> Slot | None:
        count = len(slots)
        start = 0
        if self.limit > _FEW and count:
            self._turn = start = (self._turn + 1) % count
        for step in range(count):
            slot = slots[(start + step) % count]
            if slot.inside < self.limit:
                return slot
        return None
