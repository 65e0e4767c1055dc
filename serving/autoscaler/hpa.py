"""
How many workers a revision of class HPA should have: what Kubernetes' HorizontalPodAutoscaler would decide.

No I/O and no clock, as in kpa.py, and with the same face. Every fifteen seconds (`SYNC_S`) it is shown what
each worker has used (`observe`); whenever it is asked (`decide`), the bounds hold. Never zero workers.

1. From usage to a number (`replicas`), where ratio = average of the workers / target:

    within 0.1 of 1                          as many as there are
    else                                     ceil(ratio x workers that were measured)
    workers that are not ready, ratio > 1    count, and use nothing
    workers that could not be measured       count, and use nothing if ratio > 1, all of their request if < 1
    with these the ratio changes sides       as many as there are

Of CPU, a worker is "not ready" until it was measured for a whole interval since it got ready: what it burns
for its imports is not load. Memory counts from its first byte.

2. From number to workers (`_step`):

    stabilization    down to the largest number of the last 300 s, up to the smallest of the last 0 s;
                     annotation `window` sets both
    rate             up by 4 or to twice as many, whichever is more; down to anything
    bounds           min-scale (at least 1), max-scale

What is not measured (another metric, no request of CPU) leaves min-scale workers. Sources: Kubernetes'
documentation "Horizontal Pod Autoscaling" and its `pkg/controller/podautoscaler`; Knative Serving's
`pkg/reconciler/autoscaling/hpa`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serving.autoscaler.kpa import ACTIVE, TIMED_OUT, Decision
from serving.autoscaler.scaling import Horizontal
from serving.objects.horizontal import CPU
from serving.workers.backend import Usage

SYNC_S = 15.0  # Kubernetes' --horizontal-pod-autoscaler-sync-period

_TOLERANCE = 0.1
_STEP, _FACTOR = 4, 2  # the rate of scaling up
_ALL = 100.0  # per cent of the request


@dataclass(frozen=True)
class Seen:
    """One worker as it was found."""

    id: str
    ready_since: float | None  # None: not yet
    usage: Usage | None  # None: it has no process, or that could not be looked at


def replicas(current: int, values: Sequence[float], target: float, *, unready: int = 0, missing: int = 0,
             full: float = _ALL) -> int:
    """
    Workers for *values* (one for each that was measured) at *target*; the first table.

    *full* is what one that could not be measured is taken to use when the others are below their target.
    """
    if not values:
        return current
    ratio = math.floor(sum(values) / len(values)) / target
    guessed = [0.0 if ratio > 1 else full] * missing + [0.0] * (unready if ratio > 1 else 0)
    counted = [*values, *guessed]
    again = math.floor(sum(counted) / len(counted)) / target
    wanted = math.ceil(again * len(counted))
    if abs(1 - again) <= _TOLERANCE or (ratio > 1) != (again > 1):
        return current
    if guessed and (wanted < current if again > 1 else wanted > current):
        return current
    return wanted


class Autoscaler:
    """The memory that the decisions of one revision need."""

    def __init__(self, scaling: Horizontal, *, initialized: bool = False) -> None:
        """Begin with the initial scale, or with the least where that was reached before (*initialized*)."""
        self.scaling = scaling
        self.initialized = initialized
        self.desired = scaling.clamp(0 if initialized else scaling.initial)
        self.active = ACTIVE  # always: so does Knative have it
        self._average = 0.0
        self._burnt: dict[str, Usage] = {}  # by worker: what it had used the last time
        self._past: list[tuple[float, int]] = []  # (when, number) within the longer stabilization

    def __repr__(self) -> str:
        """The last decision, and what it was made on."""
        return f"<Autoscaler [{self.desired} desired | {self._average:g} of {self.scaling.target:g}]>"

    def rescale(self, scaling: Horizontal) -> None:
        """Go by other numbers from now on; what was measured is kept, unless it was of something else."""
        if scaling.metric != self.scaling.metric:
            self._average, self._past = 0.0, []
        self.scaling = scaling

    def record(self, second: int, concurrency: float, count: float) -> None:
        """Requests are not what it goes by."""

    def observe(self, now: float, workers: Iterable[Seen], pending: int = 0) -> None:
        """See what the *workers* have used until *now*; *pending* more are no process yet."""
        if not self.scaling.is_measured:
            return
        values, unready, missing = self._measured(workers)
        if not values or not self.initialized:
            return
        self._average = sum(values) / len(values)
        full = _ALL if self.scaling.metric == CPU else self.scaling.target
        self._step(now, replicas(self.desired, values, self.scaling.target, unready=unready + pending,
                                 missing=missing, full=full))

    def decide(self, now: float, ready: int) -> Decision:  # noqa: ARG002  as the KPA is asked
        """What should be, with *ready* workers that accept requests."""
        least = self.scaling.least
        if not self.initialized:
            least = self.scaling.clamp(self.scaling.initial)
            self.initialized = ready >= least
        self.desired = self.scaling.clamp(max(self.desired, least))
        if self.initialized and not self.scaling.is_measured:
            self.desired = self.scaling.clamp(least)
        self.active = ACTIVE
        return Decision(desired=self.desired, active=self.active, initialized=self.initialized,
                        panicking=False, stable=self._average, panic=self._average, excess_burst=0)

    def give_up(self, now: float) -> None:  # noqa: ARG002  as the KPA is told
        """Ask for nothing: it cannot start, and nobody routes to it."""
        self.desired = 0
        self.active = TIMED_OUT

    def _measured(self, workers: Iterable[Seen]) -> tuple[list[float], int, int]:
        """What those that count have, in the unit of the target; how many are not ready; and are missing."""
        before, self._burnt = self._burnt, {}
        values: list[float] = []
        unready = missing = 0
        for each in workers:
            if each.usage is None:
                unready += each.ready_since is None
                missing += each.ready_since is not None
                continue
            self._burnt[each.id] = each.usage
            value = self._value(each, before.get(each.id))
            if value is None:
                unready += 1
            else:
                values.append(value)
        return values, unready, missing

    def _value(self, seen: Seen, before: Usage | None) -> float | None:
        assert seen.usage is not None
        if self.scaling.metric != CPU:
            return float(seen.usage.memory_bytes)
        if before is None or seen.ready_since is None or before.at_s < seen.ready_since:
            return None
        cores = max(0.0, seen.usage.cpu_s - before.cpu_s) / (seen.usage.at_s - before.at_s)
        return cores / self.scaling.request * _ALL

    def _step(self, now: float, number: int) -> None:
        """Go from what is desired towards *number*; the second table."""
        rules, current = self.scaling, self.desired
        self._past = self._past or [(now, current)]  # what was there before counts as recommended
        longest_s = max(rules.up_s, rules.down_s)
        self._past = [each for each in self._past if now - each[0] < longest_s]
        least_up = min([number, *(past for when, past in self._past if now - when < rules.up_s)])
        most_down = max([number, *(past for when, past in self._past if now - when < rules.down_s)])
        self._past.append((now, number))
        steady = min(max(current, least_up), most_down)
        self.desired = rules.clamp(min(steady, max(current + _STEP, current * _FACTOR)))
