"""
What one trigger has in memory to send, in three disciplines. All hand out what a request is to carry.

    Fifo     one event after the other
    Batches  as many as a request takes, or what there is when the first has waited long enough
    Keyed    one event after the other, skipping keys that have enough open; a key can be held

A key that is held (its event failed, and is tried again later) keeps its order: what waits for it stays
behind what is held. `wake_at` says when something can be taken that cannot be now, for no other reason than
the time. Times are those of `time.monotonic()`. Pure: no I/O, no clock.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from eventing.broker.lane import Delivery

# Data in one batch, unless one event alone has more: what servers take by default, ours among them.
_BATCH_BYTES = 1024 * 1024


class Queue(Protocol):
    """What a lane asks of its queue."""

    wake_at: float | None

    def __len__(self) -> int:
        """Deliveries in it."""

    def __iter__(self) -> "Iterator[Delivery]":
        """All of them, per key in order."""

    def push(self, delivery: "Delivery") -> None:
        """Add one at the end."""

    def pop(self, now: float) -> "list[Delivery]":
        """Take what the next request carries; nothing if nothing may be sent now."""

    def opened(self, delivery: "Delivery") -> None:
        """One that this queue did not hand out is open."""

    def closed(self, delivery: "Delivery") -> None:
        """An attempt that is open has ended."""


class Fifo:
    """One after the other."""

    wake_at: float | None = None

    def __init__(self) -> None:
        """Empty."""
        self._queue: deque[Delivery] = deque()
        self.push = self._queue.append

    def __len__(self) -> int:
        """Deliveries."""
        return len(self._queue)

    def __iter__(self) -> "Iterator[Delivery]":
        """In order."""
        return iter(self._queue)

    def pop(self, _now: float) -> "list[Delivery]":
        """Take the first."""
        return [self._queue.popleft()] if self._queue else []

    def opened(self, delivery: "Delivery") -> None:
        """Nothing follows from it."""

    def closed(self, delivery: "Delivery") -> None:
        """Nothing follows from it."""


class Batches:
    """As many as a request takes. Dead letters on their way to the sink go one by one, and first."""

    def __init__(self, events: int, linger_s: float) -> None:
        """At most *events* together; none waits longer than *linger_s* for others."""
        self.wake_at: float | None = None
        self._events = events
        self._linger_s = linger_s
        self._queue: deque[tuple[float, Delivery]] = deque()  # with the time until which it may wait
        self._letters: deque[Delivery] = deque()

    def __len__(self) -> int:
        """Deliveries."""
        return len(self._queue) + len(self._letters)

    def __iter__(self) -> "Iterator[Delivery]":
        """Letters first."""
        return itertools.chain(self._letters, (delivery for _, delivery in self._queue))

    def push(self, delivery: "Delivery") -> None:
        """What comes out of the backlog has waited already."""
        if delivery.ref[0] == "d":
            self._letters.append(delivery)
        else:
            read_at = 0.0 if delivery.entry is None else delivery.entry.read_at
            self._queue.append((read_at + self._linger_s, delivery))

    def pop(self, now: float) -> "list[Delivery]":
        """Take a full batch, or what there is when it is time."""
        if self._letters:
            return [self._letters.popleft()]
        self.wake_at = None
        if not self._queue:
            return []
        if len(self._queue) < self._events and self._queue[0][0] > now:
            self.wake_at = self._queue[0][0]
            return []
        taken: list[Delivery] = []
        size_bytes = 0
        while self._queue and len(taken) < self._events:
            size_bytes += len(self._queue[0][1].event.data or b"")
            if taken and size_bytes > _BATCH_BYTES:
                break
            taken.append(self._queue.popleft()[1])
        return taken

    def opened(self, delivery: "Delivery") -> None:
        """Nothing follows from it."""

    def closed(self, delivery: "Delivery") -> None:
        """Nothing follows from it."""


class Keyed:
    """At most so many open for each key; in order, per key."""

    def __init__(self, key_of: "Callable[[Delivery], str]", limit: int) -> None:
        """*key_of* a delivery decides; at most *limit* of a key are open."""
        self.wake_at: float | None = None
        self._key_of = key_of
        self._limit = limit
        self._queues: dict[str, deque[Delivery]] = {}
        self._open: dict[str, int] = {}
        self._ready: deque[str] = deque()  # keys that have something to send, and may; each once
        self._is_ready: set[str] = set()
        self._held: list[tuple[float, str]] = []
        self._held_keys: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        """Deliveries, those that are held among them."""
        return self._count

    def __iter__(self) -> "Iterator[Delivery]":
        """Per key in order."""
        return itertools.chain.from_iterable(self._queues.values())

    def push(self, delivery: "Delivery") -> None:
        """Add one behind those of its key."""
        key = self._key_of(delivery)
        self._queues.setdefault(key, deque()).append(delivery)
        self._count += 1
        self._consider(key)

    def hold(self, delivery: "Delivery", until: float) -> None:
        """Put back one that was open, before all others of its key, and send none of these before *until*."""
        key = self._key_of(delivery)
        self._queues.setdefault(key, deque()).appendleft(delivery)
        self._count += 1
        self._held_keys.add(key)
        heapq.heappush(self._held, (until, key))

    def pop(self, now: float) -> "list[Delivery]":
        """Take the next of a key that may have one more open."""
        while self._held and self._held[0][0] <= now:
            _, key = heapq.heappop(self._held)
            self._held_keys.discard(key)
            self._consider(key)
        self.wake_at = self._held[0][0] if self._held else None
        while self._ready:
            key = self._ready.popleft()
            self._is_ready.discard(key)
            queue = self._queues.get(key)
            if not queue or not self._may_open(key):
                continue
            delivery = queue.popleft()
            if not queue:
                del self._queues[key]
            self._count -= 1
            self._open[key] = self._open.get(key, 0) + 1
            self._consider(key)
            return [delivery]
        return []

    def opened(self, delivery: "Delivery") -> None:
        """Count one that this queue did not hand out."""
        key = self._key_of(delivery)
        self._open[key] = self._open.get(key, 0) + 1

    def closed(self, delivery: "Delivery") -> None:
        """One of its key less is open."""
        key = self._key_of(delivery)
        left = self._open.pop(key, 1) - 1
        if left > 0:
            self._open[key] = left
        self._consider(key)

    @property
    def held_keys(self) -> int:
        """Keys that wait because one of theirs failed."""
        return len(self._held_keys)

    def _may_open(self, key: str) -> bool:
        return key not in self._held_keys and self._open.get(key, 0) < self._limit

    def _consider(self, key: str) -> None:
        if key in self._queues and key not in self._is_ready and self._may_open(key):
            self._ready.append(key)
            self._is_ready.add(key)
