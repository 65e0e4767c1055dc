"""The KPA against Knative: the cases of its own tests, and its algorithm transcribed a second time."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.autoscaler.kpa import TICK_S, Autoscaler
from serving.autoscaler.scaling import Scaling

UTILISATION = 0.75


def rules(target, burst, **others):
    """What Knative's tests begin with."""
    return Scaling(**{"target": target, "total": target / UTILISATION, "burst_capacity": burst,
                      "most_up": 10.0, "most_down": 10.0, **others})


class Told:
    """An autoscaler that is told its averages; each step is (seconds, ready, stable, panic) -> number."""

    def __init__(self, scaling, monkeypatch):
        self.scaler, self.averages = Autoscaler(scaling, 0.0, initialized=True), (0.0, 0.0)
        monkeypatch.setattr(self.scaler, "_averages", lambda _now: self.averages)

    def step(self, second, ready, stable, panic):
        """The recommendation, the excess burst capacity, and whether it panics."""
        self.averages = (stable, panic)
        self.scaler.record(int(second), 0.0, 0.0)
        decision = self.scaler.decide(second, ready)
        return self.scaler._number, decision.excess_burst, decision.panicking


SLOW_UP = rules(1, 1982, most_up=1.1)
SLOW_DOWN = rules(10, 1982, most_down=1.1)


@pytest.mark.parametrize(("scaling", "steps"), [
    pytest.param(rules(10, 100), [(0, 1, 0, 0, 0)], id="no load"),
    pytest.param(rules(181, -1), [(0, 1, 21, 26, 1)], id="unlimited burst capacity"),
    pytest.param(rules(10, 0), [(0, 1, 50, 49, 5)], id="no burst capacity"),
    pytest.param(rules(10, 100), [(0, 1, 50, 50, 5), (2, 5, 50, 50, 5)], id="no change"),
    pytest.param(rules(1, 100), [(0, 1, 5, 5, 5), (5, 5, 50, 30, 50)], id="in panic, stable is more"),
    pytest.param(rules(1, 100), [(0, 1, 5, 5, 5), (5, 5, 20, 30, 30)], id="in panic, panic is more"),
    pytest.param(SLOW_UP, [(0, 2, 3, 3.1, 3)], id="small rate up"),
    pytest.param(SLOW_DOWN, [(0, 100, 1, 1, 90)], id="small rate down"),
    pytest.param(dataclasses.replace(SLOW_DOWN, reachable=False), [(0, 100, 1, 1, 1)], id="unreachable"),
    pytest.param(rules(10, 84), [(0, 1, 50, 100, 10)], id="panic doubles"),
    pytest.param(rules(10, 101), [(0, 1, 50, 10, 5), (2, 1, 100, 10, 10)], id="increase"),
    pytest.param(rules(10, 98), [(0, 8, 100, 100, 10), (2, 8, 50, 50, 5)], id="decrease"),
    pytest.param(rules(10, 75), [(0, 1, 1, 0, 1), (2, 1, 0, 0, 0)], id="to zero"),
    pytest.param(rules(10, 75, activation=2), [(0, 1, 0, 0, 0), (2, 1, 1, 0, 2)], id="activation scale"),
    pytest.param(rules(1, 101), [(0, 1, 6, 6, 6), (0, 6, 36, 36, 36), (1, 36, 216, 216, 216),
                                 (1, 216, 1296, 1296, 1296), (2, 1296, 1296, 1296, 1296)], id="exponential"),
    pytest.param(rules(1, 98), [(0, 10, 11, 25, 25), (30, 40, 30, 41, 41), (62, 55, 50, 56, 50)],
                 id="panic ends although the load grows slowly"),
    pytest.param(rules(1, 98), [(0, 10, 11, 25, 25), (30, 40, 30, 80, 80), (62, 80, 50, 56, 80),
                                (91, 80, 50, 56, 50)], id="panic is extended"),
    pytest.param(rules(10, 93), [(0, 1, 100, 100, 10), (0, 10, 100, 1000, 100), (30, 10, 1, 1, 100),
                                 (61, 10, 1, 1, 1)], id="panic, then down"),
    pytest.param(rules(10, 61), [(0, 1, 1000, 1001, 10), (0, 10, 1000, 1001, 100)], id="rate up"),
    pytest.param(rules(10, 61), [(0, 100, 1, 1, 10), (0, 10, 1, 1, 1)], id="rate down"),
    pytest.param(rules(10, 81), [(0, 0, 1000, 888, 10)], id="none ready counts as one"),
    pytest.param(rules(10, 100, panic_threshold=100.0, scale_down_delay_s=300.0),
                 [(2, 1, 40, 40, 4), (300, 1, 0, 0, 4), (302, 1, 0, 0, 0), (540, 1, 40, 40, 4),
                  (600, 1, 30, 30, 4), (660, 1, 0, 0, 4), (840, 1, 0, 0, 3), (900, 1, 0, 0, 0)], id="delay"),
    pytest.param(rules(10, 100, panic_threshold=100.0), [(0, 1, 40, 40, 4), (0.5, 1, 20, 20, 2)],
                 id="no delay"),
])
def test_cases(scaling, steps, monkeypatch):
    """The number and the excess burst capacity of each case in the tests of Knative's autoscaler."""
    told = Told(scaling, monkeypatch)
    for second, ready, stable, panic, expected in steps:
        number, excess, _ = told.step(second, ready, stable, panic)
        assert number == expected
        free = math.floor(scaling.total * ready - scaling.burst_capacity - panic)
        assert excess == (free if scaling.burst_capacity > 0 else scaling.burst_capacity)


