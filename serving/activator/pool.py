"""
One revision as the serving role has it in memory: its numbers, its workers, its queue, and how it fares.

A pool at zero is a few small objects: no task, no timer, no connection. It knows what was decided and what
exists; it starts and stops nothing (`crew.py` does) and forwards nothing (`passage.py` does).

A worker that dies at its start, or within `STABLE_S` of it without having answered anything, is a failure:

    failures in a row    next start                what waits when no other worker is left
    -----------------    ----------                ---------------------------------------
    1                    at once                   goes on waiting
    2, 3, ...            0.5 s, 1 s, .. 60 s       is refused (503) with the reason, as is what comes
                                                   before then: whoever retries gets an answer to go by;
                                                   goes on waiting, up to HELD_S, where it is healthy

From the second one on the revision counts as unhealthy, until a worker is ready again.

One that has answered and dies by itself all the same is a relapse. From the second one on the next start
waits, too, but `HELD_S` at most and not where it ran for `STABLE_S`, and the revision stays healthy; it is
told as trouble. Relapses are forgotten when a worker has run for `CALM_S`, as Kubernetes forgets crashes, or
is stopped after `STABLE_S`, since it is not needed any more.

One whose liveness fails, or that has too many processes, is told as trouble, too, for `TOLD_S`: what takes
its place may be ready at once.
"""

from collections.abc import Mapping
from typing import Any

from serving.activator.breaker import Breaker, Slot
from serving.activator.durations import Durations
from serving.autoscaler import classes
from serving.autoscaler.kpa import Decision
from serving.autoscaler.metrics import Meter
from serving.objects.autoscaling import Settings

STABLE_S = 10.0  # a worker that was ready this long did not fail to start, even if nobody has asked it
CALM_S = 600.0  # a worker that was ready this long is not one of those that die again and again
HELD_S = 2.0  # a request may wait for a worker as long as this and more: a cold start takes it, too
TOLD_S = 5.0  # whoever reads table `scales` has seen by then what was there
_FIRST_PAUSE_S = 0.5
_MOST_STARTING = 50  # at once: min-scale may be any number
_MANY = 2  # failures in a row that are no accident
# Reasons for which a worker may not start and that are our own: they say nothing of the revision.
_OUR_OWN = frozenset({"ForkFailed", "Stopped", "StoreAway", "ZygoteGone"})
_LONGEST_PAUSE_S = 60.0  # a fixed cause is noticed within a minute, and a broken one costs a fork a minute

Record = dict[str, Any]


