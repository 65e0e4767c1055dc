"""From what people say to the numbers of the autoscaler: every annotation, every key."""

import dataclasses

import pytest

from serving.autoscaler.scaling import PREFIX, Scaling, effective
from serving.objects import autoscaling, scale_annotations


def numbers(annotations=None, config=None, **record):
    """What holds for a revision with these *annotations* under that *config*."""
    written = {PREFIX + key: value for key, value in (annotations or {}).items()}
    return effective({"annotations": written, **record}, autoscaling.settings(config or {}))


def changes(found, expected):
    """Every field that is not as by default."""
    default = dataclasses.asdict(Scaling())
    seen = {key: value for key, value in dataclasses.asdict(found).items() if value != default[key]}
    assert seen == pytest.approx(expected)


def test_defaults():
    """Who says nothing gets Knative's numbers."""
    assert dataclasses.asdict(numbers()) == {
        "metric": "concurrency", "total": 100.0, "target": 70.0, "burst_capacity": 211.0, "window_s": 60,
        "panic_window_s": 6, "panic_threshold": 2.0, "weighted": False, "most_up": 1000.0, "most_down": 2.0,
        "least": 0, "most": 0, "initial": 1, "activation": 0, "scale_down_delay_s": 0.0, "retention_s": 0.0,
        "grace_s": 30.0, "to_zero": True, "reachable": True, "progress_deadline_s": 600.0}
    changes(numbers(), {})


# -- annotations


SAID = [
    (["metric"], "rps", {"metric": "rps", "total": 200.0, "target": 140.0}),
    (["target"], "10", {"total": 10.0, "target": 7.0}),
    (["target-utilization-percentage", "targetUtilizationPercentage"], "80", {"target": 80.0}),
    (["target-burst-capacity", "targetBurstCapacity"], "-1", {"burst_capacity": -1.0}),
    (["window"], "30s", {"window_s": 30, "panic_window_s": 3}),
    (["panic-window-percentage", "panicWindowPercentage"], "50", {"panic_window_s": 30}),
    (["panic-threshold-percentage", "panicThresholdPercentage"], "150", {"panic_threshold": 1.5}),
    (["metric-aggregation-algorithm", "metricAggregationAlgorithm"], "weighted-exponential",
     {"weighted": True}),
    (["metric-aggregation-algorithm"], "weightedExponential", {"weighted": True}),
    (["metric-aggregation-algorithm"], "linear", {}),
    (["min-scale", "minScale"], "2", {"least": 2}),
    (["max-scale", "maxScale"], "9", {"most": 9}),
    (["initial-scale", "initialScale"], "3", {"initial": 3}),
    (["activation-scale"], "4", {"activation": 4}),
    (["scale-down-delay", "scaleDownDelay"], "15m", {"scale_down_delay_s": 900.0}),
    (["scale-to-zero-pod-retention-period", "scaleToZeroPodRetentionPeriod"], "1m5s", {"retention_s": 65.0}),
    (["class"], autoscaling.KPA, {}),
    (["unknown"], "1", {}),
    # What admission refuses counts as absent.
    (["target", "target-burst-capacity"], "inf", {}),
    (["min-scale", "max-scale", "initial-scale"], "2147483648", {}),
    # Knative reads no camel case of these.
    (["activationScale", "Window", "Target", "Metric", "Class"], "4", {}),
]


@pytest.mark.parametrize(("spellings", "value", "expected"), SAID)
def test_annotation(spellings, value, expected):
    """Each annotation changes its number and no other, in each of its spellings."""
    for spelling in spellings:
        changes(numbers({spelling: value}), expected)


# -- config-autoscaler


