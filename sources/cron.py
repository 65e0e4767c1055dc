"""
Cron text -> the next tick. Pure: no clock is read here, *when* is always an argument.

What is accepted is what Knative's PingSource accepts (robfig/cron with optional seconds):

    fields        meaning
    5             minute hour day-of-month month day-of-week
    6             the same with seconds in front
    @yearly @annually @monthly @weekly @daily @midnight @hourly     as everywhere
    @every ...    refused: it has no fixed ticks, so a restart would shift it

Names (JAN-DEC, SUN-SAT), lists, ranges, steps, `*` and `?` are fine, in any case of letters. When both
days are restricted, either one is enough, as in every cron.

Ticks are whole seconds. When daylight saving skips a local time, its tick comes when the clock goes on, so a
daily job is not left out. When an hour comes twice, a schedule of every hour or minute fires in both, and one
at a fixed hour only in the first, so a daily job is not run twice.
"""

import functools
import math
import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from croniter import CroniterError, croniter

from eventing.errors import ClarionError

_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_FIELD_COUNTS = (5, 6)
_WITH_SECONDS = 6
_FIRST_SPAN_S = 60.0  # how far back missed ticks are looked for at first
_FIELD = re.compile(r"[0-9A-Za-z*?/,-]+")
_WORDS = re.compile(r"[A-Za-z]+")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NAMES = frozenset(_MONTHS + _DAYS)


class ScheduleInvalid(ClarionError):
    """The schedule or its timezone cannot be read; `field` is the one of the spec that is wrong."""

    def __init__(self, message: str, field: str) -> None:
        """*field* is `schedule` or `timezone`."""
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something happens, for ever."""

    expression: str
    zone: tzinfo

    def next_after(self, when: float) -> float:
        """The first tick later than *when*; both are Unix times in seconds."""
        return _next_after(self, math.floor(when))

    def due(self, after: float, now: float, limit: int) -> list[float]:
        """
        The ticks since *after* that are to be made up for at *now*, oldest first, else the one to come.

        Args:
            after: the last tick that is done with, a Unix time in seconds.
            now: the time, likewise.
            limit: how many past ticks are made up for at most: the latest ones.
        """
        first = self.next_after(after)
        if first > now:
            return [first]
        return self._latest(first, now, limit) or [self.next_after(now)]

    def _latest(self, first: float, now: float, limit: int) -> list[float]:
        """The last *limit* ticks from *first*, a tick, to *now*: looked for ever farther back."""
        found: list[float] = []
        span_s = _FIRST_SPAN_S
        while limit and len(found) < limit:
            start = max(first - 1, now - span_s)
            found, tick = [], self.next_after(start)
            while tick <= now:
                found.append(tick)
                tick = self.next_after(tick)
            if start < first:
                break
            span_s *= 2
        return found[-limit:] if limit else []


@functools.lru_cache(4096)  # thousands of sources have a few schedules, and ask about the same second
def _next_after(schedule: Schedule, second: int) -> float:
    start = datetime.fromtimestamp(second, UTC).astimezone(schedule.zone)
    fields = schedule.expression.split()
    ticks = croniter(schedule.expression, start, second_at_beginning=len(fields) == _WITH_SECONDS)
    every_hour = schedule.expression == "@hourly" or (len(fields) > 1 and fields[-4].startswith("*"))
    while True:
        tick: datetime = ticks.get_next(datetime)
        if every_hour or not tick.fold:
            return tick.timestamp()


def parse(schedule: str, timezone: str = "") -> Schedule:
    """
    Read the `schedule` and `timezone` of a PingSource; no timezone means UTC.

    Raises:
        ScheduleInvalid: with the words that Knative's webhook uses where it has some.
    """
    zone = _zone(timezone)
    text = schedule.strip()
    if text.startswith("@"):
        _check_descriptor(text)
        return Schedule(text.lower(), zone)
    fields = text.split()
    if len(fields) not in _FIELD_COUNTS:
        found = f"[{' '.join(fields)}]"
        raise ScheduleInvalid(f"expected 5 to 6 fields, found {len(fields)}: {found}", "schedule")
    for field in fields:
        _check_field(field)
    expression = " ".join(field.replace("?", "*") for field in fields)
    try:
        result = Schedule(expression, zone)
        result.next_after(0.0)  # also refuses a date that never comes, such as 30 February
    except (CroniterError, ValueError) as error:
        raise ScheduleInvalid(f"failed to parse {text!r}: {error}", "schedule") from error
    return result


def _zone(timezone: str) -> tzinfo:
    if not timezone:
        return UTC
    try:
        return zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        reason = f"provided bad location {timezone}: unknown time zone {timezone}"
        raise ScheduleInvalid(reason, "timezone") from error


def _check_descriptor(text: str) -> None:
    if text.startswith("@every"):
        raise ScheduleInvalid("unsupported descriptor @every", "schedule")
    if text.lower() not in _DESCRIPTORS:
        raise ScheduleInvalid(f"unrecognized descriptor: {text}", "schedule")


def _check_field(field: str) -> None:
    """Refuse croniter's own extensions (L, #, random), which no other cron understands."""
    strangers = [word for word in _WORDS.findall(field) if word.upper() not in _NAMES]
    if strangers or not _FIELD.fullmatch(field):
        reason = f"failed to parse {field!r}: not a number, name, range, list or step"
        raise ScheduleInvalid(reason, "schedule")
