"""The HPA in virtual time: each row of the tables in hpa.py, and what Knative makes of annotations."""

import dataclasses

import pytest

from serving.autoscaler import classes, hpa, kpa
from serving.autoscaler.hpa import SYNC_S, Autoscaler, Seen, replicas
from serving.autoscaler.scaling import Horizontal, horizontal
from serving.objects import autoscaling
from serving.objects.autoscaling import settings
from serving.workers.backend import Usage

CPU = Horizontal(request=0.5)  # 80 % of half a core: 0.4 cores a worker
MEBIBYTE = 1024 * 1024


def rules(config=None, *, reachable=True, cpu_request=0.5, **annotations):
    """What a revision of class HPA with these annotations (`_` for `-`) is scaled by."""
    prefix = "autoscaling.knative.dev/"
    written = {f"{prefix}class": autoscaling.HPA,
               **{prefix + key.replace("_", "-"): value for key, value in annotations.items()}}
    record = {"annotations": written, "reachable": reachable, "cpu_request": cpu_request}
    return horizontal(record, settings(config or {}))


class Driver:
    """A revision whose workers are there at once, and share a load of cores (or bytes each) evenly."""

    def __init__(self, scaling, *, initialized=True):
        self.scaler, self.now, self.burnt = Autoscaler(scaling, initialized=initialized), 0.0, {}
        self.since, self.ready = {}, 0
        self.follow()

    def follow(self):
        """Have as many workers as were decided on."""
        self.ready = self.scaler.decide(self.now, self.ready).desired
        self.scaler.decide(self.now, self.ready)
        for name in range(self.ready):
            self.since.setdefault(str(name), self.now)
        self.since = {name: since for name, since in self.since.items() if int(name) < self.ready}

    def sync(self, cores=0.0, memory_bytes=0):
        """Live to the next look; the number that was decided on."""
        self.now += SYNC_S
        for name in self.since:
            self.burnt[name] = self.burnt.get(name, 0.0) + cores / self.ready * SYNC_S
        self.scaler.observe(self.now, [Seen(name, since, Usage(self.now, self.burnt[name], memory_bytes))
                                       for name, since in self.since.items()])
        self.follow()
        return self.ready

    def run(self, seconds, **load):
        """The numbers of every look within *seconds*."""
        return [self.sync(**load) for _ in range(int(seconds / SYNC_S))]


# -- from usage to a number


@pytest.mark.parametrize(("current", "values", "guessed", "expected"), [
    pytest.param(2, [80.0, 80.0], {}, 2, id="at the target"),
    pytest.param(2, [72.0, 72.0], {}, 2, id="within the tolerance below"),
    pytest.param(2, [87.9, 87.9], {}, 2, id="within the tolerance above, in whole per cent"),
    pytest.param(2, [71.0, 71.0], {}, 2, id="below, and rounded up to as many"),
    pytest.param(2, [89.0, 89.0], {}, 3, id="above"),
    pytest.param(3, [240.0, 240.0, 240.0], {}, 9, id="three times the target"),
    pytest.param(4, [10.0, 10.0, 20.0, 40.0], {}, 1, id="an average of a quarter"),
    pytest.param(3, [0.0, 0.0, 0.0], {}, 0, id="nothing at all: the bounds are for others"),
    pytest.param(5, [], {"unready": 5}, 5, id="nobody was measured"),
    pytest.param(2, [160.0], {"unready": 1}, 2, id="up: who is not ready uses nothing"),
    pytest.param(2, [320.0], {"unready": 1}, 4, id="up all the same, by less"),
    pytest.param(4, [120.0], {"unready": 3}, 4, id="up, but with the others it would be down"),
    pytest.param(4, [40.0, 40.0], {"unready": 2}, 1, id="down: who is not ready is not looked at"),
    pytest.param(2, [160.0], {"missing": 1}, 2, id="up: who is missing uses nothing"),
    pytest.param(4, [10.0, 10.0, 10.0], {"missing": 1}, 2, id="down: who is missing uses its request"),
    pytest.param(2, [40.0], {"missing": 1}, 2, id="down, but with the missing at the tolerance"),
    pytest.param(3, [70.0, 70.0], {"missing": 1}, 3, id="down, but with the missing it would be within"),
    pytest.param(2, [80.0], {"missing": 1}, 2, id="at the target nobody is guessed at"),
])
def test_replicas(current, values, guessed, expected):
    """Kubernetes' arithmetic at a target of 80 %."""
    assert replicas(current, values, 80.0, **guessed) == expected


def test_a_number_does_not_turn_round():
    """With those that count as well the change would be the other way: nothing is changed."""
    assert replicas(9, [320.0], 80.0, unready=2) == 9
    assert replicas(1, [10.0, 10.0], 80.0, missing=2) == 1


# -- from number to workers


