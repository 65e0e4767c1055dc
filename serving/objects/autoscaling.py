"""
ConfigMap `config-autoscaler`: every key, its default and its bounds, in Knative's words.

What a revision says itself is `scale_annotations.py`'s business. Pure, and it makes no numbers for the
autoscaler: `scaling.py` reads what was admitted here. Durations are float seconds; the utilisation is a
fraction (0.7), the windows' percentages stay percentages. Source: Knative Serving's `pkg/autoscaler/config`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from serving import duration

GROUP = "autoscaling.knative.dev"
KPA = "kpa.autoscaling.knative.dev"
HPA = "hpa.autoscaling.knative.dev"

TARGET_MIN = 0.01
INT32_MAX = 2**31 - 1  # of workers, and of what they may have to do, Knative counts no more
WINDOW_MIN_S, WINDOW_MAX_S = 6, 3600  # a window is six one-second buckets at least, and an hour at most


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


def number(text: str) -> float:
    """As Go's strconv.ParseFloat, but for NaN and for what is infinite; ValueError."""
    try:
        value = float(text) if text.strip() == text and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    if math.isinf(value):
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": value out of range')
    return value


def integer(text: str) -> int:
    """A decimal integer without blanks or underscores; ValueError if it is not one."""
    if not text.removeprefix("-").removeprefix("+").isdecimal() or not text.isascii():
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def int32(text: str) -> int:
    """A decimal integer of 32 bits; ValueError if it is not one."""
    value = integer(text)
    if not -INT32_MAX - 1 <= value <= INT32_MAX:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


_ALL = 100  # per cent
_FRACTION_KEY = "container-concurrency-target-percentage"
_YIELD = (f"{_FRACTION_KEY} and container-concurrency-target-default yield target concurrency of {{:g}}, "
          f"can't be less than {TARGET_MIN}")
_RPS = f"requests-per-second-target-default must be at least {TARGET_MIN}, was: {{:g}}"
_INITIAL = "initial-scale = {}, must be at least 0 (or at least 1 when allow-zero-initial-scale is false)"
_READERS: dict[type, Callable[[str], object]] = {str: str, bool: boolean, int: int32, float: number}


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
