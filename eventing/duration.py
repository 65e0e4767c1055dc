"""
Lengths of time as people write them, in seconds.

    ISO 8601 duration      seconds
    PT0.2S                 0.2
    PT1M30S, P1DT2H        90, 93600
    P1Y, P1M, P1W          365.2425 days, a twelfth of that, 7 days
    -PT1S                  -1: it parses, as in Knative, and whoever cannot use it says so

    short form             seconds
    30s, 10m, 2h, 7d       30, 600, 7200, 604800
    1.5s, 500ms            1.5, 0.5

Knative's own fields take the first form only; what Clarion adds takes both. Pure.
"""

import math
import re

_DAY_S = 86400.0
_YEAR_S = 365.2425 * _DAY_S  # Gregorian mean; who writes years means "about"
_UNITS_S = (_YEAR_S, _YEAR_S / 12, 7 * _DAY_S, _DAY_S, 3600.0, 60.0, 1.0)
_NUMBER = r"(?:([-+]?\d+(?:[.,]\d+)?){})?"
_PERIOD = re.compile(
    r"([-+]?)P(?=[-+\d]|T[-+\d])" + "".join(_NUMBER.format(unit) for unit in "YMWD")
    + r"(?:T(?=[-+\d])" + "".join(_NUMBER.format(unit) for unit in "HMS") + ")?")
_ZERO = re.compile(r"[-+]?P0")  # the parser that Knative uses takes a zero without a unit
_SHORT = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d)", re.ASCII)
_SHORT_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": _DAY_S}


def seconds(period: str) -> float:
    """Seconds in an ISO 8601 duration such as `PT0.2S`; ValueError if *period* is not one, or endless."""
    if _ZERO.fullmatch(period):
        return 0.0
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise ValueError(f'"{period}" is no ISO 8601 duration, such as PT0.2S or P1DT2H')
    sign, *numbers = match.groups()
    total = sum(float(number.replace(",", ".")) * unit_s
                for number, unit_s in zip(numbers, _UNITS_S, strict=True) if number)
    if not math.isfinite(total):
        raise ValueError(f'"{period}" is longer than can be counted')
    return -total if sign == "-" else total


def either(text: str) -> float:
    """Seconds in a duration of either form, not negative; ValueError if *text* is none."""
    short = _SHORT.fullmatch(text)
    if short is not None:
        return float(short[1]) * _SHORT_UNITS_S[short[2]]
    try:
        length_s = seconds(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is no duration, such as 30s, 10m, 7d or PT10M') from error
    if length_s < 0:
        raise ValueError(f'"{text}" is less than nothing')
    return length_s