def test_up_by_four_or_twice_as_many():
    """A load of any size brings workers step by step, after a first look that has nothing to compare with."""
    assert Driver(CPU).run(90, cores=4000.0) == [1, 5, 10, 20, 40, 80]


def test_what_is_busy_grows_to_what_the_load_needs_and_stays():
    """Two cores at 80 % of half a core each need five workers; there are no more, and no fewer."""
    driver = Driver(CPU)
    numbers = driver.run(300, cores=2.0)
    assert numbers[-1] == 5
    assert max(numbers) <= 6
    assert set(numbers[-10:]) == {5}


def test_down_after_five_minutes():
    """The largest recommendation of 300 s holds, then the number falls to what is needed at once."""
    driver = Driver(CPU)
    driver.run(150, cores=2.0)
    assert driver.ready == 5
    assert set(driver.run(285, cores=0.0)) == {5}
    assert driver.run(30, cores=0.0)[-1] == 1


def test_a_peak_within_the_stabilization_begins_it_anew():
    """Whoever is busy once in five minutes keeps its workers."""
    driver = Driver(CPU)
    driver.run(150, cores=2.0)
    for _ in range(4):
        driver.run(240, cores=0.0)
        driver.run(30, cores=2.0)
    assert driver.ready == 5


def test_window_is_the_stabilization_of_both_directions():
    """With `window` a peak that is shorter brings nothing, and workers go after as long."""
    driver = Driver(rules(window="60s"))
    assert set(driver.run(45, cores=2.0)) == {1}
    assert driver.run(75, cores=2.0)[-1] > 1
    driver.run(300, cores=2.0)
    assert driver.ready == 5
    assert set(driver.run(45, cores=0.0)) == {5}
    assert driver.run(45, cores=0.0)[-1] == 1


def test_bounds_hold():
    """Never less than min-scale, more than max-scale, or zero; changed bounds hold at once."""
    driver = Driver(rules(min_scale="2", max_scale="3"))
    assert driver.ready == 2
    assert set(driver.run(120, cores=10.0)) <= {2, 3}
    assert driver.ready == 3
    driver.scaler.rescale(rules(min_scale="4", max_scale="9"))
    assert driver.scaler.decide(driver.now, 3).desired == 4
    driver.scaler.rescale(rules(max_scale="1"))
    assert driver.scaler.decide(driver.now, 3).desired == 1
    assert Driver(rules({"min-scale": "2"})).ready == 2
    assert Driver(rules({"min-scale": "2"}, reachable=False)).ready == 1
    assert Driver(rules({"enable-scale-to-zero": "true"}, min_scale="0")).run(900, cores=0.0)[-1] == 1


# -- what is measured


def test_cpu_counts_from_the_first_whole_interval_that_a_worker_is_ready():
    """What a worker burns for its imports is no load."""
    scaler = Autoscaler(CPU, initialized=True)
    scaler.observe(15, [Seen("a", 1.0, Usage(15, 20.0, 0))])
    scaler.observe(30, [Seen("a", 1.0, Usage(30, 20.0, 0)), Seen("b", 16.0, Usage(30, 30.0, 0))])
    scaler.observe(45, [Seen("a", 1.0, Usage(45, 20.0, 0)), Seen("b", 31.0, Usage(45, 60.0, 0))])
    assert scaler.decide(45, 2).stable == 0.0
    scaler.observe(60, [Seen("a", 1.0, Usage(60, 20.0, 0)), Seen("b", 31.0, Usage(60, 67.5, 0))])
    assert scaler.decide(60, 2).stable == 50.0  # none of half a core, and all of it


def test_who_has_no_process_is_not_ready_or_missing():
    """A worker that is yet to be forked counts as not ready, one that cannot be looked at as missing."""
    for last, expected in ((Seen("b", None, None), 4), (Seen("b", 1.0, None), 4)):
        scaler = Autoscaler(dataclasses.replace(CPU, least=2), initialized=True)
        for second, burnt in ((15, 0.0), (30, 22.5)):
            scaler.observe(second, [Seen("a", 1.0, Usage(second, burnt, 0)), last])
        assert scaler.desired == expected  # 300 % of one worker, and 0 % of the other


def test_memory_is_an_average_of_mebibytes():
    """150 MiB each at a target of 100: there are as many as max-scale allows, which do not shrink them."""
    driver = Driver(rules(metric="memory", target="100", max_scale="4"))
    assert driver.run(60, memory_bytes=150 * MEBIBYTE)[-1] == 4
    assert driver.run(600, memory_bytes=40 * MEBIBYTE)[-1] == 1
    steady = Driver(rules(metric="memory", target="100"))
    assert set(steady.run(60, memory_bytes=109 * MEBIBYTE)) == {1}


