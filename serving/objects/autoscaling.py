"""
What people may say about scaling, and what admission refuses of it, in Knative's words.

    settings(data)                         ConfigMap `config-autoscaler`: every key, its default and bounds
    annotation_errors(annotations, ..)     the annotations `autoscaling.knative.dev/*` of a revision

Pure, and it makes no numbers for the autoscaler: `scaling.py` reads what was admitted here. Durations are
float seconds; the utilisation is a fraction (0.7), the windows' percentages stay percentages. Sources:
Knative Serving's `pkg/autoscaler/config` and `pkg/apis/autoscaling`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields

from eventing.control.field import FieldError, generic, invalid_value, out_of_bounds
from serving import duration

GROUP = "autoscaling.knative.dev"
_MISPLACED = 'autoscaling annotations must be put under "spec.template.metadata.annotations" to work'
_ALGORITHMS = {"", "linear", "weighted-exponential", "weightedExponential"}


def spellings(dashed: str) -> tuple[str, ...]:
    """*dashed*, and the camel case that Knative still reads: `min-scale`, `minScale`."""
    head, *tail = dashed.split("-")
    return tuple(dict.fromkeys((dashed, head + "".join(word.capitalize() for word in tail))))


# Annotation, least and most; the bounds are Knative's.
_PERCENTAGES = (("panic-window-percentage", 1, 100), ("panic-threshold-percentage", 110, 1000),
                ("target-utilization-percentage", 1, 100))
# Annotation, least seconds, whether whole seconds are asked for; the most is an hour for all of them.
_DURATIONS = (("window", 6, True), ("scale-to-zero-pod-retention-period", 0, False),
              ("scale-down-delay", 0, True))
KPA = "kpa.autoscaling.knative.dev"
HPA = "hpa.autoscaling.knative.dev"

_DASHED = ("class", "metric", "target", "target-burst-capacity", "metric-aggregation-algorithm", "min-scale",
           "max-scale", "initial-scale", "activation-scale",
           *(dashed for dashed, *_ in (*_PERCENTAGES, *_DURATIONS)))
# Every annotation in its one or two spellings.
ANNOTATIONS = tuple(f"{GROUP}/{spelling}" for dashed in _DASHED for spelling in spellings(dashed))

_TARGET_MIN = 0.01
_WINDOW_MIN_S, _WINDOW_MAX_S = 6, 3600  # a window is six one-second buckets at least, and an hour at most
_INT32_MAX = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """ConfigMap `config-autoscaler` in `knative-serving`; fields are its keys with `_` for `-`, and units."""

    pod_autoscaler_class: str = KPA
    enable_scale_to_zero: bool = True
    allow_zero_initial_scale: bool = False
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    container_concurrency_target_fraction: float = 0.7
    container_concurrency_target_default: float = 100.0
    requests_per_second_target_default: float = 200.0
    target_burst_capacity: float = 211.0
    panic_window_percentage: float = 10.0
    panic_threshold_percentage: float = 200.0
    activator_capacity: float = 100.0
    initial_scale: int = 1
    min_scale: int = 0
    max_scale: int = 0
    max_scale_limit: int = 0
    stable_window_s: float = 60.0
    scale_down_delay_s: float = 0.0
    scale_to_zero_grace_period_s: float = 30.0
    scale_to_zero_pod_retention_period_s: float = 0.0


def boolean(text: str) -> bool:
    """As Go's strconv.ParseBool; ValueError."""
    if text in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    if text in {"0", "f", "F", "FALSE", "false", "False"}:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _number(text: str) -> float:
    value = float(text) if text.strip() == text and "_" not in text else None
    if value is None or value != value:  # noqa: PLR0124  a NaN compares with nothing
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    return value


def integer(text: str) -> int:
    """A decimal integer without blanks or underscores; ValueError if it is not one."""
    if not text.removeprefix("-").removeprefix("+").isdecimal() or not text.isascii():
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


_ALL = 100  # per cent
_FRACTION_KEY = "container-concurrency-target-percentage"
_YIELD = (f"{_FRACTION_KEY} and container-concurrency-target-default yield target concurrency of {{:g}}, "
          f"can't be less than {_TARGET_MIN}")
_RPS = f"requests-per-second-target-default must be at least {_TARGET_MIN}, was: {{:g}}"
_INITIAL = "initial-scale = {}, must be at least 0 (or at least 1 when allow-zero-initial-scale is false)"
_READERS: dict[type, Callable[[str], object]] = {str: str, bool: boolean, int: integer, float: _number}


_FIELDS = {_FRACTION_KEY if item.name == "container_concurrency_target_fraction"
           else item.name.removesuffix("_s").replace("_", "-"): item for item in fields(Settings)}
KEYS = tuple(_FIELDS)  # of `config-autoscaler`


