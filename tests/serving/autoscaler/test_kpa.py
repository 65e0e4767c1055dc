"""The KPA in virtual time: each row of the tables in kpa.py, and Knative's worked examples."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.autoscaler.kpa import ACTIVATION_SPARE_S, Autoscaler
from serving.autoscaler.scaling import Scaling, effective
from serving.objects.autoscaling import settings

PLAIN = Scaling(target=10.0, total=10.0)


def loaded(scaling, concurrency, *, seconds=60, until=1000):
    """An initialized autoscaler that saw *concurrency* in each of the last *seconds* before *until*."""
    scaler = Autoscaler(scaling, until - seconds, initialized=True)
    for second in range(until - seconds, until):
        scaler.record(second, concurrency, concurrency)
    return scaler


def scaling(*, config=None, container_concurrency=0, reachable=True, **annotations):
    """The effective numbers of a revision with these annotations (`_` for `-`)."""
    prefix = "autoscaling.knative.dev/"
    written = {prefix + key.replace("_", "-"): value for key, value in annotations.items()}
    record = {"annotations": written, "container_concurrency": container_concurrency, "reachable": reachable}
    return effective(record, settings(config or {}))


class Driver:
    """A revision whose workers follow the decision at once, seen every two seconds."""

    def __init__(self, rules, now=0.0, *, initialized=True):
        self.scaler, self.now, self.ready = Autoscaler(rules, now, initialized=initialized), now, 0

    def run(self, seconds, concurrency):
        """Live through *seconds* of constant *concurrency*; returns the last decision."""
        decision = None
        for _ in range(seconds // 2):
            for second in (int(self.now), int(self.now) + 1):
                if self.ready or concurrency:
                    self.scaler.record(second, concurrency, concurrency)
            self.now += 2.0
            decision = self.scaler.decide(self.now, self.ready)
            self.ready = decision.desired
        return decision

    def until_zero(self):
        """Seconds of silence until zero is decided."""
        since = self.now
        while self.ready:
            self.run(2, 0.0)
        return self.now - since


# -- from load to workers


@pytest.mark.parametrize(("concurrency", "ready", "desired"), [
    pytest.param(0.5, 0, 1, id="the least load wants one"),
    pytest.param(10.0, 1, 1, id="exactly the target is enough"),
    pytest.param(10.1, 1, 2, id="a little more wants another"),
    pytest.param(55.0, 3, 6, id="load over target, rounded up"),
    pytest.param(10.0, 8, 4, id="half of the ready ones at least stay in one step"),
    pytest.param(10.0, 9, 4, id="half of an odd number is rounded down"),
])
def test_stable_load(concurrency, ready, desired):
    """Wanted = ceil(average / target), no faster down than the rate."""
    assert loaded(PLAIN, concurrency).decide(1000, ready).desired == desired


def test_rate_of_scaling_up_is_bounded():
    """No step is larger than max-scale-up-rate times the ready workers."""
    slow = dataclasses.replace(PLAIN, most_up=3.0)
    assert loaded(slow, 1000.0).decide(1000, 2).desired == 6
    assert loaded(slow, 1000.0).decide(1000, 0).desired == 3


def test_unreachable_revision_may_fall_at_once():
    """The rate of scaling down does not hold for a revision that no route points at."""
    gone = dataclasses.replace(PLAIN, reachable=False)
    assert loaded(gone, 10.0).decide(1000, 20).desired == 1


def test_activation_scale_is_the_least_of_anything():
    """Once anything is wanted, it is activation-scale; of nothing it makes nothing."""
    rules = dataclasses.replace(PLAIN, activation=5)
    assert loaded(rules, 1.0).decide(1000, 0).desired == 5
    assert loaded(rules, 0.0).decide(1000, 0).desired == 0


def test_one_worker_above_its_target_panics():
    """One worker, a panic average of 71 over a target of 70: two wanted over one ready is twice as many."""
    decision = loaded(Scaling(), 71.0).decide(1000, 1)
    assert (decision.desired, decision.panicking) == (2, True)


def test_single_request_from_zero_with_limit_one():
    """With containerConcurrency 1 the target is 0.7, so one request wants two workers, in panic."""
    scaler = Autoscaler(scaling(container_concurrency=1), 500, initialized=True)
    scaler.record(500, 1.0, 1.0)
    decision = scaler.decide(500.1, 0)
    assert (decision.desired, decision.panicking, decision.active[:2]) == (2, True, ("Unknown", "Queued"))


def test_panic_never_scales_down_and_ends_one_stable_window_later():
    """While panic lasts the number stands; it is left when the threshold was not met for a stable window."""
    driver = Driver(dataclasses.replace(PLAIN, to_zero=False))
    driver.run(60, 10.0)
    assert driver.run(10, 100.0).panicking
    peak = driver.ready
    numbers = [driver.run(2, 10.0) for _ in range(60)]
    calm = next(number for number, decision in enumerate(numbers) if not decision.panicking)
    assert {decision.desired for decision in numbers[:calm]} == {peak}
    assert 24 <= calm <= 30
    assert numbers[-1].desired == 1


def test_panic_reacts_within_its_own_window():
    """A jump that the stable window hardly shows is followed by the panic window."""
    scaler = loaded(PLAIN, 1.0)
    for second in range(1000, 1006):
        scaler.record(second, 50.0, 50.0)
    assert scaler.decide(1006, 1).desired == 5


def test_delay_keeps_the_largest_number():
    """scale-down-delay: a smaller number holds only after it stood for the delay."""
    driver = Driver(dataclasses.replace(PLAIN, scale_down_delay_s=20.0, window_s=6, panic_window_s=1))
    assert driver.run(20, 40.0).desired == 4
    seen = [driver.run(2, 10.0).desired for _ in range(16)]
    assert seen == sorted(seen, reverse=True)
    assert seen[9:] != seen[:7]
    assert set(seen[:9]) == {4}
    assert seen[-1] < 4


def test_no_data_changes_nothing():
    """Without a measurement for longer than the window the last number stands."""
    scaler = loaded(PLAIN, 25.0)
    assert scaler.decide(1000, 3).desired == 3
    assert scaler.decide(1000 + 500, 3).desired == 3
    assert Autoscaler(PLAIN, 0, initialized=True).decide(5000, 0).desired == 0


def test_rps_counts_requests_not_concurrency():
    """Metric rps: 200 a second over a target of 140 are two workers, however short the requests."""
    rules = scaling(metric="rps")
    scaler = Autoscaler(rules, 0, initialized=True)
    for second in range(60):
        scaler.record(second, 0.1, 200.0)
    assert scaler.decide(60, 2).desired == 2


def test_weighted_average_reacts_faster():
    """weighted-exponential: the last seconds outweigh a quiet minute."""
    weighted = dataclasses.replace(PLAIN, weighted=True)
    numbers = []
    for rules in (PLAIN, weighted):
        scaler = loaded(rules, 1.0)
        for second in range(1000, 1004):
            scaler.record(second, 30.0, 30.0)
        numbers.append(scaler.decide(1003, 3).stable)
    assert numbers[1] > 5 * numbers[0]


@pytest.mark.parametrize(("ready", "excess"), [(0, -211), (1, -111), (2, -11), (3, 89), (4, 189)])
def test_excess_burst_capacity_at_rest(ready, excess):
    """Defaults at no load: the capacity of the ready workers over the burst to be kept free."""
    assert loaded(Scaling(), 0.0).decide(1000, ready).excess_burst == excess


@pytest.mark.parametrize("special", [-1.0, 0.0])
def test_special_burst_capacities_stand_for_themselves(special):
    """-1: always in the path; 0: only at zero."""
    rules = dataclasses.replace(PLAIN, burst_capacity=special)
    assert loaded(rules, 50.0).decide(1000, 9).excess_burst == special


# -- bounds and the way to zero


@pytest.mark.parametrize(("rules", "excess"), [
    ({"total": 1e308}, 2**31 - 1), ({"burst_capacity": 1e308}, 1 - 2**31), ({"most_up": 1e308}, 1 - 2**31)])
def test_numbers_have_32_bits(rules, excess):
    """Whatever a revision may say, what is decided is a number that Knative could write."""
    decision = loaded(dataclasses.replace(Scaling(), **rules), 70.0 * 2**40).decide(1000, 4)
    assert decision.excess_burst == excess
    assert decision.desired <= 2**31 - 1


def test_bounds_hold():
    """min-scale and max-scale clamp what is wanted."""
    rules = dataclasses.replace(PLAIN, least=2, most=4)
    assert loaded(rules, 0.0).decide(1000, 2).desired == 2
    assert loaded(rules, 500.0).decide(1000, 2).desired == 4


def test_min_scale_is_wanted_before_anything_was_measured():
    """A revision with min-scale that was healthy before starts its workers unasked."""
    assert Autoscaler(dataclasses.replace(PLAIN, least=3), 0, initialized=True).decide(0, 0).desired == 3


def test_unreachable_revision_ignores_min_scale():
    """Nobody routes to it: it may go to zero."""
    driver = Driver(dataclasses.replace(PLAIN, least=3, reachable=False))
    driver.run(4, 5.0)
    driver.until_zero()
    assert driver.ready == 0


def test_defaults_go_to_zero_sixty_seconds_after_the_last_request():
    """The stable window empties, and the activator was in the path all the while: no grace on top."""
    driver = Driver(Scaling())
    driver.run(60, 1.0)
    assert 60 <= driver.until_zero() <= 62
    assert driver.scaler.active[:2] == ("False", "NoTraffic")


def test_short_activity_still_lasts_a_stable_window():
    """Active for less than a stable window: one worker stays until it has been that long."""
    driver = Driver(scaling(window="6s"))
    driver.run(2, 1.0)
    assert 6 <= driver.until_zero() <= 10


def test_retention_keeps_the_last_worker():
    """scale-to-zero-pod-retention-period counts from the moment that it became inactive."""
    driver = Driver(scaling(window="6s", scale_to_zero_pod_retention_period="40s"))
    driver.run(20, 1.0)
    assert 46 <= driver.until_zero() <= 50


def test_grace_counts_while_the_activator_was_not_in_the_path():
    """With target-burst-capacity 0 Knative's activator enters only at the end: the grace is waited for."""
    driver = Driver(scaling(window="6s", target_burst_capacity="0"))
    driver.run(20, 1.0)
    assert 36 <= driver.until_zero() <= 40


