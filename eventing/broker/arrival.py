"""
What happens to an event's attributes when it enters a broker: its hops are counted and its arrival is noted.

    knativebrokerttl     absent or not a number     becomes 255
                         n                          becomes n - 1
                         n - 1 <= 0                 the event goes no further
    knativearrivaltime   always                     becomes the time of this arrival, RFC 3339 in UTC
    delay                a duration: PT90S, 90s     becomes deliverat: this arrival and the delay
    deliverat            RFC 3339                   stays; the event is not delivered before that time

The dispatcher takes `knativebrokerttl` away before a subscriber sees the event, and gives the same value
to the reply before that enters: so a loop of triggers ends after 255 rounds. (Knative's broker ingress and
filter.)
Pure: the time is an argument.
"""

import functools
from datetime import UTC, datetime

from eventing import duration
from eventing.attributes import is_time
from eventing.errors import NotACloudEvent, Rejected
from eventing.event import Event

TTL = "knativebrokerttl"
ARRIVAL_TIME = "knativearrivaltime"
DELAY = "delay"
DELIVER_AT = "deliverat"

TTL_DEFAULT = 255  # Knative's MAX_TTL
_FIRST_HOP = str(TTL_DEFAULT)
# Whoever means to wait longer has mistaken a unit; and it is stored, in memory, all that time.
LONGEST_DELAY_S = 366 * 86400.0


class TooManyHops(Rejected):
    """The event has been through brokers too often: a trigger answers its own kind of event."""


def stamp(event: Event, now: float, arrived: str = "") -> Event:
    """
    Return *event* as it is stored when it arrives at *now* (Unix time, seconds).

    *arrived* is what `arrival_time` makes of *now*, where events that arrive together share it.

    Raises TooManyHops; NotACloudEvent when it says in no readable way when it is to be delivered.
    """
    given, data, headers = event
    hops = _hop(given[TTL]) if TTL in given else _FIRST_HOP
    attributes = {**given, TTL: hops, ARRIVAL_TIME: arrived or arrival_time(now)}
    if DELAY in attributes or DELIVER_AT in attributes:
        _schedule(attributes, now)
    return Event(attributes, data, headers)


def due_ms(deliver_at: str) -> int:
    """Unix time, ms, that attribute `deliverat` of a stamped event names."""
    return int(datetime.fromisoformat(deliver_at.upper()).timestamp() * 1000)


def _schedule(attributes: dict[str, str], now: float) -> None:
    """Check when the event is to be delivered, and say it as a time."""
    delay = attributes.pop(DELAY, None)
    if delay is not None:
        if DELIVER_AT in attributes:
            raise NotACloudEvent(f"{DELAY}: {DELIVER_AT} is given too; send one of the two")
        try:
            delay_s = duration.either(delay)
        except ValueError as error:
            raise NotACloudEvent(f"{DELAY}: {error}") from error
        if delay_s > LONGEST_DELAY_S:
            raise NotACloudEvent(f"{DELAY}: {_TOO_LATE}")
        attributes[DELIVER_AT] = arrival_time(now + delay_s)
        return
    wrong = NotACloudEvent(f"{DELIVER_AT}: is not a time as in 2026-01-31T23:59:59Z (RFC 3339)")
    if not is_time(attributes[DELIVER_AT]):
        raise wrong
    try:
        later_s = due_ms(attributes[DELIVER_AT]) / 1000 - now
    except OverflowError as error:  # the year 1, in a zone that had it a day later
        raise wrong from error
    if later_s > LONGEST_DELAY_S:
        raise NotACloudEvent(f"{DELIVER_AT}: {_TOO_LATE}")


_TOO_LATE = f"is more than {LONGEST_DELAY_S / 86400:.0f} days from now"


def _hop(given: str) -> str:
    try:
        left = int(given) - 1
    except ValueError:
        return _FIRST_HOP
    if left <= 0:
        raise TooManyHops(f"{TTL} is {given}: the event has been through too many brokers")
    return str(left)


def arrival_time(now: float) -> str:
    """*now* (Unix time, seconds) as `knativearrivaltime` says it."""
    second = int(now)
    return f"{_second(second)}.{int((now - second) * 1e6):06}Z"


@functools.lru_cache(4)
def _second(second: int) -> str:
    """Thousands of events share a second, and formatting one costs as much as the rest of the stamp."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
