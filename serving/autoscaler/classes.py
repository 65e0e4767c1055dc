"""
Which autoscaler a revision asks for by its class: Knative's KPA, or Kubernetes' HPA. Pure.

Both have the same face: `scaling`, `desired`, `active`, `initialized`, `record`, `decide`, `give_up`.
"""

from collections.abc import Mapping
from typing import Any

from serving.autoscaler import hpa, kpa
from serving.autoscaler.scaling import effective, horizontal
from serving.objects.autoscaling import Settings
from serving.objects.horizontal import is_asked

Autoscaler = kpa.Autoscaler | hpa.Autoscaler


def begun(record: Mapping[str, Any], settings: Settings, now: float, *, initialized: bool) -> Autoscaler:
    """The autoscaler of a revision, from its *record* of table `revisions` and the *settings* for all."""
    if is_asked(record.get("annotations") or {}, settings):
        return hpa.Autoscaler(horizontal(record, settings), initialized=initialized)
    return kpa.Autoscaler(effective(record, settings), now, initialized=initialized)


def followed(before: Autoscaler, record: Mapping[str, Any], settings: Settings, now: float) -> Autoscaler:
    """*before* with other numbers; or one of another class, which begins with the workers that there are."""
    is_horizontal = is_asked(record.get("annotations") or {}, settings)
    if is_horizontal and isinstance(before, hpa.Autoscaler):
        before.rescale(horizontal(record, settings))
    elif not is_horizontal and isinstance(before, kpa.Autoscaler):
        before.rescale(effective(record, settings))
    else:
        after = begun(record, settings, now, initialized=before.initialized)
        after.desired = before.desired
        return after
    return before
