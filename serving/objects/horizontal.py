"""
What class `hpa.autoscaling.knative.dev` asks for: a metric, its target, and whether it can be measured here.

    metric         target                     can be measured
    ------         ------                     ---------------
    cpu            per cent of the request    where there is one: resources.requests.cpu, else the limit
    memory         MiB of a worker            yes
    anything else  of that                    no: there is no metrics pipeline on this machine

Without a `target` it is cpu at 80 %, whatever the metric is called: Knative gives its HorizontalPodAutoscaler
no metric then, and that is what Kubernetes does without one. Pure; the numbers are `scaling.py`'s affair.
Sources: Knative Serving's `pkg/reconciler/autoscaling/hpa/resources`, Kubernetes' `pkg/apis/autoscaling/v2`
(defaults) and `pkg/controller/podautoscaler`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.objects import quantity
from serving.objects.autoscaling import GROUP, HPA, KPA, Settings, number

CPU, MEMORY = "cpu", "memory"
_USUAL_CPU = 80.0  # per cent: Kubernetes' default
_MEBIBYTE = 1024 * 1024
_NO_REQUEST = ("missing request for cpu: there are min-scale workers, whatever the load; say in "
               "resources.requests.cpu what the target is a percentage of")
_NO_METRIC = ("no metric {} here: there are min-scale workers, whatever the load; use cpu or memory, or "
              f"class {KPA} with concurrency or rps")
_USUAL = {KPA: "concurrency", HPA: CPU}  # other classes have none


@dataclass(frozen=True)
class Goal:
    """What one worker shall have on average: *target* per cent of its request of cpu, or bytes of memory."""

    metric: str
    target: float


def class_of(annotations: Mapping[str, str], settings: Settings) -> str:
    """The class of a revision with these *annotations*."""
    return annotations.get(f"{GROUP}/class", settings.pod_autoscaler_class)


def is_asked(annotations: Mapping[str, str], settings: Settings) -> bool:
    """Whether a revision with these *annotations* is of class HPA."""
    return class_of(annotations, settings) == HPA


def metric(annotations: Mapping[str, str], settings: Settings) -> str:
    """The metric that a revision says, or that its class has by default."""
    return annotations.get(f"{GROUP}/metric", _USUAL.get(class_of(annotations, settings), ""))


def goal(annotations: Mapping[str, str], settings: Settings) -> Goal:
    """What a revision of class HPA shall have; a target that cannot be read counts as absent."""
    name = metric(annotations, settings)
    try:
        target = number(annotations[f"{GROUP}/target"])
        whole = max(1, int(target) if name == MEMORY else math.ceil(target))
        return Goal(name, float(whole * _MEBIBYTE if name == MEMORY else whole))
    except (KeyError, ValueError, OverflowError):
        return Goal(CPU, _USUAL_CPU)


def cpu_request(container: Mapping[str, Any]) -> float:
    """Cores that *container* asks for: its request, else its limit, as in Kubernetes; 0: it does not say."""
    resources = container.get("resources") or {}
    for side in ("requests", "limits"):
        found = (resources.get(side) or {}).get("cpu")
        if found is not None:
            return float(quantity.parse(found))
    return 0.0


def trouble(annotations: Mapping[str, str], container: Mapping[str, Any],
            settings: Settings) -> tuple[str, str] | None:
    """Kubernetes' reason, and a sentence, if what a revision of class HPA asks for cannot be measured."""
    name = goal(annotations, settings).metric
    if name == CPU and not cpu_request(container):
        return "FailedGetResourceMetric", _instead(metric(annotations, settings)) + _NO_REQUEST
    if name not in {CPU, MEMORY}:
        return "FailedGetPodsMetric", _NO_METRIC.format(name)
    return None


def _instead(asked: str) -> str:
    """Why cpu counts where metric *asked* was asked for."""
    if asked == CPU:
        return ""
    wrong = "has no target" if asked == MEMORY else "is not measured here, and has no target"
    return f"metric {asked} {wrong}, so that cpu counts, as on Knative: "