def test_delay_of_an_unreachable_revision(monkeypatch):
    """What no route points at any longer falls at once; if one does again, the delay goes on."""
    delayed = rules(10, 100, panic_threshold=100.0, scale_down_delay_s=300.0)
    told = Told(delayed, monkeypatch)
    assert [told.step(2, 1, 40, 40)[0], told.step(60, 1, 0, 0)[0]] == [4, 4]
    told.scaler.rescale(dataclasses.replace(delayed, reachable=False))
    assert told.step(62, 1, 0, 0)[0] == 0
    told.scaler.rescale(delayed)
    assert told.step(64, 1, 0, 0)[0] == 4


class Buckets:
    """A window of seconds, by its definition: a mapping, of which everything is summed anew each time."""

    def __init__(self, size):
        self.size, self.seconds, self.first = size, {}, None

    def record(self, second, value):
        """Add to a second; after as many silent seconds as it has, it is young again."""
        last = max(self.seconds, default=None)
        if last is None or second - last >= self.size:
            self.seconds, self.first = {}, second
        self.seconds[second] = self.seconds.get(second, 0.0) + value

    def is_empty(self, second):
        """Whether it says nothing."""
        return not self.seconds or second - max(self.seconds) > self.size

    def average(self, second):
        """The silent end is no part of the divisor."""
        last = max(self.seconds, default=None)
        if last is None or second - last >= self.size:
            return 0.0
        kept = range(max(self.first, second - self.size + 1, last - self.size + 1), last + 1)
        return round(sum(self.seconds.get(each, 0.0) for each in kept) / len(kept), 6)


class Transcribed:
    """Knative's algorithm as its documentation tells it, line by line."""

    def __init__(self, scaling):
        self.rules = scaling
        self.stable, self.panic = Buckets(scaling.window_s), Buckets(scaling.panic_window_s)
        self.panic_at, self.most, self.past, self.number = None, 0, {}, None

    def record(self, second, value):
        """Into both windows."""
        self.stable.record(second, value)
        self.panic.record(second, value)

    def decide(self, now, ready):
        """The recommendation, whether it panics, and the excess burst capacity."""
        rules, pods = self.rules, max(1, ready)
        stable, panic = self.stable.average(int(now)), self.panic.average(int(now))
        free = math.floor(ready * rules.total - rules.burst_capacity - panic)
        if not self.stable.is_empty(int(now)):
            highest = math.ceil(rules.most_up * pods)
            lowest = math.floor(pods / rules.most_down) if rules.reachable else 0
            wanted = [math.ceil(stable / rules.target), math.ceil(panic / rules.target)]
            bounded = [min(max(each, lowest), highest) for each in wanted]
            for index in (0, 1):
                if rules.activation > 1 and wanted[index] > 0:
                    bounded[index] = max(bounded[index], rules.activation)
            if wanted[1] / pods >= rules.panic_threshold:
                self.panic_at = now
            elif self.panic_at is not None and now - self.panic_at > rules.window_s:
                self.panic_at, self.most = None, 0
            number = bounded[0]
            if self.panic_at is not None:
                number = self.most = max(*bounded, self.most)
            if rules.scale_down_delay_s and rules.reachable:
                tick = int(now // TICK_S)
                self.past[tick] = max(number, self.past.get(tick, 0))
                length = math.ceil(rules.scale_down_delay_s / TICK_S)
                number = max(value for each, value in self.past.items() if tick - each < length)
            self.number = number
        return self.number, self.panic_at is not None, free


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.3, 4.0, 40.0]) | st.floats(0, 400), st.integers(0, 30),
                       st.booleans()), min_size=1, max_size=80),
    st.builds(Scaling, target=st.sampled_from([0.7, 1.0, 7.0, 70.0]), total=st.just(100.0),
              window_s=st.sampled_from([6, 20, 60]), panic_window_s=st.integers(1, 6),
              panic_threshold=st.sampled_from([1.1, 2.0, 10.0]), most_up=st.sampled_from([1.5, 3.0, 1000.0]),
              most_down=st.sampled_from([1.1, 2.0, 10.0]), activation=st.sampled_from([0, 2, 5]),
              scale_down_delay_s=st.sampled_from([0.0, 5.0, 30.0]), reachable=st.booleans()))
def test_transcription(ticks, scaling):
    """Whatever loads and numbers of ready workers come, with gaps: the same number, panic and excess."""
    ours, theirs, now = Autoscaler(scaling, 100.0, initialized=True), Transcribed(scaling), 100.0
    for load, ready, is_silent in ticks:
        for second in (int(now), int(now) + 1):
            if not is_silent:
                ours.record(second, load, load)
                theirs.record(second, load)
        now += TICK_S
        decision, (number, panics, free) = ours.decide(now, ready), theirs.decide(now, ready)
        assert (ours._number, decision.panicking) == (-1 if number is None else number, panics)
        assert decision.excess_burst == free
        if number:
            assert decision.desired == number