def test_scale_to_zero_off_keeps_one():
    """enable-scale-to-zero: "false"."""
    driver = Driver(scaling(config={"enable-scale-to-zero": "false"}, window="6s"))
    driver.run(20, 30.0)
    assert driver.run(600, 0.0).desired == 1


@pytest.mark.parametrize("deadline_s", [None, 60.0])
def test_activation_that_never_succeeds_times_out(deadline_s):
    """No worker gets ready: after the progress deadline it is given up, with the reason."""
    rules = effective({} if deadline_s is None else {"progress_deadline_s": deadline_s}, settings({}))
    scaler = Autoscaler(rules, 0, initialized=True)
    scaler.record(1, 1.0, 1.0)
    assert scaler.decide(1, 0).desired == 1
    for second in range(2, 80):
        scaler.record(second, 0.0, 0.0)
    limit = (deadline_s or 600) + ACTIVATION_SPARE_S
    assert scaler.decide(limit, 0).desired == 1
    scaler.record(int(limit) + 2, 0.0, 0.0)
    decision = scaler.decide(limit + 2, 0)
    assert (decision.desired, decision.active[1]) == (0, "TimedOut")


# -- the initial scale


def test_initial_scale_is_reached_once_then_forgotten():
    """Three workers validate a new revision; after that only load counts."""
    driver = Driver(scaling(initial_scale="3", window="6s"), initialized=False)
    first = driver.scaler.decide(0, 0)
    assert (first.desired, first.initialized, first.active[0]) == (3, False, "Unknown")
    assert not driver.scaler.decide(1, 2).initialized
    driver.ready = 3
    assert driver.scaler.decide(2, 3).active[0] == "True"
    driver.until_zero()
    assert driver.scaler.initialized


