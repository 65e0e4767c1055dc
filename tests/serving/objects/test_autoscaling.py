"""What people say about scaling: config-autoscaler, and annotations row by row."""

import re

import pytest

from eventing.control.field import render
from serving.objects import autoscaling, scale_annotations
from serving.objects.autoscaling import Settings

KEY = "autoscaling.knative.dev"


def complaint(defaults=None, **annotations):
    """The text of what admission refuses; `min_scale="1"` stands for the annotation `min-scale`."""
    written = {f"{KEY}/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return render(scale_annotations.annotation_errors(written, defaults or Settings())).replace(f"{KEY}/", "")


def test_defaults():
    """Without a ConfigMap all is as Knative has it."""
    assert autoscaling.settings({}) == Settings(
        pod_autoscaler_class="kpa.autoscaling.knative.dev",
        enable_scale_to_zero=True,
        allow_zero_initial_scale=False,
        max_scale_up_rate=1000,
        max_scale_down_rate=2,
        container_concurrency_target_fraction=0.7,
        container_concurrency_target_default=100,
        requests_per_second_target_default=200,
        target_burst_capacity=211,
        panic_window_percentage=10,
        panic_threshold_percentage=200,
        activator_capacity=100,
        initial_scale=1,
        min_scale=0,
        max_scale=0,
        max_scale_limit=0,
        stable_window_s=60,
        scale_down_delay_s=0,
        scale_to_zero_grace_period_s=30,
        scale_to_zero_pod_retention_period_s=0,
    )


def test_every_key_is_read():
    """Every key of config-autoscaler is known, in its unit; 70 and 0.7 are the same percentage."""
    made = autoscaling.settings(
        {
            "pod-autoscaler-class": "x",
            "enable-scale-to-zero": "false",
            "allow-zero-initial-scale": "true",
            "max-scale-up-rate": "10",
            "max-scale-down-rate": "3",
            "container-concurrency-target-percentage": "80",
            "container-concurrency-target-default": "5",
            "requests-per-second-target-default": "7",
            "target-burst-capacity": "-1",
            "panic-window-percentage": "20",
            "panic-threshold-percentage": "300",
            "activator-capacity": "50",
            "initial-scale": "0",
            "min-scale": "1",
            "max-scale": "9",
            "max-scale-limit": "10",
            "stable-window": "2m",
            "scale-down-delay": "15m",
            "scale-to-zero-grace-period": "1s",
            "scale-to-zero-pod-retention-period": "1m5s",
            "_example": "no key",
        }
    )

    assert made == Settings(
        pod_autoscaler_class="x",
        enable_scale_to_zero=False,
        allow_zero_initial_scale=True,
        max_scale_up_rate=10,
        max_scale_down_rate=3,
        container_concurrency_target_fraction=0.8,
        container_concurrency_target_default=5,
        requests_per_second_target_default=7,
        target_burst_capacity=-1,
        panic_window_percentage=20,
        panic_threshold_percentage=300,
        activator_capacity=50,
        initial_scale=0,
        min_scale=1,
        max_scale=9,
        max_scale_limit=10,
        stable_window_s=120,
        scale_down_delay_s=900,
        scale_to_zero_grace_period_s=1,
        scale_to_zero_pod_retention_period_s=65,
    )


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stable-window", "12", 'failed to parse "stable-window": time: invalid duration "12"'),
        ("max-scale", "x", 'failed to parse "max-scale": strconv.ParseInt: parsing "x": invalid syntax'),
        ("enable-scale-to-zero", "yes", 'strconv.ParseBool: parsing "yes": invalid syntax'),
        ("scale-to-zero-grace-period", "0s", "scale-to-zero-grace-period must be positive, was: 0s"),
        ("scale-down-delay", "-1s", "scale-down-delay cannot be negative, was: -1s"),
        (
            "scale-down-delay",
            "1.5s",
            "scale-down-delay = 1.5s, must be specified with at most second precision",
        ),
        (
            "scale-to-zero-pod-retention-period",
            "-1s",
            "scale-to-zero-pod-retention-period cannot be negative, was: -1s",
        ),
        (
            "target-burst-capacity",
            "-2",
            "target-burst-capacity must be either non-negative or -1 (for unlimited), was: -2.000000",
        ),
        (
            "container-concurrency-target-percentage",
            "0",
            "container-concurrency-target-percentage = 0.000000 is outside of valid range of (0, 100]",
        ),
        (
            "container-concurrency-target-default",
            "0.01",
            "yield target concurrency of 0.007, can't be less than 0.01",
        ),
        (
            "requests-per-second-target-default",
            "0",
            "requests-per-second-target-default must be at least 0.01, was: 0",
        ),
        ("activator-capacity", "0.5", "activator-capacity = 0.5, must be at least 1"),
        ("max-scale-up-rate", "1", "max-scale-up-rate = 1, must be greater than 1.0"),
        ("max-scale-down-rate", "1", "max-scale-down-rate = 1, must be greater than 1.0"),
        ("allow-zero-initial-scale", "", 'strconv.ParseBool: parsing "": invalid syntax'),
        ("panic-threshold-percentage", "x", 'strconv.ParseFloat: parsing "x": invalid syntax'),
        ("target-burst-capacity", "inf", 'strconv.ParseFloat: parsing "inf": value out of range'),
        ("max-scale-up-rate", "1e400", 'strconv.ParseFloat: parsing "1e400": value out of range'),
        ("panic-window-percentage", "0.9", "panic-window-percentage = 0.9, must be in [1, 100] interval"),
        ("container-concurrency-target-percentage", "101", "is outside of valid range of (0, 100]"),
        ("max-scale", "2147483648", 'strconv.ParseInt: parsing "2147483648": value out of range'),
        ("initial-scale", "-1", "initial-scale = -1, must be at least 0"),
        ("stable-window", "61m", "stable-window = 1h1m0s, must be in [6s; 1h0m0s] range"),
        ("stable-window", "5s", "stable-window = 5s, must be in [6s; 1h0m0s] range"),
        ("stable-window", "6.5s", "stable-window = 6.5s, must be specified with at most second precision"),
        ("panic-window-percentage", "101", "panic-window-percentage = 101, must be in [1, 100] interval"),
        ("initial-scale", "0", "initial-scale = 0, must be at least 0"),
        ("min-scale", "-1", "min-scale = -1, must be at least 0"),
        ("max-scale", "-1", "max-scale = -1, must be in [0, max-scale-limit(0)] range"),
        ("max-scale-limit", "5", "max-scale = 0, must be in [1, max-scale-limit(5)] range"),
        ("max-scale-limit", "-1", "max-scale-limit = -1, must be at least 0"),
    ],
)
def test_config_is_refused(key, value, message):
    """A value that is none, or out of bounds, is refused in Knative's words."""
    with pytest.raises(ValueError, match=re.escape(message)):
        autoscaling.settings({key: value})