@pytest.mark.parametrize("scaling", [
    pytest.param(rules(cpu_request=0.0, initial_scale="3"), id="no request of cpu"),
    pytest.param(rules(metric="queue-depth", target="5", initial_scale="3"), id="another metric"),
])
def test_what_is_not_measured_has_min_scale(scaling):
    """The initial scale is reached once; after that min-scale, whatever the load is."""
    driver = Driver(scaling, initialized=False)
    assert driver.since.keys() == {"0", "1", "2"}
    driver.follow()
    assert set(driver.run(120, cores=10.0)) == {1}


def test_the_initial_scale_falls_after_the_stabilization():
    """What was there first counts as recommended."""
    driver = Driver(rules(initial_scale="3"), initialized=False)
    assert driver.ready == 3
    assert driver.scaler.initialized
    assert set(driver.run(300, cores=0.0)) == {3}
    assert driver.run(45, cores=0.0)[-1] == 1
    assert Autoscaler(rules(initial_scale="3"), initialized=True).desired == 1


def test_an_initial_scale_that_is_not_reached():
    """It is asked for, and held, until as many are ready at once; it never exceeds max-scale."""
    scaler = Autoscaler(rules(initial_scale="3"))
    decision = scaler.decide(0, 2)
    assert (decision.desired, decision.initialized, decision.active[0]) == (3, False, "True")
    assert scaler.decide(2, 3).initialized
    limited = Autoscaler(rules(initial_scale="3", max_scale="2"))
    assert limited.decide(0, 2).desired == 2
    assert limited.initialized
    allowed = {"allow-zero-initial-scale": "true"}
    assert Autoscaler(rules(allowed, initial_scale="0")).desired == 1


# -- what annotations say


@pytest.mark.parametrize(("annotations", "expected"), [
    ({}, Horizontal(request=0.5)),
    ({"target": "60"}, Horizontal(request=0.5, target=60.0)),
    ({"target": "60.1", "metric": "cpu"}, Horizontal(request=0.5, target=61.0)),
    ({"target": "0.01"}, Horizontal(request=0.5, target=1.0)),
    ({"target": "100.9", "metric": "memory"},
     Horizontal(metric="memory", request=0.5, target=100.0 * MEBIBYTE)),
    ({"target": "0.5", "metric": "memory"}, Horizontal(metric="memory", request=0.5, target=1.0 * MEBIBYTE)),
    ({"metric": "memory"}, Horizontal(request=0.5)),
    ({"metric": "anything"}, Horizontal(request=0.5)),
    ({"metric": "anything", "target": "7"}, Horizontal(metric="anything", request=0.5, target=7.0)),
    ({"target": "Inf"}, Horizontal(request=0.5)),
    ({"min_scale": "2", "max_scale": "9"}, Horizontal(request=0.5, least=2, most=9)),
    ({"minScale": "2", "maxScale": "9"}, Horizontal(request=0.5, least=2, most=9)),
    ({"window": "90s"}, Horizontal(request=0.5, up_s=90.0, down_s=90.0)),
    ({"target_utilization_percentage": "10", "scale_down_delay": "1m", "panic_window_percentage": "20",
      "activation_scale": "3", "target_burst_capacity": "0"}, Horizontal(request=0.5)),
])
def test_annotations(annotations, expected):
    """Knative makes an HPA of these, and of no others; without a target it is cpu at 80 %."""
    assert rules(**annotations) == expected


def test_a_class_that_changes_keeps_its_workers():
    """From KPA to HPA and back: what was decided stands until the other one decides."""
    config = settings({})
    record = {"annotations": {"autoscaling.knative.dev/min-scale": "1"}, "cpu_request": 0.5}
    horizontal_record = {**record, "annotations": {"autoscaling.knative.dev/class": autoscaling.HPA}}
    scaler = classes.begun(record, config, 0.0, initialized=True)
    assert isinstance(scaler, kpa.Autoscaler)
    scaler.desired = 4
    after = classes.followed(scaler, horizontal_record, config, 1.0)
    assert isinstance(after, hpa.Autoscaler)
    assert after.decide(1.0, 4).desired == 4
    assert classes.followed(after, horizontal_record, config, 2.0) is after
    again = classes.followed(after, record, settings({}), 3.0)
    assert (type(again), again.desired) == (kpa.Autoscaler, 4)
    everybody = settings({"pod-autoscaler-class": autoscaling.HPA})
    assert isinstance(classes.begun(record, everybody, 0.0, initialized=True), hpa.Autoscaler)


def test_giving_up():
    """Nobody routes to it and it cannot start: no workers, until somebody asks again."""
    scaler = Autoscaler(rules(reachable=False))
    scaler.give_up(5.0)
    assert (scaler.desired, scaler.active[1]) == (0, "TimedOut")
    assert scaler.decide(6.0, 0).desired == 1
