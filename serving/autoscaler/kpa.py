"""
How many workers a revision should have: Knative's KPA, the decision and nothing else.

No I/O and no clock: what was observed and `now` (float seconds) come in, a `Decision` goes out; the scaler
performs it. It is asked every two seconds (`TICK_S`) while there are workers or requests, and at once when
a request meets a revision at zero. Two steps, each drawn as Knative has it.

1. From load to workers (`_recommend`). With r = max(1, ready):

    wanted        ceil(average over the window / target), for the stable and for the panic window
    rates         each within floor(r / max-scale-down-rate) .. ceil(r x max-scale-up-rate)
    activation    once anything is wanted, at least activation-scale
    panic         entered or extended when wanted by the panic window / r >= threshold; left one stable
                  window later; while it lasts the number never falls
    delay         the largest number of the last scale-down-delay
    no data       the last number stands (this is how zero stays zero)

2. From number to replicas (`_settle`), bounded by min-scale and max-scale; then, at zero:

    scale-to-zero is off          1
    Active is Unknown             unchanged, until the progress deadline has passed: then 0, TimedOut
    Active is True                1, until it was active for a stable window; then Active becomes False
    Active is False               0 once retention has passed, and once the activator has been in the
                                  path for the grace period or the revision inactive for as long

An unreachable revision ignores min-scale, retention, delay and the rate of scaling down. The activator
counts as "in the path" when the excess burst capacity is negative, as in Knative, although ours always is:
so the same revision goes to zero here after the same seconds as there.
"""

import math
from dataclasses import dataclass

from serving.autoscaler.metrics import Window
from serving.autoscaler.scaling import Scaling
from serving.objects.autoscaling import INT32_MAX

TICK_S = 2.0  # Knative's tickInterval
# What Knative's autoscaler adds to the progress deadline before it gives up on an activation.
ACTIVATION_SPARE_S = 30.0