def test_initial_scale_zero_needs_no_worker():
    """Where it is allowed, such a revision is initialized from the start."""
    rules = scaling(config={"allow-zero-initial-scale": "true"}, initial_scale="0")
    decision = Autoscaler(rules, 0).decide(0, 0)
    assert (decision.desired, decision.initialized, decision.active[:2]) == (0, True, ("False", "NoTraffic"))
    assert scaling(initial_scale="0").initial == 1


def test_ready_workers_below_min_scale_are_not_active_yet():
    """Active needs min-scale workers."""
    scaler = loaded(dataclasses.replace(PLAIN, least=2), 5.0)
    assert scaler.decide(1000, 1).active[:2] == ("Unknown", "Queued")
    assert scaler.decide(1001, 2).active[0] == "True"


def test_rescaling_keeps_what_was_measured():
    """A changed window does not forget the load."""
    scaler = loaded(PLAIN, 25.0)
    scaler.rescale(dataclasses.replace(PLAIN, window_s=120, panic_window_s=12))
    assert scaler.decide(1000, 3).desired == 3


# -- effective numbers


@pytest.mark.parametrize(("numbers", "total", "target"), [
    (scaling(), 100.0, 70.0),
    (scaling(container_concurrency=10), 10.0, 7.0),
    (scaling(container_concurrency=10, target="5"), 5.0, 3.5),
    (scaling(container_concurrency=10, target="50"), 10.0, 7.0),
    (scaling(target="50", target_utilization_percentage="80"), 50.0, 40.0),
    (scaling(metric="rps"), 200.0, 140.0),
    (scaling(metric="rps", target="20"), 20.0, 14.0),
    (scaling(target="0.01", target_utilization_percentage="1"), 0.01, 0.01),
    (scaling(config={"container-concurrency-target-percentage": "0.5"}), 100.0, 50.0),
    (scaling(config={"container-concurrency-target-default": "20"}), 20.0, 14.0),
])
def test_targets(numbers, total, target):
    """Annotation over limit over ConfigMap over default; target = total x utilisation."""
    assert (numbers.total, numbers.target) == (total, pytest.approx(target))


