"""
Which object is reconciled next, and when: a queue without a clock and without tasks.

    add ──> waiting (due at a time) ──take──> running ──done──────> nothing
                     ^                           │ └──done, added meanwhile──> waiting, due now
                     └──────── failed ───────────┘   (due later: each failure doubles the wait)

A key is in it once however often it is added, the earliest time wins, and what runs is never handed out
again before it is done: one object is reconciled by one task.
"""

import heapq

from eventing.control.mirror import Key

# The first retry comes at once for a person, the last ones cost nothing; Kubernetes: 5 ms to 1,000 s.
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 60.0
_DOUBLINGS = 16  # more than reach the longest wait; 2 ** (a day's failures) would be a long number


class Queue:
    """Keys with due times; all times are seconds of one clock of the caller's."""

    def __init__(self) -> None:
        """Start empty."""
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._running: set[Key] = set()
        self._again: dict[Key, float] = {}  # added while it ran
        self._failures: dict[Key, int] = {}

    def __repr__(self) -> str:
        """Counts."""
        return (f"<Queue [{len(self._due)} waiting | {len(self._running)} running | "
                f"{len(self._failures)} failing]>")

    def __len__(self) -> int:
        """Keys that wait or run."""
        return len(self._due) + len(self._running)

    def add(self, key: Key, due: float) -> None:
        """Ask for *key* at time *due*, or earlier if that was asked for before."""
        where = self._again if key in self._running else self._due
        if key in where and where[key] <= due:
            return
        where[key] = due
        if where is self._due:
            heapq.heappush(self._heap, (due, key))

    def take(self, now: float) -> Key | None:
        """The key that has been due for longest; it runs from now on. None if none is due."""
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:  # else an entry that an earlier time has replaced
                del self._due[key]
                self._running.add(key)
                return key
        return None

    def next_due(self) -> float | None:
        """When `take` will have something; None if nothing waits."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def done(self, key: Key) -> None:
        """*key* went well: forget its failures."""
        self._failures.pop(key, None)
        self._stop(key)

    def failed(self, key: Key, now: float) -> float:
        """*key* failed: ask for it again later; returns the wait in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        wait: float = min(_FIRST_WAIT_S * 2 ** min(failures, _DOUBLINGS), _LONGEST_WAIT_S)
        self._stop(key)
        self.add(key, now + wait)
        return wait

    def _stop(self, key: Key) -> None:
        self._running.discard(key)
        if key in self._again:
            self.add(key, self._again.pop(key))
