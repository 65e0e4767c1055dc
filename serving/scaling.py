"""
The numbers that one revision is scaled by: its annotations over `config-autoscaler` over Knative's defaults.

Pure. Whether an annotation is valid is decided at admission (the kinds refuse a bad one); a value that
cannot be read here all the same (the table was written by an older version, say) counts as absent, because
a revision with a default is better than none. Spec: Knative's `config-autoscaler` and the annotations
`autoscaling.knative.dev/*`; the camelCase spellings are Knative's own aliases.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from serving import duration

PREFIX = "autoscaling.knative.dev/"
_ALIASES = {
    "min-scale": "minScale", "max-scale": "maxScale", "initial-scale": "initialScale",
    "target-utilization-percentage": "targetUtilizationPercentage",
    "target-burst-capacity": "targetBurstCapacity",
    "panic-window-percentage": "panicWindowPercentage",
    "panic-threshold-percentage": "panicThresholdPercentage",
    "metric-aggregation-algorithm": "metricAggregationAlgorithm",
    "scale-down-delay": "scaleDownDelay",
    "scale-to-zero-pod-retention-period": "scaleToZeroPodRetentionPeriod",
}
_LEAST_TARGET = 0.01  # Knative's floor: below it one request would ask for hundreds of workers
_LEAST_WINDOW_S, _MOST_WINDOW_S = 6.0, 3600.0  # Knative's bounds of a stable window

Value = TypeVar("Value", int, float, str, bool)


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What the autoscaler goes by; the defaults are Knative's."""

    metric: str = "concurrency"  # or "rps": requests per second
    total: float = 100.0  # what one worker can take
    target: float = 70.0  # what one worker shall have to do: total x utilisation
    burst_capacity: float = 211.0
    window_s: int = 60
    panic_window_s: int = 6
    panic_threshold: float = 2.0
    weighted: bool = False
    most_up: float = 1000.0  # at most this many times the ready workers in one step
    most_down: float = 2.0
    least: int = 0
    most: int = 0  # 0: no bound
    initial: int = 1
    activation: int = 0  # 0: unset
    scale_down_delay_s: float = 0.0
    retention_s: float = 0.0
    grace_s: float = 30.0
    to_zero: bool = True
    reachable: bool = True  # a Route points at it

    def clamp(self, scale: int, *, least: int) -> int:
        """*scale* between *least* and the maximum."""
        scale = max(scale, least)
        return min(scale, self.most) if self.most else scale


def effective(record: Mapping[str, Any], config: Mapping[str, str]) -> Scaling:
    """
    The numbers of a revision.

    Args:
        record: its record of table `revisions`.
        config: data of ConfigMap `knative-serving/config-autoscaler`.
    """
    values = _Values(record.get("annotations") or {}, config)
    window_s = values.own("window", duration.parse_s, values.shared("stable-window", duration.parse_s, 60.0))
    window_s = math.ceil(min(max(window_s, _LEAST_WINDOW_S), _MOST_WINDOW_S))
    panic_share = values.either("panic-window-percentage", float, 10.0) / 100
    metric = "rps" if values.own("metric", str, "concurrency") == "rps" else "concurrency"
    total = _total(values, metric, record.get("container_concurrency") or 0)
    return Scaling(
        metric=metric,
        total=total,
        target=max(_LEAST_TARGET, total * _utilisation(values)),
        burst_capacity=values.either("target-burst-capacity", float, 211.0),
        window_s=window_s,
        panic_window_s=max(1, math.floor(window_s * panic_share + 0.5)),
        panic_threshold=values.either("panic-threshold-percentage", float, 200.0) / 100,
        weighted=values.own("metric-aggregation-algorithm", str, "linear").lower().startswith("weighted"),
        most_up=values.shared("max-scale-up-rate", float, 1000.0),
        most_down=values.shared("max-scale-down-rate", float, 2.0),
        least=values.either("min-scale", int, 0),
        most=values.either("max-scale", int, 0),
        initial=_initial(values),
        activation=values.own("activation-scale", int, 0),
        scale_down_delay_s=values.either("scale-down-delay", duration.parse_s, 0.0),
        retention_s=values.either("scale-to-zero-pod-retention-period", duration.parse_s, 0.0),
        grace_s=values.shared("scale-to-zero-grace-period", duration.parse_s, 30.0),
        to_zero=values.shared("enable-scale-to-zero", _boolean, default=True),
        reachable=bool(record.get("reachable", True)),
    )


def _total(values: "_Values", metric: str, container_concurrency: int) -> float:
    """What one worker can take: the annotation `target` wins, but not over a hard limit."""
    if metric == "rps":
        return values.own("target", float, values.shared("requests-per-second-target-default", float, 200.0))
    if container_concurrency:
        return min(values.own("target", float, float(container_concurrency)), float(container_concurrency))
    return values.own("target", float, values.shared("container-concurrency-target-default", float, 100.0))


def _utilisation(values: "_Values") -> float:
    percent = values.shared("container-concurrency-target-percentage", float, 70.0)
    fraction = percent if percent <= 1.0 else percent / 100  # Knative takes 0.7 for 70 in the ConfigMap
    return values.own("target-utilization-percentage", float, fraction * 100) / 100


def _initial(values: "_Values") -> int:
    initial = values.own("initial-scale", int, values.shared("initial-scale", int, 1))
    if initial == 0 and not values.shared("allow-zero-initial-scale", _boolean, default=False):
        return max(values.shared("initial-scale", int, 1), 1)
    return initial


def _boolean(text: str) -> bool:
    return text.strip().lower() == "true"


class _Values:
    """Annotations and ConfigMap, read with one rule: what cannot be read counts as absent."""

    def __init__(self, annotations: Mapping[str, str], config: Mapping[str, str]) -> None:
        self._annotations = annotations
        self._config = config

    def own(self, key: str, parse: Callable[[str], Value], default: Value) -> Value:
        """The annotation, under its own name or its alias."""
        for spelling in (key, _ALIASES.get(key, key)):
            if PREFIX + spelling in self._annotations:
                return _read(self._annotations[PREFIX + spelling], parse, default)
        return default

    def shared(self, key: str, parse: Callable[[str], Value], default: Value) -> Value:
        """The ConfigMap's value."""
        return _read(self._config[key], parse, default) if key in self._config else default

    def either(self, key: str, parse: Callable[[str], Value], default: Value) -> Value:
        """The annotation, else the ConfigMap's value."""
        return self.own(key, parse, self.shared(key, parse, default))


def _read(text: str, parse: Callable[[str], Value], default: Value) -> Value:
    try:
        return parse(text)
    except (ValueError, TypeError):
        return default
