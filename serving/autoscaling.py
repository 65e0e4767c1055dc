"""
What people may say about scaling: ConfigMap `config-autoscaler` and the annotations of a revision.

    settings(data)                     the ConfigMap's data -> Settings, every key with Knative's default
    scaling(annotations, settings)     a revision's annotations over those settings -> Scaling

All pure, and nothing here decides how many workers there are: `autoscaler.py` does. What admission refuses
of those annotations stands in `annotations.py`. Durations are float
seconds; percentages of targets are fractions (0.7), as Knative keeps them; percentages of windows stay
percentages. Sources: Knative Serving's `pkg/autoscaler/config` and `pkg/apis/autoscaling`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from serving import duration

GROUP = "autoscaling.knative.dev"
KPA = "kpa.autoscaling.knative.dev"
HPA = "hpa.autoscaling.knative.dev"

TARGET_MIN = 0.01
WINDOW_MIN_S, WINDOW_MAX_S = 6, 3600  # a window is six one-second buckets at least, and an hour at most
INT32_MAX = 2**31 - 1


def keys(dashed: str) -> tuple[str, ...]:
    """The spellings of annotation *dashed*, preferred first: `min-scale` has been `minScale`."""
    head, *tail = dashed.split("-")
    camel = head + "".join(word.capitalize() for word in tail)
    return (f"{GROUP}/{dashed}", f"{GROUP}/{camel}") if tail else (f"{GROUP}/{dashed}",)


def annotated(annotations: Mapping[str, str], dashed: str) -> tuple[str, str] | None:
    """Key as written and value of annotation *dashed*; None if it is absent."""
    return next(((key, annotations[key]) for key in keys(dashed) if key in annotations), None)


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


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What holds for one revision: its annotations, and the settings where it is silent."""

    autoscaler_class: str
    metric: str  # "concurrency" or "rps" (KPA); anything (other classes)
    target: float | None  # per worker, before utilization; None: the default of its metric
    target_utilization: float | None  # fraction; None: the default
    target_burst_capacity: float
    window_s: float
    panic_window_percentage: float
    panic_threshold_percentage: float
    weighted: bool  # averages weigh recent seconds more
    min_scale: int
    max_scale: int  # 0: none
    initial_scale: int
    activation_scale: int  # what leaving zero goes to at least
    scale_down_delay_s: float
    retention_s: float  # how long the last worker stays


def _bool(text: str) -> bool:
    """As Go's strconv.ParseBool."""
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
          f"can't be less than {TARGET_MIN}")
_RPS = f"requests-per-second-target-default must be at least {TARGET_MIN}, was: {{:g}}"
_INITIAL = "initial-scale = {}, must be at least 0 (or at least 1 when allow-zero-initial-scale is false)"
_READERS: dict[type, Callable[[str], object]] = {str: str, bool: _bool, int: integer, float: _number}


def settings(data: Mapping[str, str]) -> Settings:
    """Read the ConfigMap's *data*; ValueError, naming the key, if a value is not one or is out of bounds."""
    values: dict[str, object] = {}
    for item in fields(Settings):
        key = item.name.removesuffix("_s").replace("_", "-")
        is_duration = item.name.endswith("_s")
        if item.name == "container_concurrency_target_fraction":
            key = _FRACTION_KEY
        if key not in data:
            continue
        reader = duration.parse_s if is_duration else _READERS[type(item.default)]
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
        (target >= TARGET_MIN, _YIELD.format(target)),
        (rps >= TARGET_MIN, _RPS.format(rps)),
        (made.activator_capacity >= 1,
         f"activator-capacity = {made.activator_capacity:g}, must be at least 1"),
        *((rate > 1, f"max-scale-{way}-rate = {rate:g}, must be greater than 1.0")
          for way, rate in (("up", made.max_scale_up_rate), ("down", made.max_scale_down_rate))),
        (WINDOW_MIN_S <= window <= WINDOW_MAX_S,
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


def scaling(annotations: Mapping[str, str], defaults: Settings) -> Scaling:
    """
    What *annotations* (admitted before, so they parse) and *defaults* say for one revision.

    An initial scale of 0 counts only where `allow-zero-initial-scale` is true, else it is the default.
    """
    def said(dashed: str) -> str | None:
        found = annotated(annotations, dashed)
        return None if found is None else found[1]

    def number(dashed: str, otherwise: float) -> float:
        text = said(dashed)
        return otherwise if text is None else _number(text)

    def whole(dashed: str, otherwise: int) -> int:
        text = said(dashed)
        return otherwise if text is None else integer(text)

    def seconds(dashed: str, otherwise: float) -> float:
        text = said(dashed)
        return otherwise if text is None else duration.parse_s(text)

    initial = whole("initial-scale", defaults.initial_scale)
    if initial == 0 and not defaults.allow_zero_initial_scale:
        initial = defaults.initial_scale
    retention_s = seconds("scale-to-zero-pod-retention-period", defaults.scale_to_zero_pod_retention_period_s)
    autoscaler_class = said("class") or defaults.pod_autoscaler_class
    target, utilization = said("target"), said("target-utilization-percentage")
    return Scaling(
        autoscaler_class=autoscaler_class,
        metric=said("metric") or ("cpu" if autoscaler_class == HPA else "concurrency"),
        target=None if target is None else _number(target),
        target_utilization=None if utilization is None else _number(utilization) / 100,
        target_burst_capacity=number("target-burst-capacity", defaults.target_burst_capacity),
        window_s=seconds("window", defaults.stable_window_s),
        panic_window_percentage=number("panic-window-percentage", defaults.panic_window_percentage),
        panic_threshold_percentage=number("panic-threshold-percentage", defaults.panic_threshold_percentage),
        weighted=said("metric-aggregation-algorithm") in {"weighted-exponential", "weightedExponential"},
        min_scale=whole("min-scale", defaults.min_scale),
        max_scale=whole("max-scale", defaults.max_scale),
        initial_scale=initial,
        activation_scale=whole("activation-scale", 1),
        scale_down_delay_s=seconds("scale-down-delay", defaults.scale_down_delay_s),
        retention_s=retention_s,
    )
