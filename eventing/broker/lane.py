"""
A lane: what one trigger has to deliver in one partition, and how much of it may be under way.

    read -> [queue] -> open -> decided                        while the lane keeps up
    read -> backlog in the store -> [queue] -> open -> ...    while it is behind

A lane keeps up while its queue has room. When it is full the lane falls behind: everything that matches
from then on goes to its backlog by reference, and comes back in order when there is room. It has caught
up when a draw found less than was asked for, and nothing was added meanwhile.

How much may be open at once: `WINDOW` for a lane alone; less when many lanes want to send, so that the sum
stays near a bound and a lane that hangs takes only its share (dynamic thresholds: a quarter of what
is free, at least `WINDOW_LEAST`). Large events count for more. A trigger may ask for less, and for order, a
rate or batches: flow.py says how, queues.py and `next` keep it.

State only; nothing here does I/O or reads a clock.
"""

import bisect
from dataclasses import dataclass, field
from typing import NamedTuple

from eventing.broker import flow as flows
from eventing.broker.delivery import Policy
from eventing.broker.flow import Flow
from eventing.broker.queues import Batches, Fifo, Keyed, Queue
from eventing.event import Event
from eventing.http.address import Address

WINDOW = 64  # attempts; at 1 ms each that is 64,000/s, at 100 ms still 640/s
WINDOW_LEAST = 4  # a lane's share when hundreds hang
OPEN_LIMIT = 1024  # units under way in one dispatcher: connections, and at 64 KiB a unit 64 MiB
QUEUE = 256  # units that wait in memory: a few ms of work, one draw
# With keys, more: what waits for a key that is held stands in the way of others only when it fills this.
KEYED_QUEUE = 1024
# How far a rate may catch up on what it missed: a busy event loop's clock is no finer.
_RATE_SLACK_S = 0.05
# Upper bounds of the latency histogram: a cheap sink answers in 1 ms, a cold start in 10, a slow one in s.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_UNIT_BYTES = 64 * 1024  # 1 KiB events are one unit each, 1 MiB events seventeen


class Route(NamedTuple):
    """Where messages go, and what each of them begins with; or why none can be sent."""

    address: Address
    start: bytes
    problem: str = ""


NOWHERE = Route("", b"", "there is no address to send to")


@dataclass(slots=True)
class Entry:
    """An entry that has been read; `pending` triggers have yet to be settled or held elsewhere."""

    id: str
    event: Event
    read_at: float
    pending: int = 0
    head: bytes | None = None  # its header lines, once the first of its triggers has been sent them
    listed: list[str] | None = None  # its pairs in the store's list of resolved ones
    is_passed: bool = False  # by the floor


@dataclass(slots=True, eq=False)
class Delivery:
    """One event on its way to one trigger."""

    lane: "Lane"
    ref: str  # keys.py, REF
    attempt: int
    event: Event
    entry: Entry | None = None  # while it is held in memory only
    member: str | None = None  # its name in the backlog, once it is there
    letter: dict[str, str] | None = None  # fields of the dead letter that it is
    units: int = field(init=False)  # what it counts for

    def __post_init__(self) -> None:
        """Weigh the event."""
        data = self.event.data
        self.units = 1 if data is None else 1 + len(data) // _UNIT_BYTES


class Budget:
    """Units under way in one dispatcher."""

    def __init__(self) -> None:
        """Nothing is under way."""
        self.open = 0

    def __repr__(self) -> str:
        """Units under way."""
        return f"<Budget [{self.open} of {OPEN_LIMIT} open]>"

    @property
    def window(self) -> int:
        """Units that one lane may have open now."""
        share = (OPEN_LIMIT - self.open) // 4
        return WINDOW if share >= WINDOW else max(WINDOW_LEAST, share)


