"""
The annotations `autoscaling.knative.dev/*` of a revision: what admission refuses of them, in Knative's words.

Each may be written with dashes or in camel case. Pure, and it makes no numbers for the autoscaler but the
windows, which others tell, too: `scaling.py` reads what was admitted here. Source: Knative Serving's
`pkg/apis/autoscaling`.
"""

import math
from collections.abc import Callable, Iterator, Mapping

from eventing.control.field import FieldError, generic, invalid_value, out_of_bounds
from serving import duration
from serving.objects.autoscaling import (
    GROUP,
    HPA,
    INT32_MAX,
    KPA,
    TARGET_MIN,
    WINDOW_MAX_S,
    WINDOW_MIN_S,
    Settings,
    int32,
    integer,
    number,
)

_MISPLACED = 'autoscaling annotations must be put under "spec.template.metadata.annotations" to work'
_ALGORITHMS = {"", "linear", "weighted-exponential", "weightedExponential"}
_PER_CENT = 100


def spellings(dashed: str) -> tuple[str, ...]:
    """*dashed*, and the camel case that Knative still reads: `min-scale`, `minScale`; the newest has none."""
    if dashed == "activation-scale":
        return (dashed,)
    head, *tail = dashed.split("-")
    return tuple(dict.fromkeys((dashed, head + "".join(word.capitalize() for word in tail))))


# Annotation, least and most; the bounds are Knative's.
_PERCENTAGES = (("panic-window-percentage", 1, 100), ("panic-threshold-percentage", 110, 1000),
                ("target-utilization-percentage", 1, 100))
# Annotation, least seconds, whether whole seconds are asked for; the most is an hour for all of them.
_DURATIONS = (("window", 6, True), ("scale-to-zero-pod-retention-period", 0, False),
              ("scale-down-delay", 0, True))
_DASHED = ("class", "metric", "target", "target-burst-capacity", "metric-aggregation-algorithm", "min-scale",
           "max-scale", "initial-scale", "activation-scale",
           *(dashed for dashed, *_ in (*_PERCENTAGES, *_DURATIONS)))
# Every annotation in its one or two spellings.
ANNOTATIONS = tuple(f"{GROUP}/{spelling}" for dashed in _DASHED for spelling in spellings(dashed))

Annotations = Mapping[str, str]


def annotation_errors(annotations: Annotations, defaults: Settings) -> list[FieldError]:
    """What is wrong with the autoscaling *annotations* of a revision; paths are the keys as written."""
    return [
        *_class_errors(annotations),
        *_scale_errors(annotations, defaults),
        *_float_errors(annotations),
        *_duration_errors(annotations),
        *_metric_errors(annotations, defaults),
        *_initial_scale_errors(annotations, defaults),
    ]


def windows(annotations: Annotations, defaults: Settings) -> tuple[int, int]:
    """Seconds of the stable and of the panic window of a revision; what cannot be read counts as absent."""
    stable_s = _read(annotations, "window", duration.parse_s, defaults.stable_window_s)
    stable_s = math.ceil(min(max(stable_s, WINDOW_MIN_S), WINDOW_MAX_S))
    share = _read(annotations, "panic-window-percentage", float, defaults.panic_window_percentage) / _PER_CENT
    return stable_s, max(1, math.floor(stable_s * share + 0.5))


def _read(annotations: Annotations, dashed: str, parse: Callable[[str], float], default: float) -> float:
    found = _annotated(annotations, dashed)
    try:
        return default if found is None else parse(found[1])
    except ValueError:
        return default


def misplaced_errors(annotations: Annotations) -> list[FieldError]:
    """Complain of every autoscaling annotation: these stand on an object, not on its template."""
    return [FieldError(f'invalid key name "{key}"', ("",), _MISPLACED)
            for key in annotations if key.startswith(GROUP)]


def _annotated(annotations: Annotations, dashed: str) -> tuple[str, str] | None:
    """Key as written and value of annotation *dashed*: `min-scale` may be `minScale`; None if absent."""
    keys = (f"{GROUP}/{spelling}" for spelling in spellings(dashed))
    return next(((key, annotations[key]) for key in keys if key in annotations), None)


def _class_errors(annotations: Annotations) -> Iterator[FieldError]:
    """A class of `.knative.dev` that Knative does not have; foreign classes pass."""
    found = _annotated(annotations, "class")
    if found is not None and found[1].endswith(".knative.dev") and found[1] not in {KPA, HPA}:
        yield invalid_value(found[1], found[0])
    algorithm = _annotated(annotations, "metric-aggregation-algorithm")
    is_kpa = found is not None and found[1] == KPA
    if is_kpa and algorithm is not None and algorithm[1] not in _ALGORITHMS:
        yield invalid_value(algorithm[1], algorithm[0])