@pytest.mark.parametrize(("window", "percentage", "panic_s"), [
    ("60s", "10", 6), ("6s", "10", 1), ("1h", "10", 360), ("25s", "10", 3), ("60s", "100", 60)])
def test_panic_window(window, percentage, panic_s):
    """A share of the stable window, rounded to seconds, one at least."""
    assert scaling(window=window, panic_window_percentage=percentage).panic_window_s == panic_s


def test_aliases_and_unreadable_values():
    """Spellings in camelCase count; what cannot be read counts as absent."""
    annotations = {"autoscaling.knative.dev/minScale": "2", "autoscaling.knative.dev/window": "soon"}
    numbers = effective({"annotations": annotations}, settings({"max-scale": "7"}))
    assert (numbers.least, numbers.most, numbers.window_s) == (2, 7, 60)


@given(st.lists(st.floats(0, 500), min_size=1, max_size=60), st.integers(0, 5), st.integers(0, 5))
def test_decisions_stay_within_their_bounds(loads, least, more):
    """Whatever the load does: never below min-scale, never above max-scale, rates kept."""
    rules = dataclasses.replace(PLAIN, least=least, most=least + more + 1, window_s=6, panic_window_s=2)
    driver = Driver(rules)
    numbers = [driver.run(2, load).desired for load in loads]
    assert all(least <= number <= rules.most for number in numbers)
    assert all(after >= before // 2 or after == 0 for before, after in pairwise(numbers))