@dataclass(slots=True, eq=False)
class Counts:
    """What a lane has done since this process owns it."""

    results: dict[str, int] = field(default_factory=dict)
    # Attempts by duration: buckets[i] took at most BUCKETS_S[i], and more than the bound before.
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    seconds: float = 0.0
    unjudged: int = 0  # events that its filter did not look at

    def add(self, result: str, seconds: float) -> None:
        """Count one attempt."""
        self.results[result] = self.results.get(result, 0) + 1
        self.buckets[bisect.bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds


class Lane:
    """One trigger in one partition."""

    __slots__ = ("_next_at", "behind", "counts", "flow", "generation", "is_barred", "is_gone", "letter_route",
                 "name", "namespace", "open", "open_requests", "open_units", "policy", "queue", "queue_units",
                 "route", "subscriber", "taken", "tell_unjudged_at", "turn_until", "uid", "unjudged")

    def __init__(self, uid: str, name: str) -> None:
        """*name* is `namespace/trigger`."""
        self.uid = uid
        self.name = name
        self.namespace = name.partition("/")[0]
        self.generation = 0
        self.subscriber = ""
        self.policy = Policy()
        self.route: Route = NOWHERE  # of its events, and of its dead letters
        self.letter_route: Route = NOWHERE
        self.flow = flows.PLAIN
        self.queue: Queue = Fifo()
        self.queue_units = 0
        self.open: dict[Delivery, float] = {}  # and since when, `time.monotonic()`: the oldest is the first
        self.open_units = 0
        self.open_requests = 0
        self.behind = False  # what matches goes to the backlog
        # Members of the backlog that are in the queue or open, or leave it with the next commit.
        self.taken: set[str] = set()
        self.is_gone = False
        self.is_barred = False  # nothing is sent until other partitions have sent what came before
        self.turn_until = 0.0  # until when it may send, where partitions take turns: `time.monotonic()`
        self.counts = Counts()
        self.unjudged = 0  # events since that was told, and when to tell of the next: `time.monotonic()`
        self.tell_unjudged_at = 0.0
        self._next_at = 0.0  # when the rate allows the next request, `time.monotonic()`

    def __repr__(self) -> str:
        """Counts of deliveries."""
        behind = " | behind" if self.behind else ""
        return f"<Lane {self.name} [{len(self.queue)} queued | {len(self.open)} open{behind}]>"

    @property
    def open_parked(self) -> int:
        """Deliveries that are open, and in the backlog, too."""
        return sum(delivery.member is not None for delivery in self.open)

    @property
    def limit(self) -> int:
        """Units that the queue takes."""
        return KEYED_QUEUE if isinstance(self.queue, Keyed) else QUEUE

    @property
    def has_room(self) -> bool:
        """Whether the queue takes another delivery."""
        return self.queue_units < self.limit

    @property
    def wants_more(self) -> bool:
        """Whether it is time to draw from the backlog, if there is one."""
        return self.queue_units < self.limit - self.limit * 3 // 4

    def follow(self, flow: Flow) -> None:
        """Keep *flow* from now on; what is queued and open stays so."""
        if flow == self.flow:
            return
        self.flow = flow
        self._next_at = 0.0
        waiting = list(self.queue)
        self.queue = _queue(flow)
        for delivery in self.open:
            self.queue.opened(delivery)
        for delivery in waiting:
            self.queue.push(delivery)

    def push(self, delivery: Delivery) -> None:
        """Queue *delivery*."""
        self.queue.push(delivery)
        self.queue_units += delivery.units

    def hold(self, delivery: Delivery, until: float) -> None:
        """Put *delivery* back before all others of its key, which waits *until* then; of an ordered lane."""
        assert isinstance(self.queue, Keyed)
        self.queue.hold(delivery, until)
        self.queue_units += delivery.units

    def next(self, budget: Budget, now: float) -> list[Delivery]:
        """Open what the next request carries; nothing if the queue is empty, or a limit says no."""
        if not self.queue or self.open_units >= budget.window:
            return []
        flow = self.flow
        if flow.concurrency is not None and not self._may_open(flow.concurrency, now):
            return []
        if flow.rate_per_s is not None and self._next_at > now:
            return []
        taken = self.queue.pop(now)
        for delivery in taken:
            self.queue_units -= delivery.units
            self.open[delivery] = now
        if taken:
            units = _units(taken)
            self.open_units += units
            budget.open += units
            self.open_requests += 1
            if flow.rate_per_s is not None:
                self._next_at = max(self._next_at, now - _RATE_SLACK_S) + 1 / flow.rate_per_s
        return taken

    def _may_open(self, limit: int, now: float) -> bool:
        """Whether *limit* allows another request; that of keys is the queue's affair."""
        if self.flow.turns is not None and self.turn_until <= now:
            return False
        return self.flow.key_of is not None or self.open_requests < limit

    def wake_at(self, now: float) -> float | None:
        """When `next` may give something that it does not give *now*, because of the time alone."""
        if not self.queue:
            return None
        if self.flow.rate_per_s is not None and self._next_at > now:
            return self._next_at
        return self.queue.wake_at

    def close(self, deliveries: list[Delivery], budget: Budget) -> None:
        """Take note that the attempt of *deliveries* has ended."""
        units = _units(deliveries)
        self.open_units -= units
        budget.open -= units
        self.open_requests -= 1
        for delivery in deliveries:
            self.open.pop(delivery, None)
            self.queue.closed(delivery)

    def empty(self) -> list[Delivery]:
        """Take everything out of the queue."""
        queued = list(self.queue)
        self.queue = _queue(self.flow)
        self.queue_units = 0
        return queued


def _units(deliveries: list[Delivery]) -> int:
    """What a request counts for: small events in a batch count for one together."""
    if len(deliveries) == 1:
        return deliveries[0].units
    return 1 + sum(delivery.units - 1 for delivery in deliveries)


def _queue(flow: Flow) -> Queue:
    if flow.is_ordered:
        return Keyed(_order_key, 1)
    key_of = flow.key_of
    if key_of is not None:
        return Keyed(lambda delivery: _letter_key(delivery) or key_of(delivery.event.attributes),
                     flow.concurrency or 1)
    return Batches(flow.batch_events, flow.linger_s) if flow.batch_events > 1 else Fifo()


def _order_key(delivery: Delivery) -> str:
    return _letter_key(delivery) or flows.partition_key(delivery.event.attributes)


def _letter_key(delivery: Delivery) -> str:
    """A dead letter on its way to the sink waits for nobody; no partitionkey begins with a NUL."""
    return f"\0{delivery.ref}" if delivery.ref[0] == "d" else ""