def _count(annotations: Annotations, dashed: str, errors: list[FieldError]) -> int:
    """An int32 >= 0; 0 when absent, and 0 with an error added when it is not one."""
    found = _annotated(annotations, dashed)
    if found is None:
        return 0
    key, text = found
    try:
        value = integer(text)
    except ValueError:
        errors.append(invalid_value(text, key))
        return 0
    if 0 <= value <= INT32_MAX:
        return value
    errors.append(out_of_bounds(text, 0, INT32_MAX, key))
    return 0


def _scale_errors(annotations: Annotations, defaults: Settings) -> list[FieldError]:
    errors: list[FieldError] = []
    least, most = (_count(annotations, dashed, errors) for dashed in ("min-scale", "max-scale"))
    if most != 0 and most < least:
        errors.append(FieldError(f"max-scale={most} is less than min-scale={least}",
                                 (f"{GROUP}/max-scale", f"{GROUP}/min-scale")))
    limited, limit = _annotated(annotations, "max-scale"), defaults.max_scale_limit
    if limited is not None and limit != 0:
        if most > limit:
            errors.append(out_of_bounds(most, 1, limit, limited[0]))
        if most == 0:
            errors.append(generic(f"max-scale=0 (unlimited), must be less than {limit}", limited[0]))
    return errors + _activation_errors(annotations, least, most)


def _activation_errors(annotations: Annotations, least: int, most: int) -> list[FieldError]:
    """`min-scale <= activation-scale <= max-scale`, and at least 2."""
    found = _annotated(annotations, "activation-scale")
    if found is None:
        return []
    key, text = found
    try:
        activation = int32(text)
    except ValueError:
        return [invalid_value(text, key)]
    if least > activation:
        return [generic(f"min-scale={least} is greater than activation-scale={activation}", key)]
    if 0 < most < activation:
        return [generic(f"max-scale={most} is less than activation-scale={activation}", key)]
    if activation <= 1:
        return [generic(f"activation-scale={activation} must be greater than 1", key)]
    return []


def _float_errors(annotations: Annotations) -> Iterator[FieldError]:
    for dashed, lowest, highest in _PERCENTAGES:
        found = _annotated(annotations, dashed)
        if found is None:
            continue
        value = _number_or_none(found[1])
        if value is None:
            yield invalid_value(found[1], found[0])
        elif not lowest <= value <= highest:
            yield out_of_bounds(found[1], lowest, highest, found[0])
    if (found := _annotated(annotations, "target")) is not None:
        value = _number_or_none(found[1])
        if value is None:
            yield invalid_value(found[1], found[0])
        elif value < TARGET_MIN:
            yield generic(f"target {found[1]} should be at least {TARGET_MIN}", found[0])
    if (found := _annotated(annotations, "target-burst-capacity")) is not None:
        value = _number_or_none(found[1])
        if value is None or (value < 0 and value != -1):
            yield invalid_value(found[1], found[0])


def _number_or_none(text: str) -> float | None:
    try:
        return number(text)
    except ValueError:
        return None


def _duration_errors(annotations: Annotations) -> Iterator[FieldError]:
    for dashed, lowest_s, is_whole in _DURATIONS:
        found = _annotated(annotations, dashed)
        if found is None:
            continue
        key, text = found
        lowest_ns, highest_ns = lowest_s * duration.SECOND_NS, WINDOW_MAX_S * duration.SECOND_NS
        try:
            value_ns = duration.parse_ns(text)
        except ValueError:
            yield invalid_value(text, key)
            continue
        if not lowest_ns <= value_ns <= highest_ns:
            yield out_of_bounds(text, duration.show(lowest_ns), duration.show(highest_ns), key)
        elif is_whole and value_ns % duration.SECOND_NS:
            yield generic("must be specified with at most second precision", key)


def _metric_errors(annotations: Annotations, defaults: Settings) -> Iterator[FieldError]:
    """The KPA measures concurrency or rps, the HPA anything that has a name, other classes what they like."""
    found = _annotated(annotations, "metric")
    if found is None:
        return
    chosen = _annotated(annotations, "class")
    autoscaler_class = defaults.pod_autoscaler_class if chosen is None else chosen[1]
    is_wrong = {KPA: found[1] not in {"concurrency", "rps"}, HPA: not found[1]}.get(autoscaler_class, False)
    if is_wrong:
        yield invalid_value(found[1], found[0])


def _initial_scale_errors(annotations: Annotations, defaults: Settings) -> Iterator[FieldError]:
    found = _annotated(annotations, "initial-scale")
    if found is None:
        return
    key, text = found
    try:
        value = int32(text)
    except ValueError:
        yield invalid_value(text, key)
        return
    if value < 0:
        yield invalid_value(text, f"{key} must be greater than 0")
    elif value == 0 and not defaults.allow_zero_initial_scale:
        yield invalid_value(text, f"{key}=0 not allowed by cluster")