class Pool:
    """One revision."""

    __slots__ = ("autoscaler", "breaker", "decision", "durations", "failures", "has_run", "healthy",
                 "idle_timeout_s", "message", "meter", "name", "reason", "record", "relapse", "relapses",
                 "reported", "retry_at", "sick", "sick_until", "slots", "start_timeout_s", "starting",
                 "timeout_s", "uid")

    def __init__(self, name: str, record: Record, settings: Settings, now: float, *, healthy: bool) -> None:
        """Begin at zero workers; *healthy*: this revision has shown before that it can start."""
        self.name = name
        self.uid: str = record["uid"]
        self.autoscaler = classes.begun(record, settings, now, initialized=healthy)
        self.breaker = Breaker(int(record.get("container_concurrency") or 0))
        self.meter = Meter(now)
        self.durations = Durations()
        self.slots: list[Slot] = []  # every worker that exists, retired ones too
        self.starting = 0  # workers asked for that are no slot yet
        self.healthy: bool | None = True if self.autoscaler.initialized else None
        self.reason = ""
        self.message = ""
        self.failures = 0
        self.relapses = 0
        self.relapse = ""  # why a worker died that had answered, once that happens again and again
        self.sick = ""  # why a worker that ran was given up, a short while ago
        self.sick_until = now
        self.has_run = False  # the worker that failed last, before it did
        self.retry_at = now
        self.decision: Decision | None = None
        self.reported: Record | None = None
        self.record = record
        self.update(record, settings, now)

    def __repr__(self) -> str:
        """Workers, queue, and health."""
        health = {True: "healthy", False: f"unhealthy: {self.reason}", None: "not started yet"}[self.healthy]
        return (f"<Pool {self.name} [{self.ready} ready of {self.autoscaler.desired} | "
                f"{self.meter.inside} requests, {self.breaker.waiting} waiting | {health}]>")

    def update(self, record: Record, settings: Settings, now: float) -> None:
        """Go by a changed *record* or changed *settings* from *now* on."""
        if record.get("lacks") != self.record.get("lacks"):  # what was missing may be there
            self.failures, self.retry_at = 0, 0.0
        self.record = record
        self.timeout_s = float(record["timeout_s"])
        self.start_timeout_s: float | None = record.get("response_start_timeout_s")
        self.idle_timeout_s: float | None = record.get("idle_timeout_s")
        self.autoscaler = classes.followed(self.autoscaler, record, settings, now)

    @property
    def liveness_grace_s(self) -> float:
        """How long a worker whose liveness probe has failed may take to end: Kubernetes' rule."""
        probe = self.record.get("liveness") or {}
        return float(probe.get("terminationGracePeriodSeconds") or self.timeout_s)

    @property
    def ready(self) -> int:
        """Workers that accept requests and will go on doing so."""
        return sum(slot.is_ready and slot.is_open for slot in self.slots)

    @property
    def unready(self) -> str:
        """Why a worker is not ready, in the words of its probe; "" where no probe complains."""
        return next((slot.worker.unready for slot in self.staying if slot.worker.unready), "")

    @property
    def staying(self) -> list[Slot]:
        """Workers that are not about to go."""
        return [slot for slot in self.slots if not slot.is_retired]

    @property
    def sleeps(self) -> bool:
        """Whether nothing can change unless a request or a new record comes."""
        return not (self.slots or self.starting or self.meter.inside or self.autoscaler.desired)

    def measure(self, now: float) -> Decision:
        """Tell the autoscaler what passed until *now*, and ask it."""
        for second, concurrency, count in self.meter.harvest(now):
            self.autoscaler.record(second, concurrency, count)
        self.decision = self.autoscaler.decide(now, self.ready)
        if self.healthy is False and not self.autoscaler.scaling.reachable and not self.meter.inside:
            self.autoscaler.give_up(now)
        if self.decision.initialized and self.healthy is not True:
            self.healthy, self.reason, self.message = True, "", ""
        lasting_s = max((slot.lasted_s(now) for slot in self.slots), default=0.0)
        if self.failures and lasting_s >= STABLE_S:
            self.recovered()
        if lasting_s >= CALM_S:
            self.calmed()
        if now >= self.sick_until:
            self.sick = ""
        return self.decision

    @property
    def crashes(self) -> bool:
        """Whether its workers die one after the other, by themselves, and none is left."""
        return self.failures >= _MANY and not self.ready and self.reason not in _OUR_OWN

    def surplus(self) -> list[Slot]:
        """The workers to retire: those that are not ready first, then those with the fewest requests."""
        staying = self.staying
        excess = len(staying) + self.starting - self.autoscaler.desired
        if excess <= 0:
            return []
        staying.sort(key=lambda slot: (slot.is_ready and slot.is_open, slot.inside))
        return staying[:excess]

    @property
    def shortage(self) -> int:
        """How many workers to start now; the next ones when these are ready."""
        staying = self.staying
        starting = self.starting + sum(not slot.is_ready for slot in staying)
        missing = self.autoscaler.desired - len(staying) - self.starting
        return max(0, min(missing, _MOST_STARTING - starting))

    @property
    def pause_s(self) -> float:
        """From the last failure to the next start."""
        return max(min(_pause_s(self.failures), _LONGEST_PAUSE_S), min(_pause_s(self.relapses), HELD_S))

    def failed(self, reason: str, message: str, now: float, *, has_run: bool) -> None:
        """A worker died too early, before it was ready or (*has_run*) after."""
        self.failures += 1
        self.has_run = has_run
        self.retry_at = now + self.pause_s
        if self.healthy is None and reason not in _OUR_OWN:
            self.healthy = False
        self.reason, self.message = reason, message
        if reason == "LivenessFailed":
            self.sick, self.sick_until = message, now + TOLD_S
        elif reason == "TooManyProcesses":
            self.sick, self.sick_until = f"Worker failed: {reason}: {message}", now + TOLD_S

    def relapsed(self, reason: str, message: str, now: float, lasted_s: float) -> None:
        """A worker died by itself that had answered, or been ready for long."""
        self.relapses += 1
        if lasted_s < STABLE_S:
            self.retry_at = now + self.pause_s
        if self.relapses >= _MANY and not self.relapse:
            self.relapse = f"Back-off restarting failed worker: {reason}: {message}"

    def calmed(self) -> None:
        """A worker was well all the time that it was needed."""
        self.relapses, self.relapse = 0, ""

    def recovered(self) -> None:
        """A worker has lasted."""
        self.failures = 0
        if self.healthy is True:
            self.reason = self.message = ""

    def refusal(self, now: float) -> tuple[int, str, float] | None:
        """Status, text and seconds to wait, where a request need not wait for a worker now; else None."""
        if now >= self.retry_at or self.staying or self.starting:
            return None
        if self.healthy and self.pause_s <= HELD_S:
            return None
        fate = "has ended" if self.has_run else "does not start"
        return 503, f"revision {self.name} {fate}: {self.reason}: {self.message}", self.retry_at - now

    @property
    def trouble(self) -> tuple[str, str] | None:
        """Kubernetes' reason, and a message: what goes wrong with workers, though the revision is healthy."""
        if self.healthy and self.sick:
            return "Unhealthy", self.sick
        if self.unready:
            return "Unhealthy", self.unready
        return ("BackOff", self.relapse) if self.relapse else None

    def report(self) -> Mapping[str, Any]:
        """The record of table `scales`."""
        status, active_reason, active_message = self.autoscaler.active
        return {
            "uid": self.uid, "healthy": False if self.crashes else self.healthy,
            "reason": self.reason, "message": self.message,
            "desired": self.autoscaler.desired, "actual": self.ready, "active": status,
            "active_reason": active_reason, "active_message": active_message,
            "initialized": self.autoscaler.initialized, "unready": self.unready,
            "trouble": self.trouble,
        }


def _pause_s(count: int) -> float:
    """After as many deaths in a row; the first is an accident."""
    return 0.0 if count < _MANY else _FIRST_PAUSE_S * 2.0 ** min(count - _MANY, 16)