KEYS = [
    ("enable-scale-to-zero", "false", {"to_zero": False}),
    ("max-scale-up-rate", "10", {"most_up": 10.0}),
    ("max-scale-down-rate", "3", {"most_down": 3.0}),
    ("container-concurrency-target-percentage", "50", {"target": 50.0}),
    ("container-concurrency-target-percentage", "0.5", {"target": 50.0}),
    ("container-concurrency-target-default", "10", {"total": 10.0, "target": 7.0}),
    ("target-burst-capacity", "0", {"burst_capacity": 0.0}),
    ("panic-window-percentage", "20", {"panic_window_s": 12}),
    ("panic-threshold-percentage", "300", {"panic_threshold": 3.0}),
    ("initial-scale", "2", {"initial": 2}),
    ("min-scale", "1", {"least": 1}),
    ("max-scale", "5", {"most": 5}),
    ("stable-window", "2m", {"window_s": 120, "panic_window_s": 12}),
    ("scale-down-delay", "10s", {"scale_down_delay_s": 10.0}),
    ("scale-to-zero-grace-period", "5s", {"grace_s": 5.0}),
    ("scale-to-zero-pod-retention-period", "7s", {"retention_s": 7.0}),
    # These decide at admission, or are for parts of Knative that do not exist here.
    ("pod-autoscaler-class", "x", {}),
    ("allow-zero-initial-scale", "true", {}),
    ("activator-capacity", "50", {}),
    ("requests-per-second-target-default", "7", {}),
]


@pytest.mark.parametrize(("key", "value", "expected"), KEYS)
def test_key(key, value, expected):
    """Each key changes the number of all that say nothing themselves."""
    changes(numbers(config={key: value}), expected)


def test_each_has_its_row():
    """No annotation and no key is without a row above, or one below."""
    said = {f"{PREFIX}{spelling}" for spellings, *_ in SAID for spelling in spellings}
    assert said >= set(scale_annotations.ANNOTATIONS)
    together = {"max-scale-limit"}
    assert {key for key, *_ in KEYS} | together == set(autoscaling.KEYS)


@pytest.mark.parametrize(("annotation", "value", "key", "config"), [
    ("min-scale", "2", "min-scale", "1"),
    ("max-scale", "2", "max-scale", "5"),
    ("initial-scale", "2", "initial-scale", "3"),
    ("window", "30s", "stable-window", "2m"),
    ("target-burst-capacity", "5", "target-burst-capacity", "0"),
    ("panic-window-percentage", "40", "panic-window-percentage", "20"),
    ("panic-threshold-percentage", "150", "panic-threshold-percentage", "300"),
    ("scale-down-delay", "1m", "scale-down-delay", "10s"),
    ("scale-to-zero-pod-retention-period", "1m", "scale-to-zero-pod-retention-period", "7s"),
    ("target-utilization-percentage", "80", "container-concurrency-target-percentage", "50"),
])
def test_annotation_wins(annotation, value, key, config):
    """What a revision says goes before what holds for all."""
    assert numbers({annotation: value}, {key: config}) == numbers({annotation: value})


def test_keys_together():
    """Keys that mean something only in company."""
    changes(numbers({"metric": "rps"}, {"requests-per-second-target-default": "10"}),
            {"metric": "rps", "total": 10.0, "target": 7.0})
    changes(numbers({"metric": "rps"}, {"container-concurrency-target-percentage": "50"}),
            {"metric": "rps", "total": 200.0, "target": 140.0})
    changes(numbers({"max-scale": "3"}, {"max-scale": "2", "max-scale-limit": "3"}), {"most": 3})
    changes(numbers(config={"allow-zero-initial-scale": "true", "initial-scale": "0"}), {"initial": 0})
    changes(numbers({"initial-scale": "0"}, {"allow-zero-initial-scale": "true"}), {"initial": 0})
    changes(numbers({"initial-scale": "0"}), {})
    changes(numbers(container_concurrency=4, progress_deadline_s=9.0, reachable=False),
            {"total": 4.0, "target": 2.8, "reachable": False, "progress_deadline_s": 9.0})


def test_another_class():
    """What a class that nobody here knows asks for is scaled by requests; its target is of something else."""
    changes(numbers({"class": "my.autoscaler", "metric": "queue-depth", "target": "7"}), {})
    changes(numbers({"class": "my.autoscaler", "metric": "rps", "target": "7"}),
            {"metric": "rps", "total": 7.0, "target": 4.9})
