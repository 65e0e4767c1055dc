"""
How busy a revision is: what the autoscaler looks at, measured where requests pass.

A `Meter` integrates concurrency over time, as Knative's queue-proxy does: a second in which two requests
were open for half of it counts 1.0. A request costs it two additions; once a second it closes a bucket.
A `Window` keeps the last N such seconds and averages them, as Knative's autoscaler does. Both are told
the time (float seconds of any steady clock) and do no I/O; neither knows what the numbers are for.

What a Window of n seconds says, asked in second t, when it was last written in second w:

    t - w            average over
    -----            ------------
    <= 0             the seconds since its first write, n at most (a young window is not diluted)
    1 .. n-1         the same, without the seconds older than n; the silent end is left out of the divisor
    >= n             0.0

Seconds that were skipped between two writes count as 0; after n silent seconds it starts anew, young.
"""

import math
from collections.abc import Iterator

# Whole seconds kept for a meter that nobody harvests: the loop may have stalled, but not for a minute.
_KEPT_SECONDS = 60
# Knative's floor for the smoothing of `weighted-exponential`, and the share of the weight within the window.
_LEAST_SMOOTHING = 0.2
_WEIGHT_INSIDE = 0.9999

Sample = tuple[int, float, float]  # second, concurrency averaged over it, requests that began in it


class Meter:
    """Time-weighted concurrency and request count of one revision, by whole second."""

    __slots__ = ("_announced", "_area", "_closed", "_count", "_edge", "_since", "inside", "total")

    def __init__(self, now: float) -> None:
        """Start to measure at *now*."""
        self.inside = 0  # requests open at this moment
        self.total = 0  # requests ever
        self._count = 0
        self._area = 0.0
        self._announced = 0
        self._closed: list[Sample] = []
        self._since = now
        self._edge = math.floor(now) + 1

    def __repr__(self) -> str:
        """What is open and what was seen."""
        return f"<Meter [{self.inside} inside | {self.total} in all]>"

    def enter(self, now: float) -> None:
        """A request begins (waiting for a worker counts)."""
        if now >= self._edge:
            self._roll(now)
        self._area += self.inside * (now - self._since)
        self._since = now
        self.inside += 1
        self._count += 1
        self.total += 1

    def leave(self, now: float) -> None:
        """A request has ended, however it ended."""
        if now >= self._edge:
            self._roll(now)
        self._area += self.inside * (now - self._since)
        self._since = now
        self.inside -= 1

    def announce(self, now: float) -> Sample:
        """One request, told at once because it wakes a revision; its second is reported without it later."""
        if now >= self._edge:
            self._roll(now)
        self._announced = 1
        return self._edge - 1, 1.0, 1.0

    def harvest(self, now: float) -> list[Sample]:
        """The seconds that ended since the last harvest, oldest first."""
        if now >= self._edge:
            self._roll(now)
        closed, self._closed = self._closed, []
        return closed

    def restart(self, now: float) -> None:
        """Forget the silence since the last harvest: the revision was asleep, and is measured again."""
        if now >= self._edge:
            self._roll(now)
        self._closed.clear()

    def _roll(self, now: float) -> None:
        """Close every second that ended before *now*."""
        self._close(self._area + self.inside * (self._edge - self._since), self._count)
        second = math.floor(now)
        for silent in range(max(self._edge, second - _KEPT_SECONDS), second):
            self._closed.append((silent, float(self.inside), 0.0))
        del self._closed[:-_KEPT_SECONDS]
        self._since = second
        self._edge = second + 1
        self._area = 0.0
        self._count = 0

    def _close(self, concurrency: float, count: int) -> None:
        self._closed.append((self._edge - 1, concurrency - self._announced, float(count - self._announced)))
        self._announced = 0


class Window:
    """A ring of one-second buckets; see the table above."""

    __slots__ = ("_buckets", "_first", "_last", "_total", "size")

    def __init__(self, size: int) -> None:
        """Keep *size* seconds."""
        self.size = size
        self._buckets = [0.0] * size
        self._total = 0.0
        self._first = 0
        self._last: int | None = None

    def __repr__(self) -> str:
        """How much of it is filled."""
        filled = 0 if self._last is None else min(self._last - self._first + 1, self.size)
        return f"<Window [{filled} of {self.size} s | sum {self._total:.3f}]>"

    def record(self, second: int, value: float) -> None:
        """Add *value* to the bucket of *second*; too old a second is dropped."""
        if self._last is None or second - self._last >= self.size:
            self._buckets = [0.0] * self.size
            self._total = 0.0
            self._first = self._last = second
        elif second <= self._last - self.size:
            return
        for skipped in range(self._last + 1, second + 1):
            self._total -= self._buckets[skipped % self.size]
            self._buckets[skipped % self.size] = 0.0
        self._first = min(self._first, second)
        self._last = max(self._last, second)
        self._buckets[second % self.size] += value
        self._total += value

    def is_empty(self, second: int) -> bool:
        """Whether nothing was written for longer than the window: there is nothing to decide on."""
        return self._last is None or second - self._last > self.size

    def average(self, second: int) -> float:
        """Mean of the recorded seconds, to six digits as Knative rounds it."""
        if self._last is None:
            return 0.0
        silent = max(second - self._last, 0)
        if silent >= self.size:
            return 0.0
        total = self._total
        for outdated in range(self._last + 1, self._last + silent + 1):
            total -= self._buckets[outdated % self.size]
        seconds = min(self._last - self._first + 1, self.size - silent)
        return round(total / seconds, 6)

    def weighted_average(self, second: int) -> float:
        """Mean with exponentially falling weights (`metric-aggregation-algorithm: weighted-exponential`)."""
        if self._last is None:
            return 0.0
        silent = max(second - self._last, 0)
        if silent >= self.size:
            return 0.0
        smoothing = max(_LEAST_SMOOTHING, 1.0 - (1.0 - _WEIGHT_INSIDE) ** (1.0 / self.size))
        weight = smoothing * (1.0 - smoothing) ** silent
        total = 0.0
        for age in range(self.size - silent):
            total += self._buckets[(self._last - age) % self.size] * weight
            weight *= 1.0 - smoothing
        return round(total, 6)

    def resized(self, size: int) -> "Window":
        """A window of another size with as much of this one's past as fits."""
        fresh = Window(size)
        for second, value in self._seconds():
            fresh.record(second, value)
        return fresh

    def _seconds(self) -> Iterator[tuple[int, float]]:
        if self._last is None:
            return
        for second in range(max(self._first, self._last - self.size + 1), self._last + 1):
            yield second, self._buckets[second % self.size]