NO_TRAFFIC = ("False", "NoTraffic", "The target is not receiving traffic.")
TIMED_OUT = ("False", "TimedOut", "The target could not be activated.")
QUEUED = ("Unknown", "Queued", "Requests to the target are being buffered as resources are provisioned.")
ACTIVE = ("True", "", "")
UNKNOWN = -1  # no number yet: nothing was measured so far


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to perform, and what it was decided on."""

    desired: int
    active: tuple[str, str, str]  # status, reason, message of the condition Active
    initialized: bool  # the initial scale was reached once
    panicking: bool
    stable: float  # average over the stable window, in the revision's metric
    panic: float  # average over the panic window
    excess_burst: int


class Autoscaler:
    """The memory that the decisions of one revision need."""

    def __init__(self, scaling: Scaling, now: float, *, initialized: bool = False) -> None:
        """Begin at *now* with the initial scale, or at zero where that was reached before (*initialized*)."""
        self.scaling = scaling
        self.initialized = initialized or scaling.initial == 0
        self.desired = 0 if self.initialized else scaling.initial
        self.active = NO_TRAFFIC if self.initialized else QUEUED
        self._active_since = now
        # Since when Knative's activator would be in the path (ours was there before the revision); None: not.
        self._proxied_since: float | None = -math.inf
        self._number = UNKNOWN  # the last recommendation
        self._stable = Window(scaling.window_s)
        self._panic = Window(scaling.panic_window_s)
        self._panic_at: float | None = None  # when panic was entered or last extended
        self._panic_most = 0
        self._delayed: list[tuple[int, int]] = []  # (tick, number) within the scale-down delay

    def __repr__(self) -> str:
        """The last decision."""
        mood = " | panic" if self._panic_at is not None else ""
        return f"<Autoscaler [{self.desired} desired | active {self.active[0]}{mood}]>"

    def rescale(self, scaling: Scaling) -> None:
        """Go by other numbers from now on; what was measured is kept."""
        if scaling.window_s != self._stable.size:
            self._stable = self._stable.resized(scaling.window_s)
        if scaling.panic_window_s != self._panic.size:
            self._panic = self._panic.resized(scaling.panic_window_s)
        self.scaling = scaling

    def record(self, second: int, concurrency: float, count: float) -> None:
        """What was measured in one *second*: average concurrency, and requests that began."""
        value = count if self.scaling.metric == "rps" else concurrency
        self._stable.record(second, value)
        self._panic.record(second, value)

    def decide(self, now: float, ready: int) -> Decision:
        """What should be, with *ready* workers that accept requests."""
        stable, panic = self._averages(now)
        if not self._stable.is_empty(math.floor(now)):
            self._number = self._recommend(now, ready, stable, panic)
        excess = self._excess_burst(ready, panic)
        self._note_path(now, excess)
        self._settle(now)
        self._conclude(now, ready)
        return Decision(desired=self.desired, active=self.active, initialized=self.initialized,
                        panicking=self._panic_at is not None, stable=stable, panic=panic, excess_burst=excess)

    def give_up(self, now: float) -> None:
        """Ask for nothing: it cannot start, and nobody routes to it (Knative: its infrastructure failed)."""
        self.desired = 0
        self._become(TIMED_OUT, now)

    # -- step 1: from load to workers

    def _averages(self, now: float) -> tuple[float, float]:
        second = math.floor(now)
        if self.scaling.weighted:
            return self._stable.weighted_average(second), self._panic.weighted_average(second)
        return self._stable.average(second), self._panic.average(second)

    def _recommend(self, now: float, ready: int, stable: float, panic: float) -> int:
        rules = self.scaling
        workers = max(1, ready)
        most = math.ceil(min(rules.most_up * workers, INT32_MAX))
        least = math.floor(workers / rules.most_down) if rules.reachable else 0
        wanted = math.ceil(stable / rules.target)
        wanted_in_panic = math.ceil(panic / rules.target)
        number = min(max(wanted, least), most)
        panic_number = min(max(wanted_in_panic, least), most)
        if wanted > 0:
            number = max(number, rules.activation)
        if wanted_in_panic > 0:
            panic_number = max(panic_number, rules.activation)
        if wanted_in_panic / workers >= rules.panic_threshold:
            self._panic_at = now
        elif self._panic_at is not None and self._panic_at + rules.window_s < now:
            self._panic_at = None
            self._panic_most = 0
        if self._panic_at is not None:
            self._panic_most = number = max(number, panic_number, self._panic_most)
        return self._delay(now, number)

    def _delay(self, now: float, number: int) -> int:
        ticks = math.ceil(self.scaling.scale_down_delay_s / TICK_S)
        if not ticks or not self.scaling.reachable:  # what was recommended before may hold again
            return number
        tick = math.floor(now / TICK_S)
        # An older number that is no larger can never be the largest again: the list falls, and stays short.
        self._delayed = [past for past in self._delayed if tick - past[0] < ticks and past[1] > number]
        self._delayed.append((tick, number))
        return self._delayed[0][1]

    def _excess_burst(self, ready: int, panic: float) -> int:
        spare = self.scaling.burst_capacity
        if spare in (-1, 0):
            return int(spare)
        excess = ready * self.scaling.total - spare - panic
        return math.floor(max(-INT32_MAX, min(excess, INT32_MAX)))

    def _note_path(self, now: float, excess: int) -> None:
        """Remember since when Knative would have its activator in the path."""
        if self._number > 0 and excess >= 0:
            self._proxied_since = None
        elif self._proxied_since is None:
            self._proxied_since = now

    # -- step 2: from number to replicas

    @property
    def _least(self) -> int:
        return self.scaling.least if self.scaling.reachable else 0

    def _settle(self, now: float) -> None:
        """Bounds, and the way to zero; see the second table."""
        activating = self.active[0] == "Unknown"
        if self._number == UNKNOWN and not activating and not self._least and self.scaling.to_zero:
            return
        least = self._least
        if not self.initialized and self.scaling.initial > 1 and self.scaling.reachable:
            least = max(least, self.scaling.initial)
        number = self.scaling.clamp(self._number, least=least)
        if number > 0:
            self.desired = number
        elif not self.scaling.to_zero:
            self.desired = 1
        elif activating:
            if now - self._active_since > self.scaling.progress_deadline_s + ACTIVATION_SPARE_S:
                self.desired = 0
        elif self._is_due(now):
            self.desired = 0

    def _is_due(self, now: float) -> bool:
        """Whether a revision that nothing asks for may go to zero."""
        if self.active[0] == "True":
            if now - self._active_since < self.scaling.window_s:
                self.desired = 1
                return False
            self._become(NO_TRAFFIC, now)
        inactive_s = now - self._active_since
        retention_s = self.scaling.retention_s if self.scaling.reachable else 0.0
        if inactive_s >= max(self.scaling.grace_s, retention_s):
            return True
        if inactive_s < retention_s:
            return False
        return self._proxied_since is not None and now - self._proxied_since >= self.scaling.grace_s

    def _conclude(self, now: float, ready: int) -> None:
        """The condition Active, and whether the initial scale was reached."""
        threshold = max(1, self._least)
        if not self.initialized:
            threshold = max(self._least, self.scaling.initial)
        if ready >= threshold:
            self.initialized = True
        if self.desired == 0:
            if self.active[0] == "Unknown":
                self._become(TIMED_OUT, now)
            elif self.active[0] != "False":
                self._become(NO_TRAFFIC, now)
        elif self._number > 0 or self._least or self.active[0] != "False":
            self._become(ACTIVE if ready >= threshold else QUEUED, now)

    def _become(self, active: tuple[str, str, str], now: float) -> None:
        if active[0] != self.active[0]:
            self._active_since = now
        self.active = active
