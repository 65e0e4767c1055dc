"""
Durations as Knative's ConfigMaps and annotations write them: `1m5s`, `40s`, `1.5h`.

This is the notation of Go's `time.ParseDuration`, exact to the nanosecond, so that a message quotes a
bound in the same words as Knative does. ISO 8601 (`PT0.2S`), which the delivery of events uses, is another
room: `eventing/control/delivery.py`.
"""

import re
from decimal import Decimal

_UNITS_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
             "h": 3600 * 10**9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_LIMIT_NS = 2**63 - 1  # about 292 years; what an int64 of nanoseconds holds

SECOND_NS = 10**9


def parse_ns(text: str) -> int:
    """Nanoseconds in *text*; ValueError if it is not a duration."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, position = Decimal(0), 0
    while match := _PART.match(rest, position):
        total += Decimal(match[1]) * _UNITS_NS[match[2]]
        position = match.end()
    if not rest or position != len(rest) or total > _LIMIT_NS:
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * int(total)


def parse_s(text: str) -> float:
    """Seconds in *text*; ValueError if it is not a duration."""
    return parse_ns(text) / SECOND_NS


def show(nanoseconds: int) -> str:
    """*nanoseconds* as Go prints them: `6s`, `1m5s`, `1h0m0s`, `1.5s`, `20ms`, `0s`."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest == 0:
        return "0s"
    if rest < SECOND_NS:
        unit = next(unit for unit in ("ms", "µs", "ns") if rest >= _UNITS_NS[unit])
        return f"{sign}{_plain(Decimal(rest) / _UNITS_NS[unit])}{unit}"
    whole_minutes, left = divmod(rest, 60 * SECOND_NS)
    hours, minutes = divmod(whole_minutes, 60)
    text = f"{_plain(Decimal(left) / SECOND_NS)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else sign + text


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
