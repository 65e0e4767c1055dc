"""
A lane: what one trigger has to deliver in one partition, and how much of it may be under way.

    read -> [queue] -> open -> decided                        while the lane keeps up
    read -> backlog in the store -> [queue] -> open -> ...    while it is behind

A lane keeps up while its queue has room. When it is full the lane falls behind: everything that matches
from then on goes to its backlog by reference, and comes back in order when there is room. It has caught
up when a draw found less than was asked for, and nothing was added meanwhile.

How much may be open at once: `WINDOW` for a lane alone; less when many lanes want to send, so that the sum
stays near a bound and a lane that hangs takes only its share (dynamic thresholds: a quarter of what
is free, at least `WINDOW_LEAST`). Large events count for more.

State only; nothing here does I/O. An ordered lane will be one whose `next` skips keys that are open.
"""

import bisect
from collections import deque
from dataclasses import dataclass, field

from eventing.broker.delivery import Policy
from eventing.event import Event

WINDOW = 64  # attempts; at 1 ms each that is 64,000/s, at 100 ms still 640/s
WINDOW_LEAST = 4  # a lane's share when hundreds hang
OPEN_LIMIT = 1024  # units under way in one dispatcher: connections, and at 64 KiB a unit 64 MiB
QUEUE = 256  # units that wait in memory: a few ms of work, one draw
# Upper bounds of the latency histogram: a cheap sink answers in 1 ms, a cold start in 10, a slow one in s.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_UNIT_BYTES = 64 * 1024  # 1 KiB events are one unit each, 1 MiB events seventeen


@dataclass(slots=True)
class Entry:
    """An entry that has been read; `pending` triggers have yet to be settled or held elsewhere."""

    id: str
    event: Event
    read_at: float
    pending: int = 0
    listed: list[str] = field(default_factory=list)  # its pairs in the store's list of resolved ones
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
    units: int = 1  # what it counts for

    def __post_init__(self) -> None:
        """Weigh the event."""
        if self.event.data is not None:
            self.units += len(self.event.data) // _UNIT_BYTES


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
        return min(WINDOW, max(WINDOW_LEAST, (OPEN_LIMIT - self.open) // 4))


@dataclass(slots=True, eq=False)
class Counts:
    """What a lane has done since this process owns it."""

    results: dict[str, int] = field(default_factory=dict)
    # Attempts by duration: buckets[i] took at most BUCKETS_S[i], and more than the bound before.
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    seconds: float = 0.0

    def add(self, result: str, seconds: float) -> None:
        """Count one attempt."""
        self.results[result] = self.results.get(result, 0) + 1
        self.buckets[bisect.bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds


class Lane:
    """One trigger in one partition."""

    __slots__ = ("behind", "counts", "generation", "is_gone", "name", "namespace", "open", "open_units",
                 "policy", "queue", "queue_units", "subscriber", "taken", "uid")

    def __init__(self, uid: str, name: str) -> None:
        """*name* is `namespace/trigger`."""
        self.uid = uid
        self.name = name
        self.namespace = name.partition("/")[0]
        self.generation = 0
        self.subscriber = ""
        self.policy = Policy()
        self.queue: deque[Delivery] = deque()
        self.queue_units = 0
        self.open: set[Delivery] = set()
        self.open_units = 0
        self.behind = False  # what matches goes to the backlog
        # Members of the backlog that are in the queue or open, or leave it with the next commit.
        self.taken: set[str] = set()
        self.is_gone = False
        self.counts = Counts()

    def __repr__(self) -> str:
        """Counts of deliveries."""
        behind = " | behind" if self.behind else ""
        return f"<Lane {self.name} [{len(self.queue)} queued | {len(self.open)} open{behind}]>"

    @property
    def has_room(self) -> bool:
        """Whether the queue takes another delivery."""
        return self.queue_units < QUEUE

    @property
    def wants_more(self) -> bool:
        """Whether it is time to draw from the backlog, if there is one."""
        return self.queue_units < QUEUE // 4

    def push(self, delivery: Delivery) -> None:
        """Queue *delivery*."""
        self.queue.append(delivery)
        self.queue_units += delivery.units

    def next(self, budget: Budget) -> Delivery | None:
        """Open the next delivery, unless the queue is empty or the window is full."""
        if not self.queue or self.open_units >= budget.window:
            return None
        delivery = self.queue.popleft()
        self.queue_units -= delivery.units
        self.open_units += delivery.units
        budget.open += delivery.units
        self.open.add(delivery)
        return delivery

    def close(self, delivery: Delivery, budget: Budget) -> None:
        """Take note that the attempt has ended."""
        self.open.discard(delivery)
        self.open_units -= delivery.units
        budget.open -= delivery.units

    def empty(self) -> list[Delivery]:
        """Take everything out of the queue."""
        queued = list(self.queue)
        self.queue.clear()
        self.queue_units = 0
        return queued