def settings(data: Mapping[str, str]) -> Settings:
    """Read the ConfigMap's *data*; ValueError, naming the key, if a value is not one or is out of bounds."""
    values: dict[str, object] = {}
    for key, item in _FIELDS.items():
        if key not in data:
            continue
        reader = duration.parse_s if item.name.endswith("_s") else _READERS[type(item.default)]
        try:
            values[item.name] = reader(data[key].strip())
        except ValueError as error:
            raise ValueError(f'failed to parse data: failed to parse "{key}": {error}') from error
    fraction = values.get("container_concurrency_target_fraction")
    if isinstance(fraction, float) and fraction > 1.0:
        values["container_concurrency_target_fraction"] = fraction / 100.0  # 70 and 0.7 mean the same
    made = Settings(**values)  # type: ignore[arg-type]
    _check(made)
    return made


def _check(made: Settings) -> None:
    """Raise ValueError for the first bound that *made* breaks, in the order of Knative's checks."""
    grace, delay = made.scale_to_zero_grace_period_s, made.scale_down_delay_s
    retention, window = made.scale_to_zero_pod_retention_period_s, made.stable_window_s
    burst, rps = made.target_burst_capacity, made.requests_per_second_target_default
    fraction = made.container_concurrency_target_fraction
    target = fraction * made.container_concurrency_target_default
    initial, zero = made.initial_scale, made.allow_zero_initial_scale
    least, most, limit = made.min_scale, made.max_scale, made.max_scale_limit
    lowest = 1 if limit > 0 else 0
    precise = "must be specified with at most second precision"
    checks = (
        (grace > 0, f"scale-to-zero-grace-period must be positive, was: {_shown(grace)}"),
        (delay >= 0, f"scale-down-delay cannot be negative, was: {_shown(delay)}"),
        (delay.is_integer(), f"scale-down-delay = {_shown(delay)}, {precise}"),
        (retention >= 0, f"scale-to-zero-pod-retention-period cannot be negative, was: {_shown(retention)}"),
        (burst >= 0 or burst == -1,
         f"target-burst-capacity must be either non-negative or -1 (for unlimited), was: {burst:f}"),
        (0 < fraction <= 1, f"{_FRACTION_KEY} = {fraction:f} is outside of valid range of (0, 100]"),
        (target >= _TARGET_MIN, _YIELD.format(target)),
        (rps >= _TARGET_MIN, _RPS.format(rps)),
        (made.activator_capacity >= 1,
         f"activator-capacity = {made.activator_capacity:g}, must be at least 1"),
        *((rate > 1, f"max-scale-{way}-rate = {rate:g}, must be greater than 1.0")
          for way, rate in (("up", made.max_scale_up_rate), ("down", made.max_scale_down_rate))),
        (_WINDOW_MIN_S <= window <= _WINDOW_MAX_S,
         f"stable-window = {_shown(window)}, must be in [6s; 1h0m0s] range"),
        (window.is_integer(), f"stable-window = {_shown(window)}, {precise}"),
        (1 <= made.panic_window_percentage <= _ALL,
         f"panic-window-percentage = {made.panic_window_percentage:g}, must be in [1, 100] interval"),
        (initial > 0 or (initial == 0 and zero), _INITIAL.format(initial)),
        (least >= 0, f"min-scale = {least}, must be at least 0"),
        (most >= lowest and (limit <= 0 or most <= limit),
         f"max-scale = {most}, must be in [{lowest}, max-scale-limit({limit})] range"),
        (limit >= 0, f"max-scale-limit = {limit}, must be at least 0"),
        (most <= 0 or least <= most, f"min-scale ({least}) must be less than max-scale ({most})"),
    )
    for holds, message in checks:
        if not holds:
            raise ValueError(message)


def _shown(seconds: float) -> str:
    return duration.show(round(seconds * duration.SECOND_NS))


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
    stable_s = math.ceil(min(max(stable_s, _WINDOW_MIN_S), _WINDOW_MAX_S))
    share = _read(annotations, "panic-window-percentage", float, defaults.panic_window_percentage) / _ALL
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
    if 0 <= value <= _INT32_MAX:
        return value
    errors.append(out_of_bounds(text, 0, _INT32_MAX, key))
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
        activation = integer(text)
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
        elif value < _TARGET_MIN:
            yield generic(f"target {found[1]} should be at least {_TARGET_MIN}", found[0])
    if (found := _annotated(annotations, "target-burst-capacity")) is not None:
        value = _number_or_none(found[1])
        if value is None or (value < 0 and value != -1):
            yield invalid_value(found[1], found[0])


def _number_or_none(text: str) -> float | None:
    try:
        return _number(text)
    except ValueError:
        return None


def _duration_errors(annotations: Annotations) -> Iterator[FieldError]:
    for dashed, lowest_s, is_whole in _DURATIONS:
        found = _annotated(annotations, dashed)
        if found is None:
            continue
        key, text = found
        lowest_ns, highest_ns = lowest_s * duration.SECOND_NS, _WINDOW_MAX_S * duration.SECOND_NS
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
        value = integer(text)
    except ValueError:
        yield invalid_value(text, key)
        return
    if value < 0:
        yield invalid_value(text, f"{key} must be greater than 0")
    elif value == 0 and not defaults.allow_zero_initial_scale:
        yield invalid_value(text, f"{key}=0 not allowed by cluster")