def test_bounds_that_contradict_each_other():
    """Of two keys that do not fit together both are named."""
    with pytest.raises(ValueError, match=re.escape("min-scale (3) must be less than max-scale (2)")):
        autoscaling.settings({"min-scale": "3", "max-scale": "2"})
    with pytest.raises(ValueError, match=re.escape("max-scale = 6, must be in [1, max-scale-limit(5)]")):
        autoscaling.settings({"max-scale": "6", "max-scale-limit": "5"})


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, ""),
        ({"class": "kpa.autoscaling.knative.dev", "metric": "rps"}, ""),
        ({"class": "my.autoscaler", "metric": "anything"}, ""),
        ({"class": "x.autoscaling.knative.dev"}, "invalid value: x.autoscaling.knative.dev: class"),
        ({"class": "hpa.autoscaling.knative.dev", "metric": "memory"}, ""),
        ({"class": "hpa.autoscaling.knative.dev", "metric": ""}, "invalid value: : metric"),
        ({"metric": "cpu"}, "invalid value: cpu: metric"),
        ({"min_scale": "1", "max_scale": "2", "target": "0.01"}, ""),
        ({"minScale": "1", "maxScale": "2"}, ""),
        ({"min_scale": "a"}, "invalid value: a: min-scale"),
        ({"min_scale": "1.5"}, "invalid value: 1.5: min-scale"),
        ({"min_scale": "-1"}, "expected 0 <= -1 <= 2147483647: min-scale"),
        ({"max_scale": "2147483648"}, "expected 0 <= 2147483648 <= 2147483647: max-scale"),
        ({"minScale": "3", "maxScale": "2"}, "max-scale=2 is less than min-scale=3: max-scale, min-scale"),
        ({"activation_scale": "x"}, "invalid value: x: activation-scale"),
        ({"activation_scale": "2147483648"}, "invalid value: 2147483648: activation-scale"),
        ({"activationScale": "x"}, ""),
        ({"activation_scale": "1"}, "activation-scale=1 must be greater than 1: activation-scale"),
        (
            {"activation_scale": "2", "min_scale": "3"},
            "min-scale=3 is greater than activation-scale=2: activation-scale",
        ),
        (
            {"activation_scale": "4", "max_scale": "3"},
            "max-scale=3 is less than activation-scale=4: activation-scale",
        ),
        ({"target": "0.001"}, "target 0.001 should be at least 0.01: target"),
        ({"target": "x"}, "invalid value: x: target"),
        ({"target_utilization_percentage": "0"}, "expected 1 <= 0 <= 100: target-utilization-percentage"),
        ({"target_utilization_percentage": "a"}, "invalid value: a: target-utilization-percentage"),
        ({"targetUtilizationPercentage": "101"}, "expected 1 <= 101 <= 100: targetUtilizationPercentage"),
        ({"target_burst_capacity": "-1"}, ""),
        ({"targetBurstCapacity": "x"}, "invalid value: x: targetBurstCapacity"),
        ({"target_burst_capacity": "-2"}, "invalid value: -2: target-burst-capacity"),
        ({"panic_window_percentage": "0.5"}, "expected 1 <= 0.5 <= 100: panic-window-percentage"),
        ({"panicWindowPercentage": "101"}, "expected 1 <= 101 <= 100: panicWindowPercentage"),
        ({"panic_window_percentage": "x"}, "invalid value: x: panic-window-percentage"),
        ({"panic_threshold_percentage": "x"}, "invalid value: x: panic-threshold-percentage"),
        ({"panicThresholdPercentage": "1001"}, "expected 110 <= 1001 <= 1000: panicThresholdPercentage"),
        ({"panic_threshold_percentage": "109"}, "expected 110 <= 109 <= 1000: panic-threshold-percentage"),
        ({"window": "40s"}, ""),
        ({"window": "40"}, "invalid value: 40: window"),
        ({"window": "5s"}, "expected 6s <= 5s <= 1h0m0s: window"),
        ({"window": "1h1s"}, "expected 6s <= 1h1s <= 1h0m0s: window"),
        ({"scaleDownDelay": "x"}, "invalid value: x: scaleDownDelay"),
        (
            {"scaleToZeroPodRetentionPeriod": "2h"},
            "expected 0s <= 2h <= 1h0m0s: scaleToZeroPodRetentionPeriod",
        ),
        ({"window": "6.5s"}, "must be specified with at most second precision: window"),
        ({"scale_down_delay": "61m"}, "expected 0s <= 61m <= 1h0m0s: scale-down-delay"),
        ({"scale_down_delay": "1500ms"}, "must be specified with at most second precision: scale-down-delay"),
        ({"scale_to_zero_pod_retention_period": "1500ms"}, ""),
        (
            {"scale_to_zero_pod_retention_period": "-1s"},
            "expected 0s <= -1s <= 1h0m0s: scale-to-zero-pod-retention-period",
        ),
        ({"metric_aggregation_algorithm": "x"}, ""),
        (
            {"class": "kpa.autoscaling.knative.dev", "metric_aggregation_algorithm": "x"},
            "invalid value: x: metric-aggregation-algorithm",
        ),
        (
            {"class": "kpa.autoscaling.knative.dev", "metricAggregationAlgorithm": "x"},
            "invalid value: x: metricAggregationAlgorithm",
        ),
        ({"initialScale": "-1"}, "invalid value: -1: initialScale must be greater than 0"),
        ({"maxScale": "x"}, "invalid value: x: maxScale"),
        ({"target": "inf"}, "invalid value: inf: target"),
        ({"target": "1e308"}, ""),
        ({"target_burst_capacity": "1e400"}, "invalid value: 1e400: target-burst-capacity"),
        ({"initial_scale": "2147483648"}, "invalid value: 2147483648: initial-scale"),
        ({"initial_scale": "2"}, ""),
        ({"initial_scale": "x"}, "invalid value: x: initial-scale"),
        ({"initial_scale": "-1"}, "invalid value: -1: initial-scale must be greater than 0"),
        ({"initial_scale": "0"}, "invalid value: 0: initial-scale=0 not allowed by cluster"),
    ],
)
def test_annotations(annotations, expected):
    """Each annotation is judged by Knative's bounds, in Knative's words; both spellings are known."""
    assert complaint(**annotations) == expected


@pytest.mark.parametrize(
    ("settings", "annotations", "expected"),
    [
        (Settings(allow_zero_initial_scale=True), {"initial_scale": "0"}, ""),
        (Settings(max_scale_limit=5), {"max_scale": "6"}, "expected 1 <= 6 <= 5: max-scale"),
        (
            Settings(max_scale_limit=5),
            {"max_scale": "0"},
            "max-scale=0 (unlimited), must be less than 5: max-scale",
        ),
        (Settings(max_scale_limit=5), {}, ""),
        (Settings(pod_autoscaler_class=autoscaling.HPA), {"metric": "memory"}, ""),
    ],
)
def test_annotations_and_config(settings, annotations, expected):
    """The ConfigMap decides what annotations may say."""
    assert complaint(settings, **annotations) == expected


def test_misplaced():
    """Autoscaling annotations on the object itself would do nothing, so they are refused."""
    errors = scale_annotations.misplaced_errors({f"{KEY}/min-scale": "1", "other": "2"})

    assert render(errors) == (
        f'invalid key name "{KEY}/min-scale": \nautoscaling annotations must be put under '
        '"spec.template.metadata.annotations" to work'
    )
