"""
The numbers that one revision is scaled by: its annotations, over the settings of `config-autoscaler`.

Pure. Whether an annotation is valid is decided at admission (`autoscaling.py`); one that cannot be read
here all the same (the table was written by an older version, say) counts as absent, because a revision
with a default is better than none. Spec: Knative's annotations `autoscaling.knative.dev/*`; the camelCase
spellings are its own aliases.

    effective      the numbers of Knative's KPA (kpa.py), also for classes that nobody here knows
    horizontal     those of Kubernetes' HPA (hpa.py), which go by other annotations
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from serving import duration
from serving.objects.autoscaling import GROUP, Settings, int32, number
from serving.objects.horizontal import CPU, MEMORY, goal
from serving.objects.scale_annotations import spellings, windows
from serving.objects.settings import PROGRESS_DEADLINE_S

PREFIX = f"{GROUP}/"
_SCALE_DOWN_S = 300.0  # Kubernetes' default: as long as that, the largest recommendation holds
_LEAST_TARGET = 0.01  # Knative's floor: below it one request would ask for hundreds of workers
_RPS_FRACTION = 0.7  # Knative's constant; container-concurrency-target-percentage is not for requests/s

Value = TypeVar("Value", int, float, str)


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
    progress_deadline_s: float = PROGRESS_DEADLINE_S  # how long it may take to become ready

    def clamp(self, scale: int, *, least: int) -> int:
        """*scale* between *least* and the maximum."""
        scale = max(scale, least)
        return min(scale, self.most) if self.most else scale


@dataclass(frozen=True, kw_only=True)
class Horizontal:
    """What the HPA goes by; the defaults are Kubernetes'."""

    metric: str = CPU
    target: float = 80.0  # what one worker shall have: per cent of `request`, or bytes
    request: float = 0.0  # cores
    least: int = 1
    most: int = 0  # 0: no bound
    initial: int = 1
    up_s: float = 0.0  # as long as that, the smallest recommendation holds
    down_s: float = _SCALE_DOWN_S  # as long as that, the largest does
    reachable: bool = True  # a Route points at it

    @property
    def is_measured(self) -> bool:
        """Whether there is anything to go by; else there are `least` workers."""
        return self.metric == MEMORY or (self.metric == CPU and self.request > 0)

    def clamp(self, scale: int) -> int:
        """*scale* between the minimum and the maximum."""
        scale = max(scale, self.least)
        return min(scale, self.most) if self.most else scale


def horizontal(record: Mapping[str, Any], settings: Settings) -> Horizontal:
    """The numbers of a revision of class HPA, which Knative never lets go to zero."""
    annotations, reachable = record.get("annotations") or {}, bool(record.get("reachable", True))
    said, asked = _Said(annotations), goal(annotations, settings)
    least = said.of("min-scale", int32, settings.min_scale) if reachable else 0
    return Horizontal(
        metric=asked.metric,
        target=asked.target,
        request=float(record.get("cpu_request") or 0),
        least=max(1, least),
        most=said.of("max-scale", int32, settings.max_scale),
        initial=max(1, _initial(said, settings)),
        up_s=said.of("window", duration.parse_s, 0.0),
        down_s=said.of("window", duration.parse_s, _SCALE_DOWN_S),
        reachable=reachable,
    )


def effective(record: Mapping[str, Any], settings: Settings) -> Scaling:
    """The numbers of a revision, from its *record* of table `revisions` and the *settings* for all."""
    said = _Said(record.get("annotations") or {})
    window_s, panic_window_s = windows(record.get("annotations") or {}, settings)
    asked = said.of("metric", str, "concurrency")
    metric = "rps" if asked == "rps" else "concurrency"
    if asked != metric:
        said = said.without("target")
    total = _total(said, settings, metric, record.get("container_concurrency") or 0)
    usual = _RPS_FRACTION if metric == "rps" else settings.container_concurrency_target_fraction
    utilisation = said.of("target-utilization-percentage", number, usual * 100) / 100
    return Scaling(
        metric=metric,
        total=total,
        target=max(_LEAST_TARGET, total * utilisation),
        burst_capacity=said.of("target-burst-capacity", number, settings.target_burst_capacity),
        window_s=window_s,
        panic_window_s=panic_window_s,
        panic_threshold=said.of("panic-threshold-percentage", float,
                                settings.panic_threshold_percentage) / 100,
        weighted=said.of("metric-aggregation-algorithm", str, "linear").startswith("weighted"),
        most_up=settings.max_scale_up_rate,
        most_down=settings.max_scale_down_rate,
        least=said.of("min-scale", int32, settings.min_scale),
        most=said.of("max-scale", int32, settings.max_scale),
        initial=_initial(said, settings),
        activation=said.of("activation-scale", int32, 0),
        scale_down_delay_s=said.of("scale-down-delay", duration.parse_s, settings.scale_down_delay_s),
        retention_s=said.of("scale-to-zero-pod-retention-period", duration.parse_s,
                            settings.scale_to_zero_pod_retention_period_s),
        grace_s=settings.scale_to_zero_grace_period_s,
        to_zero=settings.enable_scale_to_zero,
        reachable=bool(record.get("reachable", True)),
        progress_deadline_s=float(record.get("progress_deadline_s") or PROGRESS_DEADLINE_S),
    )


def _total(said: "_Said", settings: Settings, metric: str, limit: int) -> float:
    """What one worker can take: the annotation `target` wins, but not over a hard *limit* of concurrency."""
    if metric == "rps":
        return said.of("target", number, settings.requests_per_second_target_default)
    if limit:
        return min(said.of("target", number, float(limit)), float(limit))
    return said.of("target", number, settings.container_concurrency_target_default)


def _initial(said: "_Said", settings: Settings) -> int:
    initial = said.of("initial-scale", int32, settings.initial_scale)
    if initial == 0 and not settings.allow_zero_initial_scale:
        return max(settings.initial_scale, 1)
    return initial


class _Said:
    """The annotations of a revision, each under its own name or its alias (`min-scale`, `minScale`)."""

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations

    def without(self, name: str) -> "_Said":
        """The same, but for one."""
        return _Said({key: text for key, text in self._annotations.items() if key != PREFIX + name})

    def of(self, dashed: str, parse: Callable[[str], Value], default: Value) -> Value:
        """What was said, else *default*."""
        for spelling in spellings(dashed):
            text = self._annotations.get(PREFIX + spelling)
            if text is not None:
                try:
                    return parse(text)
                except ValueError:
                    return default
        return default
